//! What no single key can show: times that do not fit together, instances that do not exist, limits on nothing.

use super::section::Section;
use super::units::show_duration;
use super::*;
use crate::fault::DeviceFault;
use crate::targets::DeviceChoice;

/// Reports contradictions as problems and doubtful combinations as warnings. `scenario.fault` is in the order of the file.
pub fn cross_check(scenario: &mut Scenario, root: &Section<'_>) {
    for (load, section) in scenario.load.iter().zip(root.sections("load")) {
        check_load(load, scenario, &section);
    }
    let mut faults: Vec<_> = scenario.fault.iter().zip(root.sections("fault")).collect();
    faults.sort_by_key(|(fault, _)| fault.at);
    let mut harmed = false;
    for (fault, section) in faults {
        check_fault(fault, harmed, scenario, &section);
        harmed |= fault.action.hits_instances();
    }
    scenario.warnings = warnings(scenario);
}

fn check_load(load: &LoadOptions, scenario: &Scenario, section: &Section<'_>) {
    if load.stop() > scenario.duration {
        let message = after_the_end("the load stops", load.stop(), scenario);
        section.problems.add(section.place("stop"), message);
    }
}

fn check_fault(fault: &Fault, harmed_before: bool, scenario: &Scenario, section: &Section<'_>) {
    if fault.at >= scenario.duration {
        section.problems.add(
            section.place("at"),
            after_the_end("the fault comes", fault.at, scenario),
        );
    }
    if let Target::Instance(index) = fault.target
        && index >= scenario.cluster.instances
    {
        section
            .problems
            .add(section.place("instance"), no_such_instance(index, scenario));
    }
    if let FaultAction::RedisFailover {
        clients: Some(clients),
        ..
    } = &fault.action
        && let Some(missing) = clients.iter().filter_map(|it| it.instance).max()
        && missing >= scenario.cluster.instances
    {
        let message = no_such_instance(missing, scenario);
        section.problems.add(section.place("clients"), message);
    }
    if let FaultAction::Devices(DeviceFault {
        devices: DeviceChoice::These(devices),
        ..
    }) = &fault.action
        && let Some(missing) = devices.iter().find(|number| **number >= scenario.devices.count())
    {
        let message = format!(
            "there is no device {missing}: there are {} devices, and the first is 0",
            scenario.devices.count()
        );
        section.problems.add(section.place("devices"), message);
    }
    if fault.target == Target::LastFaulted && !harmed_before {
        let message = "no fault hits an instance before this one, so there is no last-faulted";
        section.problems.add(section.place("instance"), message);
    }
}

fn no_such_instance(index: u32, scenario: &Scenario) -> String {
    format!(
        "there is no instance {} (index {index}): cluster.instances = {}, so they are {}",
        instance_id(index),
        scenario.cluster.instances,
        scenario.cluster.instance_ids().join(", ")
    )
}

fn after_the_end(what: &str, at: Duration, scenario: &Scenario) -> String {
    let end = show_duration(scenario.duration);
    format!(
        "{what} at {}, but the run ends at {end} (`duration`)",
        show_duration(at)
    )
}

fn warnings(scenario: &Scenario) -> Vec<String> {
    let mut warnings = Vec::new();
    if scenario.detection() > scenario.cluster.lease {
        warnings.push(format!(
            "balancer.health detects a dead instance after {} ({} × {}), later than the lease of {}: devices are sent to \
             it after the cluster has taken over",
            show_duration(scenario.detection()),
            scenario.balancer.health.failures,
            show_duration(scenario.balancer.health.interval),
            show_duration(scenario.cluster.lease),
        ));
    }
    if scenario.expect.is_empty() {
        warnings.push("there is no [expect]: this run cannot fail".into());
    }
    if scenario.load.is_empty() {
        warnings.push("there is no [[load]]: nothing is asked of the devices".into());
    }
    for group in &scenario.devices.groups {
        let registered = f64::from(group.count) / group.register_rate;
        if registered > scenario.duration.as_secs_f64() {
            warnings.push(format!(
                "{} devices at {} per second take {registered:.0} s to register, longer than the run",
                group.count, group.register_rate
            ));
        }
    }
    warnings
}
