use serde_json::{Value, json};

use super::super::fixture::*;
use super::*;
use crate::session::SessionCookie;
use crate::token::test_keys::with;
use crate::types::Secret;

async fn signed_in(world: &World) -> Session {
    let cookies = world.signed_in().await;
    let SessionCookie::One(id) = cookies.session else { panic!("a session") };
    world.sessions.open(&id).await.unwrap().session
}

/// A refresh whose answer is `body`.
async fn renew_with(world: &World, session: &Session, answer: Answer) -> Result<Session, RenewError> {
    world.provider.answer(&token_url(), answer);
    world.party.renew(session).await
}

fn refreshed(more: &Value) -> Value {
    with(&json!({ "token_type": "Bearer", "access_token": access_token(&json!({ "scope": "stable" })) }), more)
}

#[tokio::test]
async fn scopes_are_read_anew_and_the_refresh_token_is_the_newest() {
    let world = world();
    let session = signed_in(&world).await;
    let renewed = renew_with(&world, &session, Answer::ok(refreshed(&json!({})))).await.unwrap();
    assert_eq!(renewed.refresh_token.as_ref().map(Secret::expose), Some("refresh-1"), "not rotated");
    assert!(!world.party.principal(&renewed).unwrap().scopes.contains("devel"), "a scope that was taken away");
    assert_eq!(renewed.id_token, session.id_token);
    let asked = world.provider.seen(&token_url()).pop().unwrap();
    assert_eq!(
        (asked.form["grant_type"].as_str(), asked.form["refresh_token"].as_str()),
        ("refresh_token", "refresh-1")
    );
    assert!(!asked.form.contains_key("redirect_uri"));

    let new_id = id_token(&json!({ "name": "Joseph", "nonce": null }), "");
    let body = refreshed(&json!({ "refresh_token": "refresh-2", "id_token": new_id }));
    let renewed = renew_with(&world, &renewed, Answer::ok(body)).await.unwrap();
    assert_eq!(renewed.refresh_token.as_ref().map(Secret::expose), Some("refresh-2"));
    assert_eq!(renewed.id_token.as_ref().map(Secret::expose), Some(new_id.as_str()));
    assert_eq!(world.party.principal(&renewed).unwrap().name.as_deref(), Some("Joseph"));
    assert_eq!((&renewed.subject, &renewed.sid), (&session.subject, &session.sid));
}

#[tokio::test]
async fn a_grant_that_ended_ends_and_a_failure_passes() {
    let world = world();
    let session = signed_in(&world).await;
    let error = |status, word: &str| Answer::Json(status, json!({ "error": word }));
    let html = |status| Answer::Raw { status, content_type: "text/html", body: "<p>".to_owned() };
    for (answer, ended) in [
        (error(400, "invalid_grant"), true),
        (error(403, "access_denied"), true),
        (error(400, "login_required"), true),
        (error(400, "interaction_required"), true),
        (error(401, "invalid_client"), false),
        (error(400, "unauthorized_client"), false),
        (error(400, "invalid_request"), false),
        (error(500, "invalid_grant"), false),
        (error(429, "slow_down"), false),
        (html(502), false),
        (html(404), false),
        (html(200), false),
        (Answer::Unreachable, false),
        (Answer::Unacceptable, false),
        (Answer::ok(json!({})), false),
    ] {
        let came = renew_with(&world, &session, answer).await.unwrap_err();
        assert_eq!(matches!(came, RenewError::Ended), ended, "{came:?}");
    }
}

