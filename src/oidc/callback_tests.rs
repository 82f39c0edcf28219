use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::super::fixture::*;
use super::*;
use crate::oidc::ProviderRefusal;
use crate::session::SetCookie;
use crate::token::test_keys::{Sign, b64, key_set, sign, with, without};
use crate::token::{IdTokenRejection, Rejection};

/// What each refused answer has in common: nobody is signed in, the attempt is
/// used up, its cookie goes.
async fn assert_refused(
    world: &World,
    begun: &Begun,
    came: Result<Redirect, CallbackFailure>,
    expected: &CallbackError,
    case: &str,
) {
    let failure = came.expect_err(case);
    assert_eq!(failure.error, *expected, "{case}");
    assert_eq!(world.live_sessions().await, 0, "{case}: a session");
    let cleared = begun.cookies.logins.first().map(|login| SetCookie::clear_login(login.slot));
    assert_eq!(failure.set_cookies, Vec::from_iter(cleared), "{case}");
    let requests = world.provider.requests();
    world.answer_tokens(tokens(begun.nonce()));
    let again = world.come_back(begun).await.expect_err(case);
    assert_eq!(again.error, CallbackError::UnknownAttempt, "{case}: the attempt is not used up");
    assert_eq!(world.provider.requests(), requests, "{case}: a second exchange");
}

/// A token response with `more` in its ID token.
fn with_id_token(begun: &Begun, more: &Value) -> Value {
    with(&tokens(begun.nonce()), &json!({ "id_token": id_token(more, begun.nonce()) }))
}

async fn refused_tokens(case: &str, expected: CallbackError, change: impl FnOnce(&Begun) -> Value) {
    let world = world();
    let begun = world.begin().await;
    world.answer_tokens(change(&begun));
    let came = world.come_back(&begun).await;
    assert_refused(&world, &begun, came, &expected, case).await;
}

async fn refused_answer(case: &str, expected: CallbackError, answer: Answer) {
    let world = world();
    let begun = world.begin().await;
    world.provider.answer(&token_url(), answer);
    let came = world.come_back(&begun).await;
    assert_eq!(world.provider.seen(&token_url()).len(), 1, "{case}");
    assert_refused(&world, &begun, came, &expected, case).await;
}

/// The query is refused before anybody is asked.
async fn refused_query(case: &str, expected: CallbackError, query: impl FnOnce(&Begun) -> String) {
    let world = world();
    let begun = world.begin().await;
    world.answer_tokens(tokens(begun.nonce()));
    let came = world.complete(&begun, &query(&begun)).await;
    assert_eq!(world.provider.seen(&token_url()).len(), 0, "{case}: the code was redeemed");
    assert_refused(&world, &begun, came, &expected, case).await;
}

fn id_token_error(rejection: IdTokenRejection) -> CallbackError {
    CallbackError::IdToken(rejection)
}

