//! Histories survive the way to disk and back, and what is cut off is noticed.

use super::*;

fn header() -> Header {
    Header {
        schema: SCHEMA.into(),
        scenario: "failover".into(),
        file: "scenarios/failover.toml".into(),
        text: "name = \"failover\"\n".into(),
        overrides: vec!["devices.count=5".into()],
        seed: 7,
        version: "0.1.0".into(),
        world: "real".into(),
        started_ms: 1_467_883_514_122,
    }
}

fn entries(count: u64) -> Vec<Entry> {
    let heard = |n| Event::Heard {
        message: format!(r#"{{"ticket":"{n}","ack":true,"by":"A#1"}}"#),
    };
    (0..count)
        .map(|n| Entry {
            at_us: n * 10,
            event: heard(n),
        })
        .collect()
}

fn written(directory: &std::path::Path, entries: &[Entry]) -> std::path::PathBuf {
    let path = directory.join("history.jsonl.zst");
    let mut writer = HistoryWriter::create(&path, &header()).unwrap();
    for entry in entries {
        writer.append(entry).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn what_was_written_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = written(directory.path(), &entries(1000));
    let mut reader = HistoryReader::open(&path).unwrap();
    assert_eq!(reader.header(), &header());
    let read: Vec<Entry> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, entries(1000));
    assert!(!reader.truncated());
}

#[test]
fn a_history_whose_end_is_missing_reads_up_to_its_last_line_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.jsonl.zst");
    let mut writer = HistoryWriter::create(&path, &header()).unwrap();
    for entry in entries(10) {
        writer.append(&entry).unwrap();
    }
    writer.flush().unwrap();
    let flushed = std::fs::read(&path).unwrap();
    writer.finish().unwrap();
    std::fs::write(&path, flushed).unwrap();
    let mut reader = HistoryReader::open(&path).unwrap();
    let read: Vec<Entry> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, entries(10));
    assert!(reader.truncated());
}

#[test]
fn a_file_that_is_no_history_is_refused_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "hello").unwrap();
    let Err(error) = HistoryReader::open(&path) else {
        panic!("read a text file as a history")
    };
    assert!(
        error
            .to_string()
            .contains("notes.txt:1: expected a history's header"),
        "{error}"
    );
}

#[test]
fn a_history_of_another_format_is_refused_with_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.jsonl.zst");
    let foreign = Header {
        schema: "history/9".into(),
        ..header()
    };
    HistoryWriter::create(&path, &foreign).unwrap().finish().unwrap();
    let Err(error) = HistoryReader::open(&path) else {
        panic!("read a foreign format")
    };
    assert!(
        error
            .to_string()
            .ends_with(r#"found schema "history/9", while this version reads "history/2""#),
        "{error}"
    );
}
