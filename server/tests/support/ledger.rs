//! What tickets were told, counted as the contract counts it.

use super::{Sent, World};
use std::collections::BTreeMap;

/// What one ticket was told, copies left out.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    pub acks: usize,
    pub terminals: Vec<String>,
}

pub fn field(text: &str, name: &str) -> String {
    let (_, rest) = text
        .split_once(&format!("\"{name}\":\""))
        .unwrap_or_else(|| panic!("{name} in {text}"));
    rest.split('"').next().unwrap().to_owned()
}

/// What every ticket was told so far.
#[derive(Default)]
pub struct Ledger(pub BTreeMap<String, Told>);

impl Ledger {
    pub fn read(&mut self, world: &mut World) -> Vec<String> {
        let answers = world.answers();
        for text in answers.iter().filter(|text| !text.contains(r#""again":true"#)) {
            let told = self.0.entry(field(text, "ticket")).or_default();
            if text.contains(r#""ack":true"#) {
                assert!(told.terminals.is_empty(), "an ack after the end: {text}");
                told.acks += 1;
            } else {
                told.terminals.push(field(text, "code"));
            }
        }
        answers
    }

    /// One ack, and one terminal with this code.
    pub fn assert_ended(&self, ticket: &str, code: &str) {
        let expected = Told {
            acks: 1,
            terminals: vec![code.to_owned()],
        };
        assert_eq!(self.0.get(ticket), Some(&expected), "{ticket}");
    }
}

pub fn requests(world: &mut World) -> Vec<Sent> {
    let sent = world.sent();
    sent.into_iter().filter(|s| s.message.code.is_request()).collect()
}

/// An endpoint of a partition of this steward.
pub fn endpoint_of(world: &mut World, steward: &str) -> String {
    for n in 0..200 {
        let ep = format!("probe-{n}");
        world.read(&ep, "who");
        if world.answers()[0].ends_with(&format!(r#""by":"{steward}"}}"#)) {
            world.advance(11_000);
            return ep;
        }
    }
    panic!("no partition of {steward} found");
}
