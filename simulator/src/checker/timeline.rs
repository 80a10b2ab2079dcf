//! Who was there when: instances up and down, their connections to the broker and the back end's, eras, the end of
//! the run.
//!
//! The rules of the contract hold under conditions ("answered unless every instance that received it dies"); here they
//! are decided, always in favour of the cluster where the history leaves it open.

use rustc_hash::FxHashMap;

use super::Rules;
use super::clocks::Clock;
use super::unrest::{Span, Unrest};
use crate::fault::FaultKind;
use crate::history::{BACK_END, Entry, Event, REDIS};

/// What an instance needs in order to serve, and when it had it all.
#[derive(Debug)]
struct Presence {
    /// Its process has said that it is ready.
    ready: bool,
    /// Its process is stopped (SIGSTOP).
    paused: bool,
    /// It was told to leave (SIGTERM), and will whatever becomes of it.
    leaves: bool,
    /// Both of its connections to the broker stand.
    linked: bool,
    /// Its process ended though no fault said so: what it owed it owes still.
    deserted: bool,
    /// The same process does not serve since.
    absent_since: Option<u64>,
    /// When others can rely on it: a newcomer does not know what was asked before.
    spans: Vec<Span>,
}

/// Something that the cluster has to get over.
#[derive(Copy, Clone, Debug)]
struct Harm {
    at: u64,
    /// How long that may take: F, and up to a lease more if the broker's clock was set back: until the next renewal leases
    /// seem to last for longer.
    bound_us: u64,
}

/// Presence over time.
#[derive(Debug)]
pub struct Timeline {
    bound_us: u64,
    lease_us: u64,
    /// How long a newcomer does not count as a member, and how long a member remembers requests (2 × lease + 1 s).
    ring_us: u64,
    /// Per instance id.
    instances: FxHashMap<String, Presence>,
    harmed: Vec<Harm>,
    /// The clocks that were touched, by whose they are.
    clocks: FxHashMap<String, Clock>,
    any_harm: bool,
    /// Who was away for long holds up the end of registrations for as long again, and as long as it was away.
    keep_until_us: u64,
    /// The most that a harm may last beyond F.
    longest_set_back_us: u64,
    /// When the last era but the first began.
    forgot_us: Option<u64>,
    unrest: Unrest,
    /// Whether the network can lose datagrams, now and after each fault of it that is to come.
    lossy: std::vec::IntoIter<bool>,
    /// It can now.
    is_lossy: bool,
    /// When it could last, if that is over.
    lossy_until: u64,
    /// When a clock of an instance was last touched; it may run wrong ever since.
    instance_clock_us: Option<u64>,
    disconnected: Vec<Span>,
    /// When the broker had no memory for what begins.
    full: Vec<Span>,
    era: u32,
    last_us: u64,
    ended: Option<bool>,
    ever_connected: bool,
}

impl Default for Presence {
    /// That of a process that has just been started.
    fn default() -> Self {
        Presence {
            ready: false,
            paused: false,
            leaves: false,
            linked: true,
            deserted: false,
            absent_since: None,
            spans: Vec::new(),
        }
    }
}

impl Presence {
    fn serves(&self) -> bool {
        self.ready && !self.paused && !self.leaves && self.linked
    }
}

impl Timeline {
    pub fn new(rules: &Rules) -> Self {
        let mut lossy = rules.lossy.clone().into_iter();
        Timeline {
            unrest: Unrest::default(),
            is_lossy: lossy.next().unwrap_or(false),
            lossy,
            lossy_until: 0,
            instance_clock_us: None,
            bound_us: rules.bound_us,
            lease_us: rules.lease_us,
            ring_us: 2 * rules.lease_us + 1_000_000,
            instances: FxHashMap::default(),
            harmed: Vec::new(),
            clocks: FxHashMap::default(),
            any_harm: false,
            keep_until_us: 0,
            longest_set_back_us: 0,
            forgot_us: None,
            disconnected: Vec::new(),
            full: Vec::new(),
            era: 0,
            last_us: 0,
            ended: None,
            ever_connected: false,
        }
    }

