//! The connections of the instances and of the back end to the broker: how they break, and how they come back.
//!
//! In: faults, and what arrives. Out: [`ClusterEvent::Linked`] when somebody can no longer reach the broker, knowing it or
//! not, and when both of its connections stand again.

use std::time::Duration;

use lwm2m::time::Time;
use server::link;

use super::{Cluster, ClusterEvent, Due};
use crate::backend::NorthboundEvent;
use crate::fault::FaultAction;
use crate::history::BACK_END;
use crate::targets::{Client, Connections};
use crate::virtual_world::connection::{Arrival, ConnectionId, Party};
use crate::virtual_world::master::Staying;

/// So long after a connection broke nothing more comes of it, and sooner than anybody has made another.
const SETTLED: Duration = Duration::from_millis(1);

impl Cluster {
    /// Does to the back end what a fault wants.
    pub fn signal_back_end(&mut self, now: Time, action: &FaultAction) -> Result<(), String> {
        match action {
            FaultAction::RedisCut {
                connections,
                half_open,
            } => self.cut(now, self.slots.len(), *connections, *half_open),
            FaultAction::RedisSlow {
                connections,
                stall,
                output_buffer,
            } => {
                self.slow(now, self.slots.len(), *connections, *stall, *output_buffer);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Does to the broker itself what a fault wants.
    pub fn signal_broker(&mut self, now: Time, action: &FaultAction) -> Result<(), String> {
        match action {
            FaultAction::RedisSlow { stall, .. } => {
                self.broker.stall();
                self.due
                    .push(now + *stall, (self.slots.len(), Due::Release(None)));
            }
            FaultAction::RedisKill { keeps } => self.broker.kill(now, *keeps)?,
            FaultAction::RedisRestart => {
                let forgets = self.broker.restart()?;
                self.events.extend(forgets.map(ClusterEvent::Era));
            }
            FaultAction::RedisFull { duration } => {
                self.broker.fill(now);
                self.events.push_back(ClusterEvent::BrokerFull(true));
                self.due.push(now + *duration, (self.slots.len(), Due::Room));
            }
            FaultAction::RedisFlush => self.flush(now)?,
            FaultAction::RedisFailover {
                lag,
                old_master,
                clients,
            } => self.fail_over(now, *lag, *old_master, clients.as_deref())?,
            _ => self.touch_clock(now, None, action),
        }
        self.check_all_links();
        Ok(())
    }

    /// The broker forgets everything. It takes it a moment, in which all that it had said arrives at the back end: what is
    /// heard then is of a new era.
    fn flush(&mut self, now: Time) -> Result<(), String> {
        let back_end = self.slots.len();
        if !self.back_end_linked {
            return Err(
                "the back end would hear of the old era afterwards: its connections do not stand".to_owned(),
            );
        }
        self.broker.flush(now)?;
        self.broker.stall();
        let era = Due::Era("the broker was emptied (FLUSHALL)".to_owned());
        self.due.push(now + SETTLED, (back_end, era));
        self.due.push(now + SETTLED, (back_end, Due::Release(None)));
        Ok(())
    }

    /// One fault less takes the broker's memory away.
    pub(super) fn make_room(&mut self, now: Time) {
        if self.broker.make_room(now) {
            self.events.push_back(ClusterEvent::BrokerFull(false));
        }
    }

    /// A replica takes over. Who is named stays with the old master until that is gone; the first half of the instances if
    /// nobody is.
    fn fail_over(
        &mut self,
        now: Time,
        lag: Duration,
        old_master: Duration,
        clients: Option<&[Client]>,
    ) -> Result<(), String> {
        let half: Vec<Client>;
        let clients = match clients {
            Some(clients) => clients,
            None => {
                half = (0..self.slots.len().div_ceil(2)).map(Client::instance).collect();
                &half
            }
        };
        let clients = if old_master.is_zero() { &[] } else { clients };
        let staying = self.staying(clients);
        let names: Vec<String> = clients.iter().map(ToString::to_string).collect();
        let back_end = self.slots.len();
        // The back end asks the new one for what it was told or has asked of the old one.
        let tainted = staying.iter().any(|&(party, _)| party == back_end);
        let lost = self.broker.fail_over(now, lag, staying)?;
        let speaks = format!("; the old master speaks on to {}", names.join(", "));
        if lost > 0 || !names.is_empty() {
            let speaks = if names.is_empty() { "" } else { &speaks };
            let reason = format!("a replica without the last {lost} steps took over{speaks}");
            self.due.push(now + SETTLED, (back_end, Due::Era(reason)));
        }
        let ends = tainted.then(|| "the old master is gone, with what it was told since".to_owned());
        if old_master.is_zero() {
            self.end_old_master(now, ends);
        } else {
            self.due
                .push(now + old_master, (back_end, Due::OldMasterEnds(ends)));
        }
        Ok(())
    }

    fn staying(&self, clients: &[Client]) -> Staying {
        let of_client = |client: &Client| {
            let party = client.instance.map_or(self.slots.len(), |index| index as usize);
            let kinds = [false, true].into_iter();
            let connections = client.connections;
            kinds
                .filter(move |&listens| connections.include(listens))
                .map(move |listens| (party, listens))
        };
        clients.iter().flat_map(of_client).collect()
    }

    /// The old master is gone; who talked to it finds the new one.
    pub(super) fn end_old_master(&mut self, now: Time, era: Option<String>) {
        self.broker.end_old_master(now);
        let era = era.map(|reason| (now + SETTLED, (self.slots.len(), Due::Era(reason))));
        era.into_iter().for_each(|(at, due)| self.due.push(at, due));
        self.check_all_links();
    }

    /// Sets a clock, or lets it run fast or slow: that of an instance's machine, or of the broker's.
    pub(super) fn touch_clock(&mut self, now: Time, instance: Option<usize>, action: &FaultAction) {
        let clock = match instance {
            Some(instance) => &mut self.slots[instance].clock,
            None => self.broker.clock(),
        };
        match action {
            FaultAction::ClockJump { by_us, .. } => clock.jump(now, *by_us),
            FaultAction::ClockDrift { rate_ppm, .. } => clock.drift(now, *rate_ppm),
            _ => return,
        }
        let clock = *clock;
        let (ahead_us, rate_ppm) = clock.error(now);
        self.events.push_back(ClusterEvent::Clock {
            instance,
            ahead_us,
            rate_ppm,
        });
        let process = instance.and_then(|instance| self.slots[instance].process.as_mut());
        process.into_iter().for_each(|process| process.clock = clock);
    }

    /// Cuts an instance off from everything, or ends that. TCP keeps what it could not bring.
    pub(super) fn partition(&mut self, now: Time, instance: usize, cut_off: bool) -> Result<(), String> {
        let slot = &mut self.slots[instance];
        if slot.partitioned == cut_off {
            let state = if cut_off { "already" } else { "not" };
            return Err(format!("{} is {state} cut off", slot.id));
        }
        slot.partitioned = cut_off;
        if cut_off {
            self.broker.hold(instance, Connections::Both, None);
        } else {
            self.broker.release(now, instance, Connections::Both);
        }
        self.check_links(instance);
        Ok(())
    }

    pub(super) fn slow(
        &mut self,
        now: Time,
        party: Party,
        connections: Option<Connections>,
        stall: Duration,
        output_buffer: Option<usize>,
    ) {
        let connections = connections.unwrap_or(Connections::Both);
        self.broker.hold(party, connections, output_buffer);
        self.due
            .push(now + stall, (party, Due::Release(Some(connections))));
        self.check_links(party);
    }

    pub(super) fn release(&mut self, now: Time, party: Party, connections: Option<Connections>) {
        match connections {
            Some(connections) => self.broker.release(now, party, connections),
            None => self.broker.go_on(now),
        }
        self.check_all_links();
    }

    fn check_all_links(&mut self) {
        (0..=self.slots.len()).for_each(|party| self.check_links(party));
    }

    pub(super) fn cut(
        &mut self,
        now: Time,
        party: Party,
        connections: Connections,
        half_open: Duration,
    ) -> Result<(), String> {
        let any = self.broker.cut(now, party, connections, half_open);
        self.check_links(party);
        any.then_some(())
            .ok_or_else(|| format!("{} has no such connection", self.party_name(party)))
    }

    /// The id of an instance, or `back-end`.
    pub fn party_name(&self, party: Party) -> &str {
        self.slots.get(party).map_or(BACK_END, |slot| &slot.id)
    }

    /// The back end's side of its connections.
    pub(super) fn deliver_north(&mut self, now: Time, connection: ConnectionId, arrival: Arrival) {
        let back_end = self.slots.len();
        let (event, again) = self.northbound.arrive(now, connection, arrival, &mut self.broker);
        if let Some(at) = again {
            self.due.push(at, (back_end, Due::Connect));
        }
        if let Some(NorthboundEvent::Connected | NorthboundEvent::Disconnected { .. }) = event {
            self.check_links(back_end);
        }
        self.events.extend(event.map(ClusterEvent::Northbound));
    }

    /// Says so if somebody has just lost a connection to the broker, or has both again.
    pub(super) fn check_links(&mut self, party: Party) {
        let sound = |id: Option<ConnectionId>| id.is_some_and(|id| self.broker.is_sound(id));
        let (up, said) = match self.slots.get_mut(party) {
            None => {
                let connections = self.northbound.connections();
                let up = self.northbound.is_up() && connections.into_iter().all(sound);
                (up, &mut self.back_end_linked)
            }
            Some(slot) => {
                let Some(process) = slot.process.as_ref().filter(|process| process.ready) else {
                    return;
                };
                let sound = process.connections().into_iter().all(sound);
                let up = sound && process.is_up() == [true; 2];
                (up, &mut slot.linked)
            }
        };
        if *said != up {
            *said = up;
            self.events.push_back(ClusterEvent::Linked { party, up });
        }
    }

    /// Does what the link of an instance wants.
    pub(super) fn carry_out_link(&mut self, now: Time, instance: usize) {
        let Some(process) = &mut self.slots[instance].process else {
            return;
        };
        while let Some(output) = process.poll_link() {
            match output {
                link::Output::Open(side) => {
                    let connection = self.broker.connect(now, instance, side, Vec::new());
                    process.opening(side, connection);
                }
                link::Output::Close(side) => {
                    let closed = process.closed(side);
                    closed.into_iter().for_each(|it| self.broker.close(now, it));
                }
                link::Output::Send(side, command) => {
                    if let Some(connection) = process.connections()[side as usize] {
                        self.broker.say(now, connection, command);
                    }
                }
            }
        }
    }
}
