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
use crate::peer::PeerId;
use crate::store::protocol::calls::{self, Arguments};
use crate::store::protocol::replies::Uplinked;
use crate::store::protocol::schema::piece;
use lwm2m::coap::{Code, Fingerprint, Message, Options, Refusal, RequestId, Response, option};
use lwm2m::link::Link;
use lwm2m::registration::{Binding, Register, RegistrationRequest, Update, Version, root};
use rand::Rng;

/// What a device asked for, until the store has it.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Uplink {
    Register,
    Update,
    Deregister,
}

impl Instance {
    pub(super) fn device_request(&mut self, id: RequestId<PeerId>, message: &Message) {
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
        let full = self.uplinks_pending >= limits.uplinks_pending || self.calls.len() >= limits.calls_pending;
        if self.membership().is_none() || !self.calls.are_possible() || full {
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
    pub(super) fn message_refused(&mut self, source: PeerId, reason: Refusal, message: Option<&Message>) {
        self.statistics.messages_refused += 1;
        let query = message.map(|message| &message.options);
        let endpoint = query.and_then(|options| endpoint_in(options)).unwrap_or("");
        tracing::debug!(%source, endpoint, "a message is refused: {reason}");
    }

    fn respond(&mut self, id: RequestId<PeerId>, response: Response) {
        self.message_id = self.message_id.wrapping_add(1);
        if let Err(error) = self.coap.respond(self.now, id, response, self.message_id) {
            tracing::debug!("a request was not answered: {error}");
        }
    }

    /// What the store found wrong with a request.
    fn refuse_uplink(&mut self, id: RequestId<PeerId>, why: &str) {
        self.statistics.requests_refused += 1;
        tracing::debug!(source = %id.peer, "a request of a device is refused: {why}");
        self.refuse(id, Code::BAD_REQUEST, why);
    }

    /// Says no; why, only as often as the message layer may explain anything to whom nobody knows.
    fn refuse(&mut self, id: RequestId<PeerId>, code: Code, why: &str) {
        let mut response = Response::of(code);
        if self.admission.knows(id.peer) || self.coap.may_explain(self.now) {
            response.payload = why.as_bytes().to_vec();
        }
        self.respond(id, response);
    }

    fn unavailable(&mut self, id: RequestId<PeerId>) {
        self.statistics.unavailable += 1;
        self.refuse(id, Code::SERVICE_UNAVAILABLE, UNAVAILABLE);
    }

    /// The store refused it.
    pub(super) fn uplink_failed(&mut self, id: RequestId<PeerId>) {
        self.uplinks_pending -= 1;
        self.unavailable(id);
    }

    /// A name for one message of one device, under which the store finds its copies.
    fn uplink_name(kind: char, id: &RequestId<PeerId>) -> String {
        let Fingerprint { message_id, digest } = id.fingerprint;
        format!("{kind}{message_id:x}.{digest:x}@{}", id.peer)
    }

    /// The members about the way to the device: its address, and that of this instance.
    fn way(&self, id: &RequestId<PeerId>) -> String {
        let address = id.peer.address();
        let (address, port) = (address.ip().to_string(), address.port().to_string());
        [
            r#""address":""#,
            &address,
            r#"","port":"#,
            &port,
            ",",
            &self.own_way,
        ]
        .concat()
    }

    fn uplink<A: Arguments>(
        &mut self,
        partition: Partition,
        id: RequestId<PeerId>,
        uplink: Uplink,
        call: &A,
    ) {
        self.uplinks_pending += 1;
        self.call(partition, Purpose::Uplink(id, uplink), call);
        if uplink == Uplink::Update && self.config.planted.is(Mutant::PrematureAnswer) {
            self.respond(id, Response::of(Code::CHANGED));
        }
    }

    fn register(&mut self, id: RequestId<PeerId>, register: &Register<'_>) {
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
        let call = calls::Register {
            endpoint: register.endpoint,
            uplink: &Self::uplink_name('R', &id),
            id: &registration,
            way: &self.way(&id),
            lifetime: register.lifetime,
            members: &joined(&pieces),
            lengths: &lengths,
            version: register.version.as_str(),
            root: &root,
            nonce: self.rng.next_u32(),
        };
        self.uplink(partition, id, Uplink::Register, &call);
    }

    fn update(&mut self, id: RequestId<PeerId>, update: &Update<'_>) {
        let Some(partition) = Partition::of_registration(update.registration_id) else {
            return self.respond(id, Response::of(Code::NOT_FOUND));
        };
        let root = update.links.as_deref().map(|links| root_path(root(links)));
        let attributes = Some(update.attributes.as_slice()).filter(|attributes| !attributes.is_empty());
        let pieces = [
            (piece::LIFETIME, update.lifetime.map(lifetime_piece)),
            (piece::SMS, update.sms.map(sms_piece)),
            (
                piece::BINDING,
                update.binding.map(|binding| binding_piece(binding.as_str())),
            ),
            (piece::LINKS, update.links.as_deref().map(links_piece)),
            (piece::ATTRIBUTES, attributes.map(attributes_piece)),
            (piece::ROOT, root.as_deref().map(root_piece)),
        ];
        let sent = pieces
            .iter()
            .filter_map(|(number, text)| Some((*number, text.as_deref()?)));
        let changes = calls::changes(sent);
        let call = calls::Update {
            id: update.registration_id,
            uplink: &Self::uplink_name('U', &id),
            way: &self.way(&id),
            nonce: self.rng.next_u32(),
            lifetime: update.lifetime,
            root: root.as_deref(),
            versions: update.binding.map(versions_of),
            changes: Some(changes.as_str()).filter(|changes| !changes.is_empty()),
        };
        self.uplink(partition, id, Uplink::Update, &call);
    }

    fn deregister(&mut self, id: RequestId<PeerId>, registration: &str) {
        let Some(partition) = Partition::of_registration(registration) else {
            return self.respond(id, Response::of(Code::NOT_FOUND));
        };
        let call = calls::Deregister {
            id: registration,
            uplink: &Self::uplink_name('D', &id),
        };
        self.uplink(partition, id, Uplink::Deregister, &call);
    }

    pub(super) fn uplink_stored(&mut self, id: RequestId<PeerId>, uplink: Uplink, uplinked: &Uplinked<'_>) {
        self.uplinks_pending -= 1;
        let response = match uplinked {
            Uplinked::Unknown => Response::of(Code::NOT_FOUND),
            Uplinked::Stranger => {
                self.statistics.strangers_refused += 1;
                self.admission.was_fruitless(self.now, id.peer);
                tracing::debug!(source = %id.peer, "a De-register from an address that is not the device's is refused");
                return self.refuse(id, Code::UNAUTHORIZED, STRANGER);
            }
            Uplinked::Crowded => return self.refuse_uplink(id, CROWDED),
            Uplinked::Misfit => return self.refuse_uplink(id, MISFIT),
            Uplinked::Moved => {
                self.statistics.moved += 1;
                tracing::debug!(source = %id.peer, "an Update came from another address than the device had; that is its address now");
                Response::of(Code::CHANGED)
            }
            Uplinked::Registered(registration) => {
                let mut response = Response::of(Code::CREATED);
                response.options.push(option::LOCATION_PATH, b"rd");
                response
                    .options
                    .push(option::LOCATION_PATH, registration.as_bytes());
                response
            }
            Uplinked::Done => Response::of(match uplink {
                Uplink::Register => Code::CREATED,
                Uplink::Update => Code::CHANGED,
                Uplink::Deregister => Code::DELETED,
            }),
        };
        if *uplinked != Uplinked::Unknown {
            self.statistics.uplinks += 1;
            self.admission.vouch(id.peer);
        } else {
            self.statistics.requests_refused += 1;
            self.admission.was_fruitless(self.now, id.peer);
            tracing::debug!(source = %id.peer, ?uplink, "a request of a device is refused: no such registration");
        }
        self.respond(id, response);
    }
}

const UNAVAILABLE: &str = "this server can't reach its store; try again later";
const STRANGER: &str = "a De-register comes from the address of the last Register or Update";
const MISFIT: &str = "the binding is none of the LwM2M version with which the device registered";
const CROWDED: &str = "a registration has at most 64 query parameters of the device's own";

/// The endpoint client name that a request names, for logs.
fn endpoint_in(options: &Options) -> Option<&str> {
    let named = |query: Result<_, _>| query.ok().and_then(|text: &str| text.strip_prefix("ep="));
    options.uri_query().find_map(named)
}

/// The versions of LwM2M that know a binding.
fn versions_of(binding: Binding<'_>) -> &'static str {
    match [Version::V1_0, Version::V1_1].map(|version| binding.fits(version)) {
        [true, true] => "1.0,1.1",
        [true, false] => "1.0",
        _ => "1.1",
    }
}

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
