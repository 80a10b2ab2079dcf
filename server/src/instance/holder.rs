//! The holder: exchanges with devices.
//!
//! What to send comes as a text from the scripts, in the reply of a call or on the own channel; message ID and token
//! come from the store, so that a survivor goes on with the same exchange. Each exchange stays in memory until the
//! store has confirmed its end, so what is not in memory was never sent by this member.

use super::answers::Answer;
use super::config::KNOWN_IN_RESPONSES;
use super::steward::error;
use super::{Instance, Purpose};
use crate::mutant::Mutant;
use crate::northbound::{Device, ErrorCode, Request};
use crate::partition::TokenParts;
use crate::peer::PeerId;
use crate::store::protocol::calls::{Begin, Finish};
use crate::store::protocol::orders::{Dispatch, Order};
use crate::store::protocol::{Class, State as Stored};
use lwm2m::coap::{FailureReason, Fingerprint, Kind, Message, Token};
use lwm2m::time::Time;
use rand::Rng;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::time::Duration;

/// All exchanges that this member holds.
#[derive(Default)]
pub(super) struct Exchanges {
    open: FxHashMap<Token, Exchange>,
    /// Tokens whose end is confirmed, for a while: a late copy of their dispatch means nothing.
    ended: FxHashMap<Token, Time>,
    ended_order: VecDeque<(Time, Token)>,
}

struct Exchange {
    device: PeerId,
    request: Request,
    state: State,
}

enum State {
    /// Waits for the store's word that it may be sent (`begin`).
    Beginning(Message),
    /// The message layer has it.
    Sent,
    /// The outcome is on its way to the store; a confirmable response is acknowledged after that.
    Finishing {
        body: String,
        proof: bool,
        acknowledge: Option<(PeerId, Fingerprint)>,
    },
}

/// How long the end of an exchange is remembered.
const REMEMBER_ENDED: Duration = Duration::from_secs(30);

impl Exchanges {
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_open(&self, token: Token) -> bool {
        self.open.contains_key(&token)
    }

    fn end(&mut self, token: Token, now: Time) -> Option<Exchange> {
        let exchange = self.open.remove(&token)?;
        self.ended.insert(token, now);
        self.ended_order.push_back((now, token));
        while self
            .ended_order
            .front()
            .is_some_and(|&(at, _)| now - at > REMEMBER_ENDED)
        {
            if let Some((_, old)) = self.ended_order.pop_front() {
                self.ended.remove(&old);
            }
        }
        Some(exchange)
    }
}

impl Instance {
    /// What this member was told by a script: in the reply of an `own` call, or on its channel.
    pub(super) fn told(&mut self, order: Order<'_>, own: bool) {
        match order {
            Order::Dispatch(dispatch) => self.begin_exchange(&dispatch, own),
            Order::Stop(token) => self.stop_exchange(token),
            Order::Anew(token) => self.drop_exchange(token),
            Order::Moved { token, device } => self.readdress(token, device),
            Order::Expiry { partition, in_ms } => self.expiry_is_earlier(partition, in_ms),
            Order::Heartbeat { at, pair } => self.heartbeat(at, pair),
            Order::Mark { partition, term } => self.take_marked(partition, term),
            Order::Forward { source, datagram } => self.forwarded(source, datagram),
            Order::View(view) => self.adopt(view),
        }
    }

