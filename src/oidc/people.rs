//! The user directory kept in step with what providers say at sign-in and at
//! each renewal of tokens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::relying_party::RelyingParty;
use crate::directory::{
    Actor, Because, Changed, Directory, DirectoryError, Rights, SignedIn, User, UserChange, UserKey, UserRef,
};
use crate::session::Session;
use crate::types::{Principal, UnixTime};

/// How long a sign-in waits for the directory; where it does not answer, the
/// next renewal tells it.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest URL of a picture that is kept, in bytes.
const MAX_PICTURE: usize = 2048;

/// The directory refuses the person.
pub(super) struct Disabled;

impl RelyingParty {
    /// Tells the directory who signs in. Where it does not answer the sign-in goes
    /// on: what a session is worth is judged at each request.
    ///
    /// # Errors
    /// When it refuses them.
    pub(super) async fn admit(&self, session: &Session) -> Result<(), Disabled> {
        let Some((directory, key, told)) = self.to_tell(session) else { return Ok(()) };
        match self.within(PATIENCE, tell(&directory, key, told)).await {
            Some(Ok(changed)) if changed.after.as_ref().is_some_and(User::is_disabled) => Err(Disabled),
            // Who keeps the directory counts and writes down its errors.
            Some(Ok(_) | Err(_)) | None => Ok(()),
        }
    }

    /// Tells the directory, in the background, what new tokens say.
    pub(super) fn note_renewal(&self, session: &Session) {
        let Some((directory, key, told)) = self.to_tell(session) else { return };
        self.ports.tasks.spawn(Box::pin(async move {
            // Where it does not answer, the next renewal tells it.
            let _ = tell(&directory, key, told).await;
        }));
    }

    fn to_tell(&self, session: &Session) -> Option<(Arc<Directory>, UserKey, SignedIn)> {
        let directory = self.ports.directory.as_ref()?;
        let principal = self.principal(session)?;
        let key = UserKey::new(&session.provider, &session.subject);
        Some((Arc::clone(directory), key, told(session, &principal, self.ports.clock.now())))
    }
}

async fn tell(directory: &Directory, key: UserKey, told: SignedIn) -> Result<Changed, DirectoryError> {
    directory.change(UserRef::Key(key), UserChange::SignedIn(told), Actor::SignIn, Because::default()).await
}

/// What the tokens of a session say, as of when they were issued.
fn told(session: &Session, principal: &Principal, now: UnixTime) -> SignedIn {
    let claims = &session.authority.claims;
    let issued = claims.get("iat").and_then(Value::as_i64).map(UnixTime::from_secs);
    let picture = [&session.profile, claims].into_iter().find_map(|claims| claims.get("picture")?.as_str());
    let is_fit = |url: &&str| url.len() <= MAX_PICTURE && url.starts_with("https://");
    SignedIn {
        as_of: issued.unwrap_or(now).min(now),
        rights: Rights {
            scopes: principal.scopes.clone(),
            permissions: principal.permissions.clone(),
            groups: principal.groups.clone(),
        },
        email: principal.email.clone(),
        name: principal.name.as_deref().map(str::to_owned),
        picture: picture.filter(is_fit).map(str::to_owned),
    }
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
