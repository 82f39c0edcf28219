use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::fixture::*;
use super::*;
use crate::session::SessionCookie;
use crate::session::fixture::Fault;
use crate::token::test_keys::{ISSUER, NOW, Sign, key_set, sign, with, without};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn logout_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "j-1",
        "sub": "u-123", "sid": "s-1", "events": { EVENT: {} },
    })
}

fn logout_token(claims: &Value) -> String {
    sign(json!({ "alg": "ES256", "typ": "logout+jwt", "kid": "k2" }).to_string(), claims.to_string(), Sign::K2)
}

/// One more browser of `sub`, from the provider's session `sid`.
async fn browser(world: &World, sub: &str, sid: &str) -> SessionId {
    let redirect = world.sign_in_with(|begun| {
        with(
            &tokens(begun.nonce()),
            &json!({
                "access_token": access_token(&json!({ "sub": sub })),
                "id_token": id_token(&json!({ "sub": sub, "sid": sid }), begun.nonce()),
            }),
        )
    });
    let redirect = redirect.await.unwrap();
    let SessionCookie::One(id) = cookies(&redirect.set_cookies).session else { panic!("a session") };
    id
}

async fn is_live(world: &World, id: &SessionId) -> bool {
    world.sessions.open(id).await.is_ok()
}

/// What a case of the attack corpus looks like here. `false`: it is about the
/// form or the page, and stands where they are tested.
async fn attack(case: &str) -> bool {
    let world = world();
    let a1 = browser(&world, "u-123", "s-1").await;
    let a2 = browser(&world, "u-123", "s-2").await;
    let b1 = browser(&world, "u-456", "s-1").await;
    let live = || async { [is_live(&world, &a1).await, is_live(&world, &a2).await, is_live(&world, &b1).await] };
    let end = |claims: Value| async move { logout_token(&claims) };
    let refused = |cause| Err(LogoutTokenError::Invalid(cause));
    let (came, expected, kept) = match case {
        "L001" => {
            let token = end(without(&logout_claims(), "sub")).await;
            (world.party.end_by_logout_token(&token).await, Ok(2), [false, true, false])
        }
        "L003" => {
            let token = end(logout_claims()).await;
            (world.party.end_by_logout_token(&token).await, Ok(1), [false, true, true])
        }
        "L005" => {
            let token = end(with(&logout_claims(), &json!({ "nonce": null }))).await;
            (world.party.end_by_logout_token(&token).await, refused("nonce"), [true; 3])
        }
        "L012" => {
            let header = json!({ "alg": "HS256", "typ": "logout+jwt", "kid": "k2" }).to_string();
            let token = sign(header, logout_claims().to_string(), Sign::K2);
            (world.party.end_by_logout_token(&token).await, refused("alg_not_allowed"), [true; 3])
        }
        "L014" => {
            let token = end(without(&logout_claims(), "aud")).await;
            assert_eq!(world.party.end_by_logout_token(&token).await, refused("aud"));
            let token = end(with(&logout_claims(), &json!({ "aud": "another" }))).await;
            (world.party.end_by_logout_token(&token).await, refused("aud"), [true; 3])
        }
        "L018" => {
            let token = end(with(&logout_claims(), &json!({ "exp": NOW - 61 }))).await;
            (world.party.end_by_logout_token(&token).await, refused("expired"), [true; 3])
        }
        "L029" => {
            world.store.break_it(true);
            let token = end(logout_claims()).await;
            let came = world.party.end_by_logout_token(&token).await;
            world.store.break_it(false);
            (came, Err(LogoutTokenError::Store), [true; 3])
        }
        "L032" => {
            let location = world.party.sign_out(&b1, false).await.unwrap().unwrap();
            let url = Url::parse(&location).unwrap();
            let params: HashMap<_, _> = url.query_pairs().into_owned().collect();
            assert_eq!(params["post_logout_redirect_uri"], "https://app.example.com/_auth/");
            (Ok(0), Ok(0), [true, true, false])
        }
        "L033" => {
            world.party.sign_out(&a1, false).await.unwrap();
            assert!(matches!(world.sessions.open(&a1).await, Err(SessionError::Unknown)));
            (Ok(0), Ok(0), [false, true, true])
        }
        // The form, its size, and the method of the page.
        "L024" | "L027" | "L031" => return false,
        unknown => panic!("the case {unknown} is not covered"),
    };
    assert_eq!(came, expected, "{case}");
    assert_eq!(live().await, kept, "{case}");
    true
}

#[tokio::test]
async fn every_logout_case_of_the_attack_corpus() {
    let corpus: Value = serde_json::from_str(include_str!("../../tests/vectors/attacks/cases.json")).unwrap();
    let cases = corpus["logout_tokens"].as_array().unwrap();
    let mut here = 0;
    for case in cases {
        here += usize::from(attack(case["id"].as_str().unwrap()).await);
    }
    assert_eq!((cases.len(), here), (12, 9));
}

