//! The instance: one member of the cluster as a state machine.
//!
//! In: datagrams, replies of scripts, messages of the broker, the state of both broker connections, the time. Out:
//! datagrams, calls of scripts, subscriptions, resets. It reads no clock and does no I/O, so the same code runs in a
//! process and in the virtual world. At every wake-up it first compares the clock with its lease; whoever slept through
//! the end of the lease forgets everything that it heard and joins again.
//!
//! The rooms: [`calls`] (what waits for the store), [`membership`] (lease, view, partitions), [`device`] (the registration interface), [`steward`] (requests
//! from back ends), [`holder`] (exchanges with devices), [`answers`] (of devices, without an exchange here),
//! [`suspension`] (when lifetimes do not end), [`reconnection`] (what is done first at a broker that may be another one).

mod admission;
mod answers;
mod calls;
mod chore;
mod config;
mod device;
mod holder;
mod membership;
mod reconnection;
mod ring;
mod steward;
mod summary;
mod suspension;

pub use admission::Shares;
pub use config::{Config, Dialect, Limits};

use crate::member::Member;
use crate::mutant::Mutant;
use crate::partition::Partition;
use crate::peer::PeerId;
use crate::store::protocol::calls::{Arguments, Caller};
use crate::store::protocol::replies::{self, Body, PartitionAnswer, PartitionResult, Refusal};
use crate::store::protocol::{BrokerTime, Generation, Malformed, schema};
use crate::store::{Call, Reply};
use admission::{Admission, Seldom};
use answers::{Answer, Answers};
use calls::{Calls, Pending};
use holder::Exchanges;
use lwm2m::coap::{Event, MessageLayer, RequestId};
use lwm2m::time::Time;
use membership::{Held, Membership, Seat};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use ring::Ring;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use summary::Summary;
use suspension::Comparison;

/// What the world tells the instance.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram arrived on the CoAP socket.
    Datagram {
        /// Its source.
        from: SocketAddr,
        /// Its bytes.
        data: &'a [u8],
    },
    /// The script of a call answered.
    Reply {
        /// Which call.
        call: u64,
        /// What it answered.
        reply: Reply,
    },
    /// The broker refused a call before its first write (out of memory, for one), or its reply made no sense.
    Refused {
        /// Which call.
        call: u64,
        /// The broker's words.
        error: &'a str,
    },
    /// A message on a subscribed channel.
    Message {
        /// The channel.
        channel: &'a str,
        /// The payload.
        payload: &'a [u8],
    },
    /// The command connection is up, and all scripts are loaded on it.
    CommandConnected,
    /// The command connection is gone; calls without a reply may or may not have been executed.
    CommandLost,
    /// All subscriptions that the last [`Output::Subscribe`] asked for are confirmed, on one connection.
    SubscriberConnected,
    /// The subscriber connection is gone: something may have been missed.
    SubscriberLost,
    /// Leave in good order (SIGTERM).
    Shutdown,
    /// Time has passed.
    Timeout,
}

/// What the instance wants of the world. Outputs are to be carried out in order.
#[derive(Debug)]
pub enum Output {
    /// A datagram to a device.
    Datagram {
        /// Its destination.
        to: SocketAddr,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// A call of a script, on the one command connection, in order.
    Call(Rc<Call>),
    /// Subscribe to these channels, on a new connection.
    Subscribe(Vec<String>),
    /// Drop both broker connections and everything that waits in the sockets, then connect again.
    Reset,
    /// The instance is a member and hears.
    Ready(Member),
    /// The instance has left and can end.
    Left,
    /// The instance can't go on: what was expected, what was found, what to do.
    Fatal(String),
}

/// Why a call was made: what its reply is for.
#[derive(Debug)]
enum Purpose {
    Join {
        sent_at: Time,
    },
    Renew {
        sent_at: Time,
        /// What it told the others of a jump of the clock.
        told: Option<Time>,
    },
    MarkDead,
    Leave,
    Take,
    Accept {
        /// When the ticket is overdue, if it becomes one.
        due: Time,
    },
    Begin(lwm2m::coap::Token),
    Finish(lwm2m::coap::Token),
    Peek(lwm2m::coap::Token),
    Sweep {
        /// How many requests of the partition had been given to the store before.
        accepted: u64,
    },
    Expire,
    Uplink(RequestId<PeerId>, device::Uplink),
    Forward(Answer),
}

/// What was counted since the start; for logs and metrics.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Requests of back ends that were read.
    pub requests: u64,
    /// Requests without a readable ticket.
    pub requests_ignored: u64,
    /// Registrations, updates and de-registrations that devices were told to have succeeded.
    pub uplinks: u64,
    /// Messages of devices that the message layer did not take.
    pub messages_refused: u64,
    /// Requests of devices that the registration interface refused.
    pub requests_refused: u64,
    /// Messages for which the store was not asked, because their senders had used up their share.
    pub beyond_share: u64,
    /// Updates from another address than the device had.
    pub moved: u64,
    /// De-registers from another address than the device's.
    pub strangers_refused: u64,
    /// Requests of devices answered 5.03.
    pub unavailable: u64,
    /// Answers that were forwarded to the instance they belong to.
    pub strays_forwarded: u64,
    /// Answers that were finished through the store.
    pub strays_finished: u64,
    /// Answers that were dropped because of the rate limit or because nobody wants them.
    pub strays_dropped: u64,
    /// Times that this instance slept through the end of its lease, or lost it.
    pub leases_lost: u64,
    /// Eras that ended under this instance.
    pub eras: u64,
    /// Times that the broker's clock jumped by more than half a second.
    pub clock_jumps: u64,
    /// Calls that the broker refused.
    pub calls_refused: u64,
    /// Replies and orders that did not have the shape that they must have.
    pub malformed: u64,
}

