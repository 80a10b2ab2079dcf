//! Groups of devices: how many there are, which names they have, what each one's network is.

use super::*;

/// Two groups, with every key that only groups have.
pub(super) const FILE: &str = r#"
name = "groups"
question = "?"
duration = "40s"

[[devices]]
name = "mains"
count = 900
network = { latency = "5ms" }

[[devices]]
name = "battery"
share = 0.1
endpoint = "bat-{n:05}"
lifetime = "300s"
register_rate = 50
nonsense = 0.5
network = { latency = "400ms", loss = 0.1 }

[[fault]]
at = "9s"
do = "network"
network = { loss = 0.5 }
"#;

fn groups(lines: &str) -> String {
    format!("{MINIMAL}{lines}")
}

#[test]
fn a_group_has_a_count_or_a_share_of_all_and_what_is_not_said_has_its_default() {
    let devices = Scenario::parse(FILE, "s.toml").unwrap().devices;
    let counts: Vec<_> = devices.groups.iter().map(|group| group.count).collect();
    assert_eq!((counts, devices.count()), (vec![900, 100], 1000));
    let lifetimes: Vec<_> = devices.groups.iter().map(|group| group.lifetime_s).collect();
    assert_eq!(lifetimes, [60, 300]);
    assert_eq!(devices.endpoint_name(899), "dev-899");
    assert_eq!(devices.endpoint_name(900), "bat-00900");
    assert_eq!(devices.named("battery"), Some(1));
    let nonsense: Vec<_> = devices.groups.iter().map(|group| group.nonsense).collect();
    assert_eq!(nonsense, [0.0, 0.5]);
}

#[test]
fn a_network_fault_leaves_each_group_what_it_does_not_name() {
    let scenario = Scenario::parse(FILE, "s.toml").unwrap();
    let seen: Vec<_> = scenario
        .networks()
        .map(|network| (network.latency.as_millis(), network.loss))
        .collect();
    assert_eq!(seen, [(5, 0.0), (400, 0.1), (5, 0.5), (400, 0.5)]);
}

#[test]
fn an_option_names_a_group_by_its_place() {
    let options = ["devices.0.count=90".to_owned()];
    let scenario = Scenario::parse_with(FILE, "s.toml", &options).unwrap();
    assert_eq!(scenario.devices.count(), 100);
}

#[test]
fn groups_whose_size_nobody_can_tell_are_errors() {
    let either = "expected either `count` (such as 900) or `share`";
    let none = messages(&groups("[[devices]]\ncount = 1\n[[devices]]\nname = \"x\"\n"));
    assert!(none[0].contains(either), "{none:?}");
    let both = messages(&groups(
        "[[devices]]\ncount = 1\n[[devices]]\ncount = 1\nshare = 0.5\n",
    ));
    assert!(
        both[0].starts_with("s.toml:8:9: ") && both[0].contains(either),
        "{both:?}"
    );
    let rest = "the groups with a `share` need others with a `count`";
    assert!(message("[[devices]]\nshare = 0.5\n[[devices]]\nshare = 0.4\n").contains(rest));
    assert!(message("[[devices]]\nshare = 1\n[[devices]]\ncount = 4\n").contains(rest));
    assert!(message("[devices]\nshare = 0.5\n").contains(rest));
    let many = message("[[devices]]\ncount = 900000\n[[devices]]\ncount = 900000\n");
    assert!(
        many.contains("expected at most 1000000 devices in all groups, found 1800000"),
        "{many}"
    );
}

#[test]
fn groups_and_devices_that_cannot_be_told_apart_are_errors() {
    let same = message("[[devices]]\nname = \"x\"\ncount = 1\n[[devices]]\nname = \"x\"\ncount = 1\n");
    assert!(
        same.starts_with("s.toml:8:8: `devices.name`: expected a name that no group before this one has"),
        "{same}"
    );
    let twice = message(
        "[[devices]]\ncount = 9\nendpoint = \"dev-1{n}\"\n[[devices]]\ncount = 12\nendpoint = \"dev-{n}\"\n",
    );
    assert_eq!(
        twice,
        "s.toml:9:12: two devices would have the name `dev-10`: give this group other names"
    );
}

#[test]
fn a_name_without_the_number_of_the_device_is_an_error_even_for_one() {
    for endpoint in ["dev", "{n}{n}", "dev-{m}"] {
        let text = message(&format!("[devices]\ncount = 1\nendpoint = \"{endpoint}\"\n"));
        assert!(
            text.contains("expected a name with the number of the device in it once"),
            "{text}"
        );
    }
}
