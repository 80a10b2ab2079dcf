//! The back end's side of the ticket contract, stepped by hand.

use super::*;
use rand::SeedableRng;

const F: Duration = Duration::from_millis(1500);
const TIMEOUT: Duration = Duration::from_secs(5);

fn backend() -> BackEnd {
    let options = BackEndOptions {
        repeat_after: F,
        patience: F,
        probe_timeout: TIMEOUT,
        max_open: 3,
        max_endpoints: 100,
        groups: None,
    };
    BackEnd::new(options, ChaCha8Rng::seed_from_u64(42))
}

fn connected() -> BackEnd {
    let mut backend = backend();
    backend.handle_connection(Time::ZERO, true);
    drain_events(&mut backend);
    backend
}

fn read(intended: Time) -> Arrival {
    let operation = Operation {
        kind: RequestKind::Read,
        path: "/3/0/0".into(),
    };
    Arrival {
        intended,
        endpoint: "dev-1".into(),
        operation,
        timeout: TIMEOUT,
        repeat: true,
        impatience: 0.0,
        shared_tickets: 0.0,
    }
}

fn drain_events(backend: &mut BackEnd) -> Vec<Event> {
    std::iter::from_fn(|| backend.poll_event()).collect()
}

fn drain_publications(backend: &mut BackEnd) -> Vec<Arc<str>> {
    std::iter::from_fn(|| backend.poll_publication())
        .map(|publication| publication.payload)
        .collect()
}

/// The (ticket, attempt, published) of the `Sent` events that wait.
fn sent_events(backend: &mut BackEnd) -> Vec<(String, u32, bool)> {
    let sent = |event| match event {
        Event::Sent {
            ticket,
            attempt,
            published,
            ..
        } => Some((ticket, attempt, published)),
        _ => None,
    };
    drain_events(backend).into_iter().filter_map(sent).collect()
}

