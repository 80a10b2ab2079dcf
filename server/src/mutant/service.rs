//! The bugs in Lua of the service itself: a cluster that keeps the form of the contract and serves badly. Codes that are
//! said wrongly, registrations that end too late or unsaid, wake-ups that get lost, keys that stay for ever.

use super::Mutant;
use super::edits::{Edit, shared, within};
use crate::store::Script;

/// What a bug of the service replaces; nothing for any other bug.
pub(super) fn edits(mutant: Mutant) -> Vec<Edit> {
    let mut edits = of_refusals(mutant);
    edits.extend(of_outcomes(mutant));
    edits.extend(of_registrations(mutant));
    edits.extend(of_liveness(mutant));
    edits
}

/// Requests that are not accepted.
fn of_refusals(mutant: Mutant) -> Vec<Edit> {
    let (from, to) = match mutant {
        Mutant::AllUnknown => ("elseif not e.id then", "elseif true then"),
        Mutant::OrphansUnknown => ("elseif not e.id then", "elseif not e.id or dead(c, e.owner) then"),
        Mutant::OverloadedByOne => ("e.waiting >= tonumber(queue_limit)", "e.waiting >= 1"),
        Mutant::BadRequestsWhileBusy => (
            "if class == 'x' then",
            "if class == 'n' and e.waiting > 0 then
  refused = refusal_text('BAD_REQUEST', 'planted')
elseif class == 'x' then",
        ),
        _ => return Vec::new(),
    };
    vec![within(Script::Accept, from, to)]
}

/// Where `finish` hands on what it is told.
const TOLD: &str = "if end_ticket(c, name, endpoint, t, body) > 0";

/// Outcomes that are none.
fn of_outcomes(mutant: Mutant) -> Vec<Edit> {
    let (script, from, to) = match mutant {
        Mutant::UnreachableWhileBusy => (
            Script::Finish,
            TOLD,
            r#"if call('LLEN', c.base .. 'q:' .. endpoint) > 0 then body = ',"err":{"errorMessage":"planted","code":"UNREACHABLE","sent":true}' end
if end_ticket(c, name, endpoint, t, body) > 0"#,
        ),
        Mutant::UndecodableWhileBusy => (
            Script::Finish,
            TOLD,
            r#"if call('LLEN', c.base .. 'q:' .. endpoint) > 0 then body = ',"err":{"errorMessage":"planted","code":"UNDECODABLE","sent":true}' end
if end_ticket(c, name, endpoint, t, body) > 0"#,
        ),
        Mutant::InternalForStrays => (
            Script::Finish,
            TOLD,
            r#"if t.holder then body = ',"err":{"errorMessage":"planted","code":"INTERNAL","sent":true}' end
if end_ticket(c, name, endpoint, t, body) > 0"#,
        ),
        Mutant::AnotherCode => (
            Script::Finish,
            TOLD,
            r#"body = body:gsub('"code":"CHANGED"', '"code":"METHOD_NOT_ALLOWED"')
if end_ticket(c, name, endpoint, t, body) > 0"#,
        ),
        Mutant::HastyTimeouts => (Script::Accept, "format(c.now + timeout)", "format(c.now + 700)"),
        Mutant::LateTimeouts => (
            Script::Accept,
            "format(c.now + timeout)",
            "format(c.now + 2 * timeout + 5000)",
        ),
        Mutant::ReadsEndWithHolder => (
            Script::Sweep,
            "elseif t.class == 'n' and t.state == 's' then",
            "elseif true then",
        ),
        Mutant::GoneWithHolder => (
            Script::Sweep,
            "error_text('OUTCOME_UNKNOWN',
      'the instance that may have sent",
            "error_text('GONE',
      'the instance that may have sent",
        ),
        Mutant::RejectedByRegister => (
            Script::Register,
            "error_text('OUTCOME_UNKNOWN',
        'the device registered again",
            "error_text('REJECTED',
        'the device registered again",
        ),
        _ => return Vec::new(),
    };
    vec![within(script, from, to)]
}

/// Lifetimes, events and addresses.
fn of_registrations(mutant: Mutant) -> Vec<Edit> {
    const REG_DEL: &str = "call('PUBLISH', c.prefix .. 'LESHAN_REG_DEL',
    ended_registration_text(registration_text(registered, way, members, last_update, rev), reason))";
    vec![match mutant {
        Mutant::NeverExpires => within(Script::Expire, "if not first then return", "if true then return"),
        Mutant::LateExpiry => within(Script::Expire, "tonumber(f[3] or nil)", "(f[3] and 5 * f[3])"),
        Mutant::UnsaidExpiry => within(Script::Expire, REG_DEL, ""),
        Mutant::UnsaidDeregistration => within(Script::Deregister, REG_DEL, ""),
        Mutant::StaleAddress => within(Script::Update, "if old_way ~= way then", "if false then"),
        Mutant::KeptIds => within(Script::Register, "call('HDEL', c.key, 'r:' .. old)", ""),
        Mutant::ImmortalTombstones => shared(
            "call('SET', c.base .. 'g:' .. id, endpoint, 'PX', 247000)",
            "call('SET', c.base .. 'g:' .. id, endpoint)",
        ),
        _ => return Vec::new(),
    }]
}

/// Wake-ups that get lost, takeovers that are none.
fn of_liveness(mutant: Mutant) -> Vec<Edit> {
    vec![match mutant {
        Mutant::SlotKeptBySweep => within(Script::Sweep, "waiting = free_slot(c, endpoint, t.token)", ""),
        Mutant::UnheldTakeover => within(
            Script::Take,
            r"tell(c, c.me, 'T' .. '\n' .. c.partition .. '\n' .. term)",
            r"if not steward or steward == c.me or not c.same_era then
  tell(c, c.me, 'T' .. '\n' .. c.partition .. '\n' .. term)
end",
        ),
        Mutant::NobodyBuried => within(
            Script::MarkDead,
            "if f[1] == 'a' and tonumber(f[2]) < c.now then",
            "if false then",
        ),
        Mutant::ImmortalOutcomes => shared(
            "call('SET', c.base .. 't:' .. name, body, 'PX', milliseconds)",
            "call('SET', c.base .. 't:' .. name, body)",
        ),
        _ => return Vec::new(),
    }]
}
