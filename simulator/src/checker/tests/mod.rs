//! The checker against hand-written histories: lawful ones pass, and each rule is broken once by a history that breaks
//! nothing else.

mod broken;
mod errors;
mod lawful;
mod memory;
mod registrations;
mod unserved;

use super::*;
use crate::history::{CoapCode, Event, RegistrationChannel};
use lwm2m::coap::Code;

const MS: u64 = 1000;
const RULES: Rules = Rules {
    bound_us: 1_500 * MS,
    lease_us: 1_000 * MS,
    way_us: 1_100_000,
    delay_us: 510_000,
    lossy: Vec::new(),
    separate: false,
    ack_timeout_us: 2_000_000,
    max_retransmit: 4,
    remembered_us: 360_000_000,
    queue_per_endpoint: 64,
};

/// The kind with this name in a history: of a fault, a request, or what a device does.
fn kind_named<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(name.into()).expect("a name that a history knows")
}

/// A history under construction; times are milliseconds.
#[derive(Default)]
struct Story {
    entries: Vec<Entry>,
}

impl Story {
    /// Two instances, a connected back end.
    fn begin() -> Story {
        let story = Story::default().era(0, "start");
        let story = story.with(0, Event::BackEnd { connected: true });
        story.ready(0, "A").ready(0, "B")
    }

    fn add(&mut self, at_ms: u64, event: Event) {
        self.entries.push(Entry {
            at_us: at_ms * MS,
            event,
        });
    }

    fn with(mut self, at_ms: u64, event: Event) -> Story {
        self.add(at_ms, event);
        self
    }

    fn era(self, at_ms: u64, reason: &str) -> Story {
        let reason = reason.into();
        self.with(at_ms, Event::Era { reason })
    }

    fn ready(self, at_ms: u64, id: &str) -> Story {
        self.with(at_ms, Event::InstanceReady { id: id.into() })
    }

    fn request(self, at_ms: u64, ticket: &str, kind: &str, path: &str, attempt: u32) -> Story {
        let argument = match kind {
            "execute" => Some(format!("0='{ticket}'")),
            "write" => Some(ticket.to_string()),
            _ => None,
        };
        self.with(
            at_ms,
            Event::Sent {
                ep: "dev-1".into(),
                ticket: ticket.into(),
                kind: kind_named(kind),
                path: path.into(),
                repeatable: kind != "execute",
                argument,
                timeout_ms: 10_000,
                intended_us: at_ms * MS,
                attempt,
                probe: false,
                published: true,
            },
        )
    }

    fn read(self, at_ms: u64, ticket: &str) -> Story {
        self.request(at_ms, ticket, "read", "/3/0/0", 1)
    }

    fn execute(self, at_ms: u64, ticket: &str) -> Story {
        self.request(at_ms, ticket, "execute", "/3303/0/5605", 1)
    }

    /// A read that is acknowledged after 1 ms.
    fn accepted_read(self, at_ms: u64, ticket: &str, by: &str) -> Story {
        self.read(at_ms, ticket).ack(at_ms + 1, ticket, by)
    }

    /// An execute that is acknowledged after 1 ms.
    fn accepted_execute(self, at_ms: u64, ticket: &str, by: &str) -> Story {
        self.execute(at_ms, ticket).ack(at_ms + 1, ticket, by)
    }

    fn heard(self, at_ms: u64, message: &str) -> Story {
        self.with(
            at_ms,
            Event::Heard {
                message: message.into(),
            },
        )
    }