fn secs(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

/// The ticket of the only publication since the last look.
fn only_ticket(backend: &mut BackEnd) -> String {
    drain_publications(backend);
    let mut sent = sent_events(backend);
    assert_eq!(sent.len(), 1);
    sent.remove(0).0
}

/// Makes one read at time zero and returns its ticket.
fn one_read(backend: &mut BackEnd) -> String {
    backend.request(Time::ZERO, read(Time::ZERO));
    drain_publications(backend);
    sent_events(backend).remove(0).0
}

#[test]
fn a_request_is_published_with_a_fresh_ticket_and_noted_with_its_intended_time() {
    let mut backend = connected();
    backend.request(Time::from_millis(12), read(Time::from_millis(10)));
    let events = drain_events(&mut backend);
    let [
        Event::Sent {
            ep,
            ticket,
            kind,
            path,
            intended_us,
            attempt,
            published,
            probe,
            repeatable,
            ..
        },
    ] = events.as_slice()
    else {
        panic!("one Sent event, not {events:?}")
    };
    assert_eq!(
        (ep.as_str(), *kind, path.as_str()),
        ("dev-1", RequestKind::Read, "/3/0/0")
    );
    assert_eq!(
        (*intended_us, *attempt, *published, *probe, *repeatable),
        (10_000, 1, true, false, true)
    );
    assert_eq!(ticket.len(), 32);
    let payloads = drain_publications(&mut backend);
    assert_eq!(payloads.len(), 1);
    assert!(payloads[0].contains(ticket.as_str()));
}

#[test]
fn silence_for_f_repeats_the_same_ticket_and_an_ack_ends_the_repeating() {
    let mut backend = connected();
    let ticket = one_read(&mut backend);
    backend.handle_timeout(Time::ZERO + F - Duration::from_micros(1));
    assert_eq!(sent_events(&mut backend), []);
    assert_eq!(backend.next_deadline(), Some(Time::ZERO + F));
    backend.handle_timeout(Time::ZERO + F);
    assert_eq!(sent_events(&mut backend), [(ticket.clone(), 2, true)]);
    assert_eq!(drain_publications(&mut backend).len(), 1);
    backend.handle_response(
        Time::ZERO,
        format!(r#"{{"ticket":"{ticket}","ack":true,"by":"A#1"}}"#),
    );
    backend.handle_timeout(Time::ZERO + F * 3);
    assert_eq!(sent_events(&mut backend), []);
    assert_eq!(backend.open(), 1);
    assert_eq!(backend.counts().acked, 1);
}

#[test]
fn an_answer_or_an_error_ends_a_ticket() {
    let mut backend = connected();
    let answered = one_read(&mut backend);
    let failed = one_read(&mut backend);
    backend.handle_response(
        Time::ZERO,
        format!(r#"{{"ticket":"{answered}","resp":{{"kind":"read","code":"CONTENT"}}}}"#),
    );
    backend.handle_response(
        Time::ZERO,
        format!(r#"{{"ticket":"{failed}","err":{{"code":"TIMEOUT"}},"by":"B#2"}}"#),
    );
    assert_eq!(backend.open(), 0);
    assert_eq!((backend.ended_by("A"), backend.ended_by("B")), (0, 1));
    assert_eq!((backend.counts().answered, backend.counts().failed), (1, 1));
    assert_eq!(backend.next_deadline(), None);
}

#[test]
fn everything_heard_is_noted_even_what_is_not_understood_or_not_asked_for() {
    let mut backend = connected();
    for message in ["nonsense", r#"{"ticket":"another's","ack":true}"#] {
        backend.handle_response(Time::ZERO, message.to_owned());
        assert_eq!(
            drain_events(&mut backend),
            [Event::Heard {
                message: message.to_owned()
            }]
        );
    }
    assert_eq!(backend.counts().unreadable, 1);
}

#[test]
fn after_a_broken_connection_every_open_ticket_is_published_again_in_its_order() {
    let mut backend = connected();
    let first = one_read(&mut backend);
    let second = one_read(&mut backend);
    backend.handle_response(Time::ZERO, format!(r#"{{"ticket":"{first}","ack":true}}"#));
    backend.handle_connection(Time::from_millis(100), false);
    backend.request(Time::from_millis(200), read(Time::from_millis(200)));
    assert_eq!(drain_publications(&mut backend).len(), 0);
    let third = sent_events(&mut backend).remove(0);
    assert!(!third.2, "the back end knows that this was not published");
    backend.handle_connection(Time::from_millis(300), true);
    let repeated = sent_events(&mut backend);
    assert_eq!(
        repeated,
        [(first, 2, true), (second, 2, true), (third.0, 2, true)]
    );
    assert_eq!(drain_publications(&mut backend).len(), 3);
}

#[test]
fn a_load_that_does_not_repeat_publishes_once() {
    let mut backend = connected();
    backend.request(
        Time::ZERO,
        Arrival {
            repeat: false,
            ..read(Time::ZERO)
        },
    );
    sent_events(&mut backend);
    backend.handle_timeout(Time::ZERO + F);
    backend.handle_connection(Time::ZERO + F, false);
    backend.handle_connection(Time::ZERO + F * 2, true);
    assert_eq!(sent_events(&mut backend), []);
    assert_eq!(backend.open(), 1, "it is still waited for");
}

#[test]
fn without_a_connection_nothing_is_repeated() {
    let mut backend = connected();
    one_read(&mut backend);
    backend.handle_connection(Time::from_millis(100), false);
    backend.handle_timeout(Time::ZERO + F);
    assert_eq!(sent_events(&mut backend), []);
}

#[test]
fn a_ticket_that_nobody_answers_is_given_up_so_that_a_run_ends() {
    let mut backend = connected();
    one_read(&mut backend);
    backend.stop_load();
    let mut attempts = 0;
    while let Some(due) = backend.next_deadline() {
        assert!(due <= Time::ZERO + (TIMEOUT + F) * 2);
        backend.handle_timeout(due);
        attempts += sent_events(&mut backend).len();
    }
    assert_eq!(attempts, 4, "at 1.5, 3, 4.5 and 6 s, before timeout + F");
    assert_eq!(backend.counts().abandoned, 1);
    assert!(backend.is_finished());
}

#[test]
fn the_end_of_the_load_is_noted_once_and_the_run_ends_with_the_last_ticket() {
    let mut backend = connected();
    let ticket = one_read(&mut backend);
    backend.stop_load();
    backend.stop_load();
    assert_eq!(drain_events(&mut backend), [Event::LoadStopped]);
    assert!(!backend.is_finished());
    backend.handle_response(Time::ZERO, format!(r#"{{"ticket":"{ticket}","resp":{{}}}}"#));
    assert!(backend.is_finished());
}

#[test]
fn a_probe_is_a_read_that_says_so() {
    let mut backend = connected();
    backend.probe(Time::from_millis(7), "dev-9".into());
    let events = drain_events(&mut backend);
    let [
        Event::Sent {
            ep,
            path,
            probe: true,
            intended_us: 7_000,
            ..
        },
    ] = events.as_slice()
    else {
        panic!("one probe, not {events:?}")
    };
    assert_eq!((ep.as_str(), path.as_str()), ("dev-9", "/3/0/2"));
}

#[test]
fn beyond_the_limit_of_open_tickets_requests_are_refused_and_counted() {
    let mut backend = connected();
    (0..5).for_each(|_| backend.request(Time::ZERO, read(Time::ZERO)));
    assert_eq!(backend.open(), 3);
    assert_eq!((backend.counts().sent, backend.counts().refused), (3, 2));
}

#[test]
fn registration_events_are_noted_and_fill_the_registry() {
    let mut backend = connected();
    let message = r#"{"ep":"dev-1","regPort":5683}"#;
    backend.handle_registration(RegistrationChannel::New, message.to_owned());
    let expected = Event::Registration {
        channel: RegistrationChannel::New,
        message: message.to_owned(),
    };
    assert_eq!(drain_events(&mut backend), [expected]);
    assert_eq!(backend.registry().owned_by(5683).len(), 1);
}

#[test]
fn an_impatient_back_end_publishes_a_ticket_once_more_even_if_it_has_ended() {
    let mut backend = connected();
    let impatient = || Arrival {
        impatience: 1.0,
        ..read(Time::ZERO)
    };
    backend.request(Time::ZERO, impatient());
    backend.request(Time::ZERO, impatient());
    let published = drain_publications(&mut backend);
    let sent = sent_events(&mut backend);
    let (ended, open) = (&sent[0].0, &sent[1].0);
    for ticket in [ended, open] {
        backend.handle_response(
            Time::ZERO,
            format!(r#"{{"ep":"dev-1","ticket":"{ticket}","ack":true,"by":"A#1"}}"#),
        );
    }
    let outcome = format!(r#"{{"ep":"dev-1","ticket":"{ended}","resp":{{"code":"CONTENT"}},"by":"A#1"}}"#);
    backend.handle_response(Time::ZERO, outcome);
    assert!(
        backend
            .next_deadline()
            .is_some_and(|at| at < Time::ZERO + IMPATIENCE)
    );
    backend.handle_timeout(Time::ZERO + IMPATIENCE);
    let mut again = sent_events(&mut backend);
    again.sort_by_key(|(ticket, ..)| ticket != ended);
    assert_eq!(again, [(ended.clone(), 2, true), (open.clone(), 2, true)]);
    let mut copies = drain_publications(&mut backend);
    copies.sort_by_key(|copy| *copy != published[0]);
    assert_eq!(copies, published);
    assert_eq!((backend.open(), backend.counts().repeats), (1, 2));
}

#[test]
fn endpoints_that_share_a_ticket_are_told_apart_by_their_answers() {
    let mut backend = connected();
    let sharing = |endpoint: &str| Arrival {
        endpoint: endpoint.into(),
        shared_tickets: 1.0,
        ..read(Time::ZERO)
    };
    for endpoint in ["dev-1", "dev-2", "dev-2"] {
        backend.request(Time::ZERO, sharing(endpoint));
    }
    let sent = sent_events(&mut backend);
    assert_eq!(sent[0].0, sent[1].0);
    assert_ne!(sent[1].0, sent[2].0, "an endpoint does not get a ticket twice");
    let ticket = &sent[0].0;
    let outcome =
        |ep| format!(r#"{{"ep":"{ep}","ticket":"{ticket}","resp":{{"code":"CONTENT"}},"by":"A#1"}}"#);
    backend.handle_response(Time::ZERO, outcome("dev-2"));
    assert_eq!((backend.open(), backend.counts().answered), (2, 1));
    backend.handle_response(Time::ZERO, outcome("dev-2"));
    assert_eq!((backend.open(), backend.counts().answered), (2, 1));
    backend.handle_response(Time::ZERO, outcome("dev-1"));
    assert_eq!((backend.open(), backend.counts().answered), (1, 2));
}

#[test]
fn a_device_that_is_probed_is_asked_again_after_an_error_until_it_answers_or_the_load_is_over() {
    let mut backend = connected();
    backend.probe(secs(10), "dev-1".into());
    let ticket = only_ticket(&mut backend);
    let outcome = |ticket: &str, rest: &str| format!(r#"{{"ep":"dev-1","ticket":"{ticket}",{rest}}}"#);
    let unknown = r#""err":{"code":"UNKNOWN_ENDPOINT"}"#;
    // A quarter of the time since the fault, at least 100 ms.
    backend.handle_response(secs(10), outcome(&ticket, unknown));
    let again = Time::from_millis(10_100);
    assert_eq!(backend.next_deadline(), Some(again));
    backend.handle_timeout(again);
    let second = only_ticket(&mut backend);
    assert_ne!(second, ticket);
    backend.handle_response(secs(14), outcome(&second, unknown));
    assert_eq!(backend.next_deadline(), Some(secs(15)));
    backend.handle_timeout(secs(15));
    let third = only_ticket(&mut backend);
    backend.handle_response(
        secs(15),
        outcome(&third, r#""resp":{"kind":"read","code":"CONTENT"}"#),
    );
    assert_eq!(backend.next_deadline(), None);

    backend.probe(secs(20), "dev-1".into());
    let ticket = only_ticket(&mut backend);
    backend.handle_response(secs(21), outcome(&ticket, unknown));
    backend.stop_load();
    assert_eq!((backend.next_deadline(), backend.is_finished()), (None, true));
}
