//! What was run, and on what: the scenario, the processor, the kernel, and how the program was built.

use std::fs;

use crate::facts::{Build, Machine, Provenance};
use crate::scenario::{Draft, Scenario};

/// Of a run of this scenario, by this program, here.
pub fn of(scenario: &Scenario) -> Provenance {
    Provenance {
        build: build(),
        machine: machine(),
        scenario: fingerprint(scenario),
    }
}

/// Equal for scenarios that ask for the same.
fn fingerprint(scenario: &Scenario) -> String {
    let mut draft = Draft::of(scenario);
    for key in ["name", "question", "seed", "expect"] {
        draft.root.remove(key);
    }
    draft.section("cluster").remove("redis");
    // FNV-1a: the same in every version of this program, which a hasher of a library does not promise.
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = draft.render().bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    format!("{hash:016x}")
}

/// This machine, as far as Linux says (proc(5)).
fn machine() -> Machine {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        cpu: model(&cpu_info).unwrap_or("unknown").to_owned(),
        cores: std::thread::available_parallelism().map_or(0, |count| count.get() as u64),
        kernel: kernel.trim().to_owned(),
    }
}

/// How this program was built.
fn build() -> Build {
    Build {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("BUILD_COMMIT").to_owned(),
        profile: env!("BUILD_PROFILE").to_owned(),
    }
}

/// ARM has no `model name`; its `CPU part` is better than nothing.
fn model(cpu_info: &str) -> Option<&str> {
    let value = |name: &str| {
        let line = cpu_info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    value("model name").or_else(|| value("CPU part"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_asks_for_something_else_is_another_one_and_a_seed_or_a_limit_makes_none() {
        let text = "name = \"x\"\nquestion = \"?\"\nduration = \"9s\"\n[devices]\ncount = 3\n";
        let of = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|it| it.to_string()).collect();
            fingerprint(&Scenario::parse_with(text, "x.toml", &overrides).unwrap())
        };
        let same = [
            "seed=7",
            "cluster.redis=embedded",
            "expect.\"tickets.violations\"=0",
        ];
        assert_eq!(of(&[]), of(&same));
        assert_ne!(of(&[]), of(&["devices.count=4"]));
    }

    #[test]
    fn the_processor_is_what_the_kernel_calls_it() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu\n";
        assert_eq!(model(text), Some("AMD EPYC 7B13"));
        assert_eq!(model("CPU part\t: 0xd0c\n"), Some("0xd0c"));
        assert_eq!(model(""), None);
    }
}