    fn begin_exchange(&mut self, dispatch: &Dispatch<'_>, own: bool) {
        let token = dispatch.token;
        if self.exchanges.ended.contains_key(&token) {
            return;
        }
        if let Some(known) = self.exchanges.open.get_mut(&token) {
            let old = std::mem::replace(&mut known.device, dispatch.device);
            if old != dispatch.device {
                self.coap.readdress(self.now, old, token, dispatch.device);
            }
            return;
        }
        let Some(partition) = TokenParts::of(token).map(|parts| parts.partition) else {
            return;
        };
        let prepared = Request::parse(dispatch.request)
            .map_err(|e| e.to_string())
            .and_then(|request| {
                let device = Device {
                    version: dispatch.version,
                    root: dispatch.root,
                };
                let coap = request.to_coap(&device).map_err(|e| e.to_string())?;
                Ok((request, coap))
            });
        let (request, coap) = match prepared {
            Ok(prepared) => prepared,
            Err(message) => {
                // Nothing was sent, and nothing will be: that is the outcome.
                let body = error(ErrorCode::BadRequest, &message, Some(false));
                return self.give_outcome(token, &body, false);
            }
        };
        let message_id = if self.config.planted.is(Mutant::LocalMessageIds) {
            self.message_id = self.message_id.wrapping_add(1);
            self.message_id
        } else {
            dispatch.message_id
        };
        let message = Message {
            kind: Kind::Confirmable,
            code: coap.code,
            message_id,
            token,
            options: coap.options,
            payload: coap.payload,
        };
        // An order in an own reply was counted as sent by that very script.
        let planted = self.config.planted.is(Mutant::NoBegin);
        let counted = own && dispatch.state == Stored::Sent;
        let may_send = dispatch.class == Class::Repeatable || counted || planted;
        let state = if may_send {
            State::Sent
        } else {
            State::Beginning(message.clone())
        };
        self.exchanges.open.insert(
            token,
            Exchange {
                device: dispatch.device,
                request,
                state,
            },
        );
        if may_send {
            self.transmit(token, dispatch.device, message);
        } else {
            self.call(partition, Purpose::Begin(token), &Begin { token });
        }
    }

    /// A member died. Until the balancer noticed, answers to datagrams of this member may have gone to the dead one, and
    /// the next copy would be due in seconds (ACK_TIMEOUT): each device gets one now.
    pub(super) fn send_extra_copies(&mut self) {
        for (token, exchange) in &self.exchanges.open {
            if matches!(exchange.state, State::Sent) {
                self.coap.send_extra_copy(exchange.device, *token);
            }
        }
    }

    pub(super) fn begun(&mut self, token: Token) {
        let Some(exchange) = self.exchanges.open.get_mut(&token) else {
            return;
        };
        // It may have begun by another way meanwhile, and even have its answer.
        if let State::Beginning(message) = &mut exchange.state {
            let message = message.clone();
            let device = exchange.device;
            exchange.state = State::Sent;
            self.transmit(token, device, message);
        }
    }

    fn transmit(&mut self, token: Token, device: PeerId, message: Message) {
        if let Err(refusal) = self.coap.send_request(self.now, device, message) {
            self.finish(
                token,
                error(ErrorCode::Internal, &refusal.to_string(), Some(false)),
                false,
                None,
            );
        }
    }

    /// The store says that the ticket is not this member's (any more).
    pub(super) fn exchange_gone(&mut self, token: Token) {
        self.exchanges.open.remove(&token);
    }

    /// Gives an exchange up that may begin again with the same token, here or elsewhere.
    fn drop_exchange(&mut self, token: Token) {
        if let Some(exchange) = self.exchanges.open.remove(&token) {
            self.coap.cancel(self.now, exchange.device, token);
        }
    }

    fn stop_exchange(&mut self, token: Token) {
        if let Some(exchange) = self.exchanges.end(token, self.now) {
            self.coap.cancel(self.now, exchange.device, token);
        }
    }

    fn readdress(&mut self, token: Token, device: PeerId) {
        if let Some(exchange) = self.exchanges.open.get_mut(&token) {
            let old = std::mem::replace(&mut exchange.device, device);
            self.coap.readdress(self.now, old, token, device);
        }
    }

    /// The response of a device to an exchange of the message layer.
    pub(super) fn device_response(
        &mut self,
        peer: PeerId,
        token: Token,
        message: Message,
        acknowledge: Option<Fingerprint>,
    ) {
        let Some(exchange) = self.exchanges.open.get(&token) else {
            return self.stray(Answer {
                source: peer,
                message,
                acknowledge,
            });
        };
        let body = outcome(&exchange.request, &message);
        let acknowledge = acknowledge.map(|response| (peer, response));
        self.finish(token, body, true, acknowledge);
    }

