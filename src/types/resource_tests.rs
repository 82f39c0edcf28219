use proptest::prelude::*;

use super::*;
use crate::types::Host;

fn canonical(target: &str) -> Result<String, TargetError> {
    CanonicalPath::parse(target.as_bytes()).map(|path| path.as_str().to_owned())
}

#[test]
fn accepted_targets_have_one_spelling() {
    for (target, expected) in [
        ("/", "/"),
        ("/?a=..;#".trim_end_matches('#'), "/"),
        ("/a//b///c/", "/a/b/c/"),
        ("/a/", "/a/"),
        ("/%61%2D%7e", "/a-~"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/...", "/..."),
        ("/a%20b", "/a%20b"),
        ("/%20", "/%20"),
    ] {
        assert_eq!(canonical(target).as_deref(), Ok(expected), "{target}");
    }
}

#[test]
fn every_refusal_has_its_target() {
    use TargetError as E;
    for (target, expected) in [
        ("", E::NotOriginForm),
        ("*", E::NotOriginForm),
        ("a/b", E::NotOriginForm),
        ("//a", E::LeadingDoubleSlash),
        ("/a b", E::ControlOrSpace),
        ("/a\u{7f}", E::ControlOrSpace),
        ("/é", E::RawNonAscii),
        ("/a\\b", E::Backslash),
        ("/a;b", E::Semicolon),
        ("/a#b", E::Fragment),
        ("/a?b#c", E::Fragment),
        ("/%", E::BadPercent),
        ("/%+2", E::BadPercent),
        ("/%0a", E::EncodedControl),
        ("/%5c", E::EncodedBackslash),
        ("/%252e", E::EncodedPercent),
        ("/%25%32%65", E::EncodedPercent),
        ("/%ff", E::InvalidUtf8),
        ("/.", E::DotSegment),
        ("/a/..", E::DotSegment),
        ("/a/%2e%2E/b", E::DotSegment),
        ("/a/..%20/b", E::DotSegment),
        ("/a/..%2fb", E::DotSegment),
        ("/a/..%3bx/b", E::DotSegment),
        ("/a%2f.%2fb", E::DotSegment),
        ("/..%c2%a0/b", E::DotSegment),
        ("/..%e2%80%8b/b", E::DotSegment),
        ("/.%c2%ad./b", E::DotSegment),
        ("/%20../b", E::DotSegment),
        ("/..%ef%b8%8f/b", E::DotSegment),
        ("/%EF%BC%8F", E::UnicodeStructural),
        ("/%E2%80%A5/x", E::UnicodeStructural),
        ("/%c2%85", E::EncodedControl),
    ] {
        assert_eq!(canonical(target), Err(expected), "{target}");
    }
    assert_eq!(canonical(&format!("/{}", "a".repeat(MAX_TARGET_BYTES))), Err(E::TooLong));
    assert_eq!(canonical(&"/a".repeat(MAX_SEGMENTS + 1)), Err(E::TooManySegments));
    assert!(canonical(&"/a".repeat(MAX_SEGMENTS)).is_ok());
}

#[test]
fn encoded_specials_are_noted_and_never_split() {
    let path = CanonicalPath::parse(b"/a%2fb/%3f%23%3B/100%25").expect("readable");
    assert_eq!(path.as_str(), "/a%2Fb/%3F%23%3B/100%25");
    assert_eq!(path.segments().collect::<Vec<_>>(), ["a%2Fb", "%3F%23%3B", "100%25"]);
    let all = [EncodedSet::SLASH, EncodedSet::QUESTION, EncodedSet::HASH, EncodedSet::SEMICOLON, EncodedSet::PERCENT];
    assert!(all.into_iter().all(|one| path.encoded().contains(one)));
    assert_eq!(path.encoded().without(EncodedSet::SLASH).refusal(), Some(TargetError::EncodedPercent));
}

#[test]
fn spellings_that_programs_take_for_one_are_matched_as_one() {
    let key = |target: &str| CanonicalPath::parse(target.as_bytes()).expect(target).match_key().into_owned();
    for (one, other) in [
        ("/@admin", "/%40admin"),
        ("/a:b", "/a%3Ab"),
        ("/x+y", "/x%2By"),
        ("/(z)", "/%28z%29"),
        ("/p|q", "/p%7Cq"),
        ("/a,b=c&d!$'*", "/a%2Cb%3Dc%26d%21%24%27%2A"),
        ("/\"<>[]^`{}", "/%22%3C%3E%5B%5D%5E%60%7B%7D"),
    ] {
        assert_eq!(key(one), key(other), "{one} {other}");
    }
    assert_eq!(key("/caf%c3%a9/a%20b"), "/caf%C3%A9/a%20b");
    assert_ne!(key("/a%2Fb"), key("/a/b"));
}

#[test]
fn the_decoded_reading_is_that_of_a_program_which_decodes_all() {
    let reading = |target: &str| CanonicalPath::parse(target.as_bytes()).expect(target).decoded_reading();
    assert_eq!(reading("/a/b"), None);
    assert_eq!(reading("/f/admin%2fx"), Some("/f/admin/x".to_owned()));
    assert_eq!(reading("/f/%2fadmin"), Some("/f//admin".to_owned()));
    assert_eq!(reading("/f/admin%3bv=1/x"), Some("/f/admin/x".to_owned()));
    assert_eq!(reading("/f/admin%23/x"), Some("/f/admin".to_owned()));
}

#[test]
fn hosts_are_lower_case_names_without_default_ports() {
    for (raw, expected) in [
        ("Portal.Example.COM", "portal.example.com"),
        ("portal.example.com:443", "portal.example.com"),
        ("portal.example.com:80", "portal.example.com"),
        ("localhost:8080", "localhost:8080"),
        ("[::1]:8080", "[::1]:8080"),
        ("127.0.0.1", "127.0.0.1"),
        ("[0:0::1]", "[::1]"),
    ] {
        assert_eq!(Host::parse(raw.as_bytes()).expect(raw).as_str(), expected);
    }
    assert_eq!(Host::parse(b"localhost:8080").expect("host").name(), "localhost");
    for raw in [
        "", ".", "a.", ".a", "a..b", "a@b", "a,b", "a/b", "a b", "a:", "a:x", "a:0", "a:65536", "a:+1", "é.nz", "[::1",
        "::1", "[a]", "a%2eb", "[::1]x", "a:80:80",
    ] {
        assert_eq!(Host::parse(raw.as_bytes()), Err(TargetError::BadHost), "{raw}");
    }
}

/// Targets made of the pieces that path bypasses are made of.
fn hostile_target() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("//"),
        Just("."),
        Just(".."),
        Just("%2e"),
        Just("%2E."),
        Just("%2f"),
        Just("%5c"),
        Just("%25"),
        Just("%252e"),
        Just(";"),
        Just("%3b"),
        Just("?"),
        Just("%3f"),
        Just("%23"),
        Just("a"),
        Just("apps"),
        Just("%61"),
        Just("%20"),
        Just("%c3%a9"),
        Just("%c0%af"),
        Just("%EF%BC%8F"),
        Just("\\"),
        Just("%00"),
        Just("%"),
        Just("2e"),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn an_accepted_path_is_its_own_canonical_path(target in hostile_target()) {
        if let Ok(path) = CanonicalPath::parse(target.as_bytes()) {
            let again = CanonicalPath::parse(path.as_str().as_bytes()).expect("canonical is accepted");
            prop_assert_eq!(&again, &path);
        }
    }

    #[test]
    fn an_accepted_path_has_one_reading(target in hostile_target()) {
        let Ok(path) = CanonicalPath::parse(target.as_bytes()) else { return Ok(()) };
        if path.encoded() != EncodedSet::NONE { return Ok(()) }
        // Decode once, decode twice, resolve dots: nobody gets to other segments.
        let once = decode(path.as_str());
        let twice = decode(&once);
        let segments = |text: &str| text.split(['/', '\\']).filter(|s| !s.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let mut resolved: Vec<String> = Vec::new();
        for segment in segments(&twice) {
            match segment.split(';').next().unwrap_or_default().trim_end() {
                "." => {}
                ".." => { resolved.pop(); }
                _ => resolved.push(segment),
            }
        }
        let ours: Vec<String> = path.segments().filter(|s| !s.is_empty()).map(decode).collect();
        prop_assert_eq!(&segments(&once), &ours);
        prop_assert_eq!(&resolved, &ours);
    }

    #[test]
    fn the_short_way_reads_what_the_whole_way_does(
        target in prop_oneof![
            "[/.a?%;#@ -]{0,12}",
            "/[a-z/.?]{0,20}",
            hostile_target(),
            (250usize..260).prop_map(|count| "/a".repeat(count)),
        ],
    ) {
        prop_assert_eq!(CanonicalPath::parse(target.as_bytes()), CanonicalPath::parse_any(target.as_bytes()));
    }

    #[test]
    fn no_bytes_make_it_panic(target in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = CanonicalPath::parse(&target);
        let _ = Host::parse(&target);
    }
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let ahead: Vec<u8> = bytes.clone().take(2).collect();
        match (byte, ahead.as_slice()) {
            (b'%', [high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(u8::from_str_radix(&format!("{}{}", char::from(*high), char::from(*low)), 16).expect("hex"));
                bytes.nth(1);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).expect("utf-8")
}
