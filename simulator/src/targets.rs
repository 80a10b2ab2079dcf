//! Whom a fault hits. In: what the scenario says, who runs, who owns how many devices. Out: the indices of instances.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::scenario::{FaultAction, Target};

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

/// The instances that a fault hits. Those that are chosen by what they do (busiest, random) are among the running.
pub fn choose(
    target: Target,
    action: &FaultAction,
    candidates: &[Candidate],
    last_faulted: &[usize],
    random: &mut ChaCha8Rng,
) -> Vec<usize> {
    let wanted = |candidate: &Candidate| candidate.running != (*action == FaultAction::Restart);
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
    use rand::SeedableRng;

    fn choose_from(target: Target, action: FaultAction, devices: &[Option<usize>]) -> Vec<usize> {
        let candidate = |devices: &Option<usize>| Candidate {
            running: devices.is_some(),
            devices: devices.unwrap_or(99),
            ..Candidate::default()
        };
        let candidates: Vec<Candidate> = devices.iter().map(candidate).collect();
        choose(
            target,
            &action,
            &candidates,
            &[2, 0],
            &mut ChaCha8Rng::seed_from_u64(1),
        )
    }

    #[test]
    fn the_busiest_is_who_runs_and_owns_most_devices() {
        let busiest = |devices: &[Option<usize>]| choose_from(Target::Busiest, FaultAction::Kill, devices);
        assert_eq!(busiest(&[Some(3), Some(5), Some(4)]), [1]);
        assert_eq!(busiest(&[Some(3), None, Some(3)]), [0]);
        assert_eq!(busiest(&[None, None]), Vec::<usize>::new());
    }

    #[test]
    fn all_and_random_are_those_to_which_the_action_can_happen() {
        let devices = [Some(1), None, Some(1)];
        assert_eq!(choose_from(Target::All, FaultAction::Pause, &devices), [0, 2]);
        assert_eq!(choose_from(Target::All, FaultAction::Restart, &devices), [1]);
        assert_eq!(choose_from(Target::Random, FaultAction::Restart, &devices), [1]);
        assert_eq!(
            choose_from(Target::Random, FaultAction::Kill, &[None]),
            Vec::<usize>::new()
        );
    }

    #[test]
    fn a_named_one_and_the_last_faulted_are_hit_whatever_they_do() {
        assert_eq!(
            choose_from(Target::Instance(1), FaultAction::Kill, &[Some(1), None]),
            [1]
        );
        assert_eq!(
            choose_from(Target::LastFaulted, FaultAction::Restart, &[None, Some(1), None]),
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
            choose(target, &FaultAction::Kill, &candidates, &[], &mut random)
        };
        assert_eq!((hit(Target::Owner), hit(Target::Steward)), (vec![0], vec![]));
    }
}
