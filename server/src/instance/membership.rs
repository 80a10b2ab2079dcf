//! Membership: joining, the lease and its heartbeats, the view, and the partitions that follow from it.

use super::chore::Chore;
use super::{Instance, Output, Purpose, Seat::Inside, Seat::Outside};
use crate::member::{Member, View};
use crate::mutant::Mutant;
use crate::partition::{PARTITIONS, Partition};
use crate::store::protocol::calls::{Context, Join, Leave, MarkDead, Renew, Take};
use crate::store::protocol::replies::{ClusterAnswer, Joined, NewMember, NoMember, Renewed};
use crate::store::protocol::times::horizon;
use crate::store::protocol::{BrokerTime, Generation, Term, schema};
use lwm2m::time::Time;
use std::time::Duration;

/// Where the instance stands.
pub(super) enum Seat {
    /// No member yet, or no longer.
    Outside {
        /// When to try to join.
        join_at: Time,
        /// The lease end of the other process that has this id, if one was found.
        waiting: Option<BrokerTime>,
    },
    /// A member.
    Inside(Box<Membership>),
}

/// A stewardship.
pub(super) struct Held {
    /// Its term, as the store wants to hear it.
    pub term: Term,
    /// Deadlines, dead holders, lost dispatches, retention.
    pub sweep: Chore,
    /// How many requests were given to the store for it.
    pub accepted: u64,
    /// Lifetimes.
    pub expiry: Chore,
    /// The view gives it to another member, who may have taken it already: only a look at the store tells.
    given_away: bool,
    /// How many tickets were open when that was looked at, and how many requests the store had been given before.
    pub open: Option<(usize, u64)>,
}

impl Held {
    /// True if so many tickets may be open in the partition.
    pub fn may_have(&self, open: usize) -> bool {
        self.open
            .is_none_or(|(known, before)| known as u64 + (self.accepted - before) >= open as u64)
    }
}

/// What a member knows of itself and the others.
pub(super) struct Membership {
    pub member: Member,
    /// The member as text.
    pub name: String,
    pub tag_text: String,
    pub generation: Generation,
    /// The end of the lease in the broker's time.
    pub lease_until: BrokerTime,
    /// What every script of a partition is told of it.
    pub context: String,
    /// The end of the lease on the local clock, reckoned from before the renewal was sent.
    pub lease_end: Time,
    pub view: View,
    pub held: Vec<Option<Held>>,
    /// The highest counter seen of each partition.
    pub sequence: Vec<u64>,
    pub renew_at: Time,
    /// The broker at the other end of the connection for calls knows this member.
    pub confirmed: bool,
    /// Grows when one of the two connections is lost or new.
    pub pair: u64,
    /// A heartbeat that was sent over this pair's connection for calls came back over the other: there is one broker.
    pub echoed: bool,
    taking: Vec<bool>,
    /// The newest heartbeat that came back on the own channel, in the broker's time; 0: none on this subscription.
    heard: BrokerTime,
    subscribed: bool,
    /// Partitions may not be given to this member: its subscription is new, or it leaves.
    unready: bool,
    announced: bool,
    bury_at: Option<Time>,
    tick_at: Time,
    tick: usize,
}

impl Membership {
    /// A heartbeat came back on this subscription.
    fn hears(&self) -> bool {
        self.heard != BrokerTime::default()
    }
}

/// The sweeps of all partitions are spread over so many ticks, which together take [`SWEEP_INTERVAL`].
const TICKS: usize = 8;
/// Each partition has its turn so often. What is overdue ends within F, which is 0.5 s longer than the lease, and a steward
/// may have been stopped for a lease before it read the request: so much is left for the sweep.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

impl Instance {
    /// How far back requests are kept for replay.
    pub(super) fn horizon(&self) -> Time {
        self.now - horizon(self.config.lease)
    }

    fn own_channel(&self, member: &str) -> String {
        format!("{}{}{member}", self.config.prefix, schema::channel::MEMBER)
    }

