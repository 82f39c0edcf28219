//! No message of a hook makes its reader panic, and none is of later than it may be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tiergate::directory::UserChange;
use tiergate::http::hooks::{Event, SignedSecond, read_event};
use tiergate::types::UnixTime;

fuzz_target!(|input: &[u8]| {
    let (start, latest) = (UnixTime::from_secs(1_799_999_999), UnixTime::from_secs(1_800_000_000));
    if let Ok(Event::Told(told)) = read_event(input, SignedSecond { start, end: latest }) {
        assert!(!told.subject.is_empty() && told.subject.len() <= 255, "a subject that cannot be kept");
        let as_of = match &told.change {
            UserChange::Reported(report) => report.as_of,
            UserChange::Gone { as_of } => *as_of,
            other => panic!("a hook that does what only administrators may: {other:?}"),
        };
        assert!(as_of <= latest, "a moment that has not come");
    }
});
