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
            "  redis.call('SET', BASE .. 'u:' .. name, body, 'PX', 10000)\n",
            "",
        )],
        Mutant::UncheckedTerm => vec![shared(
            "if stewardship[1] ~= ME or stewardship[2] ~= ARGV[11] then return {'TERM', 0, NOW} end",
            "",
        )],
        Mutant::NoRing | Mutant::LocalMessageIds => vec![],
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