#[tokio::test]
async fn a_logout_token_counts_once_and_only_when_it_did_its_work() {
    let world = world();
    let first = browser(&world, "u-123", "s-1").await;
    let token = logout_token(&logout_claims());
    assert_eq!(world.party.end_by_logout_token(&token).await, Ok(1));
    let again = browser(&world, "u-123", "s-1").await;
    assert_eq!(world.party.end_by_logout_token(&token).await, Err(LogoutTokenError::Invalid("replayed")));
    assert!(!is_live(&world, &first).await && is_live(&world, &again).await);
    // The same id of another issuer is another token.
    let other = with(&logout_claims(), &json!({ "iss": "https://other.example.com/" }));
    assert_eq!(world.party.end_by_logout_token(&logout_token(&other)).await, Ok(0));
    let next = with(&logout_claims(), &json!({ "jti": "j-2" }));
    let keys = lock(&world.keys.live).take();
    assert_eq!(world.party.end_by_logout_token(&logout_token(&next)).await, Err(LogoutTokenError::Keys));
    *lock(&world.keys.live) = keys;
    assert_eq!(world.party.end_by_logout_token(&logout_token(&next)).await, Ok(1));
    for garbage in ["", "a.b.c", "\u{1f600}"] {
        assert_eq!(world.party.end_by_logout_token(garbage).await, Err(LogoutTokenError::Invalid("malformed")));
    }
}

/// Each call that a step makes of the store, failing once: before its work, and
/// after it.
fn faults() -> impl Iterator<Item = Fault> {
    (0..20).flat_map(|after| [false, true].map(|works| Fault { after, works }))
}

#[tokio::test]
async fn a_logout_token_that_met_a_failure_counts_when_it_comes_again() {
    let mut failed = 0;
    for fault in faults() {
        let world = world();
        let ids = [browser(&world, "u-123", "s-1").await, browser(&world, "u-123", "s-1").await];
        let token = logout_token(&without(&logout_claims(), "sid"));
        world.store.fail_once(fault);
        let came = world.party.end_by_logout_token(&token).await;
        world.store.heal();
        let still_live = is_live(&world, &ids[0]).await || is_live(&world, &ids[1]).await;
        if came.is_ok() {
            assert!(!still_live, "{fault:?}");
            continue;
        }
        failed += 1;
        assert_eq!(came, Err(LogoutTokenError::Store), "{fault:?}");
        let again = world.party.end_by_logout_token(&token).await;
        // Only when all of it was done, and its mark kept, has it been used.
        let done = again == Err(LogoutTokenError::Invalid("replayed")) && !still_live;
        assert!(again.is_ok() || done, "{fault:?}: {again:?}");
        assert!(!is_live(&world, &ids[0]).await && !is_live(&world, &ids[1]).await, "{fault:?}");
        let later = browser(&world, "u-123", "s-1").await;
        let replayed = world.party.end_by_logout_token(&token).await;
        assert_eq!(replayed, Err(LogoutTokenError::Invalid("replayed")), "{fault:?}");
        assert!(is_live(&world, &later).await, "{fault:?}");
    }
    assert!((8..40).contains(&failed), "{failed} calls");
}

#[tokio::test]
async fn a_logout_token_whose_key_is_not_known_comes_again_until_a_fetch_has_ended() {
    let world = world();
    let browser = browser(&world, "u-123", "s-1").await;
    let good = lock(&world.keys.live).clone();
    let jwks = crate::token::test_keys::jwks();
    let old = || key_set(&json!({ "keys": [with(&jwks["keys"][0], &json!({ "kid": "old" }))] }));
    *lock(&world.keys.live) = Some(old());
    let token = logout_token(&logout_claims());
    // Nothing was fetched: the key may be the provider's all the same.
    assert_eq!(world.party.end_by_logout_token(&token).await, Err(LogoutTokenError::Keys));
    // A fetch ended, and the key is nobody's.
    *lock(&world.keys.after_refresh) = Some(old());
    let refused = Err(LogoutTokenError::Invalid("kid_unknown"));
    assert_eq!(world.party.end_by_logout_token(&token).await, refused);
    assert!(is_live(&world, &browser).await);
    *lock(&world.keys.after_refresh) = good;
    assert_eq!(world.party.end_by_logout_token(&token).await, Ok(1));
}

