//! Exact payloads (the examples of OMA TS 1.0, 6.4.3 and 6.4.1 among them), refusals, and round trips.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::node::{Instance, Object};
use crate::value::ObjectLink;

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn single(id: u16, value: Value) -> Resource {
    Resource::Single { id, value }
}

fn integers(id: u16, values: &[(u16, i64)]) -> Resource {
    let values = values
        .iter()
        .map(|(index, number)| (*index, Value::Integer(*number)))
        .collect();
    Resource::Multiple {
        id,
        value_type: ValueType::Integer,
        values,
    }
}

/// The device object of the example in OMA TS 1.0, 6.4.3.1.
fn device_example() -> (Node, Vec<u8>) {
    let text = |id, text: &str| single(id, Value::String(text.to_owned()));
    let number = |id, number| single(id, Value::Integer(number));
    let node = Node::Instance(Instance::new(
        0,
        [
            text(0, "Open Mobile Alliance"),
            text(1, "Lightweight M2M Client"),
            text(2, "345000123"),
            text(3, "1.0"),
            integers(6, &[(0, 1), (1, 5)]),
            integers(7, &[(0, 3800), (1, 5000)]),
            integers(8, &[(0, 125), (1, 900)]),
            number(9, 100),
            number(10, 15),
            integers(11, &[(0, 0)]),
            single(13, Value::Time(1_367_491_215)),
            text(14, "+02:00"),
            text(16, "U"),
        ],
    ));
    let mut payload = Vec::new();
    payload.extend_from_slice(b"\xc8\x00\x14Open Mobile Alliance");
    payload.extend_from_slice(b"\xc8\x01\x16Lightweight M2M Client");
    payload.extend_from_slice(b"\xc8\x02\x09345000123");
    payload.extend_from_slice(b"\xc3\x031.0");
    payload.extend_from_slice(&[0x86, 6, 0x41, 0, 1, 0x41, 1, 5]);
    payload.extend_from_slice(&[0x88, 7, 8, 0x42, 0, 0x0e, 0xd8, 0x42, 1, 0x13, 0x88]);
    payload.extend_from_slice(&[0x87, 8, 0x41, 0, 0x7d, 0x42, 1, 0x03, 0x84]);
    payload.extend_from_slice(&[0xc1, 9, 0x64, 0xc1, 10, 0x0f, 0x83, 11, 0x41, 0, 0]);
    payload.extend_from_slice(&[0xc4, 13, 0x51, 0x82, 0x42, 0x8f]);
    payload.extend_from_slice(b"\xc6\x0e+02:00\xc1\x10U");
    (node, payload)
}

#[test]
fn the_device_example_of_the_specification_is_written_and_read_byte_for_byte() {
    let (node, payload) = device_example();
    assert_eq!(encode(ContentFormat::Tlv, &path("/3/0"), &node).unwrap(), payload);
    assert_eq!(decode(ContentFormat::Tlv, &path("/3/0"), &payload).unwrap(), node);
}

#[test]
fn an_instance_wrapped_in_its_own_element_is_read_as_that_instance() {
    let payload = [0x03, 0, 0xc1, 9, 0x64];
    let node = Node::Instance(Instance::new(0, [single(9, Value::Integer(100))]));
    assert_eq!(decode(ContentFormat::Tlv, &path("/3/0"), &payload).unwrap(), node);
    let error = decode(ContentFormat::Tlv, &path("/3/1"), &payload).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/3/1 names an object instance with id 1, found object instance 0"
    );
}

