//! Whom a fault hits. In: what the scenario says, who runs, who owns how many devices. Out: the indices of instances.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::parties::{BACK_END, instance_id};

/// Each instance is an operating-system process.
pub const MAX_INSTANCES: u32 = 64;

/// `fault.instance`
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one, by index from 0 (the file may also give its id).
    Instance(u32),
    /// The one that serves most devices.
    Busiest,
    /// One of those that run, drawn by the seed.
    Random,
    /// The steward of the endpoint with the most open tickets. Only the virtual world can tell.
    Steward,
    /// The instance that served the last Register or Update of the endpoint with the most open tickets.
    Owner,
    /// Those that the last fault before it hit.
    LastFaulted,
    /// All.
    All,
    /// No instance, but the back end's own connections to the broker.
    BackEnd,
}

/// The index of the instance with this id.
pub fn instance_named(id: &str) -> Option<u32> {
    (0..MAX_INSTANCES).find(|index| instance_id(*index) == id)
}

/// `fault.connection`
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Connections {
    /// The one for calls; of the back end, the one that publishes.
    Command,
    /// The one that listens.
    Subscriber,
    /// Both.
    Both,
}

impl Connections {
    /// True if a connection that listens, or one that does not, is among them.
    pub fn include(self, listens: bool) -> bool {
        match self {
            Connections::Command => !listens,
            Connections::Subscriber => listens,
            Connections::Both => true,
        }
    }
}

/// One of `fault.clients`: who has not noticed that there is another master.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// An instance by its index; none: the back end.
    pub instance: Option<u32>,
    /// With which of its connections.
    pub connections: Connections,
}

impl Client {
    /// An instance with both connections.
    pub fn instance(index: usize) -> Client {
        Client {
            instance: u32::try_from(index).ok(),
            connections: Connections::Both,
        }
    }

    /// Reads `A`, `B command`, `back-end subscriber`.
    pub fn parse(text: &str) -> Option<Client> {
        let (who, connections) = match text.split_once(' ') {
            Some((who, "command")) => (who, Connections::Command),
            Some((who, "subscriber")) => (who, Connections::Subscriber),
            Some(_) => return None,
            None => (text, Connections::Both),
        };
        let instance = match who {
            BACK_END => None,
            id => Some(instance_named(id)?),
        };
        Some(Client {
            instance,
            connections,
        })
    }
}

/// As in the scenario file.
impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.instance {
            Some(index) => f.write_str(&instance_id(index))?,
            None => f.write_str(BACK_END)?,
        }
        f.write_str(match self.connections {
            Connections::Both => "",
            Connections::Command => " command",
            Connections::Subscriber => " subscriber",
        })
    }
}

/// Which devices a fault hits.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceChoice {
    /// A share of them, drawn by the seed; at least one.
    Share(f64),
    /// These, by number.
    These(Vec<u32>),
}

/// Whose clock a fault touches.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ClockOwner {
    /// The broker's: the time that scripts read.
    Broker,
    /// Instances': the one that goes on while a machine is suspended, and never back.
    Instances,
}

/// What is known of an instance when a fault is due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidate {
    /// It has a process.
    pub running: bool,
    /// So many devices were last served by it.
    pub devices: usize,
    /// It is the steward of the endpoint with the most open tickets.
    pub steward: bool,
    /// It is the owner of that endpoint.
    pub owner: bool,
}

/// The instances that a fault hits, which is meant for those that run or for those that do not. Those that are chosen by what they do (busiest, random) are among the running.
pub fn choose(
    target: Target,
    wanted_running: bool,
    candidates: &[Candidate],
    last_faulted: &[usize],
    random: &mut ChaCha8Rng,
) -> Vec<usize> {
    let wanted = |candidate: &Candidate| candidate.running == wanted_running;
    let eligible: Vec<usize> = (0..candidates.len())
        .filter(|&index| wanted(&candidates[index]))
        .collect();
    match target {
        Target::Instance(index) => vec![index as usize],
        Target::Steward => eligible
            .into_iter()
            .filter(|&index| candidates[index].steward)
            .collect(),
        Target::Owner => eligible
            .into_iter()
            .filter(|&index| candidates[index].owner)
            .collect(),
        Target::LastFaulted => last_faulted.to_vec(),
        Target::All => eligible,
        Target::BackEnd => Vec::new(),
        Target::Busiest => {
            // The lowest index among equals, so that a run can be repeated.
            let busiest = eligible
                .into_iter()
                .rev()
                .max_by_key(|&index| candidates[index].devices);
            busiest.into_iter().collect()
        }
        Target::Random if eligible.is_empty() => Vec::new(),
        Target::Random => vec![eligible[random.random_range(0..eligible.len())]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;
    use rand::SeedableRng;

    fn choose_from(target: Target, action: FaultKind, devices: &[Option<usize>]) -> Vec<usize> {
        let candidate = |devices: &Option<usize>| Candidate {
            running: devices.is_some(),
            devices: devices.unwrap_or(99),
            ..Candidate::default()
        };
        let candidates: Vec<Candidate> = devices.iter().map(candidate).collect();
        choose(
            target,
            action.wants_running(),
            &candidates,
            &[2, 0],
            &mut ChaCha8Rng::seed_from_u64(1),
        )
    }

    #[test]
    fn the_busiest_is_who_runs_and_owns_most_devices() {
        let busiest = |devices: &[Option<usize>]| choose_from(Target::Busiest, FaultKind::Kill, devices);
        assert_eq!(busiest(&[Some(3), Some(5), Some(4)]), [1]);
        assert_eq!(busiest(&[Some(3), None, Some(3)]), [0]);
        assert_eq!(busiest(&[None, None]), Vec::<usize>::new());
    }

    #[test]
    fn all_and_random_are_those_to_which_the_action_can_happen() {
        let devices = [Some(1), None, Some(1)];
        assert_eq!(choose_from(Target::All, FaultKind::Pause, &devices), [0, 2]);
        assert_eq!(choose_from(Target::All, FaultKind::Restart, &devices), [1]);
        assert_eq!(choose_from(Target::Random, FaultKind::Restart, &devices), [1]);
        assert_eq!(
            choose_from(Target::Random, FaultKind::Kill, &[None]),
            Vec::<usize>::new()
        );
    }

    #[test]
    fn a_named_one_and_the_last_faulted_are_hit_whatever_they_do() {
        assert_eq!(
            choose_from(Target::Instance(1), FaultKind::Kill, &[Some(1), None]),
            [1]
        );
        assert_eq!(
            choose_from(Target::LastFaulted, FaultKind::Restart, &[None, Some(1), None]),
            [2, 0]
        );
    }

    #[test]
    fn the_steward_and_the_owner_are_hit_only_if_they_run() {
        let candidate = |running, steward, owner| Candidate {
            running,
            devices: 1,
            steward,
            owner,
        };
        let candidates = [candidate(true, false, true), candidate(false, true, false)];
        let hit = |target| {
            let mut random = ChaCha8Rng::seed_from_u64(1);
            choose(target, true, &candidates, &[], &mut random)
        };
        assert_eq!((hit(Target::Owner), hit(Target::Steward)), (vec![0], vec![]));
    }
}