/// The channels that all members share.
struct Channels {
    requests: String,
    responses: String,
    members: String,
}

impl Channels {
    fn of(prefix: &str) -> Self {
        let channel = |name: &str| format!("{prefix}{name}");
        Channels {
            requests: channel(schema::channel::REQUESTS),
            responses: channel(schema::channel::RESPONSES),
            members: channel(schema::channel::MEMBERS),
        }
    }
}

/// One instance of the cluster server.
pub struct Instance {
    config: Config,
    /// What each registration says of the way to this instance, as members of a JSON object.
    own_way: String,
    rng: ChaCha8Rng,
    now: Time,
    coap: MessageLayer<PeerId>,
    seat: Seat,
    calls: Calls,
    channels: Channels,
    exchanges: Exchanges,
    /// Exchanges that this member gave itself as a steward, and when their partitions are looked at if they last.
    own: VecDeque<(Time, lwm2m::coap::Token)>,
    /// Outcomes that the broker refused; they are offered again at the next tick.
    refused_finishes: Vec<lwm2m::coap::Token>,
    uplinks_pending: usize,
    ring: Ring,
    answers: Answers,
    admission: Admission,
    refusals_logged: Seldom,
    summary: Summary,
    message_id: u16,
    leaving: Option<Time>,
    leave_extensions: u32,
    outage_began: Option<Time>,
    /// Before this no registration expires.
    expiry_from: Time,
    /// The same, as long as the others have not been told of a jump of the clock that this instance noticed.
    untold: Option<Time>,
    /// The highest generation of the broker's memory that was heard of.
    generation: Generation,
    /// The last incarnation that this process was; 0 before the first.
    incarnation: u64,
    /// When the broker's clock was last compared with the local one: a jump shows between two times.
    clocks: Option<Comparison>,
    statistics: Statistics,
    outputs: VecDeque<Output>,
}

impl Instance {
    /// An instance that waits for its broker. All its randomness comes from `seed`.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let coap = MessageLayer::new(config.coap(), ChaCha8Rng::from_rng(&mut rng));
        let (own, port) = (config.address.ip(), config.address.port());
        Instance {
            own_way: format!(r#""regAddr":"{own}","regPort":{port}"#),
            ring: Ring::new(config.limits.ring_bytes),
            exchanges: Exchanges::default(),
            own: VecDeque::new(),
            refused_finishes: Vec::new(),
            answers: Answers::default(),
            admission: Admission::new(config.limits.shares.clone()),
            refusals_logged: Seldom::default(),
            summary: Summary::default(),
            message_id: rng.next_u32() as u16,
            seat: Seat::Outside {
                join_at: Time::ZERO,
                waiting: None,
            },
            now: Time::ZERO,
            calls: Calls::default(),
            channels: Channels::of(&config.prefix),
            uplinks_pending: 0,
            leaving: None,
            leave_extensions: 0,
            outage_began: None,
            expiry_from: Time::ZERO,
            untold: None,
            generation: Generation::default(),
            incarnation: 0,
            clocks: None,
            statistics: Statistics::default(),
            outputs: VecDeque::new(),
            config,
            rng,
            coap,
        }
    }

