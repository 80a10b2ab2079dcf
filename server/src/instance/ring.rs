//! The requests of the last moments, kept by every member for partitions that it may have to take: the steward before
//! may have died between reading a request and storing it.

use crate::partition::Partition;
use lwm2m::time::Time;
use std::collections::VecDeque;
use std::rc::Rc;

/// One request as it was read.
#[derive(Clone)]
pub struct Remembered {
    /// When it was read.
    pub at: Time,
    /// The partition that it belongs to.
    pub partition: Partition,
    /// The text.
    pub payload: Rc<[u8]>,
    /// It was read as the partition's steward, who could not accept it yet.
    pub waits: bool,
}

/// Requests in the order in which they were read, bounded in age and bytes.
pub struct Ring {
    requests: VecDeque<Remembered>,
    bytes: usize,
    limit: usize,
}

impl Ring {
    /// An empty ring of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Ring {
            requests: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.bytes = 0;
    }

    /// Adds a request, and forgets what was read before `horizon` or is too much.
    pub fn push(&mut self, request: Remembered, horizon: Time) {
        self.bytes += cost(&request);
        self.requests.push_back(request);
        while self
            .requests
            .front()
            .is_some_and(|oldest| oldest.at < horizon || self.bytes > self.limit)
        {
            if let Some(oldest) = self.requests.pop_front() {
                self.bytes -= cost(&oldest);
            }
        }
    }

    /// What was read for `partition` since `horizon`, in order.
    pub fn of(&self, partition: Partition, horizon: Time) -> Vec<Remembered> {
        let wanted = |r: &&Remembered| r.partition == partition && r.at >= horizon;
        self.requests.iter().filter(wanted).cloned().collect()
    }

    /// What waits, in order; from now on it does not.
    pub fn take_waiting(&mut self) -> Vec<Remembered> {
        let waiting = self.requests.iter_mut().filter(|r| r.waits);
        waiting
            .map(|r| {
                r.waits = false;
                r.clone()
            })
            .collect()
    }
}

fn cost(request: &Remembered) -> usize {
    request.payload.len() + size_of::<Remembered>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(ms: u64, endpoint: &str, bytes: usize) -> Remembered {
        Remembered {
            at: Time::from_millis(ms),
            partition: Partition::of(endpoint),
            payload: vec![0; bytes].into(),
            waits: false,
        }
    }

    #[test]
    fn a_partition_finds_its_requests_of_the_last_moments_in_order() {
        let mut ring = Ring::new(10_000);
        ring.push(request(1, "dev-0", 1), Time::ZERO);
        ring.push(request(2, "dev-1", 2), Time::ZERO);
        ring.push(request(3, "dev-0", 3), Time::ZERO);
        ring.push(request(4, "dev-0", 4), Time::ZERO);
        let found = ring.of(Partition::of("dev-0"), Time::from_millis(2));
        assert_eq!(found.iter().map(|r| r.payload.len()).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn what_waits_is_taken_once_and_in_order() {
        let mut ring = Ring::new(10_000);
        for (ms, waits) in [(1, true), (2, false), (3, true)] {
            let request = request(ms, "dev-0", ms as usize);
            ring.push(Remembered { waits, ..request }, Time::ZERO);
        }
        let mut taken = || {
            ring.take_waiting()
                .iter()
                .map(|r| r.payload.len())
                .collect::<Vec<_>>()
        };
        assert_eq!((taken(), taken()), (vec![1, 3], vec![]));
    }

    #[test]
    fn what_is_too_old_or_too_much_is_forgotten() {
        let mut ring = Ring::new(200);
        ring.push(request(1, "dev-0", 10), Time::ZERO);
        ring.push(request(9, "dev-0", 11), Time::from_millis(5));
        assert_eq!(ring.of(Partition::of("dev-0"), Time::ZERO).len(), 1);
        ring.push(request(10, "dev-0", 150), Time::ZERO);
        assert_eq!(ring.of(Partition::of("dev-0"), Time::ZERO)[0].payload.len(), 150);
    }
}