    /// The number of the era, 1 for the first.
    pub fn era(&self) -> u32 {
        self.era.max(1)
    }

    /// The time of the last entry.
    pub fn end_us(&self) -> u64 {
        self.last_us
    }

    /// True if the run came to its end by itself, so that what is open will stay open.
    pub fn drained(&self) -> bool {
        self.ended == Some(false)
    }

    pub fn record(&mut self, entry: &Entry) {
        self.last_us = self.last_us.max(entry.at_us);
        match &entry.event {
            Event::Sent { .. } | Event::Heard { .. } | Event::Registration { .. } => return,
            Event::BackEnd { connected: true } => {
                self.ever_connected = true;
                self.back_end_changed(entry.at_us, true);
            }
            Event::BackEnd { connected } => self.back_end_changed(entry.at_us, *connected),
            Event::Link { id, up } if id == BACK_END => self.back_end_changed(entry.at_us, *up),
            Event::Link { id, up } => self.change(id, entry.at_us, |presence| presence.linked = *up),
            Event::InstanceStarted { id, .. } => self.change(id, entry.at_us, |presence| {
                *presence = Presence {
                    spans: std::mem::take(&mut presence.spans),
                    ..Presence::default()
                };
            }),
            Event::InstanceReady { id } => self.change(id, entry.at_us, |presence| presence.ready = true),
            Event::InstanceExited { id, expected, .. } => {
                self.harm(entry.at_us, 0);
                self.change(id, entry.at_us, |presence| {
                    presence.deserted = presence.serves() && !*expected;
                    presence.ready = false;
                });
            }
            Event::Fault {
                action,
                instances,
                harmful,
                ..
            } => {
                if *harmful {
                    self.harm(entry.at_us, 0);
                }
                self.unrest.stir(entry.at_us, entry.at_us + self.bound_us);
                if *action == FaultKind::Network {
                    self.network_changed(entry.at_us);
                }
                for id in instances {
                    match action {
                        FaultKind::Kill => self.change(id, entry.at_us, |it| it.ready = false),
                        FaultKind::Stop => self.change(id, entry.at_us, |it| it.leaves = true),
                        FaultKind::Pause => self.change(id, entry.at_us, |it| it.paused = true),
                        FaultKind::Resume => self.change(id, entry.at_us, |it| it.paused = false),
                        _ => {}
                    }
                }
            }
            Event::Clock {
                of,
                ahead_us,
                rate_ppm,
            } => self.clock_touched(entry.at_us, of, *ahead_us, *rate_ppm),
            Event::BrokerFull { full: true } => self.full.push(Span {
                from: entry.at_us,
                to: u64::MAX,
            }),
            Event::BrokerFull { full: false } => {
                let open = self.full.iter_mut().filter(|span| span.to == u64::MAX);
                open.for_each(|span| span.to = entry.at_us);
            }
            Event::Health { .. } => self.unrest.stir(entry.at_us, entry.at_us + self.bound_us),
            Event::Era { .. } => {
                self.era += 1;
                if self.era > 1 {
                    self.forgot_us = Some(entry.at_us);
                    self.unrest
                        .stir(entry.at_us, entry.at_us + self.bound_us + self.ring_us);
                }
            }
            Event::Ended { interrupted } => self.ended = Some(*interrupted),
            _ => return,
        }
        self.look_for_what_lasts(entry.at_us);
    }

    /// As long as nobody serves, nobody hears, or the broker is full, the cluster cannot be at rest.
    fn look_for_what_lasts(&mut self, at: u64) {
        let lasts = |span: &Span| span.to == u64::MAX;
        let nobody = !self.instances.is_empty() && !self.instances.values().any(Presence::serves);
        let cut_off = self.disconnected.last().is_some_and(lasts) || self.full.iter().any(lasts);
        // Who begins where nobody was has to be sure that nobody is.
        let until = at.saturating_add(self.bound_us + self.ring_us);
        self.unrest.lasts(at, nobody || cut_off, until);
    }