#[test]
fn a_resource_is_read_inside_its_instance_and_a_multiple_one_by_its_values_where_that_is_clear() {
    let tlv = |at: &str, payload: &[u8]| decode(ContentFormat::Tlv, &path(at), payload);
    let battery = Node::Resource(single(9, Value::Integer(100)));
    assert_eq!(tlv("/3/0/9", &[0x03, 0, 0xc1, 9, 0x64]).unwrap(), battery);
    let value = Node::single(1, Value::Integer(5));
    assert_eq!(tlv("/3/0/6/1", &[0x05, 0, 0x83, 6, 0x41, 1, 5]).unwrap(), value);
    let sources = Node::Resource(integers(6, &[(0, 1), (1, 5)]));
    assert_eq!(tlv("/3/0/6", &[0x41, 0, 1, 0x41, 1, 5]).unwrap(), sources);
    // Another instance, another resource, more than was asked, or nothing at all.
    for payload in [
        &[0x03, 1, 0xc1, 9, 0x64][..],
        &[0x03, 0, 0xc1, 8, 0x64],
        &[0x06, 0, 0xc1, 9, 0x64, 0xc1, 8, 0x64],
        &[0x00, 0],
        &[0x41, 0, 1, 0xc1, 9, 0x64],
    ] {
        tlv("/3/0/9", payload).unwrap_err();
    }
}

