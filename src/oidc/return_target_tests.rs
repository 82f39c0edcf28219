use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const OWN: &str = "https://portal.example.com";

#[derive(Deserialize)]
struct Corpus {
    redirects: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    rd: String,
    expected: String,
    reason: Option<String>,
    redirect_to: Option<String>,
}

fn is_own(path: &str) -> bool {
    path == "/_auth" || path.starts_with("/_auth/") || path == "/callback"
}

fn parse(rd: &str) -> Result<String, ReturnTargetError> {
    ReturnTarget::parse(rd, OWN, is_own).map(|target| format!("{OWN}{}", target.as_str()))
}

#[test]
fn every_redirect_of_the_corpus_ends_where_it_should() {
    let corpus: Corpus = serde_json::from_str(include_str!("../../tests/vectors/attacks/cases.json")).expect("corpus");
    assert_eq!(corpus.redirects.len(), 76);
    let mut wrong = Vec::new();
    for case in corpus.redirects {
        let expected = match case.expected.as_str() {
            "accept" => Ok(case.redirect_to.clone().expect("a place")),
            "reject" => Err(case.reason.clone().expect("a reason")),
            other => panic!("{}: {other}", case.id),
        };
        let found = parse(&case.rd).map_err(|error| error.as_str().to_owned());
        if found != expected {
            wrong.push(format!("{} {:?}: {found:?}, not {expected:?}", case.id, case.rd));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_corpus_does_not_ask() {
    use ReturnTargetError as E;
    for (rd, expected) in [
        ("/", Ok("/")),
        ("https://portal.example.com", Ok("/")),
        ("https://portal.example.com:443/x", Ok("/x")),
        ("/x?next=//evil.example", Ok("/x?next=//evil.example")),
        ("/x?u=https://evil.example/@y", Ok("/x?u=https://evil.example/@y")),
        ("/@evil.example", Ok("/@evil.example")),
        ("/callbacks", Ok("/callbacks")),
        ("/_authx", Ok("/_authx")),
        ("https://portal.example.com?x=/y", Err(E::NotPathAbsolute)),
        ("https://portal.example.com#/y", Err(E::NotPathAbsolute)),
        ("https://user@portal.example.com/", Err(E::ForeignAuthority)),
        ("https://portal.example.com@portal.example.com/", Err(E::ForeignAuthority)),
        ("https://portal.example.com:80/", Err(E::ForeignAuthority)),
        ("https://portal.example.com:/", Err(E::ForeignAuthority)),
        ("https://portal.example.com./", Err(E::ForeignAuthority)),
        ("https://", Err(E::ForeignAuthority)),
        ("/_auth", Err(E::OwnEndpoint)),
        ("/%5Fauth/logout", Err(E::OwnEndpoint)),
        ("/_auth/", Err(E::OwnEndpoint)),
        ("/callback?code=x", Err(E::OwnEndpoint)),
        ("/%63allback", Err(E::OwnEndpoint)),
        ("/x?y=\\\\evil", Err(E::Backslash)),
        ("/x?y=\u{e9}", Err(E::NotVisibleAscii)),
        ("/.", Err(E::Path(TargetError::DotSegment))),
        ("/x/%2e%2e/y", Err(E::Path(TargetError::DotSegment))),
        ("/x;y", Err(E::Path(TargetError::Semicolon))),
        ("/%", Err(E::Path(TargetError::BadPercent))),
    ] {
        assert_eq!(parse(rd), expected.map(|target| format!("{OWN}{target}")), "{rd}");
    }
}

#[test]
fn a_site_on_plain_http_has_its_own_port() {
    let parse = |rd| ReturnTarget::parse(rd, "http://localhost:8080", is_own);
    assert_eq!(parse("http://localhost:8080/x").map(|target| target.0), Ok("/x".to_owned()));
    assert_eq!(parse("http://localhost/x"), Err(ReturnTargetError::ForeignAuthority));
    assert_eq!(parse("https://localhost:8080/x"), Err(ReturnTargetError::NotPathAbsolute));
}

proptest! {
    #[test]
    fn whatever_is_accepted_stays_on_the_origin(rd in "(https?:)?[/\\\\a-z.@:?#%_;\t 0-9]{0,24}") {
        if let Ok(target) = ReturnTarget::parse(&rd, OWN, is_own) {
            let url = url::Url::parse(OWN).expect("own").join(target.as_str()).expect("a URL");
            prop_assert_eq!(url.origin().ascii_serialization(), OWN);
            prop_assert_eq!(url.path(), target.as_str().split('?').next().unwrap_or_default());
            prop_assert!(!is_own(url.path()));
            let again = ReturnTarget::parse(target.as_str(), OWN, is_own);
            prop_assert_eq!(again, Ok(target));
        }
    }
}