    fn network_changed(&mut self, at: u64) {
        let before = std::mem::replace(&mut self.is_lossy, self.lossy.next().unwrap_or(false));
        if before {
            self.lossy_until = at;
        }
    }

    /// The spans in which the cluster has something to get over.
    pub fn unrest(&self) -> &[Span] {
        self.unrest.spans()
    }

    /// Since when the cluster has had nothing to get over; `None` if it has.
    pub fn at_rest_since(&self, at: u64) -> Option<u64> {
        self.unrest.over_since(at)
    }

    /// Since when the network has lost nothing; `None` if it may.
    pub fn lossless_since(&self) -> Option<u64> {
        (!self.is_lossy).then_some(self.lossy_until)
    }

    /// True if an instance may have reckoned by a wrong clock until now.
    pub fn instance_clock_touched(&self) -> bool {
        self.instance_clock_us.is_some()
    }

    /// True if something happened between these that an instance may have died of, as its members see it.
    pub fn harmed_between(&self, from: u64, to: u64) -> bool {
        let late = self.harmed.iter().rev().skip_while(|harm| harm.at > to);
        let mut within = late.take_while(|harm| harm.at.saturating_add(harm.bound_us) >= from);
        within.next().is_some()
    }

    fn harm(&mut self, at: u64, set_back_us: u64) {
        self.any_harm = true;
        self.longest_set_back_us = self.longest_set_back_us.max(set_back_us);
        let bound_us = self.bound_us.saturating_add(set_back_us);
        self.harmed.push(Harm { at, bound_us });
        self.unrest.stir(at, at.saturating_add(bound_us));
    }

    /// Leases are over early if the broker's clock, or a member's, goes on by much of one, and a little late if the
    /// broker's is set back.
    fn clock_touched(&mut self, at: u64, of: &str, ahead_us: i64, rate_ppm: i64) {
        let clock = self.clocks.entry(of.to_string()).or_default();
        let jump = clock.touch(at, ahead_us, rate_ppm);
        let gained = clock.gained(at.saturating_sub(self.lease_us), at);
        self.unrest.stir(at, at.saturating_add(self.bound_us));
        if of != REDIS {
            self.instance_clock_us = Some(at);
        }
        if jump < 0 {
            self.harm(at, jump.unsigned_abs().min(self.lease_us));
        }
        if jump <= 0 || gained.unsigned_abs() < self.lease_us / 2 {
            return;
        }
        self.harm(at, 0);
        let back_at = at.saturating_add(self.bound_us + self.ring_us);
        for (id, presence) in &mut self.instances {
            if of != REDIS && of != id {
                continue;
            }
            if let Some(span) = presence.spans.last_mut().filter(|span| span.to == u64::MAX) {
                span.to = at;
                presence.spans.push(Span {
                    from: back_at,
                    to: u64::MAX,
                });
            }
        }
    }

    fn back_end_changed(&mut self, at: u64, connected: bool) {
        let gap = self.disconnected.last_mut().filter(|gap| gap.to == u64::MAX);
        match gap {
            Some(gap) if connected => gap.to = at,
            None if !connected && self.ever_connected => self.disconnected.push(Span {
                from: at.saturating_sub(self.bound_us),
                to: u64::MAX,
            }),
            _ => {}
        }
    }

