//! A sign-in, a refresh and a sign-out with answers in the shape of each
//! provider that the documents name, under the very config they show. The
//! members are those that the provider sends; the values are made up.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use url::Url;

use super::fixture::*;
use crate::config::{Config, Sources};
use crate::session::{Session, SessionCookie};
use crate::token::test_keys::{Sign, b64, sign, with};

/// The config that `docs/providers.md` shows for the provider `id`.
fn config_of(id: &str) -> Config {
    let text = include_str!("../../docs/providers.md");
    let mut blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    let block = blocks.find(|block| block.contains(&format!("id: {id}\n"))).expect(id);
    let environment = BTreeMap::from([("OIDC_CLIENT_SECRET".to_owned(), "a secret".to_owned())]);
    let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    Config::load(&Sources {
        file: Some(("providers.md", block)),
        environment,
        read_secret: &none,
        files: &crate::config::NoFiles,
    })
    .expect(id)
}

/// The token that a shape describes, signed with the test key.
fn made(token: &Value, marks: &[(&str, &str)]) -> String {
    if let Value::String(opaque) = token {
        return opaque.clone();
    }
    let mut claims = token["claims"].to_string();
    for (mark, value) in marks {
        claims = claims.replace(mark, value);
    }
    let how = if token["foreign_signature"] == true { Sign::Attacker } else { Sign::K1 };
    sign(with(&token["header"], &json!({ "kid": "k1" })).to_string(), claims, how)
}

fn answer(shape: &Value, nonce: &str) -> Value {
    let access_token = made(&shape["access_token"], &[]);
    let hash = digest(&SHA256, access_token.as_bytes());
    let at_hash = b64(&hash.as_ref()[..16]);
    let id_token = made(&shape["id_token"], &[("{nonce}", nonce), ("{at_hash}", &at_hash)]);
    let text = shape["token_response"].to_string();
    serde_json::from_str(&text.replace("{access_token}", &access_token).replace("{id_token}", &id_token)).unwrap()
}

fn assert_as_expected(world: &World, session: &Session, expected: &Value, case: &str) {
    assert_eq!(json!(session.authority.from_access_token), expected["from_access_token"], "{case}");
    let left = session.authority.expires_at.as_secs() - crate::token::test_keys::NOW;
    assert_eq!(json!(left), expected["expires_in"], "{case}");
    assert_eq!(json!(session.sid), expected["sid"], "{case}");
    let principal = world.party.principal(session).expect(case);
    assert_eq!(json!(principal.scopes.iter().collect::<Vec<_>>()), expected["scopes"], "{case}");
    assert_eq!(json!(principal.permissions.iter().collect::<Vec<_>>()), expected["permissions"], "{case}");
    assert_eq!(json!(principal.groups.iter().collect::<Vec<_>>()), expected["groups"], "{case}");
    assert_eq!(json!(principal.name), expected["name"], "{case}");
    let email = principal.email.as_ref();
    assert_eq!(json!(email.map(|email| email.address())), expected["email"], "{case}");
    assert_eq!(json!(email.and_then(|email| email.verified_domain())), expected["verified_domain"], "{case}");
}

async fn run(case: &str, shape: &Value) {
    let provider = shape["provider"].as_str().unwrap();
    let config = config_of(provider);
    let configured = &config.identity_providers[0];
    let client = configured.login.as_ref().unwrap().client(configured.id());
    let world = world_of([configured.tokens.clone()], vec![client], &shape["discovery"]);
    let token_url = shape["discovery"]["token_endpoint"].as_str().unwrap();

    let begun = world.party.begin(configured.id(), "/apps/x", &no_cookies(), None).await.unwrap();
    let params: BTreeMap<String, String> = Url::parse(&begun.location).unwrap().query_pairs().into_owned().collect();
    world.provider.answer(token_url, Answer::ok(answer(shape, &params["nonce"])));
    let extra = shape["callback"].as_str().unwrap_or_default();
    let query = format!("state={}&code=c{extra}", params["state"]);
    let held = cookies(&begun.set_cookies);
    let redirect = world.party.complete(configured.id(), query.as_bytes(), &held, "").await;
    let redirect = redirect.unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
    let SessionCookie::One(session_id) = cookies(&redirect.set_cookies).session else { panic!("{case}: a session") };
    let session = world.sessions.open(&session_id).await.unwrap().session;
    let expected = &shape["expected"];
    assert_as_expected(&world, &session, expected, case);
    assert_eq!(world.provider.requests(), 2, "{case}: userinfo is not needed");

    let renewed = world.party.renew(&session).await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    assert_as_expected(&world, &renewed, expected, case);

    let location = world.party.sign_out(&session_id, false).await.unwrap();
    match expected["sign_out"].as_str() {
        Some(start) => assert!(location.as_ref().unwrap().starts_with(start), "{case}: {location:?}"),
        None => assert_eq!(location, None, "{case}"),
    }
}

#[tokio::test]
async fn people_of_every_provider_sign_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/providers");
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case = path.file_stem().unwrap().to_str().unwrap().to_owned();
        run(&case, &serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()).await;
        seen.push(case);
    }
    seen.sort();
    assert_eq!(seen, ["auth0", "cognito", "entra", "entra-graph", "google", "keycloak", "okta"]);
}

/// What the documents warn of: tokens of one person under two names.
#[tokio::test]
async fn an_access_token_under_another_sub_is_refused() {
    let shape: Value = serde_json::from_str(include_str!("../../tests/vectors/providers/okta.json")).unwrap();
    let mut other = shape.clone();
    other["access_token"]["claims"]["sub"] = json!("joe@example.com");
    let config = config_of("okta");
    let configured = &config.identity_providers[0];
    let client = configured.login.as_ref().unwrap().client(configured.id());
    let world = world_of([configured.tokens.clone()], vec![client], &shape["discovery"]);
    let begun = world.party.begin(configured.id(), "/", &no_cookies(), None).await.unwrap();
    let params: BTreeMap<String, String> = Url::parse(&begun.location).unwrap().query_pairs().into_owned().collect();
    let token_url = shape["discovery"]["token_endpoint"].as_str().unwrap();
    world.provider.answer(token_url, Answer::ok(answer(&other, &params["nonce"])));
    let query = format!("state={}&code=c", params["state"]);
    let came = world.party.complete(configured.id(), query.as_bytes(), &cookies(&begun.set_cookies), "").await;
    assert_eq!(came.unwrap_err().error, super::CallbackError::OtherSubject);
}
