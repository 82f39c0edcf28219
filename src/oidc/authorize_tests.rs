use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::super::fixture::*;
use super::*;
use crate::oidc::{ClientSettings, MetadataError};
use crate::session::LOGIN_SLOTS;
use crate::token::test_keys::{ISSUER, settings, with, without};

#[tokio::test]
async fn a_browser_is_sent_with_everything_that_the_answer_is_judged_by() {
    let world = world();
    let begun = world.begin().await;
    assert!(begun.location.starts_with("https://idp.example.com/realms/main/authorize?tenant=a&"));
    let params = &begun.params;
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "https://app.example.com/_auth/callback/main"),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
        ("audience", "portal"),
    ] {
        assert_eq!(params[name], value, "{name}");
    }
    for drawn in ["state", "nonce", "code_challenge"] {
        assert_eq!(params[drawn].len(), 43, "{drawn}");
    }
    assert!(!begun.location.contains("prompt") && !begun.location.contains("secret"));
    let again = world.begin().await;
    let drawn = |begun: &Begun| ["state", "nonce", "code_challenge"].map(|name| begun.params[name].clone());
    let all: BTreeSet<String> = drawn(&begun).into_iter().chain(drawn(&again)).collect();
    assert_eq!(all.len(), 6);
    assert!(begun.cookies.logins[0].slot < LOGIN_SLOTS);
    assert!(matches!(
        world.party.begin(&id("nobody"), "/", &no_cookies(), None).await,
        Err(SignInError::UnknownProvider)
    ));
}

#[tokio::test]
async fn a_flood_of_sign_ins_leaves_nothing_in_the_store() {
    let world = world();
    let begin = |client: &str| {
        let client = client.parse().ok();
        let (party, main, cookies) = (&world.party, id("main"), no_cookies());
        async move { party.begin(&main, "/", &cookies, client).await }
    };
    for _ in 0..3_000 {
        begin("192.0.2.1").await.unwrap();
    }
    let kept = || world.store.calls.load(Ordering::SeqCst);
    let before = kept();
    for _ in 0..10 {
        let refused = begin("192.0.2.1").await;
        assert!(matches!(&refused, Err(SignInError::Busy(busy)) if busy.of_client), "{refused:?}");
    }
    assert_eq!(kept(), before);
    begin("192.0.2.2").await.unwrap();
    begin("not known").await.unwrap();
    world.clock.forward(Duration::from_secs(70));
    begin("192.0.2.1").await.unwrap();
}

