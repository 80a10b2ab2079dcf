//! The Lua texts that a broker is given: what each script needs, and nothing else.
//!
//! In: `scripts/` (one file a script), `library/` (functions that they share) and `voice/` (all JSON, one file a dialect). A
//! script may call every function of the library and of the voice by its name; its text gets those that it needs, with the
//! names of arguments in front ([`calls::prologue`]) and the names of the schema replaced by what they stand for. Lua makes
//! each function anew whenever a script runs, so what is needed seldom is called through `rarely()`, which makes it then.
//!
//! Redis finds a text by its hash, so two releases can live side by side.

use super::Script;
use super::protocol::{calls, schema};
use crate::instance::Dialect;
use std::collections::BTreeMap;
use std::sync::OnceLock;

const LIBRARY: [&str; 4] = [
    include_str!("library/context.lua"),
    include_str!("library/tickets.lua"),
    include_str!("library/exchanges.lua"),
    include_str!("library/registrations.lua"),
];
const MEMBERS: &str = include_str!("library/members.lua");

fn voice(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Wiki => include_str!("voice/wiki.lua"),
    }
}

/// The text of a script, and whether it runs though the broker is full: those that end things do, and so do those without
/// which nobody could end anything; those that begin something are refused before their first write.
fn body(script: Script) -> (&'static str, bool) {
    match script {
        Script::Join => (include_str!("scripts/join.lua"), true),
        Script::Renew => (include_str!("scripts/renew.lua"), true),
        Script::MarkDead => (include_str!("scripts/mark_dead.lua"), true),
        Script::Leave => (include_str!("scripts/leave.lua"), true),
        Script::Take => (include_str!("scripts/take.lua"), true),
        Script::Accept => (include_str!("scripts/accept.lua"), false),
        Script::Begin => (include_str!("scripts/begin.lua"), true),
        Script::Finish => (include_str!("scripts/finish.lua"), true),
        Script::Peek => (include_str!("scripts/peek.lua"), true),
        Script::Forward => (include_str!("scripts/forward.lua"), true),
        Script::Sweep => (include_str!("scripts/sweep.lua"), true),
        Script::Expire => (include_str!("scripts/expire.lua"), true),
        Script::Register => (include_str!("scripts/register.lua"), false),
        Script::Update => (include_str!("scripts/update.lua"), false),
        Script::Deregister => (include_str!("scripts/deregister.lua"), true),
    }
}

/// The text of a script in a dialect, put together once.
pub(super) fn text(script: Script, dialect: Dialect) -> &'static str {
    static WIKI: OnceLock<Vec<String>> = OnceLock::new();
    let texts = match dialect {
        Dialect::Wiki => &WIKI,
    };
    let texts = texts.get_or_init(|| Script::ALL.map(|script| assemble(script, dialect)).to_vec());
    &texts[script.index()]
}

/// Functions by name.
type Functions = BTreeMap<&'static str, &'static str>;

/// The functions of a file: each from its first line to an `end` at the beginning of a line.
fn functions_of(file: &'static str, functions: &mut Functions) {
    let opening = "local function ";
    for (at, _) in file
        .match_indices(opening)
        .filter(|(at, _)| is_line_start(file, *at))
    {
        let rest = &file[at..];
        let end = rest
            .find("\nend\n")
            .map_or(rest.len(), |end| end + "\nend\n".len());
        let name = &rest[opening.len()..];
        let name = &name[..name.find('(').unwrap_or(0)];
        functions.insert(name, &rest[..end]);
    }
}

fn is_line_start(text: &str, at: usize) -> bool {
    at == 0 || text.as_bytes()[at - 1] == b'\n'
}

fn assemble(script: Script, dialect: Dialect) -> String {
    let mut functions = Functions::new();
    let library = if script.is_about_members() {
        &[MEMBERS][..]
    } else {
        &LIBRARY
    };
    for file in library.iter().copied().chain([voice(dialect)]) {
        functions_of(file, &mut functions);
    }
    let (body, runs_when_full) = body(script);
    let flags = if runs_when_full { " flags=allow-oom" } else { "" };
    let (mut always, mut rarely) = (Vec::new(), Vec::new());
    need(body, &functions, &[], &mut always);
    let seldom: Vec<&str> = names_after(body, "rarely().");
    for name in &seldom {
        need(name, &functions, &always, &mut rarely);
    }
    let mut text = format!("#!lua{flags}\nlocal call, attempt = redis.call, redis.pcall\n");
    text += &calls::prologue(script);
    for name in always {
        text += functions[name];
    }
    if !seldom.is_empty() {
        text += "local rare\nlocal function rarely()\nif rare then return rare end\n";
        for name in rarely {
            text += functions[name];
        }
        let mut named: Vec<String> = seldom.iter().map(|name| format!("{name} = {name}")).collect();
        named.sort();
        named.dedup();
        text += &format!("rare = {{{}}}\nreturn rare\nend\n", named.join(", "));
    }
    with_values(&without_comments(&(text + body)))
}

