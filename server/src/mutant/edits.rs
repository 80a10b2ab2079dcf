//! The bugs that are planted in Lua: which text of which script is replaced by what.

use super::Mutant;
use crate::store::Script;
use std::borrow::Cow;

/// A replacement in the source of one script, or in all that share the text.
struct Edit {
    /// `None`: every script that has the text, and there must be one.
    script: Option<Script>,
    from: &'static str,
    to: &'static str,
}

const fn shared(from: &'static str, to: &'static str) -> Edit {
    let script = None;
    Edit { script, from, to }
}

const fn within(script: Script, from: &'static str, to: &'static str) -> Edit {
    let script = Some(script);
    Edit { script, from, to }
}

/// The source of a script with a bug.
pub(super) fn apply(mutant: Mutant, script: Script) -> Cow<'static, str> {
    let mut source = Cow::Borrowed(script.source());
    for edit in edits(mutant) {
        let count = source.matches(edit.from).count();
        match (edit.script, count) {
            (None, 0) => assert!(
                Script::ALL.iter().any(|any| any.source().contains(edit.from)),
                "the mutant {mutant:?} replaces a text that no script has any more: {}",
                edit.from
            ),
            (Some(other), _) if other != script => {}
            (_, 1) => source = Cow::Owned(source.replace(edit.from, edit.to)),
            _ => panic!(
                "the mutant {mutant:?} replaces a text that {script:?} has {count} times, expected once: {}",
                edit.from
            ),
        }
    }
    source
}