#[test]
fn an_object_is_read_by_instances_and_a_single_one_without_them() {
    let instance = Instance::new(0, [single(9, Value::Integer(100))]);
    let node = Node::Object(Object::new(3, [instance]));
    let wrapped = [0x03, 0, 0xc1, 9, 0x64];
    assert_eq!(encode(ContentFormat::Tlv, &path("/3"), &node).unwrap(), wrapped);
    assert_eq!(decode(ContentFormat::Tlv, &path("/3"), &wrapped).unwrap(), node);
    assert_eq!(
        decode(ContentFormat::Tlv, &path("/3"), &[0xc1, 9, 0x64]).unwrap(),
        node
    );
    let error = decode(ContentFormat::Tlv, &path("/1"), &[0xc1, 0, 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/1 names an object with id 1, found resource 0 outside any instance"
    );
}

#[test]
fn a_resource_instance_is_read_bare_or_inside_its_resource() {
    let node = Node::single(1, Value::Integer(5));
    let at = path("/3/0/6/1");
    assert_eq!(encode(ContentFormat::Tlv, &at, &node).unwrap(), [0x41, 1, 5]);
    assert_eq!(decode(ContentFormat::Tlv, &at, &[0x41, 1, 5]).unwrap(), node);
    assert_eq!(
        decode(ContentFormat::Tlv, &at, &[0x83, 6, 0x41, 1, 5]).unwrap(),
        node
    );
    let error = decode(ContentFormat::Tlv, &at, &[0x83, 6, 0x41, 0, 5]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/3/0/6/1 names a resource instance with id 1, found multiple resource 6"
    );
}

#[test]
fn identifiers_and_lengths_take_the_shortest_form_that_holds() {
    let header = |id: u16, length: usize| {
        let node = Node::single(id, Value::Opaque(vec![7; length]));
        let payload = encode(ContentFormat::Tlv, &Path::resource(9, 0, id), &node).unwrap();
        payload[..payload.len() - length].to_vec()
    };
    assert_eq!(header(255, 7), [0xc7, 0xff]);
    assert_eq!(header(256, 8), [0xe8, 0x01, 0x00, 0x08]);
    assert_eq!(header(1, 255), [0xc8, 0x01, 0xff]);
    assert_eq!(header(1, 256), [0xd0, 0x01, 0x01, 0x00]);
    assert_eq!(header(1, 65_536), [0xd8, 0x01, 0x01, 0x00, 0x00]);
}

#[test]
fn numbers_take_the_shortest_form_and_are_read_in_every_size() {
    let tlv =
        |value| encode(ContentFormat::Tlv, &path("/9/0/1"), &Node::single(1, value)).unwrap()[2..].to_vec();
    assert_eq!(tlv(Value::Integer(-128)), [0x80]);
    assert_eq!(tlv(Value::Integer(128)), [0x00, 0x80]);
    assert_eq!(tlv(Value::Integer(-32_769)), [0xff, 0xff, 0x7f, 0xff]);
    assert_eq!(tlv(Value::Unsigned(200)), [200]);
    assert_eq!(tlv(Value::Unsigned(65_536)), [0, 1, 0, 0]);
    assert_eq!(
        tlv(Value::ObjectLink(ObjectLink {
            object: 66,
            instance: 1
        })),
        [0, 66, 0, 1]
    );
    let sensor = path("/3303/0/5700");
    let twenty_and_a_half = Node::single(5700, Value::Float(20.5));
    let wide = [0xe8, 0x16, 0x44, 8, 0x40, 0x34, 0x80, 0, 0, 0, 0, 0];
    assert_eq!(
        encode(ContentFormat::Tlv, &sensor, &twenty_and_a_half).unwrap(),
        wide
    );
    assert_eq!(
        decode(ContentFormat::Tlv, &sensor, &wide).unwrap(),
        twenty_and_a_half
    );
    let narrow = [0xe4, 0x16, 0x44, 0x41, 0xa4, 0, 0];
    assert_eq!(
        decode(ContentFormat::Tlv, &sensor, &narrow).unwrap(),
        twenty_and_a_half
    );
}

#[test]
fn a_resource_that_nobody_knows_is_opaque_in_tlv_and_a_string_in_text() {
    let at = path("/3/0/999");
    let opaque = Node::single(999, Value::Opaque(vec![1, 2]));
    assert_eq!(
        decode(ContentFormat::Tlv, &at, &[0xe2, 3, 0xe7, 1, 2]).unwrap(),
        opaque
    );
    assert_eq!(
        decode(ContentFormat::Text, &at, b"12").unwrap(),
        Node::single(999, Value::String("12".to_owned()))
    );
}

#[test]
fn an_empty_payload_is_an_empty_multiple_resource_only_where_one_is_known() {
    let empty = Node::Resource(integers(6, &[]));
    assert_eq!(decode(ContentFormat::Tlv, &path("/3/0/6"), &[]).unwrap(), empty);
    assert_eq!(
        encode(ContentFormat::Tlv, &path("/3/0/6"), &empty).unwrap(),
        [0x80, 6]
    );
    assert!(decode(ContentFormat::Tlv, &path("/3/0/9"), &[]).is_err());
    assert_eq!(
        decode(ContentFormat::Tlv, &path("/3/0"), &[]).unwrap(),
        Node::Instance(Instance {
            id: 0,
            ..Instance::default()
        })
    );
}

#[test]
fn broken_tlv_is_refused_with_its_place() {
    let message = |payload: &[u8]| {
        decode(ContentFormat::Tlv, &path("/3/0"), payload)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(&[0xc3, 1, b'a']),
        "broken TLV at byte 2: the value is shorter than its length says"
    );
    assert_eq!(
        message(&[0xe1, 1]),
        "broken TLV at byte 1: the identifier is cut off"
    );
    assert_eq!(
        message(&[0xd8, 1, 0, 0]),
        "broken TLV at byte 2: the length is cut off"
    );
    assert_eq!(
        message(&[0xc1, 9, 1, 0xc1, 9, 2]),
        "broken TLV at byte 3: the same identifier appears twice"
    );
    assert_eq!(
        message(&[0xc1, 9, 1, 0x01, 0, 1]),
        "broken TLV at byte 3: a resource or multiple resource was expected"
    );
    assert_eq!(
        message(&[0x82, 6, 0xc0, 0]),
        "broken TLV at byte 2: a multiple resource may hold only resource instances"
    );
    assert_eq!(
        message(&[0xc3, 9, 1, 2, 3]),
        "resource 9 at byte 0 in TLV: expected an integer of 1, 2, 4 or 8 bytes, found 3 bytes ([01, 02, 03])"
    );
}

#[test]
fn a_payload_with_more_elements_than_the_limit_is_refused() {
    let payload: Vec<u8> = (0..=MAX_ELEMENTS as u16)
        .flat_map(|id| [0xe0, (id >> 8) as u8, id as u8])
        .collect();
    let limit = FormatError::TooLarge {
        what: "the number of TLV elements",
        limit: MAX_ELEMENTS,
    };
    assert_eq!(decode(ContentFormat::Tlv, &path("/9/0"), &payload), Err(limit));
    assert!(decode(ContentFormat::Tlv, &path("/9/0"), &payload[3..]).is_ok());
    let long = vec![0; MAX_PAYLOAD + 1];
    assert_eq!(
        decode(ContentFormat::Opaque, &path("/9/0/1"), &long)
            .unwrap_err()
            .to_string(),
        "payload too large: the number of bytes is limited to 1048576"
    );
}

#[test]
fn text_is_spelled_as_the_specification_has_it() {
    let cases = [
        (
            "/3/0/1",
            Value::String("Lightweight M2M Client".to_owned()),
            "Lightweight M2M Client",
        ),
        ("/3/0/9", Value::Integer(-95), "-95"),
        ("/0/0/13", Value::Unsigned(u64::MAX), "18446744073709551615"),
        ("/3303/0/5700", Value::Float(20.5), "20.5"),
        ("/3303/0/5700", Value::Float(-0.25), "-0.25"),
        ("/1/0/6", Value::Boolean(true), "1"),
        ("/1/0/6", Value::Boolean(false), "0"),
        ("/3/0/13", Value::Time(1_367_491_215), "1367491215"),
        ("/5/0/0", Value::Opaque(vec![1, 2, 3, 4, 5, 255]), "AQIDBAX/"),
        (
            "/1/0/10",
            Value::ObjectLink(ObjectLink {
                object: 11,
                instance: 0,
            }),
            "11:0",
        ),
    ];
    for (at, value, text) in cases {
        let node = Node::single(path(at).last_id(), value);
        assert_eq!(
            encode(ContentFormat::Text, &path(at), &node).unwrap(),
            text.as_bytes()
        );
        assert_eq!(
            decode(ContentFormat::Text, &path(at), text.as_bytes()).unwrap(),
            node
        );
    }
}

#[test]
fn text_of_the_wrong_type_is_refused() {
    for (at, text) in [
        ("/3/0/9", "ten"),
        ("/3/0/9", "9223372036854775808"),
        ("/1/0/6", "true"),
        ("/3303/0/5700", "inf"),
        ("/3303/0/5700", "NaN"),
        ("/3/0/13", "1.5"),
        ("/5/0/0", "AQI"),
        ("/1/0/10", "11"),
    ] {
        let error = decode(ContentFormat::Text, &path(at), text.as_bytes()).unwrap_err();
        assert!(
            matches!(error, FormatError::BadValue { .. }),
            "{at} {text}: {error}"
        );
    }
    let error = decode(ContentFormat::Text, &path("/3/0"), b"x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "content format text (0) holds the one value of a resource or resource instance, not a whole object instance"
    );
}

#[test]
fn opaque_carries_bytes_and_nothing_else() {
    let node = Node::single(0, Value::Opaque(vec![0, 255]));
    assert_eq!(
        encode(ContentFormat::Opaque, &path("/5/0/0"), &node).unwrap(),
        [0, 255]
    );
    assert_eq!(
        decode(ContentFormat::Opaque, &path("/5/0/0"), &[0, 255]).unwrap(),
        node
    );
    let text = Node::single(1, Value::String("x".to_owned()));
    assert_eq!(
        encode(ContentFormat::Opaque, &path("/3/0/1"), &text)
            .unwrap_err()
            .to_string(),
        "/3/0/1 in content format opaque (42): expected a value of type opaque, found one of type string"
    );
}

#[test]
fn pre_release_numbers_are_read_as_the_formats_they_became() {
    let sent = |number| ContentFormat::from_number(number).map(ContentFormat::number);
    assert_eq!(
        [1541, 1542, 1543, 1544].map(sent),
        [Some(0), Some(11542), Some(11543), Some(42)]
    );
    for number in [0, 40, 42, 60, 110, 112, 11542, 11543, 11544] {
        assert_eq!(sent(number), Some(number));
    }
    assert_eq!(sent(1), None);
}

#[test]
fn a_format_that_is_not_there_yet_says_so() {
    let error = decode(ContentFormat::SenmlJson, &path("/3/0"), b"[]").unwrap_err();
    assert_eq!(
        error.to_string(),
        "content format SenML JSON (110) is not supported for values yet; use 0 (text), 42 (opaque) or 11542 (TLV)"
    );
}

fn any_value(value_type: ValueType) -> BoxedStrategy<Value> {
    match value_type {
        ValueType::String => any::<String>().prop_map(Value::String).boxed(),
        ValueType::Integer => any::<i64>().prop_map(Value::Integer).boxed(),
        ValueType::Unsigned => any::<u64>().prop_map(Value::Unsigned).boxed(),
        ValueType::Float => any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(Value::Float)
            .boxed(),
        ValueType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        ValueType::Time => any::<i64>().prop_map(Value::Time).boxed(),
        ValueType::Opaque => proptest::collection::vec(any::<u8>(), 0..300)
            .prop_map(Value::Opaque)
            .boxed(),
        ValueType::ObjectLink => any::<(u16, u16)>()
            .prop_map(|(object, instance)| Value::ObjectLink(ObjectLink { object, instance }))
            .boxed(),
        ValueType::CoreLink => any::<String>().prop_map(Value::CoreLink).boxed(),
    }
}

/// A resource of the device object that holds what its model says.
fn any_resource() -> impl Strategy<Value = Resource> {
    let holding: Vec<_> = objects::object(3)
        .unwrap()
        .resources
        .iter()
        .filter_map(|model| Some((model.id, model.multiple, model.value_type?)))
        .collect();
    proptest::sample::select(holding).prop_flat_map(|(id, multiple, value_type)| {
        if multiple {
            proptest::collection::btree_map(any::<u16>(), any_value(value_type), 0..5)
                .prop_map(move |values: BTreeMap<_, _>| Resource::Multiple {
                    id,
                    value_type,
                    values,
                })
                .boxed()
        } else {
            any_value(value_type)
                .prop_map(move |value| single(id, value))
                .boxed()
        }
    })
}

fn any_instance() -> impl Strategy<Value = Instance> {
    (any::<u16>(), proptest::collection::vec(any_resource(), 0..6))
        .prop_map(|(id, resources)| Instance::new(id, resources))
}

proptest! {
    #[test]
    fn every_node_survives_tlv(instance in any_instance(), other in any_instance(), resource in any_resource()) {
        let nodes = [
            (Path::resource(3, 0, resource.id()), Node::Resource(resource)),
            (Path::instance(3, instance.id), Node::Instance(instance.clone())),
            (Path::object(3), Node::Object(Object::new(3, [instance, other]))),
        ];
        for (path, node) in nodes {
            let payload = encode(ContentFormat::Tlv, &path, &node).unwrap();
            prop_assert_eq!(decode(ContentFormat::Tlv, &path, &payload).unwrap(), node);
        }
    }

    #[test]
    fn every_value_survives_text(resource in any_resource()) {
        if let Resource::Single { id, .. } = resource {
            let (path, node) = (Path::resource(3, 0, id), Node::Resource(resource));
            let payload = encode(ContentFormat::Text, &path, &node).unwrap();
            prop_assert_eq!(decode(ContentFormat::Text, &path, &payload).unwrap(), node);
        }
    }

    #[test]
    fn floats_survive_text(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
        let (path, node) = (Path::resource(3303, 0, 5700), Node::single(5700, Value::Float(number)));
        let payload = encode(ContentFormat::Text, &path, &node).unwrap();
        prop_assert_eq!(decode(ContentFormat::Text, &path, &payload).unwrap(), node);
    }

    #[test]
    fn random_bytes_never_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        ids in proptest::collection::vec(prop_oneof![Just(3u16), Just(0), Just(6), any::<u16>()], 1..=4),
    ) {
        let path = Path::from_ids(&ids).unwrap();
        for format in [ContentFormat::Text, ContentFormat::Opaque, ContentFormat::Tlv] {
            if let Ok(node) = decode(format, &path, &payload) {
                prop_assert!(node.fits(&path));
                prop_assert!(encode(ContentFormat::Tlv, &path, &node).is_ok());
            }
        }
    }
}
