//! Tells the program of which commit it is, and with which profile it was built: a report says so.
//!
//! It is asked anew when a source file changes; for a release build, whose figures are kept, also when a commit is made. A build
//! for development that was made before its commit calls itself `-dirty`, and is.

use std::env;
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn main() {
    for path in [
        "build.rs",
        "src",
        "../server/src",
        "../broker/src",
        "../lwm2m/src",
        "../Cargo.lock",
    ] {
        println!("cargo:rerun-if-changed={path}");
    }
    let profile = env::var("PROFILE").unwrap_or_default();
    if profile == "release" {
        // A commit moves the file behind HEAD, a checkout changes HEAD itself.
        let head = git(&["symbolic-ref", "-q", "HEAD"]);
        for name in ["HEAD"].into_iter().chain(head.as_deref()) {
            if let Some(path) = git(&["rev-parse", "--git-path", name]) {
                println!("cargo:rerun-if-changed={path}");
            }
        }
    }
    let commit = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    println!(
        "cargo:rustc-env=BUILD_COMMIT={}",
        commit.as_deref().unwrap_or("unknown")
    );
    let level = env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo:rustc-env=BUILD_PROFILE={profile}, opt-level {level}");
}
