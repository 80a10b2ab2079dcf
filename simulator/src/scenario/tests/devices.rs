//! What scenario files say of devices, their network and the balancer besides the plain keys.

use super::*;
use crate::fault::{DeviceFault, DeviceMood};
use crate::targets::DeviceChoice;

/// Every key of a fault that is about devices.
pub(super) const FAULTS: &str = r#"
[[fault]]
at = "31s"
do = "reboot"
share = 0.1
off = "1s"

[[fault]]
at = "32s"
do = "sleep"
devices = [3]
duration = "5s"
every = "10s"
"#;

fn fault(lines: &str) -> String {
    format!("[[fault]]\nat = \"1s\"\n{lines}\n")
}

fn actions(lines: &[&str]) -> Vec<FaultAction> {
    let faults: String = lines.iter().map(|lines| fault(lines)).collect();
    let scenario = Scenario::parse(&format!("{MINIMAL}{faults}"), "s.toml").unwrap();
    scenario.fault.into_iter().map(|fault| fault.action).collect()
}

#[test]
fn faults_of_devices_name_a_share_or_devices() {
    let found = actions(&[
        "do = \"reboot\"\nshare = 0.1\noff = \"3s\"",
        "do = \"sleep\"\ndevices = [3, 17]\nduration = \"250ms\"",
        "do = \"nat-rebind\"\nshare = \"50%\"",
        "do = \"deregister\"\nshare = 1",
        "do = \"flow-reset\"",
    ]);
    let devices = |mood, devices| FaultAction::Devices(DeviceFault { mood, devices });
    let off = Duration::from_secs(3);
    let duration = Duration::from_millis(250);
    assert_eq!(
        found,
        [
            devices(DeviceMood::Reboot { off }, DeviceChoice::Share(0.1)),
            devices(DeviceMood::Sleep { duration }, DeviceChoice::These(vec![3, 17])),
            devices(DeviceMood::NatRebind, DeviceChoice::Share(0.5)),
            devices(
                DeviceMood::Deregister {
                    off: Duration::from_secs(1)
                },
                DeviceChoice::Share(1.0)
            ),
            FaultAction::FlowReset,
        ]
    );
    let names: Vec<_> = found.iter().map(|action| action.kind().as_str()).collect();
    assert_eq!(
        names,
        ["reboot", "sleep", "nat-rebind", "deregister", "flow-reset"]
    );
}

#[test]
fn a_fault_with_every_comes_again_until_the_end_of_the_run() {
    let lines = "do = \"flow-reset\"\nevery = \"12s\"";
    let times = |lines: &str| {
        let text = format!(
            "{MINIMAL}[[fault]]\nat = \"3s\"\n{lines}\n[[fault]]\nat = \"20s\"\ndo = \"flow-reset\"\n"
        );
        let scenario = Scenario::parse(&text, "s.toml").unwrap();
        scenario
            .fault
            .iter()
            .map(|fault| fault.at.as_secs())
            .collect::<Vec<_>>()
    };
    assert_eq!(times(lines), [3, 15, 20, 27, 39]);
    let often = message(&fault("do = \"flow-reset\"\nevery = \"1ms\""));
    assert!(
        often.contains("expected a time that fits into the run at most 10000 times"),
        "{often}"
    );
    let zero = message(&fault("do = \"flow-reset\"\nevery = \"0s\""));
    assert!(
        zero.contains("`fault.every`: expected a duration above zero"),
        "{zero}"
    );
}

#[test]
fn a_fault_of_devices_that_hits_nobody_or_says_it_twice_is_an_error() {
    let whom = "expected either `share` (such as 0.1) or `devices` (such as [3, 17])";
    assert!(message(&fault("do = \"reboot\"")).contains(whom));
    assert!(message(&fault("do = \"sleep\"\nshare = 0.5\ndevices = [1]")).contains(whom));
    let missing = message(&fault("do = \"nat-rebind\"\ndevices = [1, 1000]"));
    assert!(
        missing.contains("there is no device 1000: there are 1000 devices"),
        "{missing}"
    );
    let list = message(&fault("do = \"nat-rebind\"\ndevices = [\"dev-1\"]"));
    assert!(
        list.contains("expected a list of whole numbers, such as [3, 17]"),
        "{list}"
    );
}

#[test]
fn a_key_of_another_fault_is_an_error() {
    for (lines, key, name) in [
        ("do = \"flow-reset\"\nshare = 0.5", "share", "flow-reset"),
        ("do = \"flow-reset\"\ninstance = 0", "instance", "flow-reset"),
        ("do = \"kill\"\ninstance = 0\noff = \"1s\"", "off", "kill"),
        (
            "do = \"reboot\"\nshare = 1\nduration = \"1s\"",
            "duration",
            "reboot",
        ),
        ("do = \"sleep\"\nshare = 1\noff = \"1s\"", "off", "sleep"),
    ] {
        let message = message(&fault(lines));
        let expected = format!("`fault.{key}` means nothing for do = \"{name}\"");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn a_fault_of_devices_hits_no_instance_that_could_be_the_last_faulted() {
    let lines = fault("do = \"reboot\"\nshare = 1");
    let restart = "[[fault]]\nat = \"2s\"\ndo = \"restart\"\ninstance = \"last-faulted\"\n";
    assert!(message(&format!("{lines}{restart}")).contains("there is no last-faulted"));
}
