//! The registration interface: what devices ask of the server (OMA TS 1.1 Core, 6.2).
//!
//! A device is answered after the store has what it asked for, by the reply of the very script that stored it. While
//! the store can't be reached the answer is 5.03, never a success.

use super::admission::Way;
use super::{Instance, Purpose};
use crate::mutant::Mutant;
use crate::northbound::json_string;
use crate::northbound::registration::{add_attr, obj_link};
use crate::partition::Partition;
use crate::store::{Reply, Script};
use lwm2m::coap::{Code, Fingerprint, Message, Options, Refusal, RequestId, Response, option};
use lwm2m::link::Link;
use lwm2m::registration::{Register, RegistrationRequest, Update, root};
use std::net::SocketAddr;

/// What a device asked for, until the store has it.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Uplink {
    Register,
    Update,
    Deregister,
}

impl Instance {
    pub(super) fn device_request(&mut self, id: RequestId<SocketAddr>, message: &Message) {
        let request = match RegistrationRequest::parse(message) {
            Ok(request) => request,
            Err(error) => {
                let endpoint = endpoint_in(&message.options).unwrap_or("");
                tracing::debug!(source = %id.peer, endpoint, "a request of a device is refused: {error}");
                self.statistics.requests_refused += 1;
                return self.refuse(id, error.code, &error.message);
            }
        };
        let limits = &self.config.limits;
        let full =
            self.uplinks_pending >= limits.uplinks_pending || self.pending.len() >= limits.calls_pending;
        if self.membership().is_none() || !self.command_up || full {
            return self.unavailable(id);
        }
        if !self.admission.admits(self.now, id.peer, Way::Request) {
            self.statistics.beyond_share += 1;
            tracing::debug!(source = %id.peer, "a request is not looked at: its sender has used up its share of this second");
            return self.respond(id, Response::of(Code::SERVICE_UNAVAILABLE));
        }
        match request {
            RegistrationRequest::Register(register) => self.register(id, &register),
            RegistrationRequest::Update(update) => self.update(id, &update),
            RegistrationRequest::Deregister { registration_id } => self.deregister(id, registration_id),
        }
    }

    /// The message layer did not take a message.
    pub(super) fn message_refused(&mut self, source: SocketAddr, reason: Refusal, message: Option<&Message>) {
        self.statistics.messages_refused += 1;
        let query = message.map(|message| &message.options);
        let endpoint = query.and_then(|options| endpoint_in(options)).unwrap_or("");
        tracing::debug!(%source, endpoint, "a message is refused: {reason}");
    }

    fn respond(&mut self, id: RequestId<SocketAddr>, response: Response) {
        self.message_id = self.message_id.wrapping_add(1);
        if let Err(error) = self.coap.respond(self.now, id, response, self.message_id) {
            tracing::debug!("a request was not answered: {error}");
        }
    }

    /// Says no; why, only as often as the message layer may explain anything to whom nobody knows.
    fn refuse(&mut self, id: RequestId<SocketAddr>, code: Code, why: &str) {
        let mut response = Response::of(code);
        if self.admission.knows(id.peer) || self.coap.may_explain(self.now) {
            response.payload = why.as_bytes().to_vec();
        }
        self.respond(id, response);
    }

    fn unavailable(&mut self, id: RequestId<SocketAddr>) {
        self.statistics.unavailable += 1;
        self.refuse(id, Code::SERVICE_UNAVAILABLE, UNAVAILABLE);
    }

    /// The store refused it.
    pub(super) fn uplink_failed(&mut self, id: RequestId<SocketAddr>) {
        self.uplinks_pending -= 1;
        self.unavailable(id);
    }

    /// A name for one message of one device, under which the store finds its copies.
    fn uplink_name(kind: char, id: &RequestId<SocketAddr>) -> Vec<u8> {
        let Fingerprint { message_id, digest } = id.fingerprint;
        format!("{kind}{message_id:x}.{digest:x}@{}", id.peer).into_bytes()
    }

