//! Link format, RFC 6690: exact readings, refusals with their place, limits, round trips.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use lwm2m::link::{self, Attribute, AttributeValue, Link, LinkError};
use proptest::prelude::*;

fn refused(text: &str) -> String {
    link::parse(text).unwrap_err().to_string()
}

#[test]
fn the_links_of_a_registration_are_read_in_order() {
    let text = r#"</>;rt="oma.lwm2m";ct="60 110",</1/0>,</3/0>;ver=1.1;hb , </6/0>"#;
    let links = link::parse(text).unwrap();
    let targets: Vec<&str> = links.iter().map(|link| &*link.target).collect();
    assert_eq!(targets, ["/", "/1/0", "/3/0", "/6/0"]);
    assert_eq!(
        links[0].attribute("ct"),
        Some(&AttributeValue::Quoted("60 110".into()))
    );
    assert_eq!(
        links[2].attribute("ver"),
        Some(&AttributeValue::Token("1.1".into()))
    );
    assert_eq!(
        links[2].attributes[1],
        Attribute {
            name: "hb".into(),
            value: None
        }
    );
    assert_eq!(
        link::write(&links),
        r#"</>;rt="oma.lwm2m";ct="60 110",</1/0>,</3/0>;ver=1.1;hb,</6/0>"#
    );
    assert_eq!(link::parse(""), Ok(vec![]));
}

#[test]
fn commas_semicolons_and_escapes_inside_quotes_belong_to_the_value() {
    let links = link::parse(r#"</a>;t="x,y;z=</b>",</c>;t="say \"hi\" \\ ü""#).unwrap();
    assert_eq!(links.len(), 2);
    assert_eq!(links[0].attribute("t").unwrap().text(), "x,y;z=</b>");
    assert_eq!(links[1].attribute("t").unwrap().text(), r#"say "hi" \ ü"#);
}

#[test]
fn broken_links_are_refused_with_their_place() {
    assert_eq!(
        refused("/1/0"),
        "link format, byte 0: expected a link in angle brackets"
    );
    assert_eq!(
        refused("</1/0"),
        "link format, byte 5: expected `>` at the end of a link without white space"
    );
    assert_eq!(
        refused("</1/0></3>"),
        "link format, byte 6: expected a comma or the end"
    );
    assert_eq!(
        refused("</1/0>,"),
        "link format, byte 7: expected a link in angle brackets"
    );
    assert_eq!(
        refused("</1>;"),
        "link format, byte 5: expected the name of an attribute"
    );
    assert_eq!(
        refused("</1>;a="),
        "link format, byte 7: expected the value of an attribute after `=`"
    );
    assert_eq!(
        refused("</1>;a=\"b"),
        "link format, byte 9: expected `\"` at the end of a quoted string"
    );
    assert_eq!(
        refused("</1>;a=\"b\\"),
        "link format, byte 9: expected a character after the backslash"
    );
}

#[test]
fn the_number_of_links_attributes_and_bytes_is_limited() {
    let links = |count: usize| vec!["</1>"; count].join(",");
    assert_eq!(
        link::parse(&links(link::MAX_LINKS)).unwrap().len(),
        link::MAX_LINKS
    );
    let limit = |what, limit| Err(LinkError::TooMany { what, limit });
    assert_eq!(
        link::parse(&links(link::MAX_LINKS + 1)),
        limit("links", link::MAX_LINKS)
    );
    let attributes = format!("</1>{}", ";a".repeat(link::MAX_ATTRIBUTES + 1));
    assert_eq!(
        link::parse(&attributes),
        limit("attributes of a link", link::MAX_ATTRIBUTES)
    );
    let long = format!("</{}>", "1".repeat(link::MAX_BYTES));
    assert_eq!(link::parse(&long), limit("bytes", link::MAX_BYTES));
}

fn any_link() -> impl Strategy<Value = Link<'static>> {
    let value = prop_oneof![
        Just(None),
        "[a-z0-9.]{1,8}".prop_map(|text| Some(AttributeValue::Token(Cow::Owned(text)))),
        any::<String>().prop_map(|text| Some(AttributeValue::Quoted(Cow::Owned(text)))),
    ];
    let attribute = ("[a-z]{1,6}", value).prop_map(|(name, value)| Attribute {
        name: Cow::Owned(name),
        value,
    });
    ("/[0-9/]{0,12}", proptest::collection::vec(attribute, 0..4)).prop_map(|(target, attributes)| Link {
        target: Cow::Owned(target),
        attributes,
    })
}

proptest! {
    #[test]
    fn every_list_of_links_survives_its_text(links in proptest::collection::vec(any_link(), 0..8)) {
        let text = link::write(&links);
        prop_assert_eq!(link::parse(&text).unwrap(), links);
    }

    #[test]
    fn random_text_never_panics(text in prop_oneof![any::<String>(), "[<>;,=\"\\\\a ü/1]{0,40}"]) {
        if let Ok(links) = link::parse(&text) {
            let written = link::write(&links);
            prop_assert_eq!(link::parse(&written).unwrap(), links);
        }
    }
}