/// Adds the functions that a text names, each after those that it needs itself.
fn need(text: &str, functions: &Functions, there: &[&'static str], needed: &mut Vec<&'static str>) {
    for word in words(text) {
        let Some((&name, &function)) = functions.get_key_value(word) else {
            continue;
        };
        if there.contains(&name) || needed.contains(&name) {
            continue;
        }
        let inner = function.split_once('\n').map_or("", |(_, inner)| inner);
        need(inner, functions, there, needed);
        if !needed.contains(&name) {
            needed.push(name);
        }
    }
}

/// The words of a text that name something by themselves: not those behind a point, in a string or in a comment.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for piece in pieces(text) {
        if let Piece::Word { word, member: false } = piece {
            words.push(word);
        }
    }
    words
}

/// The names that follow an opening.
fn names_after<'a>(text: &'a str, opening: &str) -> Vec<&'a str> {
    let rest = text
        .match_indices(opening)
        .map(|(at, _)| &text[at + opening.len()..]);
    rest.map(|rest| &rest[..rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())])
        .collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A stretch of Lua.
enum Piece<'a> {
    /// A name or a number; `member` if a point or colon stands before it.
    Word { word: &'a str, member: bool },
    /// A string, a comment, or what stands between words.
    Other(&'a str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut rest, mut member) = (text, false);
    while let Some(first) = rest.chars().next() {
        let length = if first == '\'' || first == '"' {
            let closing = rest[1..].find(first).map_or(rest.len(), |at| at + 2);
            pieces.push(Piece::Other(&rest[..closing]));
            closing
        } else if rest.starts_with("--") {
            let end = rest.find('\n').unwrap_or(rest.len());
            pieces.push(Piece::Other(&rest[..end]));
            end
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            pieces.push(Piece::Word { word, member });
            end
        } else {
            pieces.push(Piece::Other(&rest[..first.len_utf8()]));
            first.len_utf8()
        };
        member = matches!(first, '.' | ':') && !rest.starts_with("..") || first == '.' && member;
        if rest.starts_with("..") {
            // Two points join texts; a name behind them stands for itself.
            pieces.push(Piece::Other(&rest[1..2]));
            rest = &rest[2..];
            member = false;
        } else {
            rest = &rest[length..];
        }
    }
    pieces
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with("--")
    });
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// Puts values where names of the schema stand.
fn with_values(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut pieces = pieces(text).into_iter().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Word { word, member: false } if schema::is_table(word) => {
                let point = pieces.next();
                let name = match (point, pieces.next()) {
                    (Some(Piece::Other(".")), Some(Piece::Word { word, .. })) => word,
                    _ => "",
                };
                let value = schema::constant(word, name);
                out += &value.unwrap_or_else(|| format!("no_name_of_the_schema.{word}.{name}"));
            }
            Piece::Word { word, .. } | Piece::Other(word) => out += word,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_schema_that_lua_uses_is_one() {
        for script in Script::ALL {
            let text = text(script, Dialect::Wiki);
            assert!(!text.contains("no_name_of_the_schema"), "{script:?}: {text}");
        }
    }

    #[test]
    fn the_statuses_that_rust_knows_are_those_that_lua_says() {
        let openings = [
            "{'",
            "count(c, '",
            "reply[1] = '",
            " and '",
            " or '",
            "return nil, '",
        ];
        for script in Script::ALL {
            let text = text(script, Dialect::Wiki);
            let mut found: Vec<&str> = Vec::new();
            for opening in openings {
                let rest = text
                    .match_indices(opening)
                    .map(|(at, _)| &text[at + opening.len()..]);
                found.extend(rest.filter_map(|rest| rest.split('\'').next()));
            }
            found.retain(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()));
            found.sort_unstable();
            found.dedup();
            assert_eq!(found, script.statuses(), "{script:?}");
        }
    }

    #[test]
    fn a_script_gets_the_functions_that_it_needs_in_the_order_in_which_they_need_each_other() {
        let text = text(Script::Begin, Dialect::Wiki);
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
        assert!(at("local function speak(") < at("speak(c)\n"));
        assert!(at("'HGET', c.base .. 'o', token") < at("local name = name_of(c, token)\n"));
        assert!(!text.contains("function dispatch"), "{text}");
        assert!(!text.contains("--"), "{text}");
    }

    #[test]
    fn what_is_needed_seldom_is_made_when_it_is_called() {
        let text = text(Script::Finish, Dialect::Wiki);
        let rare = text.find("local function rarely()").unwrap();
        assert!(text.find("local function dispatch(").unwrap() > rare);
        assert!(text.find("local function end_ticket(").unwrap() < rare);
        assert!(text.contains("rare = {next_turn = next_turn}\n"));
    }

    #[test]
    fn words_in_strings_and_behind_points_name_nothing() {
        assert_eq!(words("a.b 'c' -- d\ne:f(g)..h"), ["a", "e", "g", "h"]);
    }
}
