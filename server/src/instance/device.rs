//! The registration interface: what devices ask of the server (OMA TS 1.1 Core, 6.2).
//!
//! A device is answered after the store has what it asked for, by the reply of the very script that stored it. While
//! the store can't be reached the answer is 5.03, never a success.

use super::{Instance, Purpose};
use crate::mutant::Mutant;
use crate::northbound::json_string;
use crate::northbound::registration::{add_attr, obj_link};
use crate::partition::Partition;
use crate::store::{Reply, Script};
use lwm2m::coap::{Code, Message, RequestId, Response, option};
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
                let mut response = Response::of(error.code);
                response.payload = error.message.into_bytes();
                return self.respond(id, response);
            }
        };
        let limits = &self.config.limits;
        let full =
            self.uplinks_pending >= limits.uplinks_pending || self.pending.len() >= limits.calls_pending;
        if self.membership().is_none() || !self.command_up || full {
            return self.unavailable(id);
        }
        match request {
            RegistrationRequest::Register(register) => self.register(id, &register),
            RegistrationRequest::Update(update) => self.update(id, &update),
            RegistrationRequest::Deregister { registration_id } => self.deregister(id, registration_id),
        }
    }

    fn respond(&mut self, id: RequestId<SocketAddr>, response: Response) {
        self.message_id = self.message_id.wrapping_add(1);
        if let Err(error) = self.coap.respond(self.now, id, response, self.message_id) {
            tracing::debug!("a request was not answered: {error}");
        }
    }

    fn unavailable(&mut self, id: RequestId<SocketAddr>) {
        self.statistics.unavailable += 1;
        let mut response = Response::of(Code::SERVICE_UNAVAILABLE);
        response.payload = b"this server can't reach its store; try again later".to_vec();
        self.respond(id, response);
    }

    /// The store refused it.
    pub(super) fn uplink_failed(&mut self, id: RequestId<SocketAddr>) {
        self.uplinks_pending -= 1;
        self.unavailable(id);
    }

    /// A name for one message of one device, under which the store finds its copies.
    fn uplink_name(kind: char, id: &RequestId<SocketAddr>) -> Vec<u8> {
        format!("{kind}{:x}@{}", id.message_id, id.peer).into_bytes()
    }

    /// Source address, its port, and the address of this instance.
    fn addresses(&self, id: &RequestId<SocketAddr>) -> [Vec<u8>; 4] {
        let own = self.config.address;
        [
            id.peer.ip().to_string().into_bytes(),
            id.peer.port().to_string().into_bytes(),
            own.ip().to_string().into_bytes(),
            own.port().to_string().into_bytes(),
        ]
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
        let mut args = vec![
            register.endpoint.as_bytes().to_vec(),
            Self::uplink_name('R', &id),
            partition.registration_id(&mut self.rng).into_bytes(),
        ];
        args.extend(self.addresses(&id));
        args.extend([
            register.lifetime.to_string().into_bytes(),
            register.sms.map(json_string).unwrap_or_default().into_bytes(),
            json_string(register.version.as_str()).into_bytes(),
            json_string(register.binding.as_str()).into_bytes(),
            json_string(register.endpoint).into_bytes(),
            obj_link(&register.links).into_bytes(),
            add_attr(&register.attributes).into_bytes(),
            json_string(&root).into_bytes(),
            register.version.as_str().into(),
            root.into_bytes(),
        ]);
        self.uplink(Script::Register, partition, id, args);
    }

    fn update(&mut self, id: RequestId<SocketAddr>, update: &Update<'_>) {
        let Some(partition) = Partition::of_registration(update.registration_id) else {
            return self.respond(id, Response::of(Code::NOT_FOUND));
        };
        let root = update.links.as_deref().map(|links| root_path(root(links)));
        let mut args = vec![
            update.registration_id.as_bytes().to_vec(),
            Self::uplink_name('U', &id),
        ];
        args.extend(self.addresses(&id));
        args.extend([
            update
                .lifetime
                .map(|seconds| seconds.to_string())
                .unwrap_or_default()
                .into_bytes(),
            update.sms.map(json_string).unwrap_or_default().into_bytes(),
            update
                .binding
                .map(|binding| json_string(binding.as_str()))
                .unwrap_or_default()
                .into_bytes(),
            update
                .links
                .as_deref()
                .map(obj_link)
                .unwrap_or_default()
                .into_bytes(),
            root.as_deref().map(json_string).unwrap_or_default().into_bytes(),
            root.unwrap_or_default().into_bytes(),
            match update.attributes.as_slice() {
                [] => Vec::new(),
                attributes => add_attr(attributes).into_bytes(),
            },
        ]);
        self.uplink(Script::Update, partition, id, args);
    }

    fn deregister(&mut self, id: RequestId<SocketAddr>, registration: &str) {
        let Some(partition) = Partition::of_registration(registration) else {
            return self.respond(id, Response::of(Code::NOT_FOUND));
        };
        let args = vec![registration.as_bytes().to_vec(), Self::uplink_name('D', &id)];
        self.uplink(Script::Deregister, partition, id, args);
    }

    pub(super) fn uplink_stored(&mut self, id: RequestId<SocketAddr>, uplink: Uplink, reply: Reply) {
        self.uplinks_pending -= 1;
        let stored = matches!(reply.status(), "OK" | "DUPLICATE");
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
        }
        self.respond(id, response);
        self.orders(reply.into_rest(rest));
    }
}

/// The path before the objects, with the slash at its end.
fn root_path(root: Option<&str>) -> String {
    match root {
        None => "/".to_owned(),
        Some(root) if root.ends_with('/') => root.to_owned(),
        Some(root) => format!("{root}/"),
    }
}