/// What a bug replaces; nothing for one in Rust.
fn edits(mutant: Mutant) -> Vec<Edit> {
    match mutant {
        Mutant::UnrecordedRefusal => vec![within(
            Script::Accept,
            "call('SET', BASE .. 'u:' .. name, refusal, 'PX', 10000)",
            "",
        )],
        Mutant::UncheckedTerm => vec![shared(
            "if steward ~= ME or term ~= ARGV[11] then return {'TERM', 0, NOW} end",
            "",
        )],
        Mutant::OwnerFinishes => vec![within(
            Script::Finish,
            "(ARGV[13] ~= '1' and holder ~= ME)",
            "call('HGET', BASE .. 'e:' .. endpoint_of(name), 'ow') ~= ME",
        )],
        Mutant::ResentAnew => vec![
            shared(
                "if t.token and NOW - t.first > EXCHANGE_LIFETIME then",
                "if t.token then",
            ),
            within(
                Script::Sweep,
                "if t.class == 'n' and t.state == 's' then",
                "if false then",
            ),
        ],
        Mutant::EarlyAck => vec![
            within(
                Script::Accept,
                "local replayed = ARGV[19] == '1'",
                r#"if ARGV[19] == '2' then
  local known = call('EXISTS', BASE .. 'u:' .. name) + call('EXISTS', BASE .. 't:' .. name)
  if known == 0 then say(channel, head, ',"ack":true') end
  return answer('OK')
end
local replayed = ARGV[19] == '1'"#,
            ),
            within(
                Script::Accept,
                r#"say(channel, head, ',"ack":true')
local deadline"#,
                "local deadline",
            ),
        ],
        Mutant::DroppedDeadline => vec![within(
            Script::Accept,
            "call('ZADD', BASE .. 'd', deadline, name)",
            "",
        )],
        Mutant::QueueBackwards => vec![shared("call('LPOP', queue)", "call('RPOP', queue)")],
        Mutant::StaleExpiry => vec![within(
            Script::Update,
            "call('ZADD', BASE .. 'x', NOW + lifetime * 1000, endpoint)",
            "",
        )],
        Mutant::SilentReplacement => vec![within(
            Script::Register,
            r#"call('PUBLISH', PREFIX .. 'LESHAN_REG_DEL',
    registration_json(registered, old_way, old_members, last_update, rev) .. ',"reason":"replaced"}')"#,
            "",
        )],
        Mutant::ReplayCopies => vec![within(
            Script::Accept,
            "local replayed = ARGV[19] == '1'",
            "local replayed = false",
        )],
        Mutant::TicketKept => vec![shared(
            "call('DEL', BASE .. 't:' .. name)
  call('ZREM', BASE .. 'd', name)",
            "",
        )],
        Mutant::OutcomeWithoutEndpoint => vec![
            within(
                Script::Accept,
                "call('GET', BASE .. 'u:' .. name)",
                "call('GET', BASE .. 'u:' .. name:match('[^:]*$'))",
            ),
            shared(
                "call('SET', BASE .. 'u:' .. name, body, 'PX', ARGV[9])",
                "call('SET', BASE .. 'u:' .. name:match('[^:]*$'), body, 'PX', ARGV[9])",
            ),
        ],
        Mutant::UnmarkedCopies => vec![
            within(Script::Accept, r#"outcome .. ',"again":true'"#, "outcome"),
            within(
                Script::Accept,
                r#"',"ack":true,"again":true'"#,
                r#"',"ack":true'"#,
            ),
        ],
        Mutant::UncountedUpdates => vec![within(Script::Update, "rev = rev + 1\n", "")],
        Mutant::DeadHoldersKept => vec![within(
            Script::Sweep,
            "elseif dead(t.holder) then",
            "elseif false then",
        )],
        Mutant::ForgottenOutcomes => vec![shared(
            "call('SET', BASE .. 'u:' .. name, body, 'PX', ARGV[9])",
            "",
        )],
        Mutant::SlotKept => vec![shared("free_slot(BASE .. 'e:' .. endpoint, t.token)", "")],
        Mutant::NoTurns => vec![within(
            Script::Accept,
            "if waiting == 0 and #(e[8] or '') < 17 * ARGV[10] then",
            "if true then",
        )],
        Mutant::SentDenied => vec![shared(
            "return t.state == 'q' or (t.state == 'd' and t.class == 'n')",
            "return t.class == 'n'",
        )],
        Mutant::OpenTicketForgotten => vec![within(
            Script::Accept,
            "if call('EXISTS', BASE .. 't:' .. name) == 1 then",
            "if false then",
        )],
        Mutant::NewbornSteward => vec![within(
            Script::Renew,
            "(first or NOW - me.heard >= 2 * LEASE + 1000)",
            "true",
        )],
        Mutant::StalledQueue => vec![within(Script::Finish, "on_demand().next_turn(endpoint)", "")],
        Mutant::RegisterTwice => vec![within(
            Script::Register,
            "local stored = served_before(served, uplink)",
            "local stored = nil",
        )],
        Mutant::SameIncarnation => vec![
            within(
                Script::Join,
                "if f[2] == 'a' and f[4] ~= nonce and tonumber(f[3]) >= NOW then",
                "if false then",
            ),
            within(
                Script::Join,
                "local incarnation = math.max(f[1] or 0, ARGV[2]) + 1",
                "local lives = f[2] == 'a' and tonumber(f[3]) >= NOW
local incarnation = lives and tonumber(f[1]) or math.max(f[1] or 0, ARGV[2]) + 1",
            ),
        ],
        Mutant::CountedAnew | Mutant::UnconfirmedCalls => vec![within(
            Script::Join,
            "math.max(f[1] or 0, ARGV[2]) + 1",
            "(f[1] or 0) + 1",
        )],
        Mutant::DeafMember => vec![within(
            Script::Renew,
            "local deaf = heard == 0 or NOW - heard > LEASE / 2",
            "local deaf = false",
        )],
        Mutant::RepeatCallsNext => vec![within(
            Script::Accept,
            "if t.state ~= 'q' and t.holder == ME then open.tell_again(name, t) end",
            "local first = call('LPOP', BASE .. 'q:' .. endpoint)
  local key = BASE .. 'e:' .. endpoint
  if first then dispatch(first, key, open.load_ticket(first), load_target(key)) end",
        )],
        Mutant::OldDeregister => vec![within(
            Script::Deregister,
            "local endpoint = call('HGET', BASE .. 'r', id)",
            "local endpoint = call('HGET', BASE .. 'r', id) or call('GET', BASE .. 'g:' .. id)
if endpoint and call('HEXISTS', BASE .. 'e:' .. endpoint, 'id') == 0 then endpoint = false end",
        )],
        Mutant::NoRing
        | Mutant::LocalMessageIds
        | Mutant::NoBegin
        | Mutant::PrematureAnswer
        | Mutant::BlindToLease
        | Mutant::StoppedClock
        | Mutant::OldMail
        | Mutant::UnmarkedTake
        | Mutant::MixedPair => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_bug_in_lua_replaces_texts_that_are_there_once() {
        for mutant in Mutant::value_variants() {
            let changed = Script::ALL.map(|script| apply(*mutant, script) != script.source());
            assert_eq!(changed.contains(&true), !edits(*mutant).is_empty(), "{mutant:?}");
        }
    }
}