    pub(super) fn exchange_failed(&mut self, token: Token, reason: FailureReason) {
        if !self.exchanges.open.contains_key(&token) {
            return;
        }
        let mut proof = false;
        let body = match reason {
            FailureReason::Refused(refusal) => {
                proof = true;
                let message = format!("the device's answer can't be read: {refusal}");
                error(ErrorCode::Undecodable, &message, Some(true))
            }
            FailureReason::Timeout => error(
                ErrorCode::Unreachable,
                "the device did not answer in time: it acknowledged no transmission, or sent no response after its acknowledgement",
                Some(true),
            ),
            FailureReason::Reset => error(
                ErrorCode::Rejected,
                "the device rejected the request with a Reset",
                Some(true),
            ),
        };
        self.finish(token, body, proof, None);
    }

    /// Brings an outcome to the store. `proof`: it is the device's own response.
    fn finish(
        &mut self,
        token: Token,
        body: String,
        proof: bool,
        acknowledge: Option<(PeerId, Fingerprint)>,
    ) {
        let Some(exchange) = self.exchanges.open.get_mut(&token) else {
            return;
        };
        exchange.state = State::Finishing {
            body,
            proof,
            acknowledge,
        };
        self.finish_again(token);
    }

    /// The broker did not take an outcome. That of an own exchange is offered again; for a stray the device's next copy
    /// is.
    pub(super) fn finish_refused(&mut self, token: Token) {
        if self.exchanges.open.contains_key(&token) {
            self.refused_finishes.push(token);
        } else {
            self.answers.finished(token);
        }
    }

    pub(super) fn finish_refused_again(&mut self) {
        for token in std::mem::take(&mut self.refused_finishes) {
            self.finish_again(token);
        }
    }

    fn finish_again(&mut self, token: Token) {
        if let Some(Exchange {
            state: State::Finishing { body, proof, .. },
            ..
        }) = self.exchanges.open.get(&token)
        {
            let (body, proof) = (body.clone(), *proof);
            self.give_outcome(token, &body, proof);
        }
    }

    /// Gives the store an outcome. `proof`: it is the device's own response.
    pub(super) fn give_outcome(&mut self, token: Token, body: &str, proof: bool) {
        let Some(parts) = TokenParts::of(token) else {
            return;
        };
        let nonce = self.rng.next_u32();
        let finish = Finish {
            token,
            body,
            proof,
            nonce,
        };
        self.call(parts.partition, Purpose::Finish(token), &finish);
    }

    /// True if the outcome that is on its way to the store is the device's own response.
    fn has_proof(&self, token: Token) -> bool {
        let state = self.exchanges.open.get(&token).map(|exchange| &exchange.state);
        !matches!(state, Some(State::Finishing { proof: false, .. }))
    }

    /// The ticket of an outcome is not open, or not this member's.
    pub(super) fn finish_came_late(&mut self, token: Token) {
        if self.has_proof(token) {
            // It had its outcome already: the exchange is over.
            self.finished(token);
        } else {
            // Another member holds it now, or it ended. It may come back with the same token.
            self.drop_exchange(token);
        }
    }

    pub(super) fn finished(&mut self, token: Token) {
        if let Some(exchange) = self.exchanges.end(token, self.now)
            && let State::Finishing {
                acknowledge: Some((peer, response)),
                ..
            } = exchange.state
        {
            self.coap.acknowledge_response(self.now, peer, response);
        }
        if let Some((peer, response)) = self.answers.finished(token) {
            self.coap.acknowledge_response(self.now, peer, response);
        }
    }
}

/// The terminal that a device's response makes.
pub(super) fn outcome(request: &Request, message: &Message) -> String {
    if let Some(bad) = message.options.bad_critical(KNOWN_IN_RESPONSES) {
        let message = format!("the device's answer can't be read: {bad}");
        return error(ErrorCode::Undecodable, &message, Some(true));
    }
    match request.response_body(message.code, &message.options, &message.payload) {
        Ok(body) => format!(",\"resp\":{body}"),
        Err(undecodable) => error(ErrorCode::Undecodable, &undecodable.message, Some(true)),
    }
}