/// What a case of the attack corpus looks like here. `false`: it is about the
/// pages, and stands where they are tested.
async fn attack(id: &str) -> bool {
    match id {
        "C001" => a_person_signs_in().await,
        "C003" => {
            let world = world();
            let begun = world.begin().await;
            let foreign = "A".repeat(43);
            let failure = world.complete(&begun, &format!("state={foreign}&code=c1")).await.unwrap_err();
            assert_eq!(failure.error, CallbackError::UnknownAttempt);
            assert_eq!((world.live_sessions().await, failure.set_cookies.len()), (0, 0));
        }
        "C005" => {
            let world = world();
            let mut begun = world.begin().await;
            world.answer_tokens(tokens(begun.nonce()));
            let stolen = std::mem::replace(&mut begun.cookies, no_cookies());
            let came = world.come_back(&begun).await;
            assert_eq!(came.as_ref().unwrap_err().return_to.as_deref(), Some("/apps/devel/x?y=1"));
            assert_refused(&world, &begun, came, &CallbackError::OtherBrowser, id).await;
            begun.cookies = stolen;
            assert_eq!(world.come_back(&begun).await.unwrap_err().error, CallbackError::UnknownAttempt);
        }
        "C007" => {
            let world = world();
            let begun = world.begin().await;
            world.clock.forward(Duration::from_secs(601));
            let came = world.come_back(&begun).await;
            // The store forgets it first.
            assert_eq!(came.unwrap_err().error, CallbackError::UnknownAttempt);
        }
        "C009" => {
            let twice = |begun: &Begun| format!("state={}&code=a&code=b", begun.state());
            refused_query(id, CallbackError::RepeatedParameter, twice).await;
        }
        "C012" => {
            let query = |begun: &Begun| format!("state={}&code=a&iss=https://evil.example.com", begun.state());
            refused_query(id, CallbackError::IssuerMismatch, query).await;
        }
        "C014" => {
            let query =
                |begun: &Begun| format!("state={}&code=a&iss=https://idp.example.com/realms/main/", begun.state());
            refused_query(id, CallbackError::IssuerMismatch, query).await;
        }
        "C016" => {
            let other = |begun: &Begun| with_id_token(begun, &json!({ "nonce": "another" }));
            refused_tokens(id, id_token_error(IdTokenRejection::Nonce), other).await;
        }
        "C018" => {
            let array = |begun: &Begun| with_id_token(begun, &json!({ "nonce": [begun.nonce()] }));
            refused_tokens(id, id_token_error(IdTokenRejection::Nonce), array).await;
        }
        "C019" => {
            for (aud, azp) in [
                (json!([CLIENT, "other"]), None),
                (json!([CLIENT, "other"]), Some("other")),
                (json!(CLIENT), Some("other")),
            ] {
                let change = |begun: &Begun| {
                    let more = azp.map_or(json!({ "aud": aud }), |azp| json!({ "aud": aud, "azp": azp }));
                    with_id_token(begun, &more)
                };
                refused_tokens(id, id_token_error(IdTokenRejection::Azp), change).await;
            }
        }
        "C020" => {
            let wrong = |begun: &Begun| with_id_token(begun, &json!({ "at_hash": b64([7; 16]) }));
            refused_tokens(id, id_token_error(IdTokenRejection::AtHash), wrong).await;
        }
        "C022" => {
            let symmetric = |begun: &Begun| {
                let header = json!({ "alg": "HS256", "typ": "JWT" }).to_string();
                let forged = sign(header, id_claims(begun.nonce()).to_string(), Sign::No);
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"a client secret");
                let signed =
                    format!("{forged}{}", b64(aws_lc_rs::hmac::sign(&key, forged.trim_end_matches('.').as_bytes())));
                with(&tokens(begun.nonce()), &json!({ "id_token": signed }))
            };
            let expected = id_token_error(IdTokenRejection::Token(Rejection::AlgNotAllowed));
            refused_tokens(id, expected, symmetric).await;
        }
        "C024" => userinfo_that_is_wrong_ends_the_sign_in().await,
        "C025" => {
            for broken in [
                json!({ "token_type": "mac" }),
                json!({ "token_type": "N_A" }),
                json!({ "access_token": "" }),
                json!({ "access_token": "a b" }),
                json!({ "access_token": ["a"] }),
            ] {
                let change = |begun: &Begun| with(&tokens(begun.nonce()), &broken);
                refused_tokens(id, CallbackError::TokenResponse, change).await;
            }
            for missing in ["access_token", "token_type"] {
                let change = |begun: &Begun| without(&tokens(begun.nonce()), missing);
                refused_tokens(id, CallbackError::TokenResponse, change).await;
            }
        }
        "C026" => {
            refused_answer(id, CallbackError::TokenResponse, Answer::Unacceptable).await;
            let redirect = Answer::Raw { status: 302, content_type: "text/html", body: String::new() };
            refused_answer(id, CallbackError::TokenResponse, redirect).await;
        }
        // What the port refuses for its size or coding it never reads whole.
        "C027" => refused_answer(id, CallbackError::TokenResponse, Answer::Unacceptable).await,
        "C028" => each_attempt_has_its_own_verifier().await,
        "C029" => nobody_gets_the_session_of_another().await,
        "C031" => {
            let world = world();
            let begun = world.begin().await;
            let came = world.complete(&begun, "").await;
            assert_eq!(came.unwrap_err().error, CallbackError::State);
            assert_eq!(world.provider.seen(&token_url()).len(), 0);
        }
        "C032" => {
            let world = world();
            let before = world.signed_in().await;
            let SessionCookie::One(old) = &before.session else { panic!("a session") };
            let mut begun = world.begin_with("/apps/x", &before).await;
            begun.cookies.session = before.session.clone();
            world.answer_tokens(with(
                &tokens(begun.nonce()),
                &json!({
                    "id_token": id_token(&json!({ "sub": "u-456" }), begun.nonce()),
                    "access_token": access_token(&json!({ "sub": "u-456" })),
                }),
            ));
            let after = cookies(&world.come_back(&begun).await.unwrap().set_cookies);
            let SessionCookie::One(new) = &after.session else { panic!("a session") };
            assert!(old != new);
            assert!(matches!(world.sessions.open(old).await, Err(SessionError::Unknown)));
            assert_eq!(world.sessions.open(new).await.unwrap().session.subject, "u-456");
            assert_eq!(world.live_sessions().await, 1);
        }
        "C033" => {
            let world = world();
            let mut begun = world.begin().await;
            let planted = OpaqueId::draw(&crate::session::fixture::CountingRandom);
            begun.cookies.session = SessionCookie::One(planted.clone());
            world.answer_tokens(tokens(begun.nonce()));
            let after = cookies(&world.come_back(&begun).await.unwrap().set_cookies);
            assert!(after.session != SessionCookie::One(planted.clone()));
            assert!(matches!(world.sessions.open(&planted).await, Err(SessionError::Unknown)));
        }
        "C035" => {
            let world = world();
            let mut jar: BTreeMap<String, SetCookie> = BTreeMap::new();
            for _ in 0..100 {
                let held = cookies(&jar.values().cloned().collect::<Vec<_>>());
                world.clock.forward(Duration::from_secs(1));
                let set =
                    world.party.begin(&super::super::fixture::id("main"), "/", &held, None).await.unwrap().set_cookies;
                jar.extend(set.into_iter().map(|cookie| (format!("{cookie:?}"), cookie)));
            }
            assert_eq!(jar.len(), 5);
            let size: usize = jar.values().map(|cookie| cookie.header_value().len()).sum();
            assert!(size < 4096, "{size}");
        }
        "C036" => {
            let long = "a".repeat(100 * 1024);
            let code = |begun: &Begun| format!("state={}&code={long}", begun.state());
            refused_query(id, CallbackError::OversizedQuery, code).await;
            let world = world();
            let begun = world.begin().await;
            let requests = world.provider.requests();
            let came = world.complete(&begun, &format!("state={long}&code=c1")).await;
            assert_eq!(came.unwrap_err().error, CallbackError::OversizedQuery);
            assert_eq!(world.provider.requests(), requests);
        }
        // Headers of pages.
        "C038" | "C039" => return false,
        unknown => panic!("the case {unknown} is not covered"),
    }
    true
}

