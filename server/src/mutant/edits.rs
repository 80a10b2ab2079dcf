//! The bugs that are planted in Lua: which text of which script is replaced by what.

use super::{Mutant, service};
use crate::store::Script;
use std::borrow::Cow;

/// A replacement in the source of one script, or in all that share the text.
pub(super) struct Edit {
    /// `None`: every script that has the text, and there must be one.
    script: Option<Script>,
    from: &'static str,
    to: &'static str,
}

pub(super) const fn shared(from: &'static str, to: &'static str) -> Edit {
    let script = None;
    Edit { script, from, to }
}

pub(super) const fn within(script: Script, from: &'static str, to: &'static str) -> Edit {
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
            "remember(c, name, refused, refusal_memory)",
            "",
        )],
        Mutant::UncheckedTerm => vec![shared(
            "if not refusal and (steward ~= c.me or current ~= term) then return {'TERM', 0, c.now} end",
            "",
        )],
        Mutant::OwnerFinishes => vec![within(
            Script::Finish,
            "(proof ~= '1' and t.holder ~= c.me)",
            "call('HGET', c.base .. 'e:' .. endpoint_of(name), 'ow') ~= c.me",
        )],
        Mutant::ResentAnew => vec![
            shared(
                "if t.token and c.now - t.first > 247000 then",
                "if t.token then",
            ),
            within(
                Script::Sweep,
                "elseif t.class == 'n' and t.state == 's' then",
                "elseif false then",
            ),
        ],
        Mutant::EarlyAck => vec![
            within(
                Script::Accept,
                "local again = replayed ~= '1'",
                r#"if replayed == '2' then
  if call('EXISTS', c.base .. 't:' .. name) == 0 then say(c, channel, head, ack_text()) end
  return count(c)
end
local again = replayed ~= '1'"#,
            ),
            within(
                Script::Accept,
                "say(c, channel, head, ack_text())
local deadline",
                "local deadline",
            ),
        ],
        Mutant::DroppedDeadline => vec![within(
            Script::Accept,
            "call('ZADD', c.base .. 'd', deadline, name)",
            "",
        )],
        Mutant::QueueBackwards => vec![shared("call('LPOP', queue)", "call('RPOP', queue)")],
        Mutant::StaleExpiry => vec![within(
            Script::Update,
            "call('HSET', key, 'lu', now, 'rev', rev,",
            "call('HSET', key, 'rev', rev,",
        )],
        Mutant::SilentReplacement => vec![within(
            Script::Register,
            "call('PUBLISH', c.prefix .. 'LESHAN_REG_DEL',
    ended_registration_text(registration_text(registered, old_way, old_members, last_update, rev), 'replaced'))",
            "",
        )],
        Mutant::ReplayCopies => vec![within(
            Script::Accept,
            "local again = replayed ~= '1'",
            "local again = true",
        )],
        Mutant::TicketKept => vec![shared(
            "  remember(c, name, body, c.retention)\n",
            "",
        )],
        Mutant::OutcomeWithoutEndpoint => vec![
            within(
                Script::Accept,
                "local known = attempt('GET', key)",
                "local known = call('GET', c.base .. 'u:' .. name:match('[^:]*$')) or attempt('GET', key)",
            ),
            shared(
                "call('SET', c.base .. 't:' .. name, body, 'PX', milliseconds)",
                "call('DEL', c.base .. 't:' .. name)
  call('SET', c.base .. 'u:' .. name:match('[^:]*$'), body, 'PX', milliseconds)",
            ),
        ],
        Mutant::UnmarkedCopies => vec![
            within(Script::Accept, r#"return body .. ',"again":true'"#, "return body"),
        ],
        Mutant::UncountedUpdates => vec![within(Script::Update, "rev = rev + 1\n", "")],
        Mutant::DeadHoldersKept => vec![within(
            Script::Sweep,
            "elseif dead(c, holder) then",
            "elseif false then",
        )],
        Mutant::ForgottenOutcomes => vec![shared(
            "call('SET', c.base .. 't:' .. name, body, 'PX', milliseconds)",
            "call('DEL', c.base .. 't:' .. name)",
        )],
        Mutant::SlotKept => vec![shared("waiting = free_slot(c, endpoint, t.token)", "")],
        Mutant::NoTurns => vec![within(
            Script::Accept,
            "if e.waiting == 0 and #e.slots < 17 * c.nstart then",
            "if true then",
        )],
        Mutant::SentDenied => vec![shared(
            "return t.state == 'q' or (t.state == 'd' and t.class == 'n')",
            "return t.class == 'n'",
        )],
        Mutant::OpenTicketForgotten => vec![within(
            Script::Accept,
            "local open = known and load_ticket(c, name, 'rq')",
            "local open = nil",
        )],
        Mutant::NewbornSteward => vec![within(
            Script::Renew,
            "(first or now - me.heard >= 2 * lease_ms + 1000)",
            "true",
        )],
        Mutant::StalledQueue => vec![within(
            Script::Finish,
            "rarely().next_turn(c, endpoint)",
            "return c.reply",
        )],
        Mutant::RegisterTwice => vec![within(
            Script::Register,
            "local stored = served_before(c, served, uplink)",
            "local stored = nil",
        )],
        Mutant::SameIncarnation => vec![
            within(
                Script::Join,
                "if f[2] == 'a' and f[4] ~= nonce and tonumber(f[3]) >= now then",
                "if false then",
            ),
            within(
                Script::Join,
                "local incarnation = math.max(f[1] or 0, c.incarnation) + 1",
                "local lives = f[2] == 'a' and tonumber(f[3]) >= now
local incarnation = lives and tonumber(f[1]) or math.max(f[1] or 0, c.incarnation) + 1",
            ),
        ],
        Mutant::CountedAnew | Mutant::UnconfirmedCalls => vec![within(
            Script::Join,
            "math.max(f[1] or 0, c.incarnation) + 1",
            "(f[1] or 0) + 1",
        )],
        Mutant::DeafMember => vec![within(
            Script::Renew,
            "local deaf = newest == 0 or now - newest > lease_ms / 2",
            "local deaf = false",
        )],
        Mutant::RepeatCallsNext => vec![within(
            Script::Accept,
            "if open.state ~= 'q' and open.holder == c.me then rarely().tell_again(c, name, open) end",
            "rarely().tell_again(c, endpoint)",
        ), within(
            Script::Accept,
            "local function tell_again(c, name, t)",
            "local function tell_again(c, endpoint)
  local first = call('LPOP', c.base .. 'q:' .. endpoint)
  local t = first and load_ticket(c, first, 'rq')
  if t then dispatch(c, first, endpoint, t, load_target(c, endpoint)) end
end
local function unused(c, name, t)",
        )],
        Mutant::OldDeregister => vec![within(
            Script::Deregister,
            "if not endpoint then",
            "endpoint = endpoint or call('GET', c.base .. 'g:' .. id)
if endpoint and call('HEXISTS', c.base .. 'e:' .. endpoint, 'id') == 0 then endpoint = false end
if not endpoint then",
        )],
        Mutant::NoRing
        | Mutant::LocalMessageIds
        | Mutant::NoBegin
        | Mutant::PrematureAnswer
        | Mutant::BlindToLease
        | Mutant::StoppedClock
        | Mutant::OldMail
        | Mutant::UnmarkedTake
        | Mutant::MixedPair
        | Mutant::SwappedAnswers => vec![],
        _ => service::edits(mutant),
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
