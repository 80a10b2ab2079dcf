//! Counter-examples: every entry about a violated ticket, collected in a second reading of the history.

use rustc_hash::FxHashMap;

use super::message::Message;
use super::{Breach, Violation};
use crate::dialect::Registration;
use crate::history::{Entry, Event};

/// Longest story kept; what is longer repeats itself.
const MAX_STORY: usize = 60;

/// Fills the stories of these violations from the history, which is read a second time.
pub fn tell_stories<'a>(violations: &mut [Violation], entries: impl Iterator<Item = Entry> + 'a) {
    if violations.is_empty() {
        return;
    }
    let mut by_ticket: FxHashMap<String, Vec<usize>> = FxHashMap::default();
    let mut by_endpoint: FxHashMap<String, Vec<usize>> = FxHashMap::default();
    for (index, violation) in violations.iter().enumerate() {
        if violation.breach == Breach::Event {
            by_endpoint.entry(violation.ep.clone()).or_default().push(index);
        } else {
            by_ticket.entry(violation.ticket.clone()).or_default().push(index);
        }
    }
    for entry in entries {
        let of_all = matches!(
            entry.event,
            Event::Fault { .. }
                | Event::Era { .. }
                | Event::BackEnd { .. }
                | Event::BrokerFull { .. }
                | Event::Calm
        );
        let concerned: Vec<usize> = if of_all {
            (0..violations.len()).collect()
        } else {
            let ticket = ticket_of(&entry).and_then(|ticket| by_ticket.get(ticket.as_str()));
            let endpoint = registration_of(&entry).and_then(|ep| by_endpoint.get(ep.as_str()));
            ticket.or(endpoint).cloned().unwrap_or_default()
        };
        for index in concerned {
            let story = &mut violations[index].story;
            if story.len() < MAX_STORY {
                story.push(entry.clone());
            }
        }
    }
}

/// The ticket that an entry is about. Changing requests carry their ticket as argument: `0='TICKET'` or plain.
fn ticket_of(entry: &Entry) -> Option<String> {
    match &entry.event {
        Event::Sent { ticket, .. } => Some(ticket.clone()),
        Event::NotRecovered { ticket, .. } => (!ticket.is_empty()).then(|| ticket.clone()),
        Event::Heard { message } => Message::parse(message)
            .ok()
            .map(|message| message.ticket.into_owned()),
        Event::DeviceExecuted {
            argument: Some(argument),
            ..
        } => {
            let bare = argument
                .strip_prefix("0='")
                .and_then(|rest| rest.strip_suffix('\''));
            Some(bare.unwrap_or(argument).to_string())
        }
        _ => None,
    }
}

fn registration_of(entry: &Entry) -> Option<String> {
    match &entry.event {
        Event::Registration { channel, message } => {
            let registration = Registration::read(*channel, message);
            registration.ok().map(|registration| registration.ep)
        }
        Event::DeviceRegistered { ep, .. }
        | Event::NotRecovered { ep, .. }
        | Event::DeviceLostRegistration { ep, .. }
        | Event::DeviceDeregistered { ep }
        | Event::DeviceRebooted { ep } => Some(ep.clone()),
        _ => None,
    }
}
