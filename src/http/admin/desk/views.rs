//! What all views have in common.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::AdminDesk;
use crate::check::Credential;
use crate::http::admin::Administrator;
use crate::types::{Email, UnixTime};

/// A moment; written in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub UnixTime);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "A moment in UTC (RFC 3339)." })
    }
}

/// Who asks.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MeView {
    /// The id of the provider.
    pub provider: String,
    /// Its `sub`.
    pub subject: String,
    /// The display name.
    pub name: Option<String>,
    /// The address.
    pub email: Option<String>,
    /// The tiers that they hold now.
    pub tiers: Vec<String>,
    /// What they showed: `session` or `token`.
    pub credential: &'static str,
    /// The tier of administrators.
    pub admin_tier: String,
    /// Whether there is a user directory.
    pub has_directory: bool,
    /// The process that answers.
    pub instance: String,
}

impl AdminDesk {
    /// Who asks.
    #[must_use]
    pub fn me(&self, administrator: &Administrator) -> MeView {
        let guest = &administrator.guest;
        let snapshot = self.ports.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        MeView {
            provider: administrator.actor.provider.as_str().to_owned(),
            subject: administrator.actor.subject.to_string(),
            name: guest.principal.name.as_deref().map(str::to_owned),
            email: guest.principal.email.as_ref().map(Email::address).map(str::to_owned),
            tiers: guest.tiers.iter().map(|tier| tiers.name(tier).to_owned()).collect(),
            credential: if matches!(guest.credential, Credential::Session(_)) { "session" } else { "token" },
            admin_tier: self.ports.tier.clone(),
            has_directory: self.has_directory(),
            instance: self.ports.instance.clone(),
        }
    }
}
