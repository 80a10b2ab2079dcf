//! `[devices]`, or `[[devices]]`: groups of devices that are alike, each with its network.

use std::time::Duration;

use super::document::Table;
use super::schema::MAX_DEVICES;
use super::section::Section;
use crate::fleet::{DeviceGroup, Devices, EndpointPattern};
use crate::network::Impairment;

/// The lifetime is a 32-bit number of seconds in the standard; a run needs no more than a day.
const MAX_LIFETIME: Duration = Duration::from_secs(86_400);
/// Far more kinds of devices than a question is about.
const MAX_GROUPS: usize = 64;
/// The longest endpoint client name that every part of the cluster takes.
const MAX_NAME: usize = 128;

/// The fleet: one group with everything at its default if the scenario says nothing.
pub(super) fn devices(root: &Section<'_>) -> Devices {
    let empty = Table::default();
    let sections = root.one_or_many("devices", &empty);
    let mut groups: Vec<DeviceGroup> = sections.iter().map(group).collect();
    let shares = sections.iter().map(|section| section.share("share"));
    share_out(&mut groups, &shares.collect::<Vec<_>>(), &sections);
    let devices = Devices { groups };
    if devices.groups.len() > MAX_GROUPS {
        let message = format!(
            "`devices`: expected at most {MAX_GROUPS} groups, found {}",
            sections.len()
        );
        root.problems.add(root.place("devices"), message);
    } else {
        check_together(&devices, &sections);
    }
    devices
}

fn group(section: &Section<'_>) -> DeviceGroup {
    section.choice("security", "none");
    let lifetime = section.positive("lifetime", Duration::from_secs(60));
    if let Some(node) = section.get("lifetime")
        && (lifetime.subsec_nanos() != 0 || lifetime > MAX_LIFETIME)
    {
        section.wrong("lifetime", node, "whole seconds, at most a day");
    }
    DeviceGroup {
        name: section.get("name").map(|_| section.text("name", "")),
        count: section.integer("count", 1000) as u32,
        endpoint: endpoint(section),
        lifetime_s: u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX),
        binding: section.choice("binding", "U").to_owned(),
        register_rate: section.rate("register_rate", 500.0),
        deduplicate: section.share_or("deduplicate", 1.0),
        separate: section.share_or("separate", 0.0),
        reject: section.share_or("reject", 0.0),
        nonsense: section.share_or("nonsense", 0.0),
        network: network(section, "network", &Impairment::default()),
    }
}

fn endpoint(section: &Section<'_>) -> EndpointPattern {
    let pattern = section.text("endpoint", "dev-{n}").parse();
    if let (Err(_), Some(node)) = (&pattern, section.get("endpoint")) {
        let expected = "a name with the number of the device in it once, as \"dev-{n}\" or \"dev-{n:05}\"";
        section.wrong("endpoint", node, expected);
    }
    pattern.unwrap_or_default()
}

/// An impairment; what it does not name is as in `base`.
pub(super) fn network(section: &Section<'_>, key: &str, base: &Impairment) -> Impairment {
    let empty = Table::default();
    let inner = section.section(key, &empty);
    Impairment {
        latency: inner.duration("latency", base.latency),
        jitter: inner.duration("jitter", base.jitter),
        loss: inner.share_or("loss", base.loss),
        duplicate: inner.share_or("duplicate", base.duplicate),
        duplicate_delay: inner.duration("duplicate_delay", base.duplicate_delay),
        mtu: inner.integer("mtu", base.mtu.into()) as u32,
        reorder: inner.share_or("reorder", base.reorder),
    }
}

/// Groups with a `share` get it of the whole fleet, of which those with a `count` are the rest.
fn share_out(groups: &mut [DeviceGroup], shares: &[f64], sections: &[Section<'_>]) {
    let shared = |section: &Section<'_>| section.get("share").is_some();
    if groups.len() > 1 {
        for section in sections {
            if section.get("count").is_some() == shared(section) {
                let message = "expected either `count` (such as 900) or `share` (such as 0.1, of all devices): how many \
                               devices this group has";
                section.problems.add(section.place("share"), message);
            }
        }
    }
    let all_shared = sections.iter().all(shared);
    let rest = 1.0 - shares.iter().sum::<f64>();
    let Some(first) = sections.iter().find(|section| shared(section)) else {
        return;
    };
    // A share of all devices leaves a rest, or nobody knows how many all are.
    if all_shared || rest < 1e-6 {
        let message =
            "the groups with a `share` need others with a `count`, whose share is what is left of 1";
        first.problems.add(first.place("share"), message);
        return;
    }
    let counted = groups
        .iter()
        .zip(sections)
        .filter(|(_, section)| !shared(section));
    let all = counted.map(|(group, _)| f64::from(group.count)).sum::<f64>() / rest;
    for ((group, section), share) in groups.iter_mut().zip(sections).zip(shares) {
        if shared(section) {
            group.count = ((all * share).round() as u32).max(1);
        }
    }
}

/// What no single group can show.
fn check_together(devices: &Devices, sections: &[Section<'_>]) {
    let count = devices.count();
    let last = &sections[sections.len() - 1];
    if count > MAX_DEVICES {
        let message = format!("expected at most {MAX_DEVICES} devices in all groups, found {count}");
        last.problems.add(last.place("count"), message);
        return;
    }
    for (index, (group, section)) in devices.groups.iter().zip(sections).enumerate() {
        if let (Some(name), Some(node)) = (&group.name, section.get("name")) {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
                section.wrong("name", node, "1 to 64 letters, digits, `-` or `_`");
            } else if devices.named(name) != Some(index) {
                section.wrong("name", node, "a name that no group before this one has");
            }
        }
        if group.endpoint.name(count).len() > MAX_NAME
            && let Some(node) = section.get("endpoint")
        {
            section.wrong("endpoint", node, "an endpoint name of at most 128 bytes");
        }
    }
    if let Some(twice) = devices.named_twice() {
        let section = &sections[devices.group_index(twice)];
        let name = devices.endpoint_name(twice);
        let message = format!("two devices would have the name `{name}`: give this group other names");
        section.problems.add(section.place("endpoint"), message);
    }
}