    /// `rest` stands between the ticket and the speaker.
    fn says(self, at_ms: u64, ticket: &str, rest: &str, by: &str) -> Story {
        self.heard(
            at_ms,
            &format!(r#"{{"ep":"dev-1","ticket":"{ticket}",{rest},"by":"{by}"}}"#),
        )
    }

    fn ack(self, at_ms: u64, ticket: &str, by: &str) -> Story {
        self.says(at_ms, ticket, r#""ack":true"#, by)
    }

    /// An error instead of an acknowledgement.
    fn refused(self, at_ms: u64, ticket: &str, code: &str, by: &str) -> Story {
        let err = format!(r#""err":{{"errorMessage":"no","code":"{code}"}}"#);
        self.says(at_ms, ticket, &err, by)
    }

    /// An error that ends a ticket; `sent` tells whether the request may have reached the device.
    fn failed(self, at_ms: u64, ticket: &str, code: &str, sent: bool, by: &str) -> Story {
        let err = format!(r#""err":{{"errorMessage":"no answer","code":"{code}","sent":{sent}}}"#);
        self.says(at_ms, ticket, &err, by)
    }

    fn value(self, at_ms: u64, ticket: &str, value: &str, by: &str) -> Story {
        let node = format!(r#"{{"kind":"singleresource","id":0,"type":"string","value":"{value}"}}"#);
        self.says(
            at_ms,
            ticket,
            &format!(r#""resp":{{"kind":"read","code":"CONTENT","node":{node}}}"#),
            by,
        )
    }

    fn changed(self, at_ms: u64, ticket: &str, by: &str) -> Story {
        self.says(at_ms, ticket, r#""resp":{"kind":"execute","code":"CHANGED"}"#, by)
    }

    fn executed(self, at_ms: u64, kind: &str, path: &str, exchange: u16, said: Result<&str, &str>) -> Story {
        self.with(
            at_ms,
            Event::DeviceExecuted {
                ep: "dev-1".into(),
                kind: kind_named(kind),
                path: path.into(),
                message_id: exchange,
                token: format!("{exchange:04x}"),
                argument: said.err().map(Into::into),
                code: CoapCode(Code::CONTENT),
                value: said.ok().map(Into::into),
                values: None,
                nonsense: false,
                from: None,
            },
        )
    }

    fn ran(self, at_ms: u64, ticket: &str, exchange: u16) -> Story {
        self.executed(
            at_ms,
            "execute",
            "/3303/0/5605",
            exchange,
            Err(&format!("0='{ticket}'")),
        )
    }

    fn kill(self, at_ms: u64, id: &str) -> Story {
        self.suffers(at_ms, id, "kill")
    }

    fn suffers(self, at_ms: u64, id: &str, action: &str) -> Story {
        self.with(
            at_ms,
            Event::Fault {
                action: kind_named(action),
                instances: vec![id.into()],
                affected: vec!["dev-1".into()],
                harmful: action != "resume",
                lasts_us: None,
            },
        )
    }

    /// An execution of `t1` in the exchange 7 whose sender is known.
    fn ran_for(mut self, at_ms: u64, sender: &str) -> Story {
        self = self.ran(at_ms, "t1", 7);
        if let Some(Event::DeviceExecuted { from, .. }) = self.entries.last_mut().map(|last| &mut last.event)
        {
            *from = Some(sender.into());
        }
        self
    }

    /// Answers a read with what nobody can read.
    fn talks_nonsense(mut self, at_ms: u64, path: &str) -> Story {
        self = self.executed(at_ms, "read", path, 7, Ok(""));
        if let Some(Event::DeviceExecuted { nonsense, value, .. }) =
            self.entries.last_mut().map(|last| &mut last.event)
        {
            (*nonsense, *value) = (true, None);
        }
        self
    }

    fn forgetful(self) -> Story {
        self.with(0, Event::DeviceForgetful { ep: "dev-1".into() })
    }

    fn asleep(self, at_ms: u64, until_ms: u64) -> Story {
        let (ep, until_us) = ("dev-1".into(), until_ms * MS);
        self.with(at_ms, Event::DeviceAsleep { ep, until_us })
    }

    fn rejects(self, at_ms: u64) -> Story {
        let (ep, message_id) = ("dev-1".into(), 7);
        self.with(at_ms, Event::DeviceRejected { ep, message_id })
    }

    fn rebooted(self, at_ms: u64) -> Story {
        self.with(at_ms, Event::DeviceRebooted { ep: "dev-1".into() })
    }

    fn disconnected(self, from_ms: u64, to_ms: u64) -> Story {
        self.with(from_ms, Event::BackEnd { connected: false })
            .with(to_ms, Event::BackEnd { connected: true })
    }

    /// The connections of the back end break, or are whole again.
    fn linked(self, at_ms: u64, up: bool) -> Story {
        let id = "back-end".into();
        self.with(at_ms, Event::Link { id, up })
    }

    fn registration(self, at_ms: u64, channel: RegistrationChannel, id: &str, rev: u64) -> Story {
        let rest = format!(r#""regId":"{id}","rev":{rev},"reason":"replaced""#);
        self.registration_with(at_ms, channel, &rest)
    }

    /// `rest` stands behind the endpoint.
    fn registration_with(self, at_ms: u64, channel: RegistrationChannel, rest: &str) -> Story {
        let plain = format!(r#"{{"ep":"dev-1",{rest}}}"#);
        let message = match channel {
            RegistrationChannel::Up => format!(r#"{{"regUpdate":{{}},"regUpdated":{plain}}}"#),
            _ => plain,
        };
        self.with(at_ms, Event::Registration { channel, message })
    }

    fn judged(self) -> Judgement {
        self.ended_at(60_000)
    }

    fn ended_at(self, at_ms: u64) -> Judgement {
        let story = self
            .with(at_ms, Event::LoadStopped)
            .with(at_ms, Event::Ended { interrupted: false });
        story.cut_off()
    }

    fn cut_off(self) -> Judgement {
        self.judged_by(RULES)
    }

    fn judged_by(self, rules: Rules) -> Judgement {
        let mut checker = Checker::new(rules);
        self.entries.iter().for_each(|entry| checker.observe(entry));
        let mut judgement = checker.finish();
        tell_stories(&mut judgement.violations, self.entries.into_iter());
        judgement
    }
}

/// Exactly this rule is broken, exactly once, and the counter-example is about this ticket.
fn assert_only(judgement: &Judgement, breach: Breach, ticket: &str) -> Violation {
    let counts: Vec<_> = judgement
        .counts
        .iter()
        .map(|(breach, count)| (*breach, *count))
        .collect();
    assert_eq!(counts, [(breach, 1)], "{:#?}", judgement.violations);
    assert_eq!(judgement.violations.len(), 1);
    assert_eq!(judgement.violations[0].ticket, ticket);
    judgement.violations[0].clone()
}

fn assert_lawful(judgement: &Judgement) {
    assert_eq!(
        judgement.counts.values().sum::<u64>(),
        0,
        "{:#?}",
        judgement.violations
    );
}

#[test]
fn an_explanation_says_whose_it_is_as_far_as_that_is_known() {
    let said = [("d1", "t1"), ("d1", ""), ("", "t1"), ("", "")].map(|(ep, ticket)| whose(ep, ticket));
    assert_eq!(said, ["d1 t1: ", "d1: ", "t1: ", ""]);
}
