//! Faults of clocks.

use super::*;

/// Every key that only faults of clocks have.
pub const FAULTS: &str = r#"
[[fault]]
at = "7s"
do = "clock-jump"
of = "redis"
by = "-3s"
[[fault]]
at = "8s"
do = "clock-drift"
instance = "all"
rate = 0.01
"#;

#[test]
fn a_clock_belongs_to_the_broker_or_to_instances_and_only_the_brokers_goes_back() {
    let action = |rest: &str| {
        let text = format!("{MINIMAL}[[fault]]\nat = \"1s\"\ndo = {rest}\n");
        Scenario::parse(&text, "s.toml").unwrap().fault[0].action.clone()
    };
    let jump = |of, by_us| FaultAction::ClockJump { of, by_us };
    let broker = ClockOwner::Broker;
    assert_eq!(action("\"clock-jump\"\nby = \"-3s\""), jump(broker, -3_000_000));
    assert_eq!(
        action("\"clock-jump\"\nof = \"redis\"\nby = \"+10s\""),
        jump(broker, 10_000_000)
    );
    assert_eq!(
        action("\"clock-jump\"\ninstance = 0\nby = \"200ms\""),
        jump(ClockOwner::Instances, 200_000)
    );
    assert_eq!(
        action("\"clock-drift\"\nrate = -0.01"),
        FaultAction::ClockDrift {
            of: broker,
            rate_ppm: -10_000
        }
    );
    let refused = |rest: &str| message(&format!("[[fault]]\nat = \"1s\"\ndo = \"clock-{rest}\n"));
    assert!(refused("jump\"\ninstance = 0\nby = \"-1s\"").contains("CLOCK_BOOTTIME, which never goes back"));
    assert!(refused("jump\"\nby = \"2m\"").contains("at most 1m"));
    assert!(refused("drift\"\nrate = 0.5").contains("from -0.1 to 0.1"));
    assert!(refused("jump\"\nof = \"redis\"\ninstance = 0\nby = \"1s\"").contains("means nothing"));
}