    /// Something that an instance needs came or went.
    fn change(&mut self, id: &str, at: u64, change: impl FnOnce(&mut Presence)) {
        // At the cold start there is nobody else, and a member counts at once.
        let newcomer_us = if self.any_harm { self.ring_us } else { 0 };
        let presence = self.instances.entry(id.to_string()).or_default();
        let before = presence.serves();
        change(presence);
        let now = presence.serves();
        match (before, now) {
            (false, true) => {
                if let Some(since) = presence.absent_since.take() {
                    let silence = at.saturating_sub(since);
                    self.keep_until_us = self.keep_until_us.max(at.saturating_add(2 * silence));
                }
                let from = at.saturating_add(newcomer_us);
                presence.spans.push(Span { from, to: u64::MAX });
                self.unrest.stir(at, from.saturating_add(self.bound_us));
            }
            (true, false) => {
                if let Some(span) = presence.spans.last_mut() {
                    span.to = at;
                }
                presence.absent_since = Some(at);
                self.harm(at, 0);
            }
            _ => {}
        }
    }

    /// True if the back end may have missed a message between these times.
    pub fn may_have_missed(&self, from: u64, to: u64) -> bool {
        self.disconnected
            .iter()
            .any(|gap| gap.from <= to && from <= gap.to)
    }

    /// True if one and the same instance was a member all the time between these.
    pub fn somebody_stayed(&self, from: u64, to: u64) -> bool {
        let mut spans = self.instances.values().flat_map(|presence| &presence.spans);
        spans.any(|span| span.from <= from && span.to >= to)
    }

    /// How much later than at `from` the broker's clock showed it to be until `to`: what it forgot because it was set
    /// forward stays forgotten when it is set back.
    pub fn broker_time_between(&self, from: u64, to: u64) -> i64 {
        let passed = i64::try_from(to.saturating_sub(from)).unwrap_or(i64::MAX);
        let by_clock = |clock: &Clock| clock.latest(from, to).saturating_sub(clock.shows(from));
        self.clocks.get(REDIS).map_or(passed, by_clock)
    }

    /// The earliest time at which what the back end hears at `at` may have been said: long before, if it heard nothing for a
    /// while.
    pub fn said_since(&self, at: u64) -> u64 {
        let gaps = self.disconnected.iter();
        let around = gaps.filter(|gap| gap.from <= at && at <= gap.to.saturating_add(self.bound_us));
        around.map(|gap| gap.from).min().unwrap_or(at)
    }

    /// When a timeout is over that began between these: by the broker's clock, which decides, and by the run's.
    pub fn timeout_over(&self, first: u64, last: u64, timeout_us: u64) -> u64 {
        match self.clocks.get(REDIS) {
            Some(clock) => clock.over(first, last, timeout_us, self.bound_us),
            None => last.saturating_add(timeout_us),
        }
    }

    /// The time by which what ends at `deadline` must have been heard: F later, or F after the last of the faults that
    /// follow it, or F after the back end hears again; `None` if no instance stayed for as long before that, so that nobody
    /// can have ended it.
    pub fn ended_by(&self, deadline: u64) -> Option<u64> {
        let due = self.over_by(deadline);
        self.somebody_stayed(due.saturating_sub(self.bound_us), due)
            .then_some(due)
    }

    /// As [`Timeline::ended_by`] for what is stored: it waits for somebody who ends it, and who left of its own accord is
    /// waited for in vain. `None` if nobody has been there for long enough yet.
    pub fn owed_by(&self, deadline: u64) -> Option<u64> {
        let due = self.over_by(deadline);
        let mut times = self.instances.values().filter_map(|presence| {
            let last = presence.spans.len().saturating_sub(1);
            let spans = presence.spans.iter().enumerate();
            let mut stays = spans.filter_map(|(index, span)| {
                let to = if presence.deserted && index == last {
                    u64::MAX
                } else {
                    span.to
                };
                let by = due.max(span.from.saturating_add(self.bound_us));
                (by <= to).then_some(by)
            });
            stays.next()
        });
        let first = times.next()?;
        Some(times.fold(first, u64::min))
    }