#[tokio::test]
async fn a_description_that_is_not_acceptable_sends_nobody() {
    for (change, expected) in [
        (json!({ "issuer": "https://idp.example.com/realms/main/" }), MetadataError::IssuerMismatch),
        (json!({ "issuer": "https://IDP.example.com/realms/main" }), MetadataError::IssuerMismatch),
        (json!({ "issuer": null }), MetadataError::IssuerMismatch),
        (json!({ "code_challenge_methods_supported": ["plain"] }), MetadataError::NoS256),
        (json!({ "code_challenge_methods_supported": [] }), MetadataError::NoS256),
        (json!({ "code_challenge_methods_supported": "S256" }), MetadataError::Malformed),
        (json!({ "authorization_response_iss_parameter_supported": "true" }), MetadataError::Malformed),
        (
            json!({ "authorization_endpoint": "http://idp.example.com/authorize" }),
            MetadataError::Endpoint("authorization_endpoint"),
        ),
        (json!({ "token_endpoint": "http://169.254.169.254/token" }), MetadataError::Endpoint("token_endpoint")),
        (json!({ "token_endpoint": "/token" }), MetadataError::Endpoint("token_endpoint")),
        (json!({ "token_endpoint": ["https://a"] }), MetadataError::Endpoint("token_endpoint")),
        (json!({ "token_endpoint": null }), MetadataError::Endpoint("token_endpoint")),
        (json!({ "userinfo_endpoint": "http://10.0.0.1/" }), MetadataError::Endpoint("userinfo_endpoint")),
        (json!({ "end_session_endpoint": "javascript:alert(1)" }), MetadataError::Endpoint("end_session_endpoint")),
    ] {
        let world = world();
        world.provider.answer(&discovery_url(), Answer::ok(with(&discovery(), &change)));
        match world.party.begin(&id("main"), "/", &no_cookies(), None).await {
            Err(SignInError::Provider(error)) => assert_eq!(error, expected, "{change}"),
            other => panic!("{change}: {other:?}"),
        }
    }
    for (answer, expected) in [
        (Answer::Unreachable, MetadataError::Unreachable),
        (Answer::Unacceptable, MetadataError::Malformed),
        (Answer::Json(503, discovery()), MetadataError::Status(503)),
        (Answer::Json(302, discovery()), MetadataError::Status(302)),
        (Answer::ok(json!([])), MetadataError::Malformed),
        (
            Answer::Raw {
                status: 200,
                content_type: "application/json",
                body: format!(r#"{{"issuer":"x","issuer":"{ISSUER}"}}"#),
            },
            MetadataError::Malformed,
        ),
    ] {
        let world = world();
        world.provider.answer(&discovery_url(), answer);
        match world.party.begin(&id("main"), "/", &no_cookies(), None).await {
            Err(SignInError::Provider(error)) => assert_eq!(error, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
    }
    // Endpoints elsewhere, none but the two that are needed, PKCE not spoken of.
    let mut least = json!({
        "token_endpoint": "https://oauth2.googleapis.example/token",
        "authorization_endpoint": "https://login.example.net/authorize",
    });
    for name in ["userinfo_endpoint", "end_session_endpoint", "revocation_endpoint"] {
        least[name] = json!(null);
    }
    let metadata = without(&with(&discovery(), &least), "code_challenge_methods_supported");
    let world = world_of([settings()], vec![client("main")], &metadata);
    assert!(world.begin().await.location.starts_with("https://login.example.net/authorize?"));
}

#[tokio::test]
async fn a_provider_is_asked_once_in_an_hour_and_its_word_outlives_an_outage() {
    let world = std::sync::Arc::new(world());
    let mut begins = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let world = world.clone();
        begins.spawn(async move { world.begin().await });
    }
    while let Some(begun) = begins.join_next().await {
        begun.unwrap();
    }
    let asked = || world.provider.seen(&discovery_url()).len();
    assert_eq!(asked(), 1);
    world.clock.forward(Duration::from_secs(3599));
    world.begin().await;
    assert_eq!(asked(), 1);
    // Then it is asked beside, and its old word counts while it is down.
    world.provider.answer(&discovery_url(), Answer::Unreachable);
    world.clock.forward(Duration::from_secs(2));
    for _ in 0..5 {
        world.begin().await;
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(asked(), 2, "no cooldown");
    world.provider.answer(
        &discovery_url(),
        Answer::ok(with(&discovery(), &json!({ "authorization_endpoint": "https://new.example.com/" }))),
    );
    world.clock.forward(Duration::from_secs(6));
    world.begin().await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(world.begin().await.location.starts_with("https://new.example.com/"));
    assert_eq!(asked(), 3);
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_alone_for_a_while() {
    let world = world();
    world.provider.answer(&discovery_url(), Answer::Unreachable);
    for _ in 0..10 {
        assert!(world.party.begin(&id("main"), "/", &no_cookies(), None).await.is_err());
    }
    assert_eq!(world.provider.seen(&discovery_url()).len(), 1);
    world.provider.answer(&discovery_url(), Answer::ok(discovery()));
    world.clock.forward(Duration::from_secs(6));
    world.begin().await;
}

#[tokio::test]
async fn each_client_shows_who_it_is_in_its_own_way() {
    use crate::oidc::{AssertionAudience, SigningKey};
    use crate::types::Secret;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use base64::Engine as _;

    let der =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &aws_lc_rs::rand::SystemRandom::new()).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let pem = Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"));
    let key = SigningKey::from_pem(&pem).unwrap();
    let secret = || Secret::new("s&%+ä".to_owned());
    let own_key = |audience| ClientAuth::PrivateKeyJwt { key: key.clone(), key_id: None, audience };
    for (auth, basic, members) in [
        (ClientAuth::SecretBasic(secret()), true, vec![]),
        (ClientAuth::SecretPost(secret()), false, vec!["client_id", "client_secret"]),
        (ClientAuth::None, false, vec!["client_id"]),
        (own_key(AssertionAudience::Issuer), false, vec!["client_assertion", "client_assertion_type", "client_id"]),
        (
            own_key(AssertionAudience::TokenEndpoint),
            false,
            vec!["client_assertion", "client_assertion_type", "client_id"],
        ),
    ] {
        let client = ClientSettings { auth: auth.clone(), ..client("main") };
        let world = world_of([settings()], vec![client], &discovery());
        let session = cookies(&world.sign_in_with(|begun| tokens(begun.nonce())).await.unwrap().set_cookies).session;
        let crate::session::SessionCookie::One(session) = session else { panic!("a session") };
        world.party.sign_out(&session, false).await.unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        // The token endpoint and the revocation endpoint are shown the same.
        for url in [token_url(), format!("{ISSUER}/revoke")] {
            let asked = world.provider.seen(&url).pop().unwrap_or_else(|| panic!("{url} was not asked"));
            let mut shown: Vec<&str> =
                asked.form.keys().map(String::as_str).filter(|name| name.starts_with("client")).collect();
            shown.sort_unstable();
            assert_eq!(shown, members, "{auth:?} {url}");
            assert_eq!(asked.authorization.as_deref(), basic.then_some("Basic cG9ydGFsLXdlYjpzJTI2JTI1JTJCJUMzJUE0"));
            if let Some(sent) = asked.form.get("client_secret") {
                assert_eq!(sent, secret().expose());
            }
            if let Some(assertion) = asked.form.get("client_assertion") {
                assert_eq!(
                    asked.form["client_assertion_type"],
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
                );
                let payload = assertion.split('.').nth(1).unwrap();
                let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
                let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                let issuer = auth == own_key(AssertionAudience::Issuer);
                assert_eq!(claims["aud"], if issuer { ISSUER.to_owned() } else { token_url() });
            }
        }
    }
}
