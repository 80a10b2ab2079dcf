//! When the cluster had something to get over: from a harm to the moment by which it is to be over.
//!
//! In: harms and how long each may last by the contract, and states that last until they end (nobody serves, the broker is
//! full). Out: spans that do not touch each other. Between them the cluster has no excuse.

/// A stretch of time in microseconds; `to` is `u64::MAX` while it lasts.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

/// The spans so far.
#[derive(Debug, Default)]
pub struct Unrest {
    spans: Vec<Span>,
    /// Something lasts.
    lasts: bool,
    /// When all that is known to end will have ended.
    until: u64,
}

impl Unrest {
    /// Something happened, and will be over by `until`.
    pub fn stir(&mut self, at: u64, until: u64) {
        self.until = self.until.max(until);
        let to = if self.lasts { u64::MAX } else { self.until };
        match self.spans.last_mut() {
            Some(last) if last.to >= at => last.to = to,
            _ => self.spans.push(Span { from: at, to }),
        }
    }

    /// Something lasts from now on, or does not any more, and its aftermath is over by `until`.
    pub fn lasts(&mut self, at: u64, lasts: bool, until: u64) {
        if self.lasts != lasts {
            self.lasts = lasts;
            self.stir(at, until);
        }
    }

    /// Since when the cluster has been at rest, 0 if it always was; `None` if it is not at rest then.
    pub fn over_since(&self, at: u64) -> Option<u64> {
        match self.spans.last() {
            Some(last) if at < last.to => None,
            last => Some(last.map_or(0, |last| last.to)),
        }
    }

    /// All of them, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harms_that_meet_are_one_span_and_what_lasts_ends_with_its_aftermath() {
        let mut unrest = Unrest::default();
        assert_eq!(unrest.over_since(5), Some(0));
        unrest.stir(10, 20);
        unrest.stir(15, 18);
        assert_eq!((unrest.over_since(19), unrest.over_since(20)), (None, Some(20)));
        unrest.lasts(30, true, 30);
        unrest.stir(35, 60);
        assert_eq!(unrest.over_since(1000), None);
        unrest.lasts(40, false, 50);
        let spans = [(10, 20), (30, 60)].map(|(from, to)| Span { from, to });
        assert_eq!(unrest.spans(), spans);
    }
}