#[tokio::test]
async fn every_callback_case_of_the_attack_corpus() {
    let corpus: Value = serde_json::from_str(include_str!("../../tests/vectors/attacks/cases.json")).unwrap();
    let ids: Vec<&str> =
        corpus["callbacks"].as_array().unwrap().iter().map(|case| case["id"].as_str().unwrap()).collect();
    let mut here = 0;
    for id in &ids {
        here += usize::from(attack(id).await);
    }
    assert_eq!((ids.len(), here), (25, 23));
}

async fn a_person_signs_in() {
    let world = world();
    let begun = world.begin().await;
    world.answer_tokens(tokens(begun.nonce()));
    let query =
        format!("code=c1&state={}&iss=https%3A%2F%2Fidp.example.com%2Frealms%2Fmain&session_state=x", begun.state());
    let redirect = world.complete(&begun, &query).await.unwrap();
    assert_eq!(redirect.location, "https://app.example.com/apps/devel/x?y=1");
    let slot = begun.cookies.logins[0].slot;
    assert_eq!(redirect.set_cookies[0], SetCookie::clear_login(slot));
    let SessionCookie::One(session_id) = cookies(&redirect.set_cookies).session else { panic!("a session") };
    let session = world.sessions.open(&session_id).await.unwrap().session;
    assert_eq!((session.subject.as_str(), session.sid.as_deref()), ("u-123", Some("s-1")));
    assert!(session.authority.from_access_token);
    assert_eq!(session.authority.claims["scope"], "stable devel");
    assert_eq!(session.refresh_token.as_ref().map(Secret::expose), Some("refresh-1"));
    assert_eq!(session.user_agent, "a browser");

    let asked = world.provider.seen(&token_url()).pop().unwrap();
    assert_eq!(asked.form["grant_type"], "authorization_code");
    assert_eq!(asked.form["code"], "c1");
    assert_eq!(asked.form["redirect_uri"], "https://app.example.com/_auth/callback/main");
    assert_eq!(asked.form["redirect_uri"], begun.params["redirect_uri"]);
    assert!(asked.authorization.unwrap().starts_with("Basic "));
    // The ID token has e-mail address and name: nobody is asked for them.
    assert_eq!(world.provider.seen("https://idp.example.com/realms/main/userinfo").len(), 0);

    let principal = world.party.principal(&session).unwrap();
    assert_eq!(principal.subject.as_ref(), "u-123");
    assert!(principal.scopes.contains("devel"));
    assert_eq!(principal.email.as_ref().and_then(|email| email.verified_domain()), Some("example.com"));
    assert_eq!(principal.name.as_deref(), Some("Joe"));
}

