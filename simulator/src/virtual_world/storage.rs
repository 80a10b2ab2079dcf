//! What the broker has written down: its memory as it was a moment ago.
//!
//! In: the key space, after each step. Out: the data as of a moment that is not longer ago than was asked for, and how
//! many steps came after it. It keeps snapshots, not a journal that is executed again: what a script does may depend on
//! who listened when it published.

use std::collections::VecDeque;
use std::time::Duration;

use broker::{Keyspace, Snapshot};
use lwm2m::time::Time;

/// So many snapshots in the time that can be looked back.
const SNAPSHOTS: u32 = 50;

/// The data after so many steps.
struct Page {
    at: Time,
    steps: usize,
    data: Snapshot,
}

/// The recent past of a key space.
pub struct Storage {
    reach: Duration,
    pages: VecDeque<Page>,
    /// Steps that changed something.
    steps: usize,
}

impl Storage {
    /// Begins to write down what happens in a key space, so that `reach` can be looked back.
    pub fn new(now: Time, keyspace: &mut Keyspace, reach: Duration) -> Self {
        // Only to see which steps change something.
        keyspace.record_steps();
        let data = keyspace.snapshot();
        let first = Page {
            at: now,
            steps: 0,
            data,
        };
        Storage {
            reach,
            pages: VecDeque::from([first]),
            steps: 0,
        }
    }

    /// How far back it can look.
    pub fn reach(&self) -> Duration {
        self.reach
    }

    /// Something has been executed at `now` that changed the data.
    pub fn note(&mut self, now: Time, keyspace: &Keyspace) {
        self.steps += 1;
        if self
            .pages
            .back()
            .is_some_and(|page| now - page.at < self.reach / SNAPSHOTS)
        {
            return;
        }
        self.pages.push_back(Page {
            at: now,
            steps: self.steps,
            data: keyspace.snapshot(),
        });
        while self.pages.get(1).is_some_and(|page| now - page.at > self.reach) {
            self.pages.pop_front();
        }
    }

    /// The data as of `until` or shortly before, and how many steps came later.
    pub fn recall(&self, until: Time) -> (Snapshot, usize) {
        let before = self.pages.iter().rev().find(|page| page.at <= until);
        let page = before.or(self.pages.front()).expect("the oldest page is kept");
        (page.data.clone(), self.steps - page.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Limits;

    #[test]
    fn the_past_is_recalled_as_far_as_was_asked_for() {
        let mut keyspace = Keyspace::new(Limits::default());
        let client = keyspace.connect();
        let mut storage = Storage::new(Time::ZERO, &mut keyspace, Duration::from_secs(1));
        for ms in [100_u64, 900, 1500, 1600] {
            let text = ms.to_string();
            keyspace.execute(ms * 1000, client, &["SET", "k", &text]);
            storage.note(Time::from_millis(ms), &keyspace);
        }
        let value = |until| {
            let (data, lost) = storage.recall(Time::from_millis(until));
            let mut then = Keyspace::new(Limits::default());
            then.restore(data);
            let client = then.connect();
            match then.execute(2_000_000, client, &["GET", "k"]) {
                broker::Reply::Bulk(text) => (String::from_utf8_lossy(&text).into_owned(), lost),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(value(950), ("900".to_owned(), 2));
        assert_eq!(value(1550), ("1500".to_owned(), 1));
        assert_eq!(value(1600), ("1600".to_owned(), 0));
    }
}
