//! What a scenario says of a failover of the broker.

use super::*;
use crate::targets::{Client, Connections};

#[test]
fn a_failover_says_who_stays_with_the_old_master() {
    let fault = |keys: &str| format!("{MINIMAL}[[fault]]\nat = \"1s\"\ndo = \"redis-failover\"\n{keys}");
    let read = |keys: &str| Scenario::parse(&fault(keys), "s.toml").unwrap().fault.remove(0);
    let client = |instance, connections| Client {
        instance,
        connections,
    };
    let all =
        "lag = \"200ms\"\nold_master = \"2s\"\nclients = [\"A\", \"C command\", \"back-end subscriber\"]\n";
    assert_eq!(
        read(all).action,
        FaultAction::RedisFailover {
            lag: Duration::from_millis(200),
            old_master: Duration::from_secs(2),
            clients: Some(vec![
                client(Some(0), Connections::Both),
                client(Some(2), Connections::Command),
                client(None, Connections::Subscriber),
            ]),
        }
    );
    assert_eq!(
        read("lag = \"0s\"\n").action,
        FaultAction::RedisFailover {
            lag: Duration::ZERO,
            old_master: Duration::ZERO,
            clients: None,
        }
    );
    let wrong = |keys: &str| messages(&fault(keys)).join("\n");
    assert!(wrong("").contains("`fault.lag` is missing; for example lag = \"200ms\""));
    assert!(wrong("lag = \"61s\"\n").contains("at most 1m"));
    assert!(wrong("lag = \"1s\"\nclients = [\"D\"]\n").contains("there is no instance D (index 3)"));
    assert!(wrong("lag = \"1s\"\nclients = [\"A reader\"]\n").contains("who stays with the old master"));
    assert!(wrong("lag = \"1s\"\nkeeps = \"all\"\n").contains("`fault.keeps` means nothing"));
}
