//! The link as the tests see it: what it wants of its connections, and what it tells the instance.

use super::resp::{Read, encode, read};
use super::*;

const NOW: Time = Time::from_millis(1000);
const LEASE: Duration = Duration::from_secs(1);
/// Calls that may be under way at the beginning with this lease.
const WINDOW: usize = 500;

fn link() -> Link {
    Link::new(NOW, Login::default(), LEASE, Planted::default())
}

fn call(id: u64, script: Script) -> Rc<Call> {
    Rc::new(Call {
        id,
        script,
        key: "{p00}m".to_owned(),
        args: vec![b"argument".to_vec()],
    })
}

fn status(text: &str) -> Answer {
    Ok(Value::Bytes(text.into()))
}

fn reply(text: &str) -> Answer {
    Ok(Value::Array(vec![Value::Bytes(text.into())]))
}

/// What the link wants, as text.
fn wanted(link: &mut Link) -> Vec<String> {
    std::iter::from_fn(|| link.poll_output())
        .map(|output| match output {
            Output::Open(side) => format!("open {side:?}"),
            Output::Close(side) => format!("close {side:?}"),
            Output::Send(_, Command::Call { hash, call }) => format!("{hash} {}", call.id),
            Output::Send(_, Command::Load(_)) => "load".to_owned(),
            Output::Send(side, command) => format!("{side:?}: {command:?}"),
        })
        .collect()
}

