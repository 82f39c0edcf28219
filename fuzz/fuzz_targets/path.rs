//! A target or host that is accepted has one reading: its canonical form is
//! accepted again, and is its own canonical form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tiergate::types::{CanonicalPath, Host};

fuzz_target!(|raw: &[u8]| {
    if let Ok(path) = CanonicalPath::parse(raw) {
        let canonical = path.as_str();
        let again = CanonicalPath::parse(canonical.as_bytes()).expect("a canonical path is accepted");
        assert_eq!(again.as_str(), canonical);
        assert_eq!(again.encoded(), path.encoded());
        assert!(canonical.starts_with('/') && !canonical.contains("//") && !canonical.contains(['?', '#', '\\', ';']));
        for segment in path.segments() {
            let plain = segment.to_ascii_lowercase().replace("%2e", ".").replace("%20", " ");
            assert!(!matches!(plain.trim_end(), "." | ".."), "{canonical}");
        }
    }
    if let Ok(host) = Host::parse(raw) {
        let again = Host::parse(host.as_str().as_bytes()).expect("a canonical host is accepted");
        assert_eq!(again.as_str(), host.as_str());
    }
});