    /// After something has changed of what scripts are told of this member.
    fn renew_context(&mut self) {
        let (retention, nstart) = (self.config.retention.as_millis() as u64, self.config.nstart);
        let Inside(m) = &mut self.seat else { return };
        m.context = Context {
            me: &m.name,
            lease_until: m.lease_until,
            generation: m.generation,
            tag: &m.tag_text,
            retention,
            nstart,
        }
        .text();
    }

    pub(super) fn membership_deadline(&self) -> Option<Time> {
        match &self.seat {
            Outside { join_at, .. } => self.may_join().then_some(*join_at),
            Inside(m) => {
                let broker = if self.calls.are_possible() {
                    Some(m.renew_at.min(m.tick_at))
                } else {
                    None
                };
                let lease = Some(m.lease_end).filter(|_| !self.is_blind_to_lease());
                [broker, m.bury_at.filter(|_| self.calls.are_possible()), lease]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// Nothing but the time stands against a join: none is under way, and whoever is leaving joins no more.
    fn may_join(&self) -> bool {
        let is_join = |purpose: &Purpose| matches!(purpose, Purpose::Join { .. });
        self.calls.are_possible() && self.leaving.is_none() && !self.calls.any(is_join)
    }

    pub(super) fn membership_timers(&mut self) {
        if !self.calls.are_possible() {
            return;
        }
        match &mut self.seat {
            Outside { join_at, .. } => {
                let join_at = *join_at;
                if self.now >= join_at && self.may_join() {
                    self.join();
                }
            }
            Inside(m) => {
                if self.now >= m.renew_at {
                    m.renew_at = self.now + self.config.lease / 4;
                    self.renew();
                }
                self.bury_if_due();
                self.tick_if_due();
            }
        }
    }

    fn join(&mut self) {
        let sent_at = self.now;
        let nonce = self.config.nonce.clone();
        let join = Join {
            nonce: &nonce,
            dialect: self.config.dialect.name(),
            partitions: u32::from(PARTITIONS),
            known: self.generation,
            layout: schema::LAYOUT,
            nstart: self.config.nstart,
            retention: self.config.retention.as_millis() as u64,
        };
        self.call_cluster(Purpose::Join { sent_at }, &join);
    }

    pub(super) fn join_later(&mut self, delay: Duration) {
        if let Outside { join_at, .. } = &mut self.seat {
            *join_at = self.now + delay;
        }
    }

    pub(super) fn joined(&mut self, sent_at: Time, answer: ClusterAnswer<Joined>) {
        match answer.body {
            Joined::Member(new) => self.become_member(sent_at, answer.now, *new),
            Joined::Held { remaining, lease } => self.id_is_held(remaining, lease),
            Joined::Full => {
                self.fatal("the cluster has 256 ids, which is the limit; use an id that was there before")
            }
            Joined::Dialect(found) => self.fatal(&format!(
                "the cluster in this Redis speaks the dialect `{found}`, this instance `{}`; start it with --dialect \
                 {found}, or use another --channel-prefix or database",
                self.config.dialect.name()
            )),
            Joined::Layout(found) => self.fatal(&format!(
                "the data in this Redis is of layout {found}, this version needs layout {}; start the version that wrote it, or \
                 use another --channel-prefix or database",
                schema::LAYOUT
            )),
            Joined::Parameter { name, found } => self.other_parameter(&name, &found),
            Joined::Partitions(found) => self.fatal(&format!(
                "the cluster in this Redis has {found} partitions, this version needs {PARTITIONS}; use another \
                 --channel-prefix or database"
            )),
        }
    }

    /// The members that are there go by another value than this instance.
    fn other_parameter(&mut self, name: &str, found: &str) {
        let (option, own) = match name {
            "lease" => ("--lease", self.config.lease.as_millis() as u64),
            "retention" => ("--ticket-retention", self.config.retention.as_millis() as u64),
            _ => ("--nstart", self.config.nstart as u64),
        };
        let unit = if option == "--nstart" { "" } else { "ms" };
        self.fatal(&format!(
            "the members of this cluster go by {option} {found}{unit}, this instance by {option} {own}{unit}; start it with \
             theirs, or stop all of them before the first starts with another"
        ));
    }

    fn fatal(&mut self, message: &str) {
        self.outputs.push_back(Output::Fatal(message.to_owned()));
        self.join_later(Duration::from_secs(3600));
    }

    /// Another process has this id. A dead one's lease ends; a living one renews it.
    fn id_is_held(&mut self, remaining: i64, lease: BrokerTime) {
        let remaining = remaining.max(0) as u64;
        let Outside { join_at, waiting } = &mut self.seat else {
            return;
        };
        if waiting.is_some_and(|before| lease > before) {
            let id = self.config.id.clone();
            return self.fatal(&format!(
                "another process is member `{id}` of this cluster and renews its lease; give this one another -n, or \
                 stop the other first"
            ));
        }
        tracing::info!(id = %self.config.id, remaining_ms = remaining, "the id has a lease still; waiting for its end");
        *waiting = Some(lease);
        *join_at = self.now + Duration::from_millis(remaining + 20);
    }

    fn become_member(&mut self, sent_at: Time, broker_now: BrokerTime, new: NewMember) {
        self.note_generation(new.generation);
        self.incarnation = new.incarnation;
        let member = Member {
            id: self.config.id.clone(),
            incarnation: new.incarnation,
        };
        let name = member.to_string();
        tracing::info!(member = %name, view = new.view.version, "joined the cluster");
        let channels = vec![
            self.channels.requests.clone(),
            self.channels.members.clone(),
            self.own_channel(&name),
        ];
        let count = usize::from(PARTITIONS);
        self.seat = Inside(Box::new(Membership {
            member,
            name,
            tag_text: new.tag,
            generation: new.generation,
            lease_until: new.lease_until,
            context: String::new(),
            lease_end: sent_at + self.config.lease - self.config.lease_margin(),
            view: new.view,
            held: (0..count).map(|_| None).collect(),
            sequence: vec![0; count],
            renew_at: self.now + self.config.lease / 4,
            confirmed: true,
            pair: 0,
            echoed: false,
            taking: vec![false; count],
            heard: BrokerTime::default(),
            subscribed: false,
            unready: true,
            announced: false,
            bury_at: None,
            tick_at: self.now,
            tick: 0,
        }));
        self.outage_is_over();
        self.watch_clock(sent_at, broker_now);
        self.suspend_expiry(new.kept);
        self.renew_context();
        self.outputs.push_back(Output::Subscribe(channels));
    }

    /// No later generation may be lower than any that was heard of.
    pub(super) fn note_generation(&mut self, generation: Generation) {
        self.generation = self.generation.max(generation);
    }

    pub(super) fn subscription_changed(&mut self, connected: bool) {
        let (now, planted) = (self.now, self.config.planted);
        let Some(m) = self.membership_mut() else { return };
        if !connected && m.subscribed {
            tracing::warn!(member = %m.name, "lost the subscription: partitions go to members that heard everything");
        }
        // Heartbeats of the former subscription prove nothing of this one.
        m.subscribed = connected;
        // So are marks of takes that were under way; what is still assigned is taken again.
        m.taking.fill(false);
        m.heard = BrokerTime::default();
        m.unready = true;
        m.renew_at = now;
        m.pair_anew(planted);
    }

    fn renew(&mut self) {
        let leaving = self.leaving.is_some();
        let told = self.untold;
        let kept = told.map_or(Duration::ZERO, |until| until - self.now);
        let Inside(m) = &mut self.seat else { return };
        let renew = Renew {
            heard: m.heard,
            known: m.view.version,
            unready: m.unready || leaving,
            kept: kept.as_millis() as u64,
            pair: m.pair,
        };
        let sent_at = self.now;
        self.call_cluster(Purpose::Renew { sent_at, told }, &renew);
    }

    pub(super) fn renewed(
        &mut self,
        sent_at: Time,
        told: Option<Time>,
        answer: ClusterAnswer<Result<Renewed, NoMember>>,
    ) {
        let renewed = match answer.body {
            Ok(renewed) => renewed,
            Err(NoMember::Unknown) => {
                self.statistics.eras += 1;
                tracing::error!("the broker does not know this member any more: a new era begins");
                return self.fall("the broker forgot it");
            }
            Err(NoMember::Dead | NoMember::Lease) => {
                return self.fall("the cluster declared it dead, or its lease is over");
            }
        };
        let margin = self.config.lease_margin();
        let (now, lease) = (self.now, self.config.lease);
        let Some(m) = self.membership_mut() else { return };
        if let Some(lease_until) = renewed.lease_until {
            m.lease_until = lease_until;
            m.lease_end = sent_at + lease - margin;
        }
        if renewed
            .generation
            .is_some_and(|generation| generation != m.generation)
        {
            self.statistics.eras += 1;
            tracing::error!("the broker's memory began anew: a new era begins");
            return self.fall("the broker forgot it");
        }
        self.renew_context();
        let broker_now = answer.now;
        let Some(m) = self.membership_mut() else { return };
        // A heartbeat from before the broker's clock was set back would be fresh until the clock has caught up.
        m.heard = m.heard.min(broker_now);
        m.bury_at = renewed
            .next_death
            .map(|ms| now + Duration::from_millis(ms.max(0) as u64 + 5));
        self.confirm();
        self.watch_clock(sent_at, broker_now);
        self.suspend_expiry(renewed.kept);
        self.untold.take_if(|until| Some(*until) == told);
        let Some(m) = self.membership_mut() else {
            return;
        };
        let first_confirmed = renewed.lease_until.is_some() && m.hears() && !m.announced;
        if first_confirmed {
            m.announced = true;
        }
        let member = m.member.clone();
        if let Some(view) = renewed.view {
            self.adopt(view);
        }
        if first_confirmed {
            self.outputs.push_back(Output::Ready(member));
        }
    }

    /// A heartbeat came back on the own channel: the subscription hears. One that was sent before this
    /// pair of connections began proves nothing of it; the store had not even been told that the subscription is new.
    pub(super) fn heartbeat(&mut self, at: BrokerTime, pair: u64) {
        let now = self.now;
        let Some(m) = self.membership_mut() else { return };
        if !m.subscribed || pair != m.pair {
            return;
        }
        let first = !m.hears();
        m.heard = at;
        m.unready = false;
        if first {
            m.renew_at = now;
        }
        if !std::mem::replace(&mut m.echoed, true) {
            self.go_on_if_paired();
        }
    }

    fn bury_if_due(&mut self) {
        let now = self.now;
        let Some(m) = self.membership_mut() else { return };
        if m.bury_at.is_some_and(|at| now >= at) {
            // The next renewal says when to look again; meanwhile, in case it is refused as too early:
            m.bury_at = Some(now + Duration::from_millis(100));
            self.call_cluster(Purpose::MarkDead, &MarkDead {});
        }
    }

    /// Takes up a newer view: partitions may be this member's now, and others' tickets may be orphaned.
    pub(super) fn adopt(&mut self, view: View) {
        let Inside(m) = &mut self.seat else { return };
        if view.version <= m.view.version {
            return;
        }
        if !view.is_alive(&m.member) {
            return self.fall("the cluster declared it dead");
        }
        let somebody_died = m
            .view
            .lines
            .iter()
            .any(|line| line.alive && !view.is_alive(&line.member));
        tracing::info!(version = view.version, members = view.script_text(), "new view");
        m.view = view;
        self.look_after_all();
        self.take_assigned();
        if somebody_died {
            self.send_extra_copies();
            for partition in Partition::all()
                .filter(|&p| self.held(p).is_some())
                .collect::<Vec<_>>()
            {
                self.sweep(partition);
            }
        }
    }

    pub(super) fn take_assigned(&mut self) {
        let Inside(m) = &mut self.seat else { return };
        let Some(stewards) = m.view.assignment() else {
            return;
        };
        let wanted: Vec<Partition> = Partition::all()
            .filter(|p| *stewards[p.index()] == m.member)
            .filter(|p| m.held[p.index()].is_none() && !m.taking[p.index()])
            .collect();
        let version = m.view.version;
        for (held, steward) in m.held.iter_mut().zip(stewards) {
            if let Some(held) = held {
                held.given_away = *steward != m.member;
            }
        }
        for partition in &wanted {
            m.taking[partition.index()] = true;
        }
        for partition in wanted {
            self.call(partition, Purpose::Take, &Take { version });
        }
    }

    pub(super) fn take_failed(&mut self, partition: Partition) {
        if let Some(m) = self.membership_mut() {
            m.taking[partition.index()] = false;
        }
    }

    /// What was taken is held from the mark on; see below.
    pub(super) fn taken(&mut self, partition: Partition, term: Term) {
        if self.config.planted.is(Mutant::UnmarkedTake) {
            self.hold(partition, term);
        }
    }

    /// The mark that a take left on the own subscription. Requests read before it may have been accepted by the former
    /// steward, so they are replayed; one read after it that is known already was repeated.
    pub(super) fn take_marked(&mut self, partition: Partition, term: Term) {
        if !self.config.planted.is(Mutant::UnmarkedTake) {
            self.hold(partition, term);
        }
    }

    fn hold(&mut self, partition: Partition, term: Term) {
        let now = self.now;
        let Some(m) = self.membership_mut() else {
            return;
        };
        m.taking[partition.index()] = false;
        if !m.is_paired() {
            // Nothing may be accepted yet; it is taken again when it may.
            return;
        }
        m.held[partition.index()] = Some(Held {
            term,
            sweep: Chore::due_at(now),
            accepted: 0,
            expiry: Chore::due_at(now),
            given_away: false,
            open: None,
        });
        self.replay(partition);
        self.sweep(partition);
    }

    /// Somebody else has the partition now.
    pub(super) fn lose_partition(&mut self, partition: Partition) {
        if let Some(m) = self.membership_mut() {
            m.held[partition.index()] = None;
        }
    }

    /// Looks at every partition soon: the broker's clock jumped, or somebody else may be the steward by now.
    pub(super) fn look_after_all(&mut self) {
        let now = self.now;
        let held = self.membership_mut().map(|m| m.held.iter_mut().flatten());
        for held in held.into_iter().flatten() {
            held.sweep.hurry(now);
            held.expiry.hurry(now);
        }
    }

    fn tick_if_due(&mut self) {
        let now = self.now;
        let Some(m) = self.membership_mut() else { return };
        if now < m.tick_at {
            return;
        }
        m.tick_at = now + SWEEP_INTERVAL / TICKS as u32;
        m.tick = (m.tick + 1) % TICKS;
        let tick = m.tick;
        if tick == 0 {
            self.take_assigned();
        }
        self.finish_refused_again();
        self.look_after_own();
        for partition in Partition::all().filter(|p| p.index() % TICKS == tick) {
            let Some(held) = self.held(partition) else {
                continue;
            };
            let early_ack = self.config.planted.is(Mutant::EarlyAck);
            let sweep = held.given_away || held.sweep.is_due(now);
            let expire = held.expiry.is_due(now);
            if sweep {
                self.sweep(partition);
            }
            if early_ack {
                self.replay(partition);
            }
            if expire {
                self.expire(partition);
            }
        }
    }

    // Leaving.

    pub(super) fn begin_to_leave(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(self.now + Duration::from_millis(500));
        if let Some(m) = self.membership_mut() {
            tracing::info!(member = %m.name, "leaving: partitions go to the others");
            m.renew_at = Time::ZERO;
        }
    }

    /// Leaves when the others have the partitions and the exchanges with devices have ended, or time is up.
    pub(super) fn leave_when_done(&mut self) {
        let Some(at) = self.leaving.filter(|&at| self.now >= at) else {
            return;
        };
        if self.membership().is_none() || !self.calls.are_possible() {
            self.leaving = None;
            return self.outputs.push_back(Output::Left);
        }
        const EXTENSIONS: u32 = 10;
        if !self.exchanges.is_empty() && self.leave_extensions < EXTENSIONS {
            self.leave_extensions += 1;
            self.leaving = Some(at + Duration::from_millis(500));
        } else if self.leave_extensions <= EXTENSIONS {
            self.leave_extensions = EXTENSIONS + 1;
            self.leaving = Some(at + self.config.lease);
            self.call_cluster(Purpose::Leave, &Leave {});
        } else {
            self.leaving = None;
            self.outputs.push_back(Output::Left);
        }
    }
}
