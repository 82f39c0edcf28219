//! What administrators can see and do, the same for the API and the pages.
//!
//! Every method takes plain values and answers with a view that can be
//! serialised; who calls one has been let in by [`Gate`](super::Gate). Every
//! change is written into the audit with what was before and what is after.

mod audit;
mod catalogue;
mod people;
mod sessions;
mod user_views;
mod users;
mod views;

use std::sync::Arc;

pub use audit::{AuditLine, AuditList, AuditSearch};
pub use catalogue::{
    AppList, AppView, DecisionList, DecisionSearch, ExplainCaller, PolicyView, ProviderList, ProviderView, RuleView,
    TierList, TierView,
};
pub use people::Owner;
pub use sessions::{SessionList, SessionSearch, SessionView, SignedOut};
pub use user_views::{GrantView, GroupList, GroupView, RightsView, TokenList, TokenView, UserList, UserView};
pub use users::{GroupSearch, NewUser, UserSearch};
pub use views::{MeView, Timestamp};

use super::recent::RecentDecisions;
use crate::apps::AppHealth;
use crate::check::{Checker, QuestionError};
use crate::directory::{Because, Directory, DirectoryError, UserKey};
use crate::session::{Sessions, StoreError};
use crate::types::{Clock, ProviderId};

/// A provider, as the config has it.
#[derive(Debug, Clone)]
pub struct KnownProvider {
    /// Its id.
    pub id: ProviderId,
    /// Its issuer.
    pub issuer: Arc<str>,
    /// Whether browsers can sign in there.
    pub login: bool,
}

/// How the keys of a provider are.
#[derive(Debug, Clone, Default)]
pub struct KeyState {
    /// Whether there are keys that count.
    pub ready: bool,
    /// How many usable keys the set has.
    pub count: usize,
    /// How long ago the provider published them to us, in seconds.
    pub age_seconds: Option<u64>,
    /// How the last refresh ended, a constant word, and when.
    pub last_refresh: Option<(&'static str, crate::types::UnixTime)>,
}

/// Says how the keys of the providers are, at once and from what is known.
pub trait KeyStatus: Send + Sync {
    /// How those of `provider` are.
    fn of(&self, provider: &ProviderId) -> KeyState;
}

/// What the desk needs of the rest of the service.
pub struct DeskPorts {
    /// The live policy and catalogue.
    pub checker: Arc<Checker>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The people; without it, everything about them answers [`DeskError::NoDirectory`].
    pub directory: Option<Arc<Directory>>,
    /// The sessions; without them nobody signs in here.
    pub sessions: Option<Sessions>,
    /// How apps are.
    pub health: Option<Arc<dyn AppHealth>>,
    /// The last decisions.
    pub decisions: Arc<RecentDecisions>,
    /// How the keys of the providers are.
    pub keys: Arc<dyn KeyStatus>,
    /// The providers, in the order of the config.
    pub providers: Vec<KnownProvider>,
    /// The tier of administrators.
    pub tier: String,
    /// The name of this process among all replicas, drawn when it started.
    pub instance: String,
}

/// What administrators can see and do.
pub struct AdminDesk {
    ports: DeskPorts,
}

/// Who changes something, and for which request.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Who.
    pub actor: &'a UserKey,
    /// The id by which the log knows the request.
    pub request_id: &'a str,
    /// The version of the user that the change is meant for; any where there is none.
    pub expected_version: Option<u64>,
}

impl By<'_> {
    fn because(&self) -> Because {
        Because { expected_version: self.expected_version, event: None, request_id: Some(self.request_id.to_owned()) }
    }
}

/// Why something cannot be shown or done.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The config has no `directory`.
    #[error("no user directory is configured: add `directory: {{}}` to the config")]
    NoDirectory,
    /// Nobody signs in here.
    #[error("no sessions are kept here: no provider of the config has a `login`")]
    NoSessions,
    /// It is not there: `user`, `session`, `token`, `tier`, `provider`.
    #[error("there is no such {0}")]
    NotThere(&'static str),
    /// Somebody with this provider and subject is there.
    #[error("there is a user with this provider and subject already")]
    AlreadyThere,
    /// Administrators who refuse themselves could not undo it.
    #[error("you cannot disable yourself: ask another administrator to do it")]
    Yourself,
    /// It was changed since the version that was named.
    #[error("it was changed meanwhile: read it again, and repeat the change on what is there now")]
    ChangedMeanwhile,
    /// What is asked for cannot be.
    #[error("{0}")]
    Unfit(String),
    /// A store does not answer.
    #[error("{0} does not answer: try again in a moment")]
    Unavailable(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<DirectoryError> for DeskError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Missing(what) => Self::NotThere(what),
            DirectoryError::Changed => Self::ChangedMeanwhile,
            DirectoryError::Taken(_) => Self::AlreadyThere,
            DirectoryError::TooMany(what) => Self::Unfit(format!("there are as many {what} as there may be")),
            error @ DirectoryError::NotManaged => Self::Unfit(error.to_string()),
            error @ (DirectoryError::Unavailable(_) | DirectoryError::Corrupt) => {
                Self::Unavailable("the user directory", Box::new(error))
            }
        }
    }
}

impl From<StoreError> for DeskError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable("the session store", Box::new(error))
    }
}

impl From<QuestionError> for DeskError {
    fn from(error: QuestionError) -> Self {
        Self::Unfit(error.to_string())
    }
}

impl AdminDesk {
    /// A desk with these ports.
    #[must_use]
    pub fn new(ports: DeskPorts) -> Self {
        Self { ports }
    }

    /// Whether there is a user directory.
    #[must_use]
    pub const fn has_directory(&self) -> bool {
        self.ports.directory.is_some()
    }

    /// The ids of the providers, in the order of the config.
    #[must_use]
    pub fn provider_ids(&self) -> Vec<&str> {
        self.ports.providers.iter().map(|known| known.id.as_str()).collect()
    }

    fn directory(&self) -> Result<&Directory, DeskError> {
        self.ports.directory.as_deref().ok_or(DeskError::NoDirectory)
    }

    /// The issuer of a configured provider.
    fn issuer(&self, provider: &ProviderId) -> Option<&Arc<str>> {
        self.ports.providers.iter().find(|known| known.id == *provider).map(|known| &known.issuer)
    }

    fn provider(&self, id: &str) -> Result<&KnownProvider, DeskError> {
        let known = self.ports.providers.iter().find(|known| known.id.as_str() == id);
        known.ok_or_else(|| DeskError::Unfit(format!("there is no identity provider `{}`", shown(id))))
    }
}

/// A name as it stands in a message: cut, on one line.
fn shown(text: &str) -> String {
    text.chars().take(80).map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}
