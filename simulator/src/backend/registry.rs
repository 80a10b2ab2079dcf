//! What a back end knows of the devices: which are registered, and which instance served each one last.
//!
//! In: registration events as published. The owner is read from `regPort`, the port of the instance that served the
//! last Register or Update; the instances of a run differ in their ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use thiserror::Error;

use crate::dialect::Served;
use crate::fleet::Devices;
use crate::history::RegistrationChannel;

/// A registration event that says less than it must.
#[derive(Debug, Error)]
#[error("a registration event is not in the shape of the northbound interface: {0}")]
pub struct RegistryError(#[from] serde_json::Error);

struct Device {
    owner_port: u16,
    /// Where the endpoint stands in the list of all.
    position: usize,
    /// Its group, and where it stands in the list of that; none if nobody asks for groups.
    in_group: Option<(usize, usize)>,
}

/// The registered endpoints.
pub struct Registry {
    devices: FxHashMap<Arc<str>, Device>,
    /// All registered endpoints, so that one can be drawn in constant time.
    endpoints: Vec<Arc<str>>,
    /// The fleet, and the registered endpoints of each group of it, if somebody asks for them.
    groups: Option<(Devices, Vec<Vec<Arc<str>>>)>,
    /// Registers and Updates by the port of the instance that served them; ports bound it.
    served: FxHashMap<u16, u64>,
    limit: usize,
}

impl Registry {
    /// A registry of at most `limit` endpoints; further ones are left out.
    pub fn new(limit: usize) -> Self {
        Registry {
            devices: FxHashMap::default(),
            endpoints: Vec::new(),
            groups: None,
            served: FxHashMap::default(),
            limit,
        }
    }

    /// The same, which knows too of which group of the fleet an endpoint is.
    pub fn with_groups(limit: usize, devices: Devices) -> Self {
        let lists = vec![Vec::new(); devices.groups.len()];
        Registry {
            groups: Some((devices, lists)),
            ..Registry::new(limit)
        }
    }

    /// The registered endpoints of a group, or all; in no particular order.
    pub fn endpoints_of(&self, group: Option<usize>) -> &[Arc<str>] {
        match (group, &self.groups) {
            (Some(group), Some((_, lists))) => &lists[group],
            _ => &self.endpoints,
        }
    }

    /// The registered endpoints, in no particular order.
    pub fn endpoints(&self) -> &[Arc<str>] {
        &self.endpoints
    }

    /// The endpoints whose last Register or Update was served by the instance with this CoAP port, sorted.
    pub fn owned_by(&self, port: u16) -> Vec<Arc<str>> {
        let owned = self
            .devices
            .iter()
            .filter(|(_, device)| device.owner_port == port);
        let mut endpoints: Vec<Arc<str>> = owned.map(|(endpoint, _)| Arc::clone(endpoint)).collect();
        endpoints.sort_unstable();
        endpoints
    }

    /// The CoAP port of the instance that served the endpoint's last Register or Update.
    pub fn owner(&self, endpoint: &str) -> Option<u16> {
        self.devices.get(endpoint).map(|device| device.owner_port)
    }

    /// How many endpoints each port owns.
    pub fn owners(&self) -> BTreeMap<u16, usize> {
        let mut owners = BTreeMap::new();
        for device in self.devices.values() {
            *owners.entry(device.owner_port).or_insert(0) += 1;
        }
        owners
    }

    /// How many Registers and Updates the instance with this CoAP port served.
    pub fn served_by(&self, port: u16) -> u64 {
        self.served.get(&port).copied().unwrap_or(0)
    }

    /// Takes a registration event.
    pub fn handle_event(&mut self, channel: RegistrationChannel, message: &str) -> Result<(), RegistryError> {
        let served = Served::read(channel, message)?;
        match channel {
            RegistrationChannel::New | RegistrationChannel::Up => self.insert(&served),
            RegistrationChannel::Del => self.remove(&served.ep),
        }
        Ok(())
    }

    fn insert(&mut self, registration: &Served<'_>) {
        *self.served.entry(registration.reg_port).or_insert(0) += 1;
        if let Some(device) = self.devices.get_mut(registration.ep.as_ref()) {
            device.owner_port = registration.reg_port;
            return;
        }
        if self.endpoints.len() >= self.limit {
            return;
        }
        let endpoint: Arc<str> = registration.ep.as_ref().into();
        let in_group = self.groups.as_mut().and_then(|(fleet, lists)| {
            let group = fleet.group_index(fleet.device(&endpoint)?);
            lists[group].push(Arc::clone(&endpoint));
            Some((group, lists[group].len() - 1))
        });
        let device = Device {
            owner_port: registration.reg_port,
            position: self.endpoints.len(),
            in_group,
        };
        self.endpoints.push(Arc::clone(&endpoint));
        self.devices.insert(endpoint, device);
    }

    fn remove(&mut self, endpoint: &str) {
        let Some(gone) = self.devices.remove(endpoint) else {
            return;
        };
        let listed = "every listed endpoint is in the map";
        self.endpoints.swap_remove(gone.position);
        if let Some(moved) = self.endpoints.get(gone.position) {
            self.devices.get_mut(moved).expect(listed).position = gone.position;
        }
        let lists = self.groups.as_mut().map(|(_, lists)| lists);
        if let (Some((group, position)), Some(lists)) = (gone.in_group, lists) {
            lists[group].swap_remove(position);
            if let Some(moved) = lists[group].get(position) {
                self.devices.get_mut(moved).expect(listed).in_group = Some((group, position));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::DeviceGroup;
    use RegistrationChannel::{Del, New, Up};

    fn registration(endpoint: &str, port: u16) -> String {
        format!(r#"{{"ep":"{endpoint}","regId":"x","regAddr":"127.0.0.1","regPort":{port},"rev":1}}"#)
    }

    fn update(endpoint: &str, port: u16) -> String {
        format!(
            r#"{{"regUpdate":{{"regId":"x"}},"regUpdated":{}}}"#,
            registration(endpoint, port)
        )
    }

    fn names(endpoints: &[Arc<str>]) -> Vec<&str> {
        endpoints.iter().map(|endpoint| endpoint.as_ref()).collect()
    }

    #[test]
    fn the_endpoints_of_a_group_are_those_of_its_devices() {
        let group = |count, endpoint: &str| DeviceGroup {
            count,
            endpoint: endpoint.parse().unwrap(),
            ..DeviceGroup::default()
        };
        let groups = vec![group(2, "mains-{n}"), group(3, "battery-{n}")];
        let mut registry = Registry::with_groups(10, Devices { groups });
        for endpoint in ["battery-2", "mains-0", "battery-3", "battery-4", "stranger"] {
            registry.handle_event(New, &registration(endpoint, 1)).unwrap();
        }
        registry.handle_event(Del, &registration("battery-2", 1)).unwrap();
        assert_eq!(names(registry.endpoints_of(Some(0))), ["mains-0"]);
        assert_eq!(names(registry.endpoints_of(Some(1))), ["battery-4", "battery-3"]);
        assert_eq!(registry.endpoints_of(None).len(), 4);
        registry.handle_event(Del, &registration("battery-4", 1)).unwrap();
        assert_eq!(names(registry.endpoints_of(Some(1))), ["battery-3"]);
    }

    #[test]
    fn the_owner_is_who_served_the_last_register_or_update() {
        let mut registry = Registry::new(10);
        registry.handle_event(New, &registration("b", 1)).unwrap();
        registry.handle_event(New, &registration("a", 1)).unwrap();
        registry.handle_event(New, &registration("c", 2)).unwrap();
        registry.handle_event(Up, &update("c", 1)).unwrap();
        assert_eq!(names(&registry.owned_by(1)), ["a", "b", "c"]);
        assert_eq!(registry.owners(), BTreeMap::from([(1, 3)]));
        assert_eq!((registry.served_by(1), registry.served_by(2)), (3, 1));
    }

    #[test]
    fn a_removed_endpoint_is_drawn_no_more_and_the_others_still_are() {
        let mut registry = Registry::new(10);
        for endpoint in ["a", "b", "c"] {
            registry.handle_event(New, &registration(endpoint, 1)).unwrap();
        }
        registry.handle_event(Del, &registration("a", 1)).unwrap();
        registry.handle_event(Del, &registration("c", 1)).unwrap();
        registry.handle_event(Del, &registration("never", 1)).unwrap();
        assert_eq!(names(registry.endpoints()), ["b"]);
    }

    #[test]
    fn a_back_end_that_missed_the_first_event_learns_from_an_update() {
        let mut registry = Registry::new(10);
        registry.handle_event(Up, &update("a", 7)).unwrap();
        assert_eq!(names(registry.endpoints()), ["a"]);
    }

    #[test]
    fn an_event_without_an_endpoint_is_an_error_and_changes_nothing() {
        let mut registry = Registry::new(10);
        assert!(registry.handle_event(New, r#"{"regPort":1}"#).is_err());
        assert!(registry.handle_event(New, "nonsense").is_err());
        assert!(registry.endpoints().is_empty());
    }

    #[test]
    fn the_registry_does_not_grow_beyond_its_limit() {
        let mut registry = Registry::new(1);
        registry.handle_event(New, &registration("a", 1)).unwrap();
        registry.handle_event(New, &registration("b", 1)).unwrap();
        assert_eq!(names(registry.endpoints()), ["a"]);
    }
}
