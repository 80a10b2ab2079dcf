//! The protocol core: CoAP's message layer (RFC 7252) and the LwM2M data model, as state machines without I/O.
//!
//! Datagrams and the time go in; datagrams, events and the next deadline come out. Nothing here reads a clock, a
//! socket or a global random generator, so the same code runs in real processes and in the virtual world.

pub mod coap;
pub mod format;
pub mod link;
pub mod node;
pub mod objects;
pub mod path;
pub mod registration;
pub mod time;
pub mod value;
