//! What is going to happen, in the order in which it will.
//!
//! In: things and the times at which they are due. Out: the earliest. Things due at the same time come out in the order
//! in which they were put in, so that nothing but the seed decides a run.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use lwm2m::time::Time;

struct Entry<T> {
    due: Time,
    serial: u64,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    /// Reversed, because the heap gives the largest first and the earliest is wanted.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.serial).cmp(&(self.due, self.serial))
    }
}

/// A queue by time.
pub struct EventQueue<T> {
    heap: BinaryHeap<Entry<T>>,
    serial: u64,
}

impl<T> EventQueue<T> {
    /// An empty one.
    pub fn new() -> Self {
        EventQueue {
            heap: BinaryHeap::new(),
            serial: 0,
        }
    }

    /// Puts in something that is due at `due`.
    pub fn push(&mut self, due: Time, item: T) {
        self.serial += 1;
        let serial = self.serial;
        self.heap.push(Entry { due, serial, item });
    }

    /// When the earliest is due.
    pub fn next_deadline(&self) -> Option<Time> {
        self.heap.peek().map(|entry| entry.due)
    }

    /// The earliest, if it is due at `now`, and when it was.
    pub fn pop(&mut self, now: Time) -> Option<(Time, T)> {
        if self.heap.peek()?.due > now {
            return None;
        }
        self.heap.pop().map(|entry| (entry.due, entry.item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_out_by_time_and_at_equal_times_in_the_order_of_their_arrival() {
        let mut queue = EventQueue::new();
        for (due, item) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b')] {
            queue.push(Time::from_millis(due), item);
        }
        assert_eq!(queue.pop(Time::from_millis(2)), None);
        let order: String = std::iter::from_fn(|| queue.pop(Time::MAX))
            .map(|(_, item)| item)
            .collect();
        assert_eq!((order.as_str(), queue.next_deadline()), ("abcd", None));
    }
}
