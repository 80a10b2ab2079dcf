//! The pattern language of KEYS, SCAN and PSUBSCRIBE: `*`, `?`, `[a-z]`, `[^x]`, and `\` to escape.

/// Whether `text` matches `pattern`. Takes at most (pattern length × text length) steps.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // Where to continue when what follows the last `*` does not fit: let the star swallow one byte more.
    let mut retry: Option<(usize, usize)> = None;
    while position < text.len() {
        if pattern.get(at) == Some(&b'*') {
            retry = Some((at + 1, position));
            at += 1;
            continue;
        }
        if let Some(width) = match_one(&pattern[at..], text[position]) {
            at += width;
            position += 1;
            continue;
        }
        let Some((after_star, swallowed)) = retry else {
            return false;
        };
        retry = Some((after_star, swallowed + 1));
        (at, position) = (after_star, swallowed + 1);
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Matches one byte against the first item of the pattern; returns that item's width.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => match_class(class, byte).map(|width| width + 1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Matches one byte against a class whose opening bracket has been read. An unclosed class ends with the pattern.
fn match_class(class: &[u8], byte: u8) -> Option<usize> {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at.min(class.len())..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        let table = [
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a*b*c", "aXbYbZc", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a", "ab", false),
            ("[", "[", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = b"a*".repeat(200);
        let text = [b"a".repeat(5_000), b"b".to_vec()].concat();
        assert!(!matches(&[pattern, b"c".to_vec()].concat(), &text));
    }
}