#[tokio::test]
async fn signing_out_ends_the_session_first_and_the_grant_beside() {
    let world = world();
    let browser = browser(&world, "u-123", "s-1").await;
    let id_token = world.sessions.open(&browser).await.unwrap().session.id_token.unwrap();
    let location = world.party.sign_out(&browser, false).await.unwrap().unwrap();
    let url = Url::parse(&location).unwrap();
    assert_eq!(url.path(), "/realms/main/logout");
    let params: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(params["id_token_hint"], id_token.expose());
    assert_eq!(params["client_id"], CLIENT);
    assert_eq!(params["state"].len(), 43);
    let revoke = format!("{ISSUER}/revoke");
    let revoked = poll(|| world.provider.seen(&revoke).pop()).await;
    assert_eq!(revoked.form["token"], "refresh-1");
    assert_eq!(revoked.form["token_type_hint"], "refresh_token");
    assert_eq!(revoked.authorization.as_deref(), Some("Basic cG9ydGFsLXdlYjphK2NsaWVudCtzZWNyZXQ="));
    // A cookie that opens nothing signs out as well as any.
    assert_eq!(world.party.sign_out(&browser, false).await.unwrap(), None);
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_session_of_the_person() {
    let world = world();
    let (a1, a2, b1) = (
        browser(&world, "u-123", "s-1").await,
        browser(&world, "u-123", "s-2").await,
        browser(&world, "u-456", "s-3").await,
    );
    world.party.sign_out(&a1, true).await.unwrap();
    assert!(!is_live(&world, &a1).await && !is_live(&world, &a2).await && is_live(&world, &b1).await);
}

#[tokio::test]
async fn signing_out_everywhere_can_be_tried_again_when_it_failed() {
    let mut failed = 0;
    for fault in faults() {
        let world = world();
        let (own, other) = (browser(&world, "u-123", "s-1").await, browser(&world, "u-123", "s-2").await);
        world.store.fail_once(fault);
        let came = world.party.sign_out(&own, true).await;
        world.store.heal();
        if came.is_err() {
            failed += 1;
            assert!(
                !is_live(&world, &other).await || is_live(&world, &own).await,
                "{fault:?}: it cannot be tried again"
            );
            world.party.sign_out(&own, true).await.unwrap();
        }
        assert!(!is_live(&world, &own).await && !is_live(&world, &other).await, "{fault:?}");
    }
    assert!((6..40).contains(&failed), "{failed} calls");
}

#[tokio::test]
async fn a_provider_that_is_down_or_has_no_way_out_keeps_nobody_signed_in() {
    let world = world_of(
        [crate::token::test_keys::settings()],
        vec![client("main")],
        &without(&discovery(), "end_session_endpoint"),
    );
    let one = browser(&world, "u-123", "s-1").await;
    assert_eq!(world.party.sign_out(&one, false).await.unwrap(), None);
    assert!(!is_live(&world, &one).await);
    let two = browser(&world, "u-123", "s-1").await;
    world.store.break_it(true);
    assert!(matches!(world.party.sign_out(&two, false).await, Err(SignInError::Store)));
}

#[tokio::test]
async fn the_ways_out_that_have_names_of_their_own() {
    for (issuer, end_session, expected) in [
        (
            "https://tenant.eu.auth0.com/",
            None,
            "https://tenant.eu.auth0.com/v2/logout?client_id=portal-web&returnTo=https%3A%2F%2Fapp.example.com%2F_auth%2F",
        ),
        (
            "https://tenant.eu.auth0.com/",
            Some("https://tenant.eu.auth0.com/oidc/logout"),
            "https://tenant.eu.auth0.com/oidc/logout?id_token_hint=",
        ),
        (
            "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_A",
            Some("https://apps.auth.eu-central-1.amazoncognito.com/logout"),
            "logout_uri=https%3A%2F%2Fapp.example.com%2F_auth%2F",
        ),
    ] {
        let mut settings = crate::token::test_keys::settings();
        settings.issuer = Arc::from(issuer);
        let metadata = with(&discovery(), &json!({ "issuer": issuer, "end_session_endpoint": end_session }));
        let world = world_of([settings], vec![client("main")], &metadata);
        let change = json!({ "iss": issuer });
        let redirect = world.sign_in_with(|begun| {
            with(
                &tokens(begun.nonce()),
                &json!({
                    "access_token": access_token(&change),
                    "id_token": id_token(&change, begun.nonce()),
                }),
            )
        });
        let SessionCookie::One(id) = cookies(&redirect.await.unwrap().set_cookies).session else { panic!("a session") };
        let location = world.party.sign_out(&id, false).await.unwrap().unwrap();
        assert!(location.contains(expected), "{location}");
    }
}

#[tokio::test]
async fn a_front_channel_logout_ends_the_session_it_names() {
    let world = world();
    let browser = browser(&world, "u-123", "s-1").await;
    for (issuer, sid) in [("https://other.example.com/", "s-1"), (ISSUER, "s-2"), (ISSUER, "")] {
        assert!(!world.party.end_by_front_channel(issuer, sid, &browser).await.unwrap());
    }
    assert!(world.party.end_by_front_channel(ISSUER, "s-1", &browser).await.unwrap());
    assert!(!is_live(&world, &browser).await);
    assert!(!world.party.end_by_front_channel(ISSUER, "s-1", &browser).await.unwrap());
}
