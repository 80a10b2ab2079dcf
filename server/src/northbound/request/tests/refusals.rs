//! Requests that are wrong, and what their author is told.

use super::*;

#[test]
fn values_beyond_their_type_are_refused() {
    let value = |path: &str, value_type: &str, json: &str| {
        refused(&write(
            path,
            &format!(r#"{{"kind":"singleresource","type":"{value_type}","value":{json}}}"#),
            "",
        ))
    };
    assert_eq!(
        value("/3/0/9", "integer", "9223372036854775808"),
        "/3/0/9: an integer is a number of 64 bits without a fraction, found 9223372036854775808"
    );
    assert_eq!(
        value("/3/0/9", "integer", "1.0"),
        "/3/0/9: an integer is a number of 64 bits without a fraction, found 1.0"
    );
    assert_eq!(
        value("/0/0/13", "unsigned", "-1"),
        "/0/0/13: an unsigned is a positive number of 64 bits without a fraction, found -1"
    );
    assert_eq!(
        value("/0/0/13", "integer", "-1"),
        "/0/0/13 is of type unsigned, -1 of type integer does not fit"
    );
    assert_eq!(
        value("/3303/0/5700", "float", "1e999"),
        "/3303/0/5700: a float is a number of 64 bits, found 1e999"
    );
    assert_eq!(
        value("/1/0/6", "boolean", "1"),
        "/1/0/6: a boolean is true or false, found 1"
    );
    assert_eq!(
        value("/3/0/13", "time", "1.5"),
        "/3/0/13: a time is a number of milliseconds since 1970, in whole seconds (devices count no parts of one), found 1.5"
    );
    // A device would be given 1367491215 and nobody told.
    for milliseconds in ["1367491215123", "-1", "999"] {
        assert!(value("/3/0/13", "time", milliseconds).contains("in whole seconds"));
    }
    assert_eq!(
        value("/5/0/0", "opaque", "\"AQI\""),
        "/5/0/0: an opaque is a string with base64 and its padding, found \"AQI\""
    );
    assert_eq!(
        value("/1/0/10", "objlnk", "\"11\""),
        "/1/0/10: an objlnk is a string like \"3:0\", found \"11\""
    );
    assert_eq!(
        value("/3/0/15", "integer", "1"),
        "/3/0/15 is of type string, 1 of type integer does not fit"
    );
    assert_eq!(
        value("/3/0/15", "text", "1"),
        "`type` of /3/0/15: a type is one of string, integer, unsigned, float, boolean, time, opaque, objlnk, corelnk; found `text`"
    );
    let big = format!("\"{}\"", "x".repeat(8000));
    assert_eq!(
        value("/3/0/15", "string", &big),
        "a write has at most 1024 bytes of payload, this one has 8004"
    );
}

#[test]
fn nodes_that_contradict_the_path_are_refused() {
    let single = |id: &str| format!(r#"{{"kind":"singleresource","id":{id},"type":"string","value":"x"}}"#);
    assert_eq!(
        refused(&write("/3/0/15", &single("14"), "")),
        "the `id` of a node at /3/0/15 is 15, found 14"
    );
    assert_eq!(
        refused(&write("/3/0/15", &single("\"15\""), "")),
        "the `id` of a node at /3/0/15 is 15, found \"15\""
    );
    assert_eq!(
        refused(&write("/3/0", &single("0"), "")),
        "a node at /3/0 is of kind instance, found singleresource"
    );
    assert_eq!(
        refused(&write("/3/0/15", r#"{"kind":"instance","resources":{}}"#, "")),
        "a node at /3/0/15 is of kind singleresource or multipleresource, found instance"
    );
    assert_eq!(
        refused(&write(
            "/3/0/6/0",
            r#"{"kind":"multipleresource","values":{}}"#,
            ""
        )),
        "a node at /3/0/6/0 is of kind singleresource, found multipleresource"
    );
    let inner = format!(r#"{{"kind":"instance","resources":{{"14":{}}}}}"#, single("15"));
    assert_eq!(
        refused(&write("/3/0", &inner, "")),
        "the `id` of a node at /3/0/14 is 14, found 15"
    );
    let twice = format!(r#"{{"kind":"instance","resources":[{0},{0}]}}"#, single("15"));
    assert_eq!(
        refused(&write("/3/0", &twice, "")),
        "/3/0/15 appears twice in the node"
    );
    let unnumbered = r#"{"kind":"instance","resources":{"x":{}}}"#;
    assert_eq!(
        refused(&write("/3/0", unnumbered, "")),
        "`resources` of /3/0 must be an object of nodes by identifier, or an array of nodes with `id`; found x"
    );
    assert_eq!(
        refused(&write(
            "/3/0/6",
            r#"{"kind":"multipleresource","values":[1]}"#,
            ""
        )),
        "`values` of /3/0/6 must be an object by identifier, like {\"0\":1}; found [1]"
    );
}

#[test]
fn what_a_node_lacks_is_named() {
    assert_eq!(
        refused(r#"{"kind":"write","path":"/3/0/15"}"#),
        "a write needs the member `node` with what to write"
    );
    assert_eq!(
        refused(&write("/3/0/15", r#"{"value":"x"}"#, "")),
        "the `kind` of a node must be one of singleresource, multipleresource, instance, object; found nothing"
    );
    assert_eq!(
        refused(&write("/3/0/15", r#"{"kind":"singleresource","value":null}"#, "")),
        "the `value` of /3/0/15 is missing"
    );
    assert_eq!(
        refused(&write("/3/0/999", r#"{"kind":"singleresource","value":"x"}"#, "")),
        "the `type` of /3/0/999 is missing"
    );
    assert!(
        refused(&write("/3/0/15", "7", ""))
            .starts_with("a node must be an object: invalid type: integer `7`"),
    );
}

#[test]
fn paths_are_held_to_the_kind() {
    assert_eq!(
        refused(&write("/3", r#"{"kind":"object","instances":{}}"#, "")),
        "a write goes to an object instance, a resource or a resource instance, found /3"
    );
    let node = r#"{"kind":"singleresource","value":"x"}"#;
    assert_eq!(
        refused(&write("/3/0/15", node, r#","mode":"UPDATE""#)),
        "`mode` UPDATE is for object instances only; /3/0/15 is a resource, where it would execute something"
    );
    assert_eq!(
        refused(&write(
            "/2/0/2/1",
            r#"{"kind":"singleresource","value":1}"#,
            r#","mode":"UPDATE""#
        )),
        "`mode` UPDATE is for object instances only; /2/0/2/1 is a resource instance, where it would execute something"
    );
    assert_eq!(
        refused(&write("/3/0/15", node, r#","mode":"PATCH""#)),
        "`mode` must be \"REPLACE\" or \"UPDATE\", found \"PATCH\""
    );
    for path in ["/3", "/3/0", "/3/0/4/0"] {
        assert_eq!(
            refused(&format!(r#"{{"kind":"execute","path":"{path}"}}"#)),
            format!("an execute goes to a resource, like /3/0/4; found {path}")
        );
    }
    assert_eq!(
        refused(r#"{"kind":"execute","path":"/3/0/4","parameters":5}"#),
        "`parameters` must be a string, found 5"
    );
}

#[test]
fn what_is_no_path_is_refused() {
    let path = |json: &str| refused(&format!(r#"{{"kind":"read","path":{json}}}"#));
    assert_eq!(
        refused(r#"{"kind":"read"}"#),
        "the member `path`, like \"/3/0/1\", is missing"
    );
    assert_eq!(path("7"), "`path` 7: a path is a string, like \"/3/0/1\"");
    assert_eq!(
        path(r#""/""#),
        "`path` \"/\": a path names at least an object, like /3; found only a slash"
    );
    assert_eq!(
        path(r#""/3/0/65536""#),
        "`path` \"/3/0/65536\": segment 3 of a path must be a number from 0 to 65535 without leading zeros, found `65536`"
    );
    assert_eq!(
        path(r#""/1/2/3/4/5""#),
        "`path` \"/1/2/3/4/5\": a path has at most 4 segments (/object/instance/resource/resource instance), `/1/2/3/4/5` has more"
    );
}

#[test]
fn kinds_that_are_unknown_or_not_there_yet_are_told_apart() {
    assert_eq!(
        refused(r#"{"kind":"observe","path":"/3/0"}"#),
        "requests of kind observe are not supported yet; supported are read, write, execute"
    );
    let all = "read, write, execute, observe, cancelObserve, discover, writeAttributes, create, delete, \
               readComposite, observeComposite, writeComposite, cancel";
    assert_eq!(
        refused(r#"{"kind":"reed","path":"/3/0"}"#),
        format!("`kind` must be one of {all}; found \"reed\"")
    );
    assert_eq!(
        refused(r#"{"path":"/3/0"}"#),
        format!("`kind` must be one of {all}; found nothing")
    );
}

#[test]
fn formats_that_are_unknown_or_not_there_yet_are_told_apart() {
    let format = |json: &str| {
        refused(&format!(
            r#"{{"kind":"read","path":"/3/0","contentFormat":{json}}}"#
        ))
    };
    for json in ["7", "\"TLV\"", "11542.0", "-1", "70000"] {
        assert_eq!(
            format(json),
            format!("`contentFormat` must be a number: 0 (text), 42 (opaque) or 11542 (TLV); found {json}")
        );
    }
    assert_eq!(
        format("1543"),
        "content format LwM2M JSON (11543) is not supported for values yet; use 0 (text), 42 (opaque) or 11542 (TLV)"
    );
    assert_eq!(
        refused(&write(
            "/3/0",
            r#"{"kind":"instance","resources":{}}"#,
            r#","contentFormat":0"#
        )),
        "content format text (0) holds the one value of a resource or resource instance, not a whole object instance"
    );
}

#[test]
fn json_too_deep_to_mean_anything_is_refused() {
    let depth = 200_000;
    let nested = "[".repeat(depth) + &"]".repeat(depth);
    assert!(refused(&write("/3/0/15", &nested, "")).starts_with("a node must be an object: invalid type"));
    let inside = format!(r#"{{"kind":"singleresource","type":"string","value":{nested}}}"#);
    assert_eq!(
        refused(&write("/3/0/15", &inside, "")),
        format!("/3/0/15: a string is a JSON string, found {}…", "[".repeat(40))
    );
    let instances = r#"{"kind":"instance","resources":"#.repeat(1000) + "{}" + &"}".repeat(1000);
    assert!(refused(&write("/3/0", &instances, "")).starts_with("`resources` of /3/0 must be"));
}
