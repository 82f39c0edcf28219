//! No text makes the config panic, and every fault has a message and a place
//! that is in the text.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tiergate::config::{Config, NoFiles, Place, Sources};

fuzz_target!(|text: &str| {
    let environment = BTreeMap::from([("SECRET".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())]);
    let read_secret = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let sources = Sources { file: Some(("fuzz.yaml", text)), environment, read_secret: &read_secret, files: &NoFiles };
    let Err(errors) = Config::load(&sources) else { return };
    assert!(!errors.errors().is_empty() && !errors.to_string().is_empty());
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() as u64;
    for error in errors.errors() {
        assert!(!error.message.is_empty());
        for place in [Some(&error.place), error.other.as_ref()].into_iter().flatten() {
            if let Place::File { line, column } = place {
                assert!((1..=lines + 1).contains(line) && *column >= 1, "{place:?} of {lines} lines");
            }
        }
    }
});
