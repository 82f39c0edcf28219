use serde_json::json;

use super::super::fixture::*;
use super::*;
use crate::directory::{Directory, User};
use crate::oidc::CallbackError;
use crate::session::SessionCookie;

async fn session(world: &World) -> Session {
    let cookies = world.signed_in().await;
    let SessionCookie::One(id) = cookies.session else { panic!("a session") };
    world.sessions.open(&id).await.unwrap().session
}

async fn user(directory: &Directory, session: &Session) -> Option<User> {
    let key = UserKey::new(&session.provider, &session.subject);
    directory.store().user(UserRef::Key(key)).await.unwrap()
}

async fn change(world: &World, session: &Session, change: UserChange) {
    let whom = UserRef::Key(UserKey::new(&session.provider, &session.subject));
    world.directory.change(whom, change, Actor::Shell, Because::default()).await.unwrap();
}

#[tokio::test]
async fn a_sign_in_makes_the_record_and_a_renewal_keeps_it_in_step() {
    let world = world();
    let session = session(&world).await;
    let made = user(&world.directory, &session).await.unwrap();
    let principal = world.party.principal(&session).unwrap();
    assert_eq!(made.rights.scopes, principal.scopes);
    assert_eq!(made.name.as_deref(), principal.name.as_deref());
    assert_eq!(made.email, principal.email);
    let issued = session.authority.claims.get("iat").and_then(Value::as_i64).map(UnixTime::from_secs);
    assert_eq!((made.first_seen, made.last_seen), (issued, issued), "the provider's time");
    assert!(made.groups.is_empty(), "groups of tokens count by tokens");

    let body = json!({ "token_type": "Bearer", "access_token": access_token(&json!({ "scope": "other" })) });
    world.provider.answer(&token_url(), Answer::ok(body));
    world.party.renew(&session).await.unwrap();
    for _ in 0..1000 {
        if user(&world.directory, &session).await.unwrap().rights.scopes.contains("other") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the renewal was not noted");
}

#[tokio::test]
async fn who_is_disabled_gets_no_session_until_they_are_let_in_again() {
    let world = world();
    let session = session(&world).await;
    let sessions = world.live_sessions().await;
    change(&world, &session, UserChange::Disable { reason: None }).await;
    let refused = world.sign_in_with(|begun| tokens(begun.nonce())).await.unwrap_err();
    assert_eq!(refused.error, CallbackError::Disabled);
    assert_eq!(world.live_sessions().await, sessions);
    change(&world, &session, UserChange::Enable).await;
    world.sign_in_with(|begun| tokens(begun.nonce())).await.unwrap();
    assert_eq!(world.live_sessions().await, sessions + 1);
}

#[tokio::test]
async fn a_sign_in_goes_on_without_the_directory_and_a_renewal_tells_it_later() {
    let world = world();
    world.people.set_down(true);
    let session = session(&world).await;
    world.people.set_down(false);
    assert_eq!(user(&world.directory, &session).await, None);
    let body = json!({ "token_type": "Bearer", "access_token": access_token(&json!({})) });
    world.provider.answer(&token_url(), Answer::ok(body));
    world.party.renew(&session).await.unwrap();
    for _ in 0..1000 {
        if user(&world.directory, &session).await.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the renewal was not noted");
}