#[tokio::test]
async fn new_tokens_that_are_wrong_end_the_session() {
    let world = world();
    let session = signed_in(&world).await;
    let good = json!({ "nonce": null });
    for wrong in [
        json!({ "access_token": access_token(&json!({ "sub": "u-456" })) }),
        json!({ "access_token": access_token(&json!({ "exp": 1_700_000_000 })) }),
        json!({ "id_token": id_token(&with(&good, &json!({ "sub": "u-456" })), "") }),
        json!({ "id_token": id_token(&with(&good, &json!({ "aud": "another" })), "") }),
        json!({ "id_token": id_token(&with(&good, &json!({ "iss": "https://other.example.com/" })), "") }),
        json!({ "id_token": "no token" }),
        // Scopes stood in the access token: one that says nothing is no renewal.
        json!({ "access_token": "opaque" }),
    ] {
        let came = renew_with(&world, &session, Answer::ok(refreshed(&wrong))).await;
        assert!(matches!(came, Err(RenewError::Ended)), "{wrong}");
    }
    for gone in [
        Session { refresh_token: None, ..session.clone() },
        Session { provider: id("gone"), ..session.clone() },
        Session { issuer: "https://before.example.com/".to_owned(), ..session.clone() },
    ] {
        assert!(matches!(world.party.renew(&gone).await, Err(RenewError::Ended)));
    }
}

#[tokio::test]
async fn an_opaque_access_token_prolongs_what_the_id_token_said() {
    let world = world();
    let redirect = world
        .sign_in_with(|begun| with(&tokens(begun.nonce()), &json!({ "access_token": "opaque", "expires_in": 60 })))
        .await
        .unwrap();
    let SessionCookie::One(session_id) = cookies(&redirect.set_cookies).session else { panic!("a session") };
    let session = world.sessions.open(&session_id).await.unwrap().session;
    assert!(!session.authority.from_access_token);
    for (expires_in, seconds) in [(json!(120), 120), (json!(null), 3600)] {
        let body = json!({ "token_type": "Bearer", "access_token": "opaque-2", "expires_in": expires_in });
        let renewed = renew_with(&world, &session, Answer::ok(body)).await.unwrap();
        assert_eq!(renewed.authority.expires_at.as_secs(), 1_800_000_000 + seconds);
        assert_eq!(renewed.authority.claims, session.authority.claims);
    }
}

#[tokio::test]
async fn without_keys_the_rotated_refresh_token_is_not_lost() {
    let world = world();
    let session = signed_in(&world).await;
    *lock(&world.keys.live) = None;
    let kept = renew_with(&world, &session, Answer::ok(refreshed(&json!({})))).await;
    assert!(matches!(kept, Err(RenewError::Passing)), "the old refresh token is still good");
    let body = refreshed(&json!({ "refresh_token": "refresh-2" }));
    let renewed = renew_with(&world, &session, Answer::ok(body)).await.unwrap();
    assert_eq!(renewed.refresh_token.as_ref().map(Secret::expose), Some("refresh-2"));
    assert!(renewed.authority == session.authority);
}

#[tokio::test]
async fn an_address_is_verified_by_the_source_that_names_it() {
    let world = world();
    let session = signed_in(&world).await;
    let verified = |session: &Session| {
        world.party.principal(session).unwrap().email.as_ref().is_some_and(|email| email.verified_domain().is_some())
    };
    assert!(verified(&session));
    // The new ID token names an address and does not say that it is verified.
    let claims = crate::token::test_keys::without(&id_claims(""), "email_verified");
    let claims = with(&claims, &json!({ "email": "root@example.org" }));
    let header = json!({ "alg": "ES256", "kid": "k2" }).to_string();
    let token = crate::token::test_keys::sign(header, claims.to_string(), crate::token::test_keys::Sign::K2);
    let renewed = renew_with(&world, &session, Answer::ok(refreshed(&json!({ "id_token": token })))).await.unwrap();
    assert!(!verified(&renewed));
}

#[tokio::test]
async fn a_session_speaks_by_the_settings_that_hold_now() {
    let world = world();
    let session = signed_in(&world).await;
    assert!(world.party.principal(&session).is_some());
    let mut other_audience = session.clone();
    other_audience.authority.claims.insert("aud".to_owned(), json!("another"));
    for strange in [
        Session { provider: id("gone"), ..session.clone() },
        Session { provider: id("other"), ..session.clone() },
        Session { issuer: "https://before.example.com/".to_owned(), ..session.clone() },
        other_audience,
        Session { subject: "u-456".to_owned(), ..session },
    ] {
        assert!(world.party.principal(&strange).is_none());
    }
}