async fn each_attempt_has_its_own_verifier() {
    let world = world();
    let mut verifiers = BTreeSet::new();
    for _ in 0..3 {
        let begun = world.begin().await;
        world.answer_tokens(tokens(begun.nonce()));
        world.come_back(&begun).await.unwrap();
        let verifier = world.provider.seen(&token_url()).pop().unwrap().form["code_verifier"].clone();
        assert_eq!(begun.params["code_challenge_method"], "S256");
        assert_eq!(begun.params["code_challenge"], b64(digest(&SHA256, verifier.as_bytes())));
        verifiers.insert(verifier);
    }
    assert_eq!(verifiers.len(), 3);
    let refusal = Answer::Json(400, json!({ "error": "invalid_grant", "error_description": "no" }));
    refused_answer("C028", CallbackError::CodeRefused, refusal).await;
}

async fn nobody_gets_the_session_of_another() {
    let world = Arc::new(world());
    // The provider knows by the code who signed in, and by PKCE which attempt it was.
    let nonces: Arc<std::sync::Mutex<BTreeMap<String, String>>> = Arc::default();
    let known = Arc::clone(&nonces);
    world.provider.answer_with(&token_url(), move |seen| {
        let challenge = b64(digest(&SHA256, seen.form["code_verifier"].as_bytes()));
        let nonce = lock(&known)[&challenge].clone();
        let sub = seen.form["code"].clone();
        Answer::ok(json!({
            "token_type": "bearer",
            "access_token": access_token(&json!({ "sub": sub })),
            "id_token": id_token(&json!({ "sub": sub }), &nonce),
        }))
    });
    let mut logins = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let (world, nonces) = (Arc::clone(&world), Arc::clone(&nonces));
        logins.spawn(async move {
            let user = format!("user-{}", number % 2);
            let begun = world.begin().await;
            lock(&nonces).insert(begun.params["code_challenge"].clone(), begun.nonce().to_owned());
            let query = format!("state={}&code={user}", begun.state());
            let redirect = world.complete(&begun, &query).await.unwrap();
            let SessionCookie::One(id) = cookies(&redirect.set_cookies).session else { panic!("a session") };
            assert_eq!(world.sessions.open(&id).await.unwrap().session.subject, user);
        });
    }
    while let Some(login) = logins.join_next().await {
        login.unwrap();
    }
    assert_eq!(world.live_sessions().await, 1000);
}

fn without_name(begun: &Begun) -> Value {
    let claims = without(&without(&id_claims(begun.nonce()), "name"), "email");
    let header = json!({ "alg": "ES256", "kid": "k2" }).to_string();
    with(&tokens(begun.nonce()), &json!({ "id_token": sign(header, claims.to_string(), Sign::K2) }))
}

const USERINFO: &str = "https://idp.example.com/realms/main/userinfo";