    /// Takes an input at `now` (CLOCK_BOOTTIME). Drain [`Instance::poll_output`] afterwards: whoever gives up its
    /// membership drops what it has not said, and that must be nothing that an earlier input has earned.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        assert!(
            self.outputs.is_empty(),
            "the outputs of one input are carried out before the next"
        );
        let stood = now - self.now;
        self.now = self.now.max(now);
        if self.config.planted.is(Mutant::StoppedClock)
            && stood > self.config.lease / 2
            && let Some(m) = self.membership_mut()
        {
            m.lease_end += stood;
        }
        if self.lease_is_over() {
            // Nothing that was received before the stall may be processed, this input included.
            self.fall("its lease ended before it was renewed");
            if !self.config.planted.is(Mutant::OldMail) {
                self.connection_changed(&input);
                return;
            }
        }
        match input {
            Input::Datagram { from, data } => self.coap.handle_datagram(self.now, from.into(), data),
            Input::Reply { call, reply } => self.reply(call, reply),
            Input::Refused { call, error } => self.refused(call, error),
            Input::Message { channel, payload } => self.message(channel, payload),
            Input::Shutdown => self.begin_to_leave(),
            Input::Timeout => {}
            Input::CommandConnected
            | Input::CommandLost
            | Input::SubscriberConnected
            | Input::SubscriberLost => {
                self.connection_changed(&input);
            }
        }
        self.coap.handle_timeout(self.now);
        self.work_through_events();
        self.membership_timers();
        self.leave_when_done();
        self.summarize();
        while let Some((to, data)) = self.coap.poll_transmit() {
            let to = to.address();
            self.outputs.push_back(Output::Datagram { to, data });
        }
    }

    /// The next thing that the instance wants.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// False if a datagram must stay here that was decided on before: the lease has ended meanwhile. Ask right before it
    /// leaves; whoever was stopped between the decision and the deed finds nobody who remembers the datagram.
    pub fn may_send(&self, now: Time) -> bool {
        let ended = |m: &Membership| now >= m.lease_end;
        self.is_blind_to_lease() || !self.membership().is_some_and(ended)
    }

    /// When to call [`Instance::handle`] with [`Input::Timeout`].
    pub fn next_deadline(&self) -> Option<Time> {
        let own = self.membership_deadline();
        [self.coap.next_deadline(), own, self.leaving]
            .into_iter()
            .flatten()
            .min()
    }

    /// What it was told at its start.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was counted since the start.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The member that the instance is now, if it is one.
    pub fn member(&self) -> Option<&Member> {
        self.membership().map(|m| &m.member)
    }

    fn membership(&self) -> Option<&Membership> {
        match &self.seat {
            Seat::Inside(membership) => Some(membership),
            _ => None,
        }
    }

    fn membership_mut(&mut self) -> Option<&mut Membership> {
        match &mut self.seat {
            Seat::Inside(membership) => Some(membership),
            _ => None,
        }
    }

    fn lease_is_over(&self) -> bool {
        !self.is_blind_to_lease() && self.membership().is_some_and(|m| self.now >= m.lease_end)
    }

    fn is_blind_to_lease(&self) -> bool {
        self.config.planted.is(Mutant::BlindToLease)
    }

    /// Forgets everything that was heard as this member, and starts again.
    fn fall(&mut self, reason: &str) {
        let Seat::Inside(membership) = &self.seat else {
            return;
        };
        let (member, exchanges) = (&membership.member, self.exchanges.len());
        if self.leaving.is_some() {
            tracing::info!(%member, exchanges, "left the cluster: {reason}");
        } else {
            tracing::warn!(%member, exchanges, "the member is given up: {reason}; it joins again");
            self.statistics.leases_lost += 1;
        }
        self.outage_began
            .get_or_insert(membership.lease_end - self.config.lease);
        self.seat = Seat::Outside {
            join_at: self.now,
            waiting: None,
        };
        self.coap = MessageLayer::new(self.config.coap(), ChaCha8Rng::from_rng(&mut self.rng));
        self.exchanges = Exchanges::default();
        self.own.clear();
        self.refused_finishes.clear();
        self.answers = Answers::default();
        self.calls.clear();
        self.uplinks_pending = 0;
        self.outputs.clear();
        if self.config.planted.is(Mutant::OldMail) && self.leaving.is_none() {
            // It joins again as soon as it has read everything.
            self.join_later(self.config.lease / 4);
            return;
        }
        self.ring.clear();
        self.calls.disconnected();
        // Who wanted to leave has left: there is nothing to come back for.
        let next = if self.leaving.take().is_some() {
            Output::Left
        } else {
            Output::Reset
        };
        self.outputs.push_back(next);
    }

    fn connection_changed(&mut self, input: &Input<'_>) {
        match input {
            Input::CommandConnected => {
                self.command_connected();
            }
            Input::CommandLost => {
                self.calls.disconnected();
                self.outage_began.get_or_insert(self.now);
                let planted = self.config.planted;
                self.membership_mut()
                    .into_iter()
                    .for_each(|m| m.pair_anew(planted));
            }
            Input::SubscriberConnected => self.subscription_changed(true),
            Input::SubscriberLost => self.subscription_changed(false),
            Input::Shutdown => self.begin_to_leave(),
            _ => {}
        }
    }

    // Calls and replies.

    /// Calls a script about members.
    fn call_cluster<A: Arguments>(&mut self, purpose: Purpose, call: &A) {
        let incarnation = match &self.seat {
            Seat::Inside(m) => m.member.incarnation,
            Seat::Outside { .. } => self.incarnation,
        };
        let caller = Caller {
            id: self.config.id.as_str(),
            incarnation,
            lease: self.config.lease.as_millis() as u64,
        };
        let call = Call::of_cluster(self.calls.next_id(), &self.config.prefix, &caller, call);
        let now = self.calls.add(call, purpose, None, true);
        self.outputs.extend(now.map(Output::Call));
    }

    /// Calls a script of a partition; only a member can.
    fn call<A: Arguments>(&mut self, partition: Partition, purpose: Purpose, call: &A) {
        let Seat::Inside(m) = &self.seat else { return };
        let id = self.calls.next_id();
        let call = Call::of_partition(id, &self.config.prefix, partition, &m.context, call);
        let now = self.calls.add(call, purpose, Some(partition), m.confirmed);
        self.outputs.extend(now.map(Output::Call));
    }

    fn refused(&mut self, call: u64, error: &str) {
        if let Some(pending) = self.calls.take(call) {
            self.statistics.calls_refused += 1;
            // A full broker refuses thousands a second, each for the same reason.
            if let Some(times) = self.refusals_logged.happened(self.now, Duration::from_secs(1)) {
                tracing::error!(script = ?pending.call.script, times, "the broker refused a script: {error}");
            }
            self.call_failed(pending);
        }
    }

    fn misunderstood(&mut self, pending: Pending, malformed: &Malformed) {
        self.statistics.malformed += 1;
        if let Some(times) = self.refusals_logged.happened(self.now, Duration::from_secs(1)) {
            tracing::error!(times, "{malformed}");
        }
        self.call_failed(pending);
    }

    /// Nothing is known of what a call did, and it is not made again.
    fn call_failed(&mut self, pending: Pending) {
        match pending.purpose {
            Purpose::Uplink(id, _) => self.uplink_failed(id),
            Purpose::Join { .. } => self.join_later(Duration::from_secs(1)),
            Purpose::Take => pending.partition.map_or((), |it| self.take_failed(it)),
            Purpose::Begin(token) => self.exchange_gone(token),
            Purpose::Peek(token) => self.answers.peeked(token).map_or((), drop),
            Purpose::Finish(token) => self.finish_refused(token),
            // These come again by themselves, or whoever asked does.
            Purpose::Renew { .. }
            | Purpose::MarkDead
            | Purpose::Leave
            | Purpose::Accept { .. }
            | Purpose::Sweep { .. }
            | Purpose::Expire
            | Purpose::Forward(..) => {}
        }
    }

    fn reply(&mut self, call: u64, reply: Reply) {
        let Some(pending) = self.calls.take(call) else {
            return;
        };
        let Some(partition) = pending.partition else {
            return self.cluster_answered(pending, &reply);
        };
        match PartitionAnswer::parse(pending.call.script, &reply) {
            Ok(answer) => self.partition_answered(partition, pending, answer),
            Err(malformed) => self.misunderstood(pending, &malformed),
        }
    }

    fn cluster_answered(&mut self, pending: Pending, reply: &Reply) {
        let script = pending.call.script;
        let understood = match &pending.purpose {
            Purpose::Join { sent_at } => {
                let sent_at = *sent_at;
                replies::joined(reply).map(|answer| self.joined(sent_at, answer))
            }
            Purpose::Renew { sent_at, told } => {
                let (sent_at, told) = (*sent_at, *told);
                replies::renewed(reply).map(|answer| self.renewed(sent_at, told, answer))
            }
            Purpose::Leave => replies::plain(script, reply).map(|_| self.outputs.push_back(Output::Left)),
            _ => replies::plain(script, reply).map(|status| tracing::debug!(status, "{script:?}")),
        };
        if let Err(malformed) = understood {
            self.misunderstood(pending, &malformed);
        }
    }

    fn partition_answered(&mut self, partition: Partition, pending: Pending, answer: PartitionAnswer<'_>) {
        let body = match answer.body {
            Err(Refusal::Lease) => return self.lease_refused(pending, answer.now),
            Err(Refusal::Generation(generation)) => {
                self.note_generation(generation);
                return self.fall("the broker's memory is of another generation than this member");
            }
            Err(Refusal::Term) => return self.lose_partition(partition),
            Ok(body) => body,
        };
        if !self.check_sequence(partition, answer.sequence) {
            return;
        }
        self.carry_out(partition, pending, body);
    }

    /// What the result of a partition's script is for.
    fn carry_out(&mut self, partition: Partition, pending: Pending, body: Body<'_>) {
        let Body { result, orders } = body;
        match (pending.purpose, result) {
            (Purpose::Take, PartitionResult::Taken(term)) => self.taken(partition, term),
            (Purpose::Take, PartitionResult::NotTaken) => self.take_failed(partition),
            (Purpose::Accept { due }, PartitionResult::Accepted(accepted)) => {
                self.accepted(partition, due, accepted, &orders);
            }
            (Purpose::Sweep { accepted }, PartitionResult::Swept { wait, open }) => {
                self.swept(partition, accepted, wait, open);
            }
            (Purpose::Expire, PartitionResult::Expired { wait }) => self.expired(partition, wait),
            (Purpose::Begin(token), PartitionResult::Begun) => self.begun(token),
            (Purpose::Begin(token), PartitionResult::Gone) => self.exchange_gone(token),
            (Purpose::Finish(token), PartitionResult::Finished) => self.finished(token),
            (Purpose::Finish(token), PartitionResult::Gone) => self.finish_came_late(token),
            (Purpose::Peek(token), PartitionResult::Peeked(asked)) => self.peeked(token, Some(asked)),
            (Purpose::Peek(token), PartitionResult::Gone) => self.peeked(token, None),
            (Purpose::Forward(answer), PartitionResult::Forwarded(heard)) => {
                self.forward_answered(answer, heard);
            }
            (Purpose::Uplink(id, uplink), PartitionResult::Uplink(uplinked)) => {
                self.uplink_stored(id, uplink, &uplinked);
            }
            (purpose, result) => {
                self.statistics.malformed += 1;
                tracing::error!("the answer to a call for {purpose:?} is of another script: {result:?}");
            }
        }
        for order in orders {
            self.told(order, true);
        }
    }

    /// A call was executed later than the lease that it carried. With a longer lease by now it is made again.
    fn lease_refused(&mut self, pending: Pending, now: BrokerTime) {
        let Seat::Inside(m) = &self.seat else { return };
        if m.lease_until <= now {
            return self.fall("the broker says that its lease is over");
        }
        let Pending {
            call,
            purpose,
            partition,
        } = pending;
        let mut call = Rc::unwrap_or_clone(call);
        call.id = self.calls.next_id();
        call.speak_as(&m.context);
        let now = self.calls.add(call, purpose, partition, m.confirmed);
        self.outputs.extend(now.map(Output::Call));
    }

    /// A partition's counter only grows, as long as the broker remembers: false begins a new era.
    fn check_sequence(&mut self, partition: Partition, sequence: u64) -> bool {
        let Some(m) = self.membership_mut() else {
            return false;
        };
        let seen = &mut m.sequence[partition.index()];
        if sequence != 0 && sequence <= *seen {
            let before = *seen;
            self.statistics.eras += 1;
            tracing::error!(%partition, before, now = sequence, "the broker lost data: a new era begins");
            self.fall("the broker forgot scripts that it had executed");
            return false;
        }
        *seen = sequence.max(*seen);
        true
    }

    fn work_through_events(&mut self) {
        while let Some(event) = self.coap.poll_event() {
            match event {
                Event::Request { id, message, .. } => self.device_request(id, &message),
                Event::Response {
                    peer,
                    token,
                    message,
                    acknowledge,
                } => {
                    self.device_response(peer, token, message, acknowledge);
                }
                Event::Acknowledged { .. } => {}
                Event::Failed { token, reason, .. } => self.exchange_failed(token, reason),
                Event::Unmatched {
                    peer,
                    message,
                    acknowledge,
                } => self.stray(Answer {
                    source: peer,
                    message,
                    acknowledge,
                }),
                Event::Refused {
                    peer,
                    reason,
                    message,
                } => self.message_refused(peer, reason, message.as_ref()),
            }
        }
    }

    fn held(&self, partition: Partition) -> Option<&Held> {
        self.membership()?.held[partition.index()].as_ref()
    }

    fn held_mut(&mut self, partition: Partition) -> Option<&mut Held> {
        self.membership_mut()?.held[partition.index()].as_mut()
    }
}
