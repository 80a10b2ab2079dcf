//! What a clock of the cluster shows, where it is not the clock of the run.
//!
//! In: [`Event::Clock`](crate::history::Event::Clock). Out: what it showed when, and when a deadline is over that was
//! reckoned by it. Where the history leaves it open, the later moment is meant.

/// How a clock goes from a moment on.
#[derive(Copy, Clone, Debug)]
struct Piece {
    from: u64,
    ahead_us: i64,
    rate_ppm: i64,
}

impl Piece {
    fn shows(&self, at: u64) -> i64 {
        let passed = i128::from(at.saturating_sub(self.from));
        let gained = passed * i128::from(self.rate_ppm) / 1_000_000;
        let shown = i128::from(at) + i128::from(self.ahead_us) + gained;
        i64::try_from(shown).unwrap_or(i64::MAX)
    }
}

/// A clock over time.
#[derive(Debug)]
pub struct Clock {
    /// In order; the first is the right time.
    pieces: Vec<Piece>,
}

impl Default for Clock {
    fn default() -> Self {
        let right = Piece {
            from: 0,
            ahead_us: 0,
            rate_ppm: 0,
        };
        Clock { pieces: vec![right] }
    }
}

impl Clock {
    /// It is touched. How far it jumped, in microseconds.
    pub fn touch(&mut self, at: u64, ahead_us: i64, rate_ppm: i64) -> i64 {
        let before = self.shows(at);
        self.pieces.push(Piece {
            from: at,
            ahead_us,
            rate_ppm,
        });
        self.shows(at).saturating_sub(before)
    }

    /// What it shows, in microseconds.
    pub fn shows(&self, at: u64) -> i64 {
        let piece = self.pieces.iter().rev().find(|piece| piece.from <= at);
        piece.unwrap_or(&self.pieces[0]).shows(at)
    }

    /// How much more than the time that passed it went on between these.
    pub fn gained(&self, from: u64, to: u64) -> i64 {
        let passed = i64::try_from(to.saturating_sub(from)).unwrap_or(i64::MAX);
        self.shows(to)
            .saturating_sub(self.shows(from))
            .saturating_sub(passed)
    }

    /// The latest that it showed between these.
    pub fn latest(&self, from: u64, to: u64) -> i64 {
        let touched = self.pieces.iter().map(|piece| piece.from);
        let touched = touched.filter(|at| *at > from && *at <= to);
        let shown = touched.flat_map(|at| [self.shows(at - 1), self.shows(at)]);
        shown.fold(self.shows(to), i64::max)
    }

    /// When what began between `first` and `last`, and lasts for `length`, is over both by this clock and by the right
    /// one, and the clock is not set back behind it within `margin`.
    pub fn over(&self, first: u64, last: u64, length: u64, margin: u64) -> u64 {
        let right = last.saturating_add(length);
        if self.pieces.len() == 1 {
            return right;
        }
        let touched = |piece: &&Piece| piece.from > first && piece.from <= last;
        let began = self.pieces.iter().filter(touched).flat_map(|piece| {
            let before = piece.from.saturating_sub(1);
            [self.shows(before), self.shows(piece.from)]
        });
        let began = began.chain([self.shows(first), self.shows(last)]).max();
        let end = began.unwrap_or_default().saturating_add_unsigned(length);
        let mut over = self.reaches(last, end);
        for piece in &self.pieces {
            if piece.from >= over
                && piece.from <= over.saturating_add(margin)
                && piece.shows(piece.from) < end
            {
                over = self.reaches(piece.from, end);
            }
        }
        over.max(right)
    }

    /// The first moment from `from` on at which it shows this.
    fn reaches(&self, from: u64, shown: i64) -> u64 {
        let mut at = from;
        loop {
            let behind = u64::try_from(shown.saturating_sub(self.shows(at))).unwrap_or(0);
            if behind == 0 {
                return at;
            }
            let piece = self.pieces.iter().rev().find(|piece| piece.from <= at);
            let rate = 1_000_000 + piece.map_or(0, |piece| piece.rate_ppm).max(-900_000);
            let takes = u128::from(behind) * 1_000_000 / rate.unsigned_abs() as u128;
            let then = at.saturating_add(u64::try_from(takes).unwrap_or(u64::MAX).max(1));
            let next = self.pieces.iter().map(|piece| piece.from).find(|next| *next > at);
            at = next.map_or(then, |next| next.min(then));
            if at == u64::MAX {
                return at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    #[test]
    fn a_deadline_comes_later_by_what_the_clock_was_set_back_before_it() {
        let mut clock = Clock::default();
        assert_eq!(clock.over(S, S, 5 * S, S), 6 * S);
        assert_eq!(clock.touch(3 * S, -2_000_000, 0), -2_000_000);
        assert_eq!(clock.over(S, S, 5 * S, S), 8 * S);
        // Who came after that is not concerned.
        assert_eq!(clock.over(4 * S, 4 * S, 5 * S, S), 9 * S);
        // Who may have come before it is.
        assert_eq!(clock.over(2 * S, 4 * S, 5 * S, S), 10 * S - 1);
    }

    #[test]
    fn a_deadline_that_was_over_for_a_moment_only_is_not_over() {
        let mut clock = Clock::default();
        clock.touch(6 * S + 1, -2_000_000, 0);
        assert_eq!(clock.over(S, S, 5 * S, S), 8 * S);
        assert_eq!(clock.over(S, S, 5 * S, 0), 6 * S);
    }

    #[test]
    fn the_latest_that_a_clock_showed_may_be_before_it_was_set_back() {
        let mut clock = Clock::default();
        clock.touch(2 * S, 60_000_000, 0);
        clock.touch(3 * S, 0, 0);
        assert_eq!(clock.latest(S, 2 * S - 1), 2_000_000 - 1);
        assert_eq!(clock.latest(S, 2 * S), 62_000_000);
        assert_eq!(clock.latest(S, 5 * S), 63_000_000 - 1);
        assert_eq!(clock.latest(3 * S, 5 * S), 5_000_000);
    }

    #[test]
    fn a_clock_that_goes_on_excuses_nobody() {
        let mut clock = Clock::default();
        assert_eq!(clock.touch(3 * S, 2_000_000, 0), 2_000_000);
        assert_eq!(clock.over(S, S, 5 * S, S), 6 * S);
        assert_eq!(clock.gained(2 * S, 4 * S), 2_000_000);
        clock.touch(4 * S, 2_000_000, -100_000);
        assert_eq!(clock.over(4 * S, 4 * S, 9 * S, S), 14 * S);
    }
}
