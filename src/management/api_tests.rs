use std::time::Duration;

use serde_json::json;

use super::*;
use crate::management::fixture::{DOCUMENT, FakeApi, ISSUER, TOKENS, url};
use crate::session::fixture::SetClock;

async fn read(api: &ManagementApi, path: &str) -> Result<u16, ManagementError> {
    api.send(&Call::read(path.to_owned())).await.map(|answer| answer.status().as_u16())
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    for (statuses, told, asked, tokens) in [
        (&[200][..], 200, 1, 1),
        (&[403], 403, 1, 1),
        (&[500], 500, 1, 1),
        (&[401, 200], 200, 2, 2),
        (&[401, 404], 404, 2, 2),
        (&[401, 401, 200], 401, 2, 2),
        (&[401, 401, 401, 401], 401, 2, 2),
    ] {
        let fake = Arc::new(FakeApi::default());
        let api = fake.api(None, SetClock::new());
        fake.answers_with(statuses);
        assert_eq!(read(&api, "users").await.unwrap(), told, "{statuses:?}");
        assert_eq!((fake.asked().len(), fake.tokens()), (asked, tokens), "{statuses:?}");
        let expected: Vec<String> =
            (1..=asked).map(|number| format!("GET https://idp.example.com/api/v2/users Bearer t{number}")).collect();
        assert_eq!(fake.asked(), expected, "{statuses:?}");
    }
}

#[tokio::test]
async fn the_token_goes_nowhere_but_below_the_api() {
    let fake = Arc::new(FakeApi::default());
    let api = fake.api(None, SetClock::new());
    for path in ["../clients", "a/../../clients", "%2e%2e/clients", "..", "../v2", "../v2x/users", "../../oauth/token"]
    {
        let asked = read(&api, path).await;
        assert!(matches!(asked, Err(ManagementError::Path)), "{path}: {asked:?}");
    }
    assert_eq!(fake.asked(), [""; 0]);
    // What only looks like another place is a name below it.
    for (path, asked) in [("a/../users", "users"), ("/evil.example/x", "/evil.example/x"), ("@evil", "@evil")] {
        assert_eq!(read(&api, path).await.unwrap(), 200, "{path}");
        let expected = format!("GET https://idp.example.com/api/v2/{asked} Bearer t1");
        assert_eq!(fake.asked().last(), Some(&expected), "{path}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    for (expires_in, renewed_after) in [
        (json!(86_400), 86_340),
        (json!(120), 60),
        (json!(100), 50),
        (json!(2), 1),
        (json!(null), 30),
        (json!("300"), 30),
    ] {
        let (fake, clock) = (Arc::new(FakeApi::default()), SetClock::new());
        fake.gives_token(200, &json!({ "token_type": "Bearer", "expires_in": expires_in }).to_string());
        let api = fake.api(None, clock.clone());
        for (passes, tokens) in [(0, 1), (renewed_after * 1000 - 1, 1), (1, 2)] {
            clock.forward(Duration::from_millis(passes));
            assert_eq!(read(&api, "users").await.unwrap(), 200);
            assert_eq!(fake.tokens(), tokens, "{expires_in}");
        }
    }
}

#[tokio::test]
async fn what_is_no_bearer_token_is_not_used() {
    for (status, answer, word) in [
        (200, r#"{"access_token":"t"}"#, "no bearer token"),
        (200, r#"{"access_token":"t","token_type":"DPoP"}"#, "no bearer token"),
        (200, r#"{"access_token":"t","token_type":["Bearer"]}"#, "no bearer token"),
        (200, r#"{"access_token":"","token_type":"Bearer"}"#, "no bearer token"),
        (200, r#"{"access_token":"a b","token_type":"Bearer"}"#, "no bearer token"),
        (200, r#"{"access_token":"a\r\nX: y","token_type":"Bearer"}"#, "no bearer token"),
        (200, r#"{"access_token":7,"token_type":"Bearer"}"#, "no bearer token"),
        (200, r#"{"access_token":"t","access_token":"u","token_type":"Bearer"}"#, "no bearer token"),
        (200, "access_token=t&token_type=bearer", "no bearer token"),
        (201, r#"{"access_token":"t","token_type":"Bearer"}"#, "status 201"),
        (401, r#"{"access_token":"t","token_type":"Bearer"}"#, "status 401"),
    ] {
        let fake = Arc::new(FakeApi::default());
        fake.gives_token(status, answer);
        let refused = read(&fake.api(None, SetClock::new()), "users").await;
        let told = refused.expect_err(answer).to_string();
        assert!(told.contains(word), "{answer}: {told}");
        assert_eq!(fake.asked(), [""; 0], "{answer}");
    }
}

#[tokio::test]
async fn discovery_speaks_for_its_own_issuer_alone() {
    let endpoint = TokenEndpoint::Discovered { issuer: Arc::from(ISSUER), document: url(DOCUMENT) };
    for (document, is_used) in [
        (json!({ "issuer": ISSUER, "token_endpoint": TOKENS }), true),
        (json!({ "issuer": "https://idp.example.com", "token_endpoint": TOKENS }), false),
        (json!({ "issuer": "https://evil.example/", "token_endpoint": TOKENS }), false),
        (json!({ "token_endpoint": TOKENS }), false),
        (json!({ "issuer": ISSUER }), false),
        (json!({ "issuer": ISSUER, "token_endpoint": "http://idp.example.com/oauth/token" }), false),
        (json!([ISSUER]), false),
    ] {
        let fake = Arc::new(FakeApi::default());
        fake.discovers(document.clone());
        let api = fake.api(Some(endpoint.clone()), SetClock::new());
        let first = read(&api, "users").await;
        assert_eq!(first.is_ok(), is_used, "{document}: {first:?}");
        assert_eq!(fake.tokens(), usize::from(is_used), "{document}");
        if is_used {
            // It is kept, and a token that is refused asks for no other document.
            fake.answers_with(&[401]);
            assert_eq!(read(&api, "users").await.unwrap(), 200);
            assert_eq!(fake.asked().iter().filter(|asked| asked.contains(DOCUMENT)).count(), 1);
        }
    }
}
