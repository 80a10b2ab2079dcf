//! Numbers as Redis reads and prints them: strict decimal integers, C's `strtod`, C's `%.17g`.

/// Reads a decimal integer: no blanks, no plus sign, no leading zero, within 64 bits.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical || text.len() > 20 {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a finite or infinite floating-point number; NaN, overflow and underflow to zero are refused.
pub(crate) fn parse_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let spelled_infinite = text.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let underflowed = value == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let refused = value.is_nan() || (value.is_infinite() && !spelled_infinite) || underflowed;
    (!refused).then_some(value)
}

/// Reads the bound of a range: as [`parse_float`], but a number that does not fit becomes infinite or zero, and an
/// empty text is zero, as C's `strtod` has it.
pub(crate) fn parse_bound(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Appends the decimal form of an integer.
pub(crate) fn write_integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// Prints a floating-point number with 17 significant digits, as C's `%.17g` does; infinities as `inf`, `-inf`.
pub(crate) fn format_float(value: f64) -> String {
    const SIGNIFICANT: i32 = 17;
    if value.is_nan() {
        return if value.is_sign_negative() {
            "-nan".into()
        } else {
            "nan".into()
        };
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if value == value.trunc() && value.abs() < 1e15 && (value != 0.0 || value.is_sign_positive()) {
        return (value as i64).to_string();
    }
    let scientific = format!("{:.*e}", (SIGNIFICANT - 1) as usize, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..SIGNIFICANT).contains(&exponent) {
        let decimals = (SIGNIFICANT - 1 - exponent) as usize;
        return without_trailing_zeros(&format!("{value:.decimals$}")).to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs())
}

fn without_trailing_zeros(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_only_in_their_canonical_form() {
        let accepted: [(&[u8], i64); 4] = [
            (b"0", 0),
            (b"-1", -1),
            (b"9223372036854775807", i64::MAX),
            (b"-9223372036854775808", i64::MIN),
        ];
        for (text, value) in accepted {
            assert_eq!(parse_integer(text), Some(value));
        }
        for text in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "1.0",
            "9223372036854775808",
            "x",
        ] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn floats_print_with_seventeen_significant_digits() {
        let table = [
            (3.0, "3"),
            (3.2, "3.2000000000000002"),
            (1e-7, "9.9999999999999995e-08"),
            (1e20, "1e+20"),
            (12_345_678_901_234_567_890.0, "1.2345678901234567e+19"),
            (f64::NEG_INFINITY, "-inf"),
            (-0.0, "-0"),
            (0.1, "0.10000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (0.000_122_070_312_5, "0.0001220703125"),
        ];
        for (value, text) in table {
            assert_eq!(format_float(value), text);
        }
    }

    #[test]
    fn floats_that_do_not_fit_are_refused() {
        for text in ["", "nan", "1e400", "1e-400", "abc", "1x"] {
            assert_eq!(parse_float(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_float(b"-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_float(b"1e3"), Some(1000.0));
        assert_eq!(parse_float(b"0e5"), Some(0.0));
    }
}
