//! One decision as one line of JSON. It is written for every check, so its parts
//! go straight into one buffer of the thread, which is used again.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::Duration;

use crate::check::DecisionRecord;
use crate::types::UnixTime;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Gives `take` the line, with its end.
pub(super) fn with(record: &DecisionRecord, at: UnixTime, took: Duration, take: impl FnOnce(&[u8])) {
    LINE.with_borrow_mut(|line| {
        line.clear();
        write(line, record, at, took);
        take(line);
    });
}

/// `allow` or `deny`.
pub(super) const fn decision(record: &DecisionRecord) -> &'static str {
    if record.allowed { "allow" } else { "deny" }
}

fn write(line: &mut Vec<u8>, record: &DecisionRecord, at: UnixTime, took: Duration) {
    // Writing into a vector cannot fail.
    line.extend_from_slice(b"{\"ts\":\"");
    let _ = match at.rfc3339() {
        Some(text) => line.write_all(&text),
        None => write!(line, "{at}"),
    };
    line.push(b'"');
    text(line, "request_id", &record.request_id);
    text(line, "decision_id", record.decision_id.digits().as_str());
    text(line, "protocol", record.protocol.as_str());
    text(line, "method", &record.method);
    text(line, "host", &record.host);
    text(line, "path", &record.path);
    optional(line, "rule", record.rule());
    optional(line, "tier", record.tier());
    text(line, "decision", decision(record));
    text(line, "reason", record.reason.as_str());
    optional(line, "cause", record.cause);
    optional(line, "subject", record.subject());
    optional(line, "provider", record.provider());
    member(line, "duration_us");
    let _ = write!(line, "{}", took.as_micros());
    text(line, "policy", record.policy());
    line.extend_from_slice(b"}\n");
}

fn member(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

fn optional(line: &mut Vec<u8>, name: &str, value: Option<&str>) {
    match value {
        Some(value) => text(line, name, value),
        None => {
            member(line, name);
            line.extend_from_slice(b"null");
        }
    }
}

fn text(line: &mut Vec<u8>, name: &str, value: &str) {
    member(line, name);
    // Nearly every text stands in JSON as it is (RFC 8259 section 7). Without an
    // early end, many bytes are looked at together.
    if value.bytes().fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\')) {
        line.push(b'"');
        line.extend_from_slice(value.as_bytes());
        line.push(b'"');
    } else {
        let _ = serde_json::to_writer(line, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::check::fixture::service;
    use crate::check::tests::{block_on, view};
    use crate::types::Protocol;

    fn record(target: &str) -> DecisionRecord {
        block_on(service().0.answer(&view(Protocol::Grpc, "GET", target, &[]))).record
    }

    fn line(record: &DecisionRecord) -> String {
        let mut text = String::new();
        let at = UnixTime::from_millis(1_800_000_000_042);
        with(record, at, Duration::from_nanos(12_900), |line| text = String::from_utf8_lossy(line).into_owned());
        text
    }

    #[test]
    fn the_members_stand_in_their_order() {
        let expected = concat!(
            r#"{"ts":"2027-01-15T08:00:00.042Z","request_id":"01010101010101010101010101010101","#,
            r#""decision_id":"01010101010101010101010101010101","protocol":"grpc","method":"GET","#,
            r#""host":"gate.example.com","path":"/public/x","rule":"/public/**","tier":"public","decision":"allow","#,
            r#""reason":"ok","cause":null,"subject":null,"provider":null,"duration_us":12,"policy":"POLICY"}"#,
            "\n"
        );
        let record = record("/public/x?secret=1");
        assert_eq!(line(&record), expected.replace("POLICY", record.policy()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(path in any::<String>(), id in "\\PC*", host in "[\"\\\\\u{0}-\u{1f}a]*") {
            let mut record = record("/public/x");
            (record.path, record.host, record.request_id) = (path, host, Arc::from(id));
            let line = line(&record);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(read["path"].as_str(), Some(record.path.as_str()));
            prop_assert_eq!(read["host"].as_str(), Some(record.host.as_str()));
            prop_assert_eq!(read["request_id"].as_str(), Some(record.request_id.as_ref()));
        }
    }
}
