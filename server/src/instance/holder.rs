//! The holder: exchanges with devices.
//!
//! What to send comes as a text from the scripts, in the reply of a call or on the own channel; message ID and token
//! come from the store, so that a survivor goes on with the same exchange. Each exchange stays in memory until the
//! store has confirmed its end, so what is not in memory was never sent by this member.

use super::config::KNOWN_IN_RESPONSES;
use super::steward::error;
use super::stray::Answer;
use super::{Instance, Purpose};
use crate::mutant::Mutant;
use crate::northbound::{Device, ErrorCode, Request};
use crate::partition::{TokenParts, token_from_hex};
use crate::store::{Reply, Script, Value};
use lwm2m::coap::{FailureReason, Fingerprint, Kind, Message, Token};
use lwm2m::registration::Version;
use lwm2m::time::Time;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
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
    device: SocketAddr,
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
        acknowledge: Option<(SocketAddr, Fingerprint)>,
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

/// What a dispatch says (`exchange_text` of the scripts).
struct Dispatch<'a> {
    token: Token,
    message_id: u16,
    device: SocketAddr,
    version: Version,
    root: &'a str,
    repeatable: bool,
    sent: bool,
    request: &'a str,
}

impl<'a> Dispatch<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut fields = text.splitn(10, '\n');
        let token = token_from_hex(fields.next()?)?;
        let message_id = fields.next()?.parse().ok()?;
        let address: IpAddr = fields.next()?.parse().ok()?;
        let port = fields.next()?.parse().ok()?;
        let version = Version::from_text(fields.next()?)?;
        let root = fields.next()?;
        let repeatable = fields.next()? == "r";
        let sent = fields.next()? == "s";
        let _remaining_ms = fields.next()?;
        let request = fields.next()?;
        let device = SocketAddr::new(address, port);
        Some(Dispatch {
            token,
            message_id,
            device,
            version,
            root,
            repeatable,
            sent,
            request,
        })
    }
}

impl Instance {
    /// What a script wants this member to do, in its own reply.
    pub(super) fn orders(&mut self, values: Vec<Value>) {
        for value in values {
            if let Some(text) = value.text() {
                self.order(text, true);
            }
        }
    }

    /// An order of a script: dispatch, stop, begin anew, a new address, or an earlier expiry. `own` if it came in the
    /// reply of an own call.
    pub(super) fn order(&mut self, text: &str, own: bool) {
        match text.split_once('\n') {
            Some(("D", rest)) => match Dispatch::parse(rest) {
                Some(dispatch) => self.begin_exchange(&dispatch, own),
                None => tracing::error!("a dispatch in a shape that this version does not know: {text:?}"),
            },
            Some(("S", token)) => {
                if let Some(token) = token_from_hex(token) {
                    self.stop_exchange(token);
                }
            }
            Some(("A", token)) => {
                if let Some(token) = token_from_hex(token) {
                    self.drop_exchange(token);
                }
            }
            Some(("M", rest)) => self.readdress(rest),
            Some(("X", rest)) => self.expiry_is_earlier(rest),
            _ => tracing::error!("an order that this version does not know: {text:?}"),
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
                let specific = vec![token.to_string().into_bytes(), body.into_bytes(), b"0".to_vec()];
                return self.call(Script::Finish, partition, Purpose::Finish(token), specific);
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
        let may_send = dispatch.repeatable || (own && dispatch.sent) || planted;
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
            let specific = vec![token.to_string().into_bytes()];
            self.call(Script::Begin, partition, Purpose::Begin(token), specific);
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

    pub(super) fn begun(&mut self, token: Token, reply: &Reply) {
        if reply.status() != "OK" {
            return self.exchange_gone(token);
        }
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

    fn transmit(&mut self, token: Token, device: SocketAddr, message: Message) {
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

    fn readdress(&mut self, rest: &str) {
        let mut fields = rest.splitn(3, '\n');
        let parsed = (|| {
            let token = token_from_hex(fields.next()?)?;
            let address: IpAddr = fields.next()?.parse().ok()?;
            Some((token, SocketAddr::new(address, fields.next()?.parse().ok()?)))
        })();
        let Some((token, device)) = parsed else { return };
        if let Some(exchange) = self.exchanges.open.get_mut(&token) {
            let old = std::mem::replace(&mut exchange.device, device);
            self.coap.readdress(self.now, old, token, device);
        }
    }

    /// The response of a device to an exchange of the message layer.
    pub(super) fn device_response(
        &mut self,
        peer: SocketAddr,
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
        acknowledge: Option<(SocketAddr, Fingerprint)>,
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
            self.strays.finished(token);
        }
    }

    pub(super) fn finish_refused_again(&mut self) {
        for token in std::mem::take(&mut self.refused_finishes) {
            self.finish_again(token);
        }
    }

    fn finish_again(&mut self, token: Token) {
        let Some(Exchange {
            state: State::Finishing { body, proof, .. },
            ..
        }) = self.exchanges.open.get(&token)
        else {
            return;
        };
        let Some(parts) = TokenParts::of(token) else {
            return;
        };
        let proof = if *proof { "1" } else { "0" };
        let specific = vec![
            token.to_string().into_bytes(),
            body.clone().into_bytes(),
            proof.into(),
        ];
        self.call(Script::Finish, parts.partition, Purpose::Finish(token), specific);
    }

    /// True if the outcome that is on its way to the store is the device's own response.
    fn has_proof(&self, token: Token) -> bool {
        let state = self.exchanges.open.get(&token).map(|exchange| &exchange.state);
        !matches!(state, Some(State::Finishing { proof: false, .. }))
    }

    pub(super) fn finished(&mut self, token: Token, reply: Reply) {
        if reply.status() == "GONE" && !self.has_proof(token) {
            // Another member holds it now, or it ended. It may come back with the same token.
            return self.drop_exchange(token);
        }
        // With proof, a ticket that is gone had its outcome already: the exchange is over in both cases.
        if let Some(exchange) = self.exchanges.end(token, self.now)
            && let State::Finishing {
                acknowledge: Some((peer, response)),
                ..
            } = exchange.state
        {
            self.coap.acknowledge_response(self.now, peer, response);
        }
        if let Some((peer, response)) = self.strays.finished(token) {
            self.coap.acknowledge_response(self.now, peer, response);
        }
        self.orders(reply.into_rest(3));
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
