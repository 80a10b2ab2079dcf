//! One seed, many independent generators: each part of a run draws from its own, so that a change in one part leaves the
//! random choices of the others as they were.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;

/// Who draws. The numbers are part of what a seed means: never reuse one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The network from the devices to the balancer.
    Uplink = 1,
    /// The network from the balancer to the devices.
    Downlink = 2,
    /// The balancer.
    Balancer = 3,
    /// The times of the load's requests.
    Arrivals = 4,
    /// The devices and operations of the load's requests.
    Choices = 5,
    /// The back end's tickets.
    Tickets = 6,
    /// The targets of faults.
    Faults = 7,
    /// The devices.
    Fleet = 8,
    /// The connections to the virtual world's broker.
    Broker = 9,
    /// The seeds of the virtual world's instances.
    Instances = 10,
    /// How long the virtual world's instances take from one step to the next, and which of their sockets they read first.
    Steps = 11,
    /// The fault schedules that a search draws.
    Search = 12,
    /// Whether clocks are among what a search lets go wrong.
    SearchClocks = 13,
    /// How long requests and the message layer wait in what a search draws.
    SearchPatience = 14,
    /// How long members and outcomes last in what a search draws.
    SearchParameters = 15,
    /// Whether devices are away for longer than their registration lives in what a search draws.
    SearchAbsence = 16,
    /// Whether an instance that comes back gets no answer of the broker in what a search draws.
    SearchHanging = 17,
    /// Whether back ends ask for the default path in what a search draws.
    SearchPaths = 18,
}

/// The generator of one part of a run.
pub fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(purpose as u64);
    generator
}

/// One of some.
pub fn pick<T: Copy>(random: &mut ChaCha8Rng, from: &[T]) -> T {
    *from.choose(random).expect("what is drawn from is never empty")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn each_purpose_draws_its_own_numbers_and_the_same_ones_for_the_same_seed() {
        let draw = |seed, purpose| generator(seed, purpose).random::<u64>();
        assert_eq!(draw(1, Purpose::Uplink), draw(1, Purpose::Uplink));
        assert_ne!(draw(1, Purpose::Uplink), draw(1, Purpose::Downlink));
        assert_ne!(draw(1, Purpose::Uplink), draw(2, Purpose::Uplink));
    }
}
