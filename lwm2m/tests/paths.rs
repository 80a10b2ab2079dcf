//! Paths: what is accepted, what is refused and how that is said.

#![allow(clippy::unwrap_used)]

use lwm2m::path::{Level, Path};
use proptest::prelude::*;

fn refused(text: &str) -> String {
    text.parse::<Path>().unwrap_err().to_string()
}

#[test]
fn a_path_knows_its_level_and_its_identifiers() {
    let path: Path = "/3/0/7/1".parse().unwrap();
    assert_eq!(path, Path::resource_instance(3, 0, 7, 1));
    assert_eq!(path.level(), Level::ResourceInstance);
    assert_eq!(path.ids(), [3, 0, 7, 1]);
    assert_eq!((path.resource_id(), path.last_id()), (Some(7), 1));
    assert_eq!("/65535".parse::<Path>().unwrap(), Path::object(65_535));
    assert_eq!(Path::instance(3, 0).resource_id(), None);
}

#[test]
fn paths_order_as_a_walk_through_the_tree() {
    let mut paths: Vec<Path> = ["/3/1", "/3/0/1", "/10", "/3", "/3/0"]
        .map(|text| text.parse().unwrap())
        .into();
    paths.sort();
    let texts: Vec<String> = paths.iter().map(Path::to_string).collect();
    assert_eq!(texts, ["/3", "/3/0", "/3/0/1", "/3/1", "/10"]);
}

#[test]
fn what_is_no_path_is_refused_in_words() {
    assert_eq!(
        refused("3/0"),
        "a path starts with a slash and looks like /3/0/1, found `3/0`"
    );
    assert_eq!(
        refused("/"),
        "a path names at least an object, like /3; found only a slash"
    );
    assert_eq!(
        refused("/1/2/3/4/5"),
        "a path has at most 4 segments (/object/instance/resource/resource instance), `/1/2/3/4/5` has more"
    );
    for (text, position, found) in [
        ("/x", 1, "x"),
        ("/3/", 2, ""),
        ("/3/65536", 2, "65536"),
        ("/3/0/01", 3, "01"),
        ("/+3", 1, "+3"),
    ] {
        assert_eq!(
            refused(text),
            format!(
                "segment {position} of a path must be a number from 0 to 65535 without leading zeros, found `{found}`"
            )
        );
    }
}

proptest! {
    #[test]
    fn every_path_survives_its_text(ids in proptest::collection::vec(any::<u16>(), 1..=4)) {
        let path = Path::from_ids(&ids).unwrap();
        prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
    }

    #[test]
    fn any_text_is_a_path_in_one_spelling_or_none(text in "[/0-9+a]{0,12}") {
        if let Ok(path) = text.parse::<Path>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }
}
