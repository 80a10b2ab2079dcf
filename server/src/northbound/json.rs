//! JSON as this interface needs it: members of an object without building a tree, and text that is written piece by
//! piece. Of a repeated member the last one counts, `null` means absent, and nesting may be of any depth, because
//! nothing here recurses: values stay raw until somebody asks for them.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The values of the members called `names`, raw; `None` for those that are absent or `null`.
pub(super) fn members<'a, const N: usize>(
    json: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let found = deserializer.deserialize_map(Members(names))?;
    deserializer.end()?;
    Ok(found)
}

/// Picks members by name out of an object.
struct Members<'n, const N: usize>([&'n str; N]);

impl<'a, const N: usize> Visitor<'a> for Members<'_, N> {
    type Value = [Option<&'a RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut found = [None; N];
        while let Some(place) = map.next_key_seed(Place(&self.0))? {
            match place {
                Some(place) => {
                    let value: &RawValue = map.next_value()?;
                    found[place] = Some(value).filter(|value| value.get() != "null");
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Reads a member's name as its place among the names that are looked for.
struct Place<'n>(&'n [&'n str]);

impl<'a> DeserializeSeed<'a> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|wanted| *wanted == name))
    }
}

/// All elements of an object, with their names, or of an array, without. Repeated names are all there.
pub(super) fn elements(json: &str) -> Result<Vec<(Option<String>, &RawValue)>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let found = deserializer.deserialize_any(Elements)?;
    deserializer.end()?;
    Ok(found)
}

struct Elements;

impl<'a> Visitor<'a> for Elements {
    type Value = Vec<(Option<String>, &'a RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut found = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            found.push((Some(name), value));
        }
        Ok(found)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut array: S) -> Result<Self::Value, S::Error> {
        let mut found = Vec::new();
        while let Some(value) = array.next_element()? {
            found.push((None, value));
        }
        Ok(found)
    }
}

/// The text of a JSON string; `None` for any other JSON, and for escapes that are no Unicode. It borrows if it can.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    let whole = !inner.bytes().any(|byte| byte == b'"' || byte < b' ');
    whole.then_some(Cow::Borrowed(inner))
}

/// `text` as a JSON string, quotes included.
pub fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    push_string(&mut json, text);
    json
}

/// Appends `text` as a JSON string.
pub(super) fn push_string(json: &mut String, text: &str) {
    json.push('"');
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.push_str(&text[written..at]);
        written = at + 1;
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            control => push_display(json, format_args!("\\u{control:04x}")),
        }
    }
    json.push_str(&text[written..]);
    json.push('"');
}

/// Appends whatever can be displayed.
pub(super) fn push_display(json: &mut String, what: impl fmt::Display) {
    write!(json, "{what}").expect("writing to a String does not fail");
}

/// Enough of `json` to recognise it in a message for a person.
pub(super) fn shortened(json: &str) -> String {
    const SHOWN: usize = 40;
    match json.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &json[..end]),
        None => json.to_owned(),
    }
}