fn told(link: &mut Link, side: Side) -> Vec<String> {
    std::iter::from_fn(|| link.poll_event(side))
        .map(|event| match event {
            Event::Answered(call, Ok(reply)) => format!("{} {}", call.id, reply.status()),
            Event::Answered(call, Err(words)) => format!("{} {words}", call.id),
            Event::Message { payload, .. } => String::from_utf8_lossy(&payload).into_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

/// The connection for calls is made, and all scripts are loaded.
fn connect(link: &mut Link, now: Time) {
    link.opened(now, Side::Command);
    for script in Script::ALL {
        link.answered(now, Side::Command, status(&format!("{script:?}")));
    }
    assert_eq!(told(link, Side::Command).last().unwrap(), "CommandConnected");
    wanted(link);
}

fn connected() -> Link {
    let mut link = link();
    connect(&mut link, NOW);
    link
}

fn listening() -> Link {
    let mut link = connected();
    link.subscribe(NOW, vec!["requests".to_owned(), "own".to_owned()]);
    link.opened(NOW, Side::Subscriber);
    for _ in 0..2 {
        link.answered(NOW, Side::Subscriber, reply("subscribe"));
    }
    assert_eq!(told(&mut link, Side::Subscriber), ["SubscriberConnected"]);
    wanted(&mut link);
    link
}

fn after(ms: u64) -> Time {
    NOW + Duration::from_millis(ms)
}

#[test]
fn nothing_is_called_before_every_script_is_loaded_and_the_instance_knows() {
    let mut link = link();
    assert_eq!(wanted(&mut link), ["open Command"]);
    link.call(NOW, call(1, Script::Join));
    link.opened(NOW, Side::Command);
    assert_eq!(wanted(&mut link), vec!["load"; Script::ALL.len()]);
    for _ in Script::ALL {
        link.call(NOW, call(2, Script::Join));
        assert_eq!(told(&mut link, Side::Command), [""; 0]);
        link.answered(NOW, Side::Command, status("hash"));
    }
    link.call(NOW, call(3, Script::Join));
    assert_eq!(told(&mut link, Side::Command), ["CommandConnected"]);
    link.call(NOW, call(4, Script::Join));
    assert_eq!(wanted(&mut link), ["hash 4"]);
}

#[test]
fn who_logs_in_does_so_before_anything_else() {
    let login = Login {
        user: Some("me".to_owned()),
        password: Some("secret".to_owned()),
        database: 3,
    };
    let mut link = Link::new(NOW, login, LEASE, Planted::default());
    link.opened(NOW, Side::Command);
    let wanted = wanted(&mut link);
    assert_eq!(
        wanted[1..4],
        [
            r#"Command: Login { user: Some("me"), password: "secret" }"#,
            "Command: Database(\"3\")",
            "load"
        ]
    );
    link.answered(
        NOW,
        Side::Command,
        Err("WRONGPASS invalid username-password pair".to_owned()),
    );
    assert_eq!(link.next_deadline(), Some(NOW + RETRY));
}

#[test]
fn calls_leave_in_the_order_in_which_they_were_made_and_so_many_at_a_time() {
    let mut link = connected();
    let made: Vec<u64> = (1..=WINDOW as u64 + 100).collect();
    made.iter()
        .for_each(|&id| link.call(NOW, call(id, Script::Accept)));
    let names = |ids: &[u64]| ids.iter().map(|id| format!("Accept {id}")).collect::<Vec<_>>();
    assert_eq!(wanted(&mut link), names(&made[..WINDOW]));
    link.answered(NOW, Side::Command, reply("OK"));
    link.answered(NOW, Side::Command, Err("OOM no memory".to_owned()));
    assert_eq!(told(&mut link, Side::Command), ["1 OK", "2 OOM no memory"]);
    // The room of both, and one more for each prompt answer.
    assert_eq!(wanted(&mut link), names(&made[WINDOW..WINDOW + 4]));
}

#[test]
fn a_broker_that_is_slow_has_half_as_many_under_way_until_it_is_prompt_again() {
    let mut link = connected();
    (0..2000).for_each(|id| link.call(NOW, call(id, Script::Accept)));
    assert_eq!(wanted(&mut link).len(), WINDOW);
    let answer = |link: &mut Link, now: Time, count: usize| {
        (0..count).for_each(|_| link.answered(now, Side::Command, reply("OK")));
        wanted(link).len()
    };
    // All of them left at the same moment, so they tell of one slowness, not of five hundred.
    assert_eq!(answer(&mut link, after(63), WINDOW / 2), 0);
    assert_eq!(answer(&mut link, after(63), WINDOW / 2), WINDOW / 2);
    assert_eq!(answer(&mut link, after(63 + 62), 10), 20);
    // However slow it is, something is under way.
    let mut ms = 63 + 62;
    for _ in 0..20 {
        ms += 100;
        let owed = link.command.owed.len();
        answer(&mut link, after(ms), owed);
    }
    assert_eq!(link.command.owed.len(), 16);
}

#[test]
fn a_renewal_waits_behind_nothing_that_has_not_left() {
    let mut link = connected();
    (0..1000).for_each(|id| link.call(NOW, call(id, Script::Accept)));
    wanted(&mut link);
    link.call(NOW, call(1000, Script::Renew));
    link.call(NOW, call(1001, Script::MarkDead));
    assert_eq!(wanted(&mut link), ["Renew 1000", "MarkDead 1001"]);
    // A member that leaves has said everything before it.
    link.call(NOW, call(1002, Script::Leave));
    assert_eq!(wanted(&mut link), [""; 0]);
}

#[test]
fn long_arguments_fill_the_window_too() {
    let mut link = connected();
    for id in 1..=40 {
        let mut long = call(id, Script::Accept);
        Rc::make_mut(&mut long).args.push(vec![b'x'; 64 << 10]);
        link.call(NOW, long);
    }
    assert_eq!(wanted(&mut link).len(), 16);
}

#[test]
fn a_broker_that_can_not_be_called_loses_its_connection_and_what_waits_is_not_said_on_the_next() {
    for words in [
        "NOSCRIPT No matching script",
        "READONLY You can't write against a read only replica",
        "LOADING Redis is loading the dataset in memory",
    ] {
        let mut link = connected();
        (1..=3).for_each(|id| link.call(NOW, call(id, Script::Update)));
        link.answered(NOW, Side::Command, reply("OK"));
        wanted(&mut link);
        link.answered(NOW, Side::Command, Err(words.to_owned()));
        assert_eq!(wanted(&mut link), ["close Command"], "{words}");
        // The instance has not read that yet.
        link.call(NOW, call(4, Script::Update));
        link.handle_timeout(NOW + RETRY);
        assert_eq!(wanted(&mut link), ["open Command"]);
        link.opened(NOW, Side::Command);
        Script::ALL
            .iter()
            .for_each(|_| link.answered(NOW, Side::Command, status("hash")));
        link.call(NOW, call(5, Script::Update));
        wanted(&mut link);
        assert_eq!(
            told(&mut link, Side::Command),
            ["1 OK", "CommandLost", "CommandConnected"]
        );
        link.call(NOW, call(6, Script::Renew));
        assert_eq!(wanted(&mut link), ["hash 6"]);
    }
}

#[test]
fn a_broker_that_accepts_a_connection_and_says_nothing_is_given_up() {
    let mut link = link();
    link.opened(NOW, Side::Command);
    wanted(&mut link);
    assert_eq!(link.next_deadline(), Some(after(5000)));
    link.handle_timeout(after(4999));
    assert_eq!(wanted(&mut link), [""; 0]);
    link.handle_timeout(after(5000));
    assert_eq!(wanted(&mut link), ["close Command"]);
    assert_eq!(told(&mut link, Side::Command), [""; 0]);
    link.handle_timeout(after(5100));
    assert_eq!(wanted(&mut link), ["open Command"]);
}

#[test]
fn a_join_that_is_never_answered_ends_with_its_connection_and_a_slow_answer_does_not() {
    let mut link = connected();
    link.call(after(1000), call(1, Script::Join));
    link.call(after(2000), call(2, Script::Sweep));
    assert_eq!(link.next_deadline(), Some(after(6000)));
    link.answered(after(5000), Side::Command, reply("OK"));
    assert_eq!(link.next_deadline(), Some(after(10_000)));
    link.handle_timeout(after(10_000));
    assert_eq!(told(&mut link, Side::Command), ["1 OK", "CommandLost"]);
    let mut idle = connected();
    assert_eq!(idle.next_deadline(), None);
    idle.handle_timeout(after(3_600_000));
    assert!(idle.is_up(Side::Command));
}

#[test]
fn a_subscription_on_which_nothing_is_heard_is_asked_whether_it_is_there() {
    let mut link = listening();
    link.heard(after(1000), "requests".to_owned(), b"{}".to_vec());
    assert_eq!(link.next_deadline(), Some(after(6000)));
    link.handle_timeout(after(6000));
    assert_eq!(wanted(&mut link), ["Subscriber: Ping"]);
    link.answered(after(6001), Side::Subscriber, reply("pong"));
    link.handle_timeout(after(11_001));
    assert_eq!(wanted(&mut link), ["Subscriber: Ping"]);
    link.handle_timeout(after(16_001));
    assert_eq!(wanted(&mut link), ["close Subscriber"]);
    assert_eq!(told(&mut link, Side::Subscriber), ["{}", "SubscriberLost"]);
}

#[test]
fn what_was_heard_before_all_subscriptions_stood_follows_the_news_that_they_do() {
    let mut link = connected();
    link.subscribe(NOW, vec!["requests".to_owned(), "own".to_owned()]);
    link.opened(NOW, Side::Subscriber);
    link.answered(NOW, Side::Subscriber, reply("subscribe"));
    link.heard(NOW, "requests".to_owned(), b"early".to_vec());
    assert_eq!(told(&mut link, Side::Subscriber), [""; 0]);
    link.answered(NOW, Side::Subscriber, reply("subscribe"));
    assert_eq!(
        told(&mut link, Side::Subscriber),
        ["SubscriberConnected", "early"]
    );
}

#[test]
fn a_heartbeat_goes_before_requests_but_not_from_one_connection_to_another() {
    let mut link = listening();
    link.heard(NOW, "requests".to_owned(), b"first".to_vec());
    link.heard(NOW, "own".to_owned(), b"T\nmark".to_vec());
    link.heard(NOW, "own".to_owned(), b"H\nheartbeat".to_vec());
    assert_eq!(
        told(&mut link, Side::Subscriber),
        ["H\nheartbeat", "first", "T\nmark"]
    );
    link.heard(NOW, "requests".to_owned(), b"last".to_vec());
    link.lost(NOW, Side::Subscriber, "cut");
    link.handle_timeout(NOW + RETRY);
    link.opened(NOW, Side::Subscriber);
    (0..2).for_each(|_| link.answered(NOW, Side::Subscriber, reply("subscribe")));
    link.heard(NOW, "own".to_owned(), b"H\nof the next".to_vec());
    assert_eq!(
        told(&mut link, Side::Subscriber),
        ["last", "SubscriberLost", "SubscriberConnected", "H\nof the next"]
    );
}

#[test]
fn who_does_not_look_at_what_it_hears_hears_no_more() {
    let mut link = listening();
    for _ in 0..8 {
        assert!(link.wants_messages());
        link.heard(NOW, "requests".to_owned(), vec![b'x'; 1 << 20]);
    }
    assert!(!link.wants_messages());
    told(&mut link, Side::Subscriber);
    assert!(link.wants_messages());
}

#[test]
fn a_reset_leaves_nothing_of_before() {
    let mut link = listening();
    link.call(NOW, call(1, Script::Accept));
    link.heard(NOW, "requests".to_owned(), b"{}".to_vec());
    link.answered(NOW, Side::Command, reply("OK"));
    link.call(NOW, call(2, Script::Accept));
    link.reset(NOW);
    assert_eq!(
        wanted(&mut link),
        ["close Command", "close Subscriber", "open Command"]
    );
    assert!(!link.has_events(Side::Command) && !link.has_events(Side::Subscriber));
    connect(&mut link, NOW);
    link.call(NOW, call(3, Script::Join));
    assert_eq!(wanted(&mut link), ["Join 3"]);
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let mut link = connected();
    link.answered(NOW, Side::Command, status("OK"));
    assert_eq!(wanted(&mut link), ["close Command"]);
}

#[test]
fn commands_and_answers_have_the_form_of_the_protocol() {
    let mut out = Vec::new();
    let hash = Rc::from("abc");
    let call = call(1, Script::Renew);
    encode(&Command::Call { hash, call }, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "*5\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n1\r\n$6\r\n{p00}m\r\n$8\r\nargument\r\n"
    );
    let bytes = b"*3\r\n$2\r\nOK\r\n:12\r\n$-1\r\n-ERR no\r\n";
    for end in 0..22 {
        assert_eq!(read(&bytes[..end], false), Ok(None), "{end} bytes");
    }
    let values = vec![Value::Bytes(b"OK".to_vec()), Value::Integer(12), Value::Nil];
    assert_eq!(
        read(bytes, false),
        Ok(Some((Read::Answer(Ok(Value::Array(values))), 22)))
    );
    assert_eq!(
        read(&bytes[22..], false),
        Ok(Some((Read::Answer(Err("ERR no".to_owned())), 9)))
    );
    let message = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n";
    let heard = Read::Message {
        channel: "c".to_owned(),
        payload: Vec::new(),
    };
    assert_eq!(read(message, true), Ok(Some((heard, message.len()))));
    assert!(read(b"what?\r\n", false).is_err());
}
