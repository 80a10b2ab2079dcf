//! The first line of a script, `#!lua flags=…`: what the script asks for.

/// The flags of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shebang {
    /// There is such a line at all; without it a script runs under the older, laxer rules.
    pub(crate) present: bool,
    pub(crate) no_writes: bool,
    pub(crate) allow_oom: bool,
}

impl Shebang {
    /// Reads the line; returns it with the text that remains to compile (which keeps the line break, so that line
    /// numbers stay right), or the error for the client.
    pub(crate) fn split(text: &[u8]) -> Result<(Self, &[u8]), String> {
        if !text.starts_with(b"#!") {
            return Ok((Shebang::default(), text));
        }
        let end = text
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("ERR Invalid script shebang")?;
        let line = String::from_utf8_lossy(&text[..end]);
        let mut words = line.split_ascii_whitespace();
        let engine = words.next().unwrap_or_default();
        if engine != "#!lua" {
            return Err(format!("ERR Unexpected engine in script shebang: {engine}"));
        }
        let mut shebang = Shebang {
            present: true,
            ..Shebang::default()
        };
        for option in words {
            let flags = option.strip_prefix("flags=");
            let flags = flags.ok_or_else(|| format!("ERR Unknown lua shebang option: {option}"))?;
            for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
                match flag {
                    "no-writes" => shebang.no_writes = true,
                    "allow-oom" => shebang.allow_oom = true,
                    // About replicas and clusters, of which this broker is neither.
                    "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                    _ => return Err(format!("ERR Unexpected flag in script shebang: {flag}")),
                }
            }
        }
        Ok((shebang, &text[end..]))
    }
}