    /// The members about the way to the device (its address, and that of this instance), then its address and port.
    fn way(&self, id: &RequestId<SocketAddr>) -> [Vec<u8>; 3] {
        let (address, port) = (id.peer.ip().to_string(), id.peer.port().to_string());
        let own = &self.own_way;
        let way = [r#""address":""#, &address, r#"","port":"#, &port, ",", own].concat();
        [way.into_bytes(), address.into_bytes(), port.into_bytes()]
    }

    fn uplink(
        &mut self,
        script: Script,
        partition: Partition,
        id: RequestId<SocketAddr>,
        args: Vec<Vec<u8>>,
    ) {
        let uplink = match script {
            Script::Register => Uplink::Register,
            Script::Update => Uplink::Update,
            _ => Uplink::Deregister,
        };
        self.uplinks_pending += 1;
        self.call(script, partition, Purpose::Uplink(id, uplink), args);
        if uplink == Uplink::Update && self.config.planted.is(Mutant::PrematureAnswer) {
            self.respond(id, Response::of(Code::CHANGED));
        }
    }

    fn register(&mut self, id: RequestId<SocketAddr>, register: &Register<'_>) {
        let partition = Partition::of(register.endpoint);
        let root = root_path(register.root());
        let registration = partition.registration_id(&mut self.rng);
        let endpoint = json_string(register.endpoint);
        let pieces = [
            lifetime_piece(register.lifetime),
            register.sms.map(sms_piece).unwrap_or_default(),
            format!(r#""ver":{}"#, json_string(register.version.as_str())),
            binding_piece(register.binding.as_str()),
            format!(r#""ep":{endpoint},"regId":"{registration}""#),
            links_piece(&register.links),
            attributes_piece(&register.attributes),
            root_piece(&root),
        ];
        let lengths: String = pieces.iter().map(|piece| format!("{},", piece.len())).collect();
        let [way, address, port] = self.way(&id);
        let args = vec![
            register.endpoint.as_bytes().to_vec(),
            Self::uplink_name('R', &id),
            registration.into_bytes(),
            way,
            address,
            port,
            register.lifetime.to_string().into_bytes(),
            joined(&pieces).into_bytes(),
            lengths.into_bytes(),
            register.version.as_str().into(),
            root.into_bytes(),
        ];
        self.uplink(Script::Register, partition, id, args);
    }

    fn update(&mut self, id: RequestId<SocketAddr>, update: &Update<'_>) {
        let Some(partition) = Partition::of_registration(update.registration_id) else {
            return self.respond(id, Response::of(Code::NOT_FOUND));
        };
        let root = update.links.as_deref().map(|links| root_path(root(links)));
        let attributes = Some(update.attributes.as_slice()).filter(|attributes| !attributes.is_empty());
        let pieces = [
            (LIFETIME, update.lifetime.map(lifetime_piece)),
            (SMS, update.sms.map(sms_piece)),
            (
                BINDING,
                update.binding.map(|binding| binding_piece(binding.as_str())),
            ),
            (LINKS, update.links.as_deref().map(links_piece)),
            (ATTRIBUTES, attributes.map(attributes_piece)),
            (ROOT, root.as_deref().map(root_piece)),
        ];
        let mut args = vec![
            update.registration_id.as_bytes().to_vec(),
            Self::uplink_name('U', &id),
        ];
        args.extend(self.way(&id));
        if pieces.iter().any(|(_, piece)| piece.is_some()) {
            let lifetime = update.lifetime.map(|seconds| seconds.to_string());
            args.push(lifetime.unwrap_or_default().into_bytes());
            args.push(root.unwrap_or_default().into_bytes());
            for (number, piece) in pieces {
                args.extend(
                    piece
                        .into_iter()
                        .flat_map(|piece| [number.into(), piece.into_bytes()]),
                );
            }
        }
        self.uplink(Script::Update, partition, id, args);
    }

    fn deregister(&mut self, id: RequestId<SocketAddr>, registration: &str) {
        let Some(partition) = Partition::of_registration(registration) else {
            return self.respond(id, Response::of(Code::NOT_FOUND));
        };
        let [_, address, port] = self.way(&id);
        let args = vec![
            registration.as_bytes().to_vec(),
            Self::uplink_name('D', &id),
            address,
            port,
        ];
        self.uplink(Script::Deregister, partition, id, args);
    }

    pub(super) fn uplink_stored(&mut self, id: RequestId<SocketAddr>, uplink: Uplink, reply: Reply) {
        self.uplinks_pending -= 1;
        let stored = matches!(reply.status(), "OK" | "DUPLICATE");
        match reply.status() {
            "STRANGER" => {
                self.statistics.strangers_refused += 1;
                self.admission.was_fruitless(self.now, id.peer);
                tracing::debug!(source = %id.peer, "a De-register from an address that is not the device's is refused");
                return self.refuse(id, Code::UNAUTHORIZED, STRANGER);
            }
            "CROWDED" => return self.refuse(id, Code::BAD_REQUEST, CROWDED),
            _ => {}
        }
        let mut rest = 3;
        let response = match uplink {
            _ if !stored => Response::of(Code::NOT_FOUND),
            Uplink::Register => {
                rest = 4;
                let mut response = Response::of(Code::CREATED);
                response.options.push(option::LOCATION_PATH, b"rd");
                response.options.push(
                    option::LOCATION_PATH,
                    reply.text(3).unwrap_or_default().as_bytes(),
                );
                response
            }
            Uplink::Update => Response::of(Code::CHANGED),
            Uplink::Deregister => Response::of(Code::DELETED),
        };
        if stored {
            self.statistics.uplinks += 1;
            self.admission.vouch(id.peer);
        } else {
            self.statistics.requests_refused += 1;
            self.admission.was_fruitless(self.now, id.peer);
            tracing::debug!(source = %id.peer, ?uplink, "a request of a device is refused: no such registration");
        }
        self.respond(id, response);
        self.orders(reply.into_rest(rest));
    }
}

const UNAVAILABLE: &str = "this server can't reach its store; try again later";
const STRANGER: &str = "a De-register comes from the address of the last Register or Update";
const CROWDED: &str = "a registration has at most 64 query parameters of the device's own";

/// The endpoint client name that a request names, for logs.
fn endpoint_in(options: &Options) -> Option<&str> {
    let named = |query: Result<_, _>| query.ok().and_then(|text: &str| text.strip_prefix("ep="));
    options.uri_query().find_map(named)
}

/// The pieces of a registration's JSON that an Update can replace, by their place in it (`registration.lua`).
const LIFETIME: &str = "1";
const SMS: &str = "2";
const BINDING: &str = "4";
const LINKS: &str = "6";
const ATTRIBUTES: &str = "7";
const ROOT: &str = "8";

fn lifetime_piece(seconds: u32) -> String {
    format!(r#""lt":{seconds}"#)
}

fn sms_piece(number: &str) -> String {
    format!(r#""sms":{}"#, json_string(number))
}

fn binding_piece(binding: &str) -> String {
    format!(r#""bnd":{}"#, json_string(binding))
}

fn links_piece(links: &[Link<'_>]) -> String {
    format!(r#""objLink":{}"#, obj_link(links))
}

fn attributes_piece(attributes: &[(&str, &str)]) -> String {
    format!(r#""addAttr":{}"#, add_attr(attributes))
}

fn root_piece(root: &str) -> String {
    format!(r#""root":{}"#, json_string(root))
}

/// The members of an object; a piece that is empty is none.
fn joined(pieces: &[String]) -> String {
    let present: Vec<&str> = pieces
        .iter()
        .map(String::as_str)
        .filter(|piece| !piece.is_empty())
        .collect();
    present.join(",")
}

/// The path before the objects, with the slash at its end.
fn root_path(root: Option<&str>) -> String {
    match root {
        None => "/".to_owned(),
        Some(root) if root.ends_with('/') => root.to_owned(),
        Some(root) => format!("{root}/"),
    }
}