    fn over_by(&self, deadline: u64) -> u64 {
        let mut due = deadline.saturating_add(self.bound_us);
        loop {
            let before = due;
            let reach = deadline.saturating_sub(self.longest_set_back_us);
            let since = self.harmed.partition_point(|harm| harm.at < reach);
            for harm in &self.harmed[since..] {
                if harm.at > due {
                    break;
                }
                if harm.at >= deadline.saturating_sub(harm.bound_us - self.bound_us) {
                    due = due.max(harm.at.saturating_add(harm.bound_us));
                }
            }
            for gap in &self.disconnected {
                if gap.from <= due && gap.to >= deadline && gap.to < u64::MAX {
                    due = due.max(gap.to.saturating_add(self.bound_us));
                }
            }
            if due == before {
                return due;
            }
        }
    }

    /// The last time, not after `to`, at which the back end began to hear again; 0 if it has always heard. `None` while it
    /// does not.
    pub fn hears_since(&self, to: u64) -> Option<u64> {
        let gaps = self.disconnected.iter().rev();
        match gaps.skip_while(|gap| gap.from > to).map(|gap| gap.to).next() {
            Some(end) if end > to => None,
            end => Some(end.unwrap_or(0)),
        }
    }

    /// Until then no registration need end, because somebody who was away cannot know whom it missed.
    pub fn keep_until_us(&self) -> u64 {
        self.keep_until_us
    }

    /// F in microseconds.
    pub fn bound_us(&self) -> u64 {
        self.bound_us
    }

    /// True if any clock was ever touched.
    pub fn any_clock_touched(&self) -> bool {
        !self.clocks.is_empty()
    }

    /// When the last era but the first began.
    pub fn forgot_at(&self) -> Option<u64> {
        self.forgot_us
    }

    /// How much of the time since `from` the cluster had something to get over.
    pub fn unrest_since(&self, from: u64, to: u64) -> u64 {
        let late = self.unrest.spans().iter().rev();
        let late = late.take_while(|span| span.to > from);
        late.map(|span| span.to.min(to).saturating_sub(span.from.max(from)))
            .sum()
    }

    /// The time by which what the back end published at `at` has reached the cluster: at once, or, if the way was broken
    /// or stalled, when the back end and an instance can both reach the broker; `None` if that has not come.
    pub fn reached_by(&self, at: u64) -> Option<u64> {
        let mut reached = at;
        loop {
            let before = reached;
            for gap in &self.disconnected {
                if gap.from <= reached && reached < gap.to {
                    reached = gap.to;
                }
            }
            let spans = self.instances.values().flat_map(|presence| &presence.spans);
            let there = spans.filter(|span| span.to > reached);
            reached = there.map(|span| span.from.max(reached)).min()?;
            if reached == before {
                return Some(reached);
            }
        }
    }

    /// The time by which a request published at `at` must have been answered by an ack or an err, or `None` if the
    /// history leaves room for it to have been dropped rightly: nobody who received it stayed, faults followed each other
    /// for longer than a member remembers requests, or the broker had no memory for it.
    pub fn due(&self, at: u64) -> Option<u64> {
        let mut due = at.saturating_add(self.bound_us);
        let reach = at.saturating_sub(self.bound_us + self.longest_set_back_us);
        let since = self.harmed.partition_point(|harm| harm.at < reach);
        for harm in &self.harmed[since..] {
            if harm.at > due {
                break;
            }
            if harm.at >= at.saturating_sub(harm.bound_us) {
                due = due.max(harm.at.saturating_add(harm.bound_us));
            }
        }
        let remembered = due - at <= self.ring_us.max(self.bound_us);
        let witnessed = self
            .instances
            .values()
            .flat_map(|presence| &presence.spans)
            .any(|span| span.from <= at && span.to > due);
        let refused = self.full.iter().any(|span| span.from <= due && at <= span.to);
        (remembered && witnessed && !refused && !self.may_have_missed(at, due)).then_some(due)
    }
}
