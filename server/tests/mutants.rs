//! Planted bugs in Lua are bugs of the cluster and not scripts that fail: each edited script compiles, names no global that
//! a broker does not offer, and runs through a life of the cluster without an error of Lua.

#![cfg(feature = "mutants")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use clap::ValueEnum;
use lwm2m::coap::Code;
use mlua::Lua;
use server::mutant::{Mutant, Planted};
use server::store::Script;
use std::collections::BTreeSet;
use support::{World, device, request};

/// What Redis offers to a script (and what the scripts use of it).
const GLOBALS: [&str; 13] = [
    "ARGV", "KEYS", "error", "ipairs", "math", "pairs", "redis", "string", "table", "tonumber", "tostring",
    "type", "unpack",
];

/// The scripts that a bug changes, with their texts.
fn changed(mutant: Mutant) -> Vec<(Script, String)> {
    let planted = Planted::new(Some(mutant));
    let texts = Script::ALL.map(|script| (script, planted.source(script).into_owned()));
    texts
        .into_iter()
        .filter(|(script, text)| text != script.source())
        .collect()
}

/// Reads the precompiled form of Lua 5.1 (`lundump.c`), for the names of the globals that it gets or sets in any branch.
struct Chunk<'a> {
    bytes: &'a [u8],
    names: BTreeSet<String>,
}

impl Chunk<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        taken
    }

    fn int(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().unwrap()) as usize
    }

    fn string(&mut self) -> String {
        let length = u64::from_le_bytes(self.take(8).try_into().unwrap()) as usize;
        let text = self.take(length);
        String::from_utf8_lossy(text.split_last().map_or(&[], |(_, text)| text)).into_owned()
    }

    fn constant(&mut self) -> String {
        match self.take(1)[0] {
            1 => drop(self.take(1)),
            3 => drop(self.take(8)),
            4 => return self.string(),
            _ => {}
        }
        String::new()
    }

    fn function(&mut self) {
        const GET_GLOBAL: usize = 5;
        const SET_GLOBAL: usize = 7;
        self.string();
        self.take(4 + 4 + 4);
        let count = self.int();
        let code: Vec<usize> = (0..count).map(|_| self.int()).collect();
        let count = self.int();
        let constants: Vec<String> = (0..count).map(|_| self.constant()).collect();
        let globals = code
            .iter()
            .filter(|code| [GET_GLOBAL, SET_GLOBAL].contains(&(*code & 0x3f)));
        self.names
            .extend(globals.map(|code| constants[code >> 14].clone()));
        (0..self.int()).for_each(|_| self.function());
        let lines = self.int();
        self.take(4 * lines);
        for _ in 0..self.int() {
            self.string();
            self.take(8);
        }
        for _ in 0..self.int() {
            self.string();
        }
    }
}

fn globals_of(lua: &Lua, text: &str) -> BTreeSet<String> {
    let (_, code) = text.split_once('\n').unwrap();
    let function = lua
        .load(code)
        .into_function()
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let bytes = function.dump(true);
    assert_eq!(
        bytes[..12],
        *b"\x1bLua\x51\0\x01\x04\x08\x04\x08\0",
        "another form of Lua"
    );
    let mut chunk = Chunk {
        bytes: &bytes[12..],
        names: BTreeSet::new(),
    };
    chunk.function();
    assert!(chunk.bytes.is_empty());
    chunk.names
}

#[test]
fn every_bug_in_lua_still_finds_the_text_that_it_replaces() {
    let all = Mutant::value_variants().iter();
    let rotten = all.filter(|bug| std::panic::catch_unwind(|| changed(**bug)).is_err());
    let rotten: Vec<_> = rotten.collect();
    assert!(rotten.is_empty(), "{rotten:?}");
}

#[test]
fn no_script_with_or_without_a_bug_names_a_global_that_no_broker_has() {
    let lua = Lua::new();
    assert!(globals_of(&lua, "#!lua\nlocal a = function() return answer('OK') end").contains("answer"));
    let bugs = Mutant::value_variants()
        .iter()
        .flat_map(|bug| changed(*bug).into_iter().map(move |it| (Some(bug), it)));
    let own = Script::ALL.map(|script| (None, (script, script.source().to_owned())));
    for (bug, (script, text)) in own.into_iter().chain(bugs) {
        for name in globals_of(&lua, &text) {
            assert!(
                GLOBALS.contains(&name.as_str()),
                "{script:?} with {bug:?} names `{name}`"
            );
        }
    }
}

/// One way through everything that scripts do; what they publish does not matter here.
fn live(world: &mut World) {
    for (node, from) in [(0, 1), (1, 2)] {
        let register = world.register_request(&format!("dev-{from}"), "lt=600");
        world.datagram(node, device(from), &register);
    }
    let publish = |world: &mut World, kind: &str, ticket: &str, timeout: u32| {
        let path = if kind == "read" { "/3/0/1" } else { "/3/0/4" };
        world.publish(&format!(
            r#"{{"ep":"dev-1","ticket":"{ticket}","timeout":{timeout},"req":{{"kind":"{kind}","path":"{path}"}}}}"#
        ));
    };
    publish(world, "execute", "a", 2000);
    publish(world, "read", "b", 20_000);
    publish(world, "execute", "c", 20_000);
    publish(world, "execute", "c", 20_000);
    answer_all(world);
    publish(world, "read", "late", 1000);
    world.advance(3000);
    let register = world.register_request("dev-1", "lt=600");
    world.datagram(1, device(1), &register);
    let id = registered_id(world);
    let mid = world.next_mid();
    world.datagram(0, device(3), &request(Code::POST, mid, &format!("/rd/{id}")));
    publish(world, "execute", "open", 20_000);
    publish(world, "read", "moves", 20_000);
    world.kill(0);
    world.advance(4000);
    answer_all(world);
    world.start(0);
    world.advance(4500);
    let mid = world.next_mid();
    world.datagram(1, device(3), &request(Code::DELETE, mid, &format!("/rd/{id}")));
    let register = world.register_request("dev-3", "lt=1");
    world.datagram(1, device(4), &register);
    world.advance(4000);
    world.terminate(0);
    world.advance(2000);
}

/// Devices answer what they are asked until nobody asks any more.
fn answer_all(world: &mut World) {
    loop {
        let asked: Vec<_> = world
            .sent()
            .into_iter()
            .filter(|sent| sent.message.code.is_request())
            .collect();
        if asked.is_empty() {
            return;
        }
        for sent in asked {
            let code = if sent.message.code == Code::GET {
                Code::CONTENT
            } else {
                Code::CHANGED
            };
            world.answer(sent.node, &sent, code, "x");
        }
    }
}

/// The id that the last Register got.
fn registered_id(world: &mut World) -> String {
    let answers = world.sent();
    let created = answers
        .iter()
        .rfind(|sent| sent.message.code == Code::CREATED)
        .unwrap();
    let id = created
        .message
        .options
        .all(lwm2m::coap::option::LOCATION_PATH)
        .nth(1)
        .unwrap();
    String::from_utf8(id.to_vec()).unwrap()
}

#[test]
fn every_script_with_a_bug_runs_wherever_the_script_without_it_does() {
    let mut world = World::new(2);
    let bugs = Mutant::value_variants().iter().flat_map(|bug| changed(*bug));
    let wanted: Vec<(Script, String)> = bugs.collect();
    world.run_beside(wanted.clone());
    live(&mut world);
    let runs = world.runs_beside();
    for ((script, text), run) in wanted.iter().zip(runs) {
        assert!(*run > 0, "{script:?} was never called:\n{text}");
    }
}
