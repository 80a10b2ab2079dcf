//! The parts of a registration's JSON that a Register or Update brings: the store keeps them as text, and its scripts
//! put them together with what they know themselves (times, address, `rev`).

use lwm2m::link::{AttributeValue, Link};

use super::json::{push_display, push_string};

/// `objLink`: `[{"url":"/1/0","at":{}},…]`. A value without quotes that is a 32-bit integer becomes a number, an
/// attribute without a value `null`, everything else a string. Of a repeated attribute the first one counts.
pub fn obj_link(links: &[Link<'_>]) -> String {
    let mut json = String::with_capacity(2 + links.len() * 32);
    json.push('[');
    for (place, link) in links.iter().enumerate() {
        json.push_str(if place == 0 { "{\"url\":" } else { ",{\"url\":" });
        push_string(&mut json, &link.target);
        json.push_str(",\"at\":{");
        push_attributes(&mut json, link);
        json.push_str("}}");
    }
    json.push(']');
    json
}

fn push_attributes(json: &mut String, link: &Link<'_>) {
    let mut separator = "";
    for (place, attribute) in link.attributes.iter().enumerate() {
        if link.attributes[..place]
            .iter()
            .any(|earlier| earlier.name == attribute.name)
        {
            continue;
        }
        json.push_str(separator);
        separator = ",";
        push_string(json, &attribute.name);
        json.push(':');
        match &attribute.value {
            None => json.push_str("null"),
            Some(AttributeValue::Quoted(text)) => push_string(json, text),
            // A number that is spelled otherwise than numbers are (leading zeros, a plus) may be a name.
            Some(AttributeValue::Token(text)) => match text.parse::<i32>() {
                Ok(number) if number.to_string() == **text => push_display(json, number),
                _ => push_string(json, text),
            },
        }
    }
}

/// `addAttr`: `{"x":"y"}`, from names and values that are all different.
pub fn add_attr(attributes: &[(&str, &str)]) -> String {
    let mut json = String::from("{");
    for (place, (name, value)) in attributes.iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        push_string(&mut json, name);
        json.push(':');
        push_string(&mut json, value);
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use lwm2m::link;

    #[test]
    fn links_become_the_array_of_the_wiki_page() {
        let links = link::parse(r#"</>;rt="oma.lwm2m",</1/0>,</3/0>,</6/0>"#).unwrap();
        assert_eq!(
            obj_link(&links),
            r#"[{"url":"/","at":{"rt":"oma.lwm2m"}},{"url":"/1/0","at":{}},{"url":"/3/0","at":{}},{"url":"/6/0","at":{}}]"#
        );
        assert_eq!(obj_link(&[]), "[]");
    }

    #[test]
    fn attribute_values_are_numbers_strings_or_null() {
        let text = r#"</3/0>;n=3;neg=-7;q="3";ver=1.1;big=2147483648;hb;n=4;s="a\"b";z=007;p=+5"#;
        let links = link::parse(text).unwrap();
        assert_eq!(
            obj_link(&links),
            r#"[{"url":"/3/0","at":{"n":3,"neg":-7,"q":"3","ver":"1.1","big":"2147483648","hb":null,"s":"a\"b","z":"007","p":"+5"}}]"#
        );
    }

    #[test]
    fn further_parameters_keep_their_order_and_empty_values() {
        assert_eq!(add_attr(&[]), "{}");
        assert_eq!(
            add_attr(&[("x", "y"), ("Q", ""), ("a\"", "\u{1}")]),
            r#"{"x":"y","Q":"","a\"":"\u0001"}"#
        );
    }
}
