//! What the stories share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tiergate::backend::system::SystemRandom;
use tiergate::directory::{
    Actor, AuditEntry, AuditQuery, ChangeRequest, Changed, DirectoryError, Report, Rights, SignedIn, TierGrant, User,
    UserChange, UserDirectory, UserId, UserKey, UserQuery, UserRef,
};
use tiergate::types::{ProviderId, UnixTime};

/// One directory, empty at the start of each story.
pub(crate) trait DirectoryUnderTest {
    /// A handle of its own, as another replica of the service would have one. A
    /// directory that lives in its process gives the same handle each time.
    async fn open_replica(&self) -> Arc<dyn UserDirectory>;
}

/// A directory that can be broken from outside of its process.
pub(crate) trait Breakable: DirectoryUnderTest {
    /// Makes the database fail from now on, for the handles that are open.
    async fn break_it(&self);

    /// Ends the outage.
    async fn mend(&self);
}

pub(crate) const fn at(secs: i64) -> UnixTime {
    UnixTime::from_secs(secs)
}

pub(crate) fn main() -> ProviderId {
    ProviderId::new("main")
}

pub(crate) fn key(subject: &str) -> UserKey {
    UserKey::new(&main(), subject)
}

pub(crate) fn new_id() -> UserId {
    UserId::draw(&SystemRandom)
}

pub(crate) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub(crate) fn request(target: UserRef, change: UserChange, now: i64) -> ChangeRequest {
    ChangeRequest {
        target,
        change,
        actor: Actor::Shell,
        new_id: new_id(),
        expected_version: None,
        event: None,
        request_id: None,
        now: at(now),
    }
}

pub(crate) fn of(subject: &str) -> UserRef {
    UserRef::Key(key(subject))
}

pub(crate) async fn change(store: &dyn UserDirectory, subject: &str, change: UserChange, now: i64) -> Changed {
    store.change(request(of(subject), change, now)).await.unwrap()
}

pub(crate) fn sign_in(secs: i64) -> UserChange {
    UserChange::SignedIn(SignedIn {
        as_of: at(secs),
        rights: Rights::default(),
        email: None,
        name: None,
        picture: None,
    })
}

pub(crate) fn reported(report: Report) -> UserChange {
    UserChange::Reported(Box::new(report))
}

pub(crate) fn in_groups(secs: i64, groups: &[&str]) -> UserChange {
    reported(Report { as_of: at(secs), groups: Some(names(groups)), ..Report::default() })
}

pub(crate) fn grant(tier: &str, until: Option<i64>) -> UserChange {
    let (tier, given_by) = (tier.to_owned(), "shell".to_owned());
    UserChange::Grant(TierGrant { tier, until: until.map(at), given_by, given_at: at(3) })
}

pub(crate) fn disable() -> UserChange {
    UserChange::Disable { reason: Some("left".to_owned()) }
}

pub(crate) async fn user(store: &dyn UserDirectory, subject: &str) -> Option<User> {
    store.user(of(subject)).await.unwrap()
}

/// Makes somebody who has signed in.
pub(crate) async fn somebody(store: &dyn UserDirectory, subject: &str) -> User {
    change(store, subject, sign_in(1), 1).await.after.unwrap()
}

pub(crate) fn query() -> UserQuery {
    UserQuery { limit: 100, ..UserQuery::default() }
}

/// The subjects of a page, in its order.
pub(crate) async fn subjects(store: &dyn UserDirectory, query: UserQuery) -> Vec<String> {
    let page = store.users(query).await.unwrap();
    page.users.into_iter().map(|user| user.key.subject.into_string()).collect()
}

pub(crate) async fn entries(store: &dyn UserDirectory) -> Vec<AuditEntry> {
    let mut entries = store.audit(AuditQuery { limit: 1000, ..AuditQuery::default() }).await.unwrap().entries;
    entries.reverse();
    entries
}

pub(crate) fn is_unavailable<T>(answer: &Result<T, DirectoryError>) -> bool {
    matches!(answer, Err(DirectoryError::Unavailable(_)))
}

/// What a call for a check answers. It gives up after 150 ms for the sake of
/// whoever waits; with many builds on one machine, a test may ask again.
pub(crate) async fn patiently<T, F>(call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, DirectoryError>>,
{
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match call().await {
            Err(DirectoryError::Unavailable(_)) if Instant::now() < deadline => {}
            ended => return ended.unwrap(),
        }
    }
}
