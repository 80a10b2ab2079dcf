//! Each error code without its lawful cause, and with it.

use super::*;

/// A read that ends with this error after 100 ms; what happens `before` it is sent and `while` it is open.
fn read_fails(code: &str, before: fn(Story) -> Story, meanwhile: fn(Story) -> Story) -> Judgement {
    let story = before(Story::begin()).accepted_read(5_000, "t1", "A#1");
    meanwhile(story).failed(5_100, "t1", code, true, "A#1").judged()
}

fn execute_fails(code: &str, meanwhile: fn(Story) -> Story, after: fn(Story) -> Story) -> Judgement {
    let story = Story::begin().accepted_execute(5_000, "t1", "A#1");
    after(meanwhile(story).failed(5_100, "t1", code, true, "A#1")).judged()
}

fn refused(code: &str, before: impl FnOnce(Story) -> Story) -> Judgement {
    let story = before(Story::begin()).read(5_000, "t1");
    story.refused(5_001, "t1", code, "A#1").judged()
}

fn none(story: Story) -> Story {
    story
}

fn registered(story: Story) -> Story {
    story.registration(1_000, RegistrationChannel::New, "r1", 1)
}

fn deleted(story: Story, at_ms: u64, reason: &str) -> Story {
    let rest = format!(r#""regId":"r1","rev":2,"reason":"{reason}""#);
    story.registration_with(at_ms, RegistrationChannel::Del, &rest)
}

fn unlawful(judgement: &Judgement) -> String {
    assert_only(judgement, Breach::UnlawfulError, "t1").explanation
}

#[test]
fn a_registered_endpoint_is_not_unknown() {
    assert_eq!(
        unlawful(&refused("UNKNOWN_ENDPOINT", registered)),
        "UNKNOWN_ENDPOINT, but the endpoint had been registered since 1.000 s"
    );
    // It was gone before, or came only while the request was under way.
    assert_lawful(&refused("UNKNOWN_ENDPOINT", |story| {
        deleted(registered(story), 2_000, "deregistered")
    }));
    let story = Story::begin().read(5_000, "t1");
    let story = story.registration(5_001, RegistrationChannel::New, "r1", 1);
    assert_lawful(&story.refused(5_002, "t1", "UNKNOWN_ENDPOINT", "A#1").judged());
    // A replacement is no interruption.
    let replaced = |story: Story| {
        let story = deleted(registered(story), 5_000, "replaced");
        story.registration(5_000, RegistrationChannel::New, "r2", 3)
    };
    unlawful(&refused("UNKNOWN_ENDPOINT", replaced));
    // The end may have been missed; the broker may have forgotten.
    assert_lawful(&refused("UNKNOWN_ENDPOINT", |story| {
        registered(story).disconnected(2_000, 3_000)
    }));
    assert_lawful(&refused("UNKNOWN_ENDPOINT", |story| {
        registered(story).era(2_000, "emptied")
    }));
}

#[test]
fn a_request_that_was_acked_is_not_refused_afterwards() {
    for code in [
        "UNKNOWN_ENDPOINT",
        "OVERLOADED",
        "BAD_REQUEST",
        "INTERNAL",
        "CANCELLED",
        "NEW_CODE",
    ] {
        unlawful(&read_fails(code, none, none));
    }
}

#[test]
fn an_error_before_its_time_is_reported() {
    assert_eq!(
        unlawful(&read_fails("TIMEOUT", none, none)),
        "TIMEOUT, but only 0.100 s of its timeout of 10000 ms had passed"
    );
    assert_eq!(
        unlawful(&read_fails("UNREACHABLE", none, none)),
        "UNREACHABLE, but it had been tried for 0.100 s only: CoAP does so for 62.000 s at least"
    );
    let suspended = |story: Story| {
        let (of, ahead_us, rate_ppm) = ("A".into(), 60_000_000, 0);
        story.with(
            5_050,
            Event::Clock {
                of,
                ahead_us,
                rate_ppm,
            },
        )
    };
    assert_lawful(&read_fails("UNREACHABLE", none, suspended));
    assert_lawful(&read_fails("TIMEOUT", none, suspended));
}

/// A read that is given up 70 s after it was acked, by a message layer that sends for 62 to 93 s.
fn unreachable(meanwhile: fn(Story) -> Story, rules: Rules) -> Judgement {
    let mut story = Story::begin().accepted_read(5_000, "t1", "A#1");
    for entry in &mut story.entries {
        if let Event::Sent { timeout_ms, .. } = &mut entry.event {
            *timeout_ms = 120_000;
        }
    }
    let story = meanwhile(story).failed(75_000, "t1", "UNREACHABLE", true, "A#1");
    let interrupted = false;
    story.with(80_000, Event::Ended { interrupted }).judged_by(rules)
}

#[test]
fn a_healthy_device_is_not_unreachable() {
    unlawful(&unreachable(none, RULES));
    unlawful(&unreachable(|story| story.asleep(6_000, 10_000), RULES));
    assert_lawful(&unreachable(|story| story.asleep(6_000, 60_000), RULES));
    assert_lawful(&unreachable(|story| story.kill(60_000, "B"), RULES));
    let lossy = vec![true];
    assert_lawful(&unreachable(none, Rules { lossy, ..RULES }));
}

#[test]
fn only_who_rejected_something_is_said_to_have() {
    unlawful(&read_fails("REJECTED", none, none));
    unlawful(&read_fails("REJECTED", |story| story.rejects(4_999), none));
    assert_lawful(&read_fails("REJECTED", none, |story| story.rejects(5_050)));
}

#[test]
fn only_nonsense_may_be_called_undecodable() {
    let plain = |story: Story| story.executed(5_050, "read", "/3/0/0", 7, Ok("Acme"));
    let nonsense = |story: Story| story.talks_nonsense(5_050, "/3/0/0");
    assert_lawful(&read_fails("UNDECODABLE", none, nonsense));
    unlawful(&read_fails("UNDECODABLE", none, plain));
    unlawful(&read_fails("UNDECODABLE", none, |story| {
        story.talks_nonsense(5_050, "/3/0/1")
    }));
    unlawful(&read_fails(
        "UNDECODABLE",
        |story| story.talks_nonsense(4_000, "/3/0/0"),
        none,
    ));
    unlawful(&execute_fails("UNDECODABLE", none, none));
}

#[test]
fn an_outcome_is_unknown_only_of_what_may_be_sent_once_and_for_a_reason() {
    let killed = |story: Story| story.kill(5_050, "A");
    assert_lawful(&execute_fails("OUTCOME_UNKNOWN", killed, none));
    unlawful(&read_fails("OUTCOME_UNKNOWN", none, killed));
    assert_eq!(
        unlawful(&execute_fails("OUTCOME_UNKNOWN", none, none)),
        "OUTCOME_UNKNOWN, but no instance died, and the registration of the device did not end"
    );
    for reason in ["replaced", "deregistered", "expired"] {
        let story = registered(Story::begin()).accepted_execute(5_000, "t1", "A#1");
        let story = story.failed(5_100, "t1", "OUTCOME_UNKNOWN", true, "A#1");
        assert_lawful(&deleted(story, 5_100, reason).ended_at(7_000));
    }
}

#[test]
fn a_device_is_gone_only_if_its_registration_ends() {
    assert_eq!(
        unlawful(&read_fails("GONE", none, none)),
        "GONE, but the registration of the device did not end"
    );
    let gone = |reason| {
        let story = registered(Story::begin()).accepted_read(5_000, "t1", "A#1");
        let story = story.failed(5_100, "t1", "GONE", false, "A#1");
        deleted(story, 5_100, reason).judged()
    };
    assert_lawful(&gone("deregistered"));
    unlawful(&gone("replaced"));
    // Its announcement may have been missed.
    let missed = |story: Story| story.disconnected(5_101, 5_200);
    let story = Story::begin().accepted_execute(5_000, "t1", "A#1");
    assert_lawful(&missed(story.failed(5_100, "t1", "GONE", true, "A#1")).judged());
    // So may it if both were missed, and a copy is heard.
    let story = missed(Story::begin().accepted_read(5_000, "t1", "A#1"));
    let story = story.request(5_201, "t1", "read", "/3/0/0", 2);
    let copy = r#""err":{"errorMessage":"","code":"GONE","sent":false},"again":true"#;
    assert_lawful(&story.says(5_202, "t1", copy, "A#1").judged());
}

#[test]
fn nobody_is_overloaded_by_less_than_the_limit() {
    let waiting = |count: u64| {
        move |story: Story| {
            (0..count).fold(story, |story, number| {
                story.accepted_read(4_000, &format!("w{number}"), "A#1")
            })
        }
    };
    let judged = |count| refused("OVERLOADED", waiting(count)).count(Breach::UnlawfulError);
    assert_eq!((judged(63), judged(64)), (1, 0));
}

#[test]
fn an_error_of_a_device_is_one_that_it_gave() {
    let answered = |said: &'static str, code: &str| {
        let story = Story::begin().accepted_execute(5_000, "t1", "A#1");
        let mut story = story.ran(5_050, "t1", 7);
        if let Some(Event::DeviceExecuted { code, .. }) = story.entries.last_mut().map(|last| &mut last.event)
        {
            *code = said.parse().unwrap();
        }
        let resp = format!(r#""resp":{{"kind":"execute","code":"{code}"}}"#);
        story.says(5_100, "t1", &resp, "A#1").judged()
    };
    assert_lawful(&answered("4.05", "METHOD_NOT_ALLOWED"));
    assert_eq!(
        unlawful(&answered("4.05", "NOT_FOUND")),
        "NOT_FOUND, but the device answered 4.05"
    );
    unlawful(&answered("2.04", "SERVICE_UNAVAILABLE"));
}

#[test]
fn what_was_judged_and_what_was_excused_is_counted() {
    let judgement = refused("UNKNOWN_ENDPOINT", |story| {
        registered(story).disconnected(2_000, 3_000)
    });
    let counts = &judgement.judged[&Breach::UnlawfulError];
    assert_eq!(
        (counts.judged, &counts.excused),
        (0, &[(Excuse::Missed, 1)].into())
    );
    let judgement = refused("UNKNOWN_ENDPOINT", none);
    assert_eq!(judgement.judged[&Breach::UnlawfulError].judged, 1);
}
