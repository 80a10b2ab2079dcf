//! What devices answer, as JSON, and what of it cannot be read.

use super::*;

#[test]
fn an_error_of_the_device_is_passed_on_with_its_text() {
    let request = read("/3/0/1");
    let body =
        |code, options: &Options, payload: &[u8]| request.response_body(code, options, payload).unwrap();
    assert_eq!(
        body(Code::NOT_FOUND, &Options::new(), b"a custom CoAP error message"),
        r#"{"kind":"read","code":"NOT_FOUND","errorMessage":"a custom CoAP error message"}"#
    );
    assert_eq!(
        body(Code::NOT_FOUND, &Options::new(), b""),
        r#"{"kind":"read","code":"NOT_FOUND"}"#
    );
    assert_eq!(
        body(Code::NOT_FOUND, &with_format(11542), b"\xc0\x01"),
        r#"{"kind":"read","code":"NOT_FOUND"}"#
    );
    assert_eq!(
        body(Code::new(5, 31), &Options::new(), b"\xff"),
        "{\"kind\":\"read\",\"code\":\"UNKNOWN(531)\",\"errorMessage\":\"\u{fffd}\"}"
    );
}

#[test]
fn a_write_and_an_execute_are_answered_with_their_code() {
    let instance = parsed(&write("/3/0", r#"{"kind":"instance","resources":{}}"#, ""));
    let body = instance
        .response_body(Code::CHANGED, &Options::new(), b"")
        .unwrap();
    assert_eq!(body, r#"{"kind":"write","code":"CHANGED"}"#);
    let execute = parsed(r#"{"kind":"execute","path":"/3/0/4"}"#);
    let body = execute
        .response_body(Code::CHANGED, &Options::new(), b"")
        .unwrap();
    assert_eq!(body, r#"{"kind":"execute","code":"CHANGED"}"#);
    let body = execute
        .response_body(Code::METHOD_NOT_ALLOWED, &Options::new(), b"no")
        .unwrap();
    assert_eq!(
        body,
        r#"{"kind":"execute","code":"METHOD_NOT_ALLOWED","errorMessage":"no"}"#
    );
}

#[test]
fn instances_objects_and_multiple_resources_are_read() {
    let tlv = with_format(11542);
    let body = |path: &str, payload: &[u8]| read(path).response_body(Code::CONTENT, &tlv, payload).unwrap();
    let multiple = r#"{"kind":"multipleresource","id":6,"type":"integer","values":{"0":1,"17":7}}"#;
    let battery = r#"{"kind":"singleresource","id":9,"type":"integer","value":100}"#;
    let instance = format!(r#"{{"kind":"instance","id":0,"resources":{{"6":{multiple},"9":{battery}}}}}"#);
    let resources = [0x86, 6, 0x41, 0, 1, 0x41, 17, 7, 0xc1, 9, 100];
    let answer = |node: &str| format!(r#"{{"kind":"read","code":"CONTENT","node":{node}}}"#);
    assert_eq!(body("/3/0/6", &resources[..8]), answer(multiple));
    assert_eq!(body("/3/0", &resources), answer(&instance));
    let wrapped = [&[0x08, 0, 11][..], &resources].concat();
    let object = format!(r#"{{"kind":"object","id":3,"instances":{{"0":{instance}}}}}"#);
    assert_eq!(body("/3", &wrapped), answer(&object));
    let link = r#"{"kind":"multipleresource","id":22,"type":"objlnk","values":{"0":"4:0"}}"#;
    assert_eq!(body("/3/0/22", &[0x86, 22, 0x44, 0, 0, 4, 0, 0]), answer(link));
    assert_eq!(
        body("/3/0/999", &[0xe2, 0x03, 0xe7, 1, 2]),
        answer(r#"{"kind":"singleresource","id":999,"type":"opaque","value":"AQI="}"#)
    );
}

#[test]
fn an_answer_that_cannot_be_read_says_why() {
    let tlv = with_format(11542);
    assert_eq!(
        undecodable(&read("/3/0/1"), &tlv, &[0xc1, 2, b'x']),
        "the device's answer: /3/0/1 names a resource with id 1, found resource 2"
    );
    assert_eq!(
        undecodable(&read("/3/0/9"), &with_format(0), b"full"),
        "the device's answer: /3/0/9 in text: expected an integer of 64 bits, found `full`"
    );
    assert_eq!(
        undecodable(&read("/3/0"), &Options::new(), b""),
        "the device's answer has no Content-Format"
    );
    assert_eq!(
        undecodable(&read("/3/0"), &with_format(9999), b""),
        "the device answered in a content format that LwM2M does not have: 9999"
    );
    assert!(
        undecodable(&read("/3/0"), &with_format(110), b"[]").contains("SenML JSON (110) is not supported")
    );
    let nan = [&[0xe8, 0x16, 0x44, 8][..], &f64::NAN.to_be_bytes()].concat();
    assert_eq!(
        undecodable(&read("/3303/0/5700"), &tlv, &nan),
        "the device's answer holds the float NaN, which JSON cannot express"
    );
    let far = [&[0xc8, 13, 8][..], &i64::MAX.to_be_bytes()].concat();
    assert_eq!(
        undecodable(&read("/3/0/13"), &tlv, &far),
        "the device's answer holds the time 9223372036854775807 s, which has no 64 bits of milliseconds"
    );
    let mut first_block = with_format(0);
    first_block.push_uint(option::BLOCK2, 0b1110);
    assert_eq!(
        undecodable(&read("/3/0/1"), &first_block, b"part"),
        "the device answers in blocks (RFC 7959), which are not supported yet"
    );
    let mut only_block = with_format(0);
    only_block.push_uint(option::BLOCK2, 0b0110);
    assert!(
        read("/3/0/1")
            .response_body(Code::CONTENT, &only_block, b"whole")
            .is_ok()
    );
}

#[test]
fn floats_are_the_shortest_that_read_back() {
    for (number, text) in [
        (0.1, "0.1"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e-7, "1e-7"),
        (f64::MAX, "1.7976931348623157e+308"),
    ] {
        let payload = [&[0xe8, 0x16, 0x44, 8][..], &f64::to_be_bytes(number)].concat();
        let body = read("/3303/0/5700")
            .response_body(Code::CONTENT, &with_format(11542), &payload)
            .unwrap();
        let expected = format!(
            r#"{{"kind":"read","code":"CONTENT","node":{{"kind":"singleresource","id":5700,"type":"float","value":{text}}}}}"#
        );
        assert_eq!(body, expected);
    }
}
