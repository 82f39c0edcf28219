use proptest::prelude::*;

use super::*;
use crate::session::fixture::CountingRandom;

fn state() -> String {
    OpaqueId::draw(&CountingRandom).written().expose().to_owned()
}

fn answer(query: &str) -> Result<ProviderAnswer, CallbackError> {
    CallbackQuery::parse(query.as_bytes()).answer
}

#[test]
fn an_answer_is_read() {
    let state = state();
    let query =
        CallbackQuery::parse(format!("code=a%2Bb+c&state={state}&iss=https%3A%2F%2Fa&session_state=x").as_bytes());
    assert!(query.state == OpaqueId::parse(&state));
    let answer = query.answer.unwrap();
    assert_eq!(answer.code.as_ref().map(Secret::expose), Some("a+b c"));
    assert_eq!(answer.issuer.as_deref(), Some("https://a"));
    assert_eq!(answer.refusal, None);
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    for (query, expected) in [
        ("code=a&code=b", CallbackError::RepeatedParameter),
        ("code=a&c%6Fde=b", CallbackError::RepeatedParameter),
        ("state=a&state=a", CallbackError::RepeatedParameter),
        ("iss=a&iss=a", CallbackError::RepeatedParameter),
        ("unknown&unknown", CallbackError::RepeatedParameter),
        ("=a&=a", CallbackError::RepeatedParameter),
        ("code=%", CallbackError::MalformedQuery),
        ("code=%4", CallbackError::MalformedQuery),
        ("code=%+4", CallbackError::MalformedQuery),
        ("code=%ff", CallbackError::MalformedQuery),
        ("code=a%00", CallbackError::MalformedQuery),
        ("code=a%0d%0aSet-Cookie:x", CallbackError::MalformedQuery),
        ("error=%c2%85", CallbackError::MalformedQuery),
    ] {
        assert_eq!(answer(query), Err(expected), "{query}");
    }
    let longest = format!("code={}", "a".repeat(2048 - 5));
    assert!(answer(&longest).is_ok());
    assert_eq!(answer(&format!("{longest}a")), Err(CallbackError::OversizedQuery));
    let many = |count: usize| (0..count).map(|number| format!("p{number}=x")).collect::<Vec<_>>().join("&");
    assert!(answer(&many(32)).is_ok());
    assert_eq!(answer(&many(33)), Err(CallbackError::OversizedQuery));
    assert!(answer("").is_ok() && answer("&&").is_ok());
}

#[test]
fn whatever_is_wrong_with_the_rest_the_state_is_found() {
    let state = state();
    for query in [
        format!("state={state}&code=a&code=b"),
        format!("code=a&code=b&state={state}"),
        format!("code=%&state={state}"),
        format!("code={}&state={state}", "a".repeat(100_000)),
        format!("state={state}&state={state}"),
    ] {
        let read = CallbackQuery::parse(query.as_bytes());
        assert!(read.state.is_some() && read.answer.is_err(), "{query}");
    }
    assert!(CallbackQuery::parse(b"state=short&code=a").state.is_none());
}

proptest! {
    #[test]
    fn no_query_makes_the_reader_panic(query in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let read = CallbackQuery::parse(&query);
        if let Ok(answer) = read.answer {
            let texts = [answer.code.as_ref().map(Secret::expose), answer.issuer.as_deref()];
            prop_assert!(texts.into_iter().flatten().all(|text| !text.chars().any(char::is_control)));
        }
    }

    #[test]
    fn queries_of_likely_parts_hold_no_name_twice(parts in proptest::collection::vec(
        ("(code|state|iss|error|c%6fde|st%61te|x)", "[a-zA-Z0-9%+=._-]{0,12}"), 0..8)) {
        let query: Vec<String> = parts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let names: Vec<String> = parts.iter().map(|(name, _)| name.replace("%6f", "o").replace("%61", "a")).collect();
        let twice = (1..names.len()).any(|at| names[..at].contains(&names[at]));
        let read = CallbackQuery::parse(query.join("&").as_bytes());
        prop_assert!(!(twice && read.answer.is_ok()));
    }

    #[test]
    fn every_code_reads_back(code in "[ -~]{1,200}") {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("code", &code).finish();
        let read = answer(&query).unwrap();
        prop_assert_eq!(read.code.as_ref().map(Secret::expose), Some(code.as_str()));
    }
}