async fn userinfo_that_is_wrong_ends_the_sign_in() {
    let raw = |content_type, body: &str| Answer::Raw { status: 200, content_type, body: body.to_owned() };
    let foreign = sign(r#"{"alg":"RS256"}"#, r#"{"iss":"https://evil.example.com","sub":"u-123"}"#, Sign::Attacker);
    for (answer, expected) in [
        (Answer::ok(json!([{ "sub": "u-123" }])), CallbackError::UserInfo),
        (raw("application/jwt", &foreign), CallbackError::UserInfo),
        (raw("application/jwt", r#"{"sub":"u-123"}"#), CallbackError::UserInfo),
        (raw("application/json", r#"{"sub":"u-456","sub":"u-123"}"#), CallbackError::UserInfo),
        (raw("text/html", "<p>"), CallbackError::UserInfo),
        (Answer::ok(json!({ "name": "Joe" })), CallbackError::UserInfo),
        (Answer::ok(json!({ "sub": 5 })), CallbackError::UserInfo),
        (Answer::ok(json!({ "sub": "u-456", "name": "Eve" })), CallbackError::OtherSubject),
    ] {
        let world = world();
        let begun = world.begin().await;
        world.answer_tokens(without_name(&begun));
        world.provider.answer(USERINFO, answer);
        let came = world.come_back(&begun).await;
        assert_refused(&world, &begun, came, &expected, "C024").await;
    }
}

#[tokio::test]
async fn userinfo_gives_the_name_and_nobody_is_refused_for_want_of_it() {
    let world = world();
    world.provider.answer(USERINFO, Answer::ok(json!({ "sub": "u-123", "name": "Joe", "email": "joe@example.com" })));
    let redirect = world.sign_in_with(without_name).await.unwrap();
    let SessionCookie::One(id) = cookies(&redirect.set_cookies).session else { panic!("a session") };
    let session = world.sessions.open(&id).await.unwrap().session;
    let principal = world.party.principal(&session).unwrap();
    assert_eq!(principal.name.as_deref(), Some("Joe"));
    assert_eq!(principal.email.as_ref().unwrap().verified_domain(), None, "nobody said that it is verified");
    assert!(world.provider.seen(USERINFO)[0].authorization.as_ref().unwrap().starts_with("Bearer eyJ"));

    for absent in [
        Answer::Json(401, json!({ "error": "invalid_token" })),
        Answer::Json(403, json!({})),
        Answer::Json(500, json!([])),
        Answer::Unreachable,
        Answer::Unacceptable,
        Answer::Silence,
    ] {
        world.provider.answer(USERINFO, absent);
        assert!(world.sign_in_with(without_name).await.is_ok());
    }
}

#[tokio::test]
async fn an_attempt_whose_cookie_is_gone_leads_on_who_is_signed_in_meanwhile() {
    let world = world();
    let mut dropped = world.begin().await;
    let signed_in = world.signed_in().await;
    dropped.cookies = signed_in.clone();
    let exchanges = world.provider.seen(&token_url()).len();
    let redirect = world.come_back(&dropped).await.unwrap();
    assert_eq!(redirect.location, "https://app.example.com/apps/devel/x?y=1");
    assert!(redirect.set_cookies.is_empty());
    assert_eq!(world.provider.seen(&token_url()).len(), exchanges, "the code was redeemed");
    assert_eq!(world.live_sessions().await, 1);

    let mut dropped = world.begin().await;
    dropped.cookies = signed_in;
    let SessionCookie::One(session) = &dropped.cookies.session else { panic!("a session") };
    world.sessions.end(crate::session::SessionKey::of(session)).await.unwrap();
    assert_eq!(world.come_back(&dropped).await.unwrap_err().error, CallbackError::OtherBrowser);
}

/// Ten tabs that began one after the other come back in this order. Those that
/// could not finish, for their cookie had made room.
async fn ten_tabs(order: [usize; 10]) -> Vec<usize> {
    let world = world();
    let mut jar: BTreeMap<String, SetCookie> = BTreeMap::new();
    let jar_cookies = |jar: &BTreeMap<String, SetCookie>| cookies(&jar.values().cloned().collect::<Vec<_>>());
    let mut tabs = Vec::new();
    for number in 0..10 {
        let path = format!("/apps/{number}");
        world.clock.forward(Duration::from_secs(1));
        let begun = world.party.begin(&id("main"), &path, &jar_cookies(&jar), None).await.unwrap();
        jar.extend(begun.set_cookies.iter().map(|cookie| (format!("{cookie:?}"), cookie.clone())));
        let url = url::Url::parse(&begun.location).unwrap();
        tabs.push((path, url.query_pairs().into_owned().collect::<BTreeMap<_, _>>()));
    }
    let (mut lost, mut begun) = (Vec::new(), 0);
    for number in order {
        let (path, params) = &tabs[number];
        world.clock.forward(Duration::from_secs(1));
        world.answer_tokens(tokens(&params["nonce"]));
        let query = format!("state={}&code=c1", params["state"]);
        match world.party.complete(&id("main"), query.as_bytes(), &jar_cookies(&jar), "").await {
            Ok(redirect) => {
                assert_eq!(redirect.location, format!("https://app.example.com{path}"));
                begun += usize::from(cookies(&redirect.set_cookies).session != SessionCookie::None);
                jar.extend(redirect.set_cookies.into_iter().map(|cookie| (format!("{cookie:?}"), cookie)));
            }
            Err(failure) => {
                assert_eq!(failure.error, CallbackError::OtherBrowser, "{number}");
                assert_eq!(failure.return_to.as_ref(), Some(path), "{number}: the way to try again leads elsewhere");
                assert!(failure.set_cookies.is_empty() && begun == 0, "{number}");
                lost.push(number);
            }
        }
    }
    assert_eq!((begun, world.live_sessions().await), (1, 1), "{order:?}: tabs end the sessions of each other");
    lost
}

#[tokio::test]
async fn ten_tabs_finish_in_any_order() {
    assert_eq!(ten_tabs([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]).await, [0; 0]);
    assert_eq!(ten_tabs([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).await, [0, 1, 2, 3, 4]);
    assert_eq!(ten_tabs([3, 1, 7, 0, 9, 5, 8, 2, 6, 4]).await, [3, 1]);
}

/// What became of a browser that came back with a session.
struct Again {
    went_on: bool,
    revoked: Vec<String>,
}

/// A browser begins an attempt before or after `old` signs in there, and
/// finishes it as `new`; each is a subject and the provider's session.
async fn again(old: (&str, Option<&str>), new: (&str, Option<&str>), session_is_newer: bool) -> Again {
    let world = world();
    let as_one = |begun: &Begun, (sub, sid): (&str, Option<&str>), refresh: &str| {
        let claims = without(&with(&id_claims(begun.nonce()), &json!({ "sub": sub })), "sid");
        let claims = sid.map_or(claims.clone(), |sid| with(&claims, &json!({ "sid": sid })));
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "k2" }).to_string();
        with(
            &tokens(begun.nonce()),
            &json!({
                "access_token": access_token(&json!({ "sub": sub })),
                "id_token": sign(header, claims.to_string(), Sign::K2),
                "refresh_token": refresh,
            }),
        )
    };
    let early = world.begin().await;
    world.clock.forward(Duration::from_secs(1));
    let first = world.sign_in_with(|begun| as_one(begun, old, "refresh-old")).await.unwrap();
    let session = cookies(&first.set_cookies).session;
    world.clock.forward(Duration::from_secs(1));
    let mut begun = if session_is_newer { early } else { world.begin().await };
    begun.cookies.session = session.clone();
    world.answer_tokens(as_one(&begun, new, "refresh-new"));
    let redirect = world.come_back(&begun).await.unwrap();
    assert_eq!(redirect.location, "https://app.example.com/apps/devel/x?y=1");
    assert_eq!(redirect.set_cookies[0], SetCookie::clear_login(begun.cookies.logins[0].slot));
    let SessionCookie::One(old_id) = &session else { panic!("a session") };
    let went_on = cookies(&redirect.set_cookies).session == SessionCookie::None;
    assert_eq!(world.sessions.open(old_id).await.is_ok(), went_on);
    assert_eq!((redirect.set_cookies.len() == 1, world.live_sessions().await), (went_on, 1));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let revoke = format!("{}/revoke", crate::token::test_keys::ISSUER);
    Again { went_on, revoked: world.provider.seen(&revoke).iter().map(|seen| seen.form["token"].clone()).collect() }
}

#[tokio::test]
async fn tabs_of_one_person_share_a_session_and_nobody_elses() {
    let (joe, elsewhere) = (("u-123", Some("s-1")), ("u-123", Some("s-2")));
    let (nameless, eve) = (("u-123", None), ("u-456", Some("s-1")));
    for (old, new, session_is_newer, went_on, revoked) in [
        (joe, joe, true, true, None),
        (nameless, joe, true, true, None),
        // Not a grant of the same session at the provider.
        (joe, elsewhere, true, true, Some("refresh-new")),
        (eve, joe, true, false, Some("refresh-old")),
        // To sign in again is a new session.
        (joe, joe, false, false, None),
        (nameless, nameless, false, false, None),
        (joe, elsewhere, false, false, Some("refresh-old")),
        (eve, joe, false, false, Some("refresh-old")),
    ] {
        let case = format!("{old:?} {new:?} {session_is_newer}");
        let came = again(old, new, session_is_newer).await;
        assert_eq!(came.went_on, went_on, "{case}");
        assert_eq!(came.revoked, Vec::from_iter(revoked), "{case}");
    }
}

#[tokio::test]
async fn a_slow_provider_is_told_before_the_page_has_to_end() {
    let world = world();
    let begun = world.begin().await;
    let after = |millis, answer| Answer::Late(Duration::from_millis(millis), Box::new(answer));
    world.provider.answer(&token_url(), after(2800, Answer::ok(without_name(&begun))));
    world.provider.answer(USERINFO, Answer::Silence);
    let old = crate::token::test_keys::jwks();
    let old = json!({ "keys": [with(&old["keys"][0], &json!({ "kid": "old" }))] });
    *lock(&world.keys.after_refresh) = lock(&world.keys.live).replace(key_set(&old));
    *lock(&world.keys.takes) = Duration::from_millis(1800);
    let started = std::time::Instant::now();
    let failure = world.come_back(&begun).await.unwrap_err();
    assert_eq!(failure.error, CallbackError::ProviderUnavailable);
    assert_eq!(failure.set_cookies, [SetCookie::clear_login(begun.cookies.logins[0].slot)]);
    assert_eq!(failure.return_to.as_deref(), Some("/apps/devel/x?y=1"));
    assert_eq!((world.provider.seen(USERINFO).len(), world.live_sessions().await), (1, 0));
    assert!(started.elapsed() < Duration::from_millis(5300), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_attempt_is_good_at_its_own_provider_only() {
    let world = world();
    let begun = world.begin().await;
    let query = format!("state={}&code=c1", begun.state());
    let came = world.party.complete(&id("other"), query.as_bytes(), &begun.cookies, "").await;
    assert_refused(&world, &begun, came, &CallbackError::OtherProvider, "other").await;
    let begun = world.begin().await;
    let query = format!("state={}&code=c1", begun.state());
    let came = world.party.complete(&id("nobody"), query.as_bytes(), &begun.cookies, "").await;
    assert_refused(&world, &begun, came, &CallbackError::UnknownProvider, "nobody").await;
}

#[tokio::test]
async fn a_provider_that_says_it_names_itself_has_to() {
    let metadata = with(&discovery(), &json!({ "authorization_response_iss_parameter_supported": true }));
    let world = world_of([crate::token::test_keys::settings()], vec![client("main")], &metadata);
    let begun = world.begin().await;
    world.answer_tokens(tokens(begun.nonce()));
    let came = world.come_back(&begun).await;
    assert_refused(&world, &begun, came, &CallbackError::IssuerMissing, "iss").await;
    let begun = world.begin().await;
    world.answer_tokens(tokens(begun.nonce()));
    let query = format!("state={}&code=c1&iss=https://idp.example.com/realms/main", begun.state());
    assert!(world.complete(&begun, &query).await.is_ok());
}

#[tokio::test]
async fn a_refusal_of_the_provider_is_told_by_its_word_alone() {
    for (word, refusal) in [
        ("access_denied", ProviderRefusal::AccessDenied),
        ("login_required", ProviderRefusal::InteractionRequired),
        ("temporarily_unavailable", ProviderRefusal::ServerError),
        ("invalid_scope", ProviderRefusal::InvalidScope),
        ("<script>", ProviderRefusal::Other),
    ] {
        let query = |begun: &Begun| format!("state={}&error={word}&error_description=evil&code=c1", begun.state());
        refused_query(word, CallbackError::Refused(refusal), query).await;
    }
    refused_query("no code", CallbackError::CodeMissing, |begun| format!("state={}", begun.state())).await;
    refused_query("empty code", CallbackError::CodeMissing, |begun| format!("state={}&code=", begun.state())).await;
}

#[tokio::test]
async fn what_the_token_endpoint_may_do_wrong() {
    let error = |status, word: &str| Answer::Json(status, json!({ "error": word }));
    let raw = |status, body: &str| Answer::Raw { status, content_type: "application/json", body: body.to_owned() };
    for (answer, expected) in [
        (Answer::Unreachable, CallbackError::ProviderUnavailable),
        (Answer::Silence, CallbackError::ProviderUnavailable),
        (error(503, "server_error"), CallbackError::ProviderUnavailable),
        (error(429, "slow_down"), CallbackError::ProviderUnavailable),
        (error(401, "invalid_client"), CallbackError::ClientRefused),
        (error(400, "unauthorized_client"), CallbackError::ClientRefused),
        (error(400, "invalid_grant"), CallbackError::CodeRefused),
        (raw(200, "{}"), CallbackError::TokenResponse),
        (raw(200, "[]"), CallbackError::TokenResponse),
        (raw(200, ""), CallbackError::TokenResponse),
        (raw(201, "{}"), CallbackError::TokenResponse),
        (raw(200, r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#), CallbackError::TokenResponse),
        (raw(200, r#"{"access_token":"a","token_type":"Bearer","id_token":5}"#), CallbackError::TokenResponse),
        (raw(200, r#"{"access_token":"a","token_type":"Bearer"}"#), CallbackError::IdTokenMissing),
    ] {
        let case = format!("{expected:?}");
        refused_answer(&case, expected, answer).await;
    }
}

#[tokio::test]
async fn access_tokens_are_believed_when_they_are_for_us_and_good() {
    let with_access = |begun: &Begun, token: String| with(&tokens(begun.nonce()), &json!({ "access_token": token }));
    let forged = |begun: &Begun| {
        let token = access_token(&json!({ "scope": "admin" }));
        let (signed, _) = token.rsplit_once('.').unwrap();
        with_access(begun, format!("{signed}.{}", b64([7; 64])))
    };
    refused_tokens("signature", CallbackError::AccessToken(Rejection::BadSignature), forged).await;
    let other = |begun: &Begun| with_access(begun, access_token(&json!({ "sub": "u-456" })));
    refused_tokens("sub", CallbackError::OtherSubject, other).await;
    let expired = |begun: &Begun| with_access(begun, access_token(&json!({ "exp": 1_799_999_000 })));
    refused_tokens("exp", CallbackError::AccessToken(Rejection::Expired), expired).await;
    let issuer = |begun: &Begun| with_access(begun, access_token(&json!({ "iss": "https://other.example.com/" })));
    refused_tokens("iss", CallbackError::AccessToken(Rejection::Iss), issuer).await;
    let unknown = |begun: &Begun| with_access(begun, access_token(&json!({ "iss": "https://nobody.example.com/" })));
    refused_tokens("unknown iss", CallbackError::AccessToken(Rejection::Iss), unknown).await;

    // Opaque, or for somebody else: then the ID token speaks.
    let foreign = access_token(&json!({ "aud": "https://graph.example.com", "scope": "admin" }));
    for token in ["opaque".to_owned(), "ya29.a0.b-c_d".to_owned(), foreign] {
        let world = world();
        let redirect = world.sign_in_with(|begun| with_access(begun, token.clone())).await.unwrap();
        let SessionCookie::One(id) = cookies(&redirect.set_cookies).session else { panic!("a session") };
        let session = world.sessions.open(&id).await.unwrap().session;
        assert!(!session.authority.from_access_token);
        assert_eq!(session.authority.expires_at.as_secs(), 1_800_000_300, "expires_in");
        assert!(!world.party.principal(&session).unwrap().scopes.contains("admin"));
    }
}

#[tokio::test]
async fn a_key_that_is_not_known_is_asked_for_once() {
    let world = world();
    let new = lock(&world.keys.live).take();
    let old = crate::token::test_keys::jwks();
    let old = json!({ "keys": [with(&old["keys"][0], &json!({ "kid": "old" }))] });
    *lock(&world.keys.live) = Some(key_set(&old));
    let begun = world.begin().await;
    world.answer_tokens(tokens(begun.nonce()));
    let failure = world.come_back(&begun).await.unwrap_err();
    let unknown = Rejection::KidUnknown { provider: id("main") };
    assert_eq!(failure.error, CallbackError::IdToken(IdTokenRejection::Token(unknown)));
    assert_eq!(world.keys.refreshes.load(std::sync::atomic::Ordering::SeqCst), 1);

    *lock(&world.keys.after_refresh) = new;
    world.signed_in().await;
    *lock(&world.keys.live) = None;
    *lock(&world.keys.after_refresh) = None;
    let failure = world.sign_in_with(|begun| tokens(begun.nonce())).await.unwrap_err();
    assert_eq!(failure.error, CallbackError::KeysUnavailable);
}

#[tokio::test]
async fn claims_that_scopes_cannot_be_read_from_end_the_sign_in() {
    let groups = |begun: &Begun| {
        with(
            &tokens(begun.nonce()),
            &json!({
                "access_token": "opaque",
                "id_token": id_token(&json!({ "groups": [{ "name": "admin" }] }), begun.nonce()),
            }),
        )
    };
    let flaw = Rejection::Malformed(crate::token::Flaw::Claim("groups"));
    refused_tokens("groups", CallbackError::Claims(flaw), groups).await;
}

#[tokio::test]
async fn a_store_that_is_down_signs_nobody_in_and_is_told_as_such() {
    let world = world();
    let begun = world.begin().await;
    world.answer_tokens(tokens(begun.nonce()));
    world.store.break_it(true);
    let failure = world.come_back(&begun).await.unwrap_err();
    assert_eq!(failure.error, CallbackError::Store);
    assert!(failure.error.is_outage() && failure.set_cookies.is_empty());
    let refused = world.party.begin(&id("main"), "/", &no_cookies(), None).await;
    assert!(matches!(refused, Err(crate::oidc::SignInError::Store)));
    world.store.break_it(false);
    assert!(world.come_back(&begun).await.is_ok(), "the attempt was not lost");
}

#[tokio::test]
async fn the_age_of_an_attempt_is_judged_whatever_the_store_keeps() {
    let world = world();
    let begun = world.begin().await;
    let state = OpaqueId::parse(begun.state()).unwrap();
    let store = world.sessions.store();
    let now = world.party.ports.clock.now();
    let sealed = store.take(LoginAttempt::key(&state), now).await.unwrap().unwrap();
    let for_ever = now.plus(Duration::from_secs(1_000_000));
    assert!(store.put_once(LoginAttempt::key(&state), sealed, for_ever, now).await.unwrap());
    world.clock.forward(Duration::from_secs(601));
    let came = world.come_back(&begun).await;
    assert_refused(&world, &begun, came, &CallbackError::AttemptExpired, "age").await;
}

#[tokio::test]
async fn where_a_browser_goes_on_is_always_our_own_origin() {
    let world = world();
    for (return_to, expected) in [
        ("/a?b=//c", "https://app.example.com/a?b=//c"),
        ("//evil.example.com", "https://app.example.com/_auth/"),
        ("/\\evil.example.com", "https://app.example.com/_auth/"),
        ("@evil.example.com", "https://app.example.com/_auth/"),
        (".evil.example.com", "https://app.example.com/_auth/"),
        ("https://evil.example.com", "https://app.example.com/_auth/"),
        ("/\t/evil.example.com", "https://app.example.com/_auth/"),
        ("", "https://app.example.com/_auth/"),
    ] {
        let begun = world.begin_with(return_to, &no_cookies()).await;
        world.answer_tokens(tokens(begun.nonce()));
        assert_eq!(world.come_back(&begun).await.unwrap().location, expected);
    }
}
