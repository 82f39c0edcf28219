//! What is asked of the tokens of each issuer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use super::claims::ClaimNames;
use crate::types::ProviderId;

/// What is asked of the tokens of one issuer. Two that are equal judge every
/// token alike, which is what lets a verified token be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct IssuerSettings {
    /// The provider's id in the config.
    pub provider: ProviderId,
    /// The `iss` of its tokens, compared byte for byte.
    pub issuer: Arc<str>,
    /// The audiences, of which a token must carry one.
    pub audiences: Vec<String>,
    /// The algorithms that are allowed.
    pub algorithms: Vec<Algorithm>,
    /// The accepted `typ`, in any case, with or without `application/`.
    pub token_types: Vec<String>,
    /// How far the clocks may be apart; more than [`Self::MAX_LEEWAY`] counts
    /// as that.
    pub leeway: Duration,
    /// The longest time from `iat` to `exp`.
    pub max_lifetime: Duration,
    /// Which claims say what.
    pub claims: ClaimNames,
}

impl IssuerSettings {
    /// The most that clocks may be apart.
    pub const MAX_LEEWAY: Duration = Duration::from_secs(60);
    /// How far clocks may be apart unless configured otherwise.
    pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
    /// The longest life of a token unless configured otherwise.
    pub const DEFAULT_MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
    /// The accepted `typ` unless configured otherwise (RFC 9068 section 2.1).
    pub const DEFAULT_TOKEN_TYPES: [&'static str; 2] = ["at+jwt", "JWT"];

    pub(super) fn leeway(&self) -> Duration {
        self.leeway.min(Self::MAX_LEEWAY)
    }
}

/// The issuers whose tokens are accepted.
#[derive(Debug, Clone, Default)]
pub struct Issuers(HashMap<Arc<str>, Arc<IssuerSettings>>);

/// Two providers claim the same issuer, so that nobody can say which settings
/// judge its tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("issuer `{issuer}` is configured twice")]
pub struct DuplicateIssuer {
    /// The issuer.
    pub issuer: Arc<str>,
}

/// An issuer has other settings now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SettingsChanged;

impl Issuers {
    /// Takes the settings of each issuer.
    ///
    /// # Errors
    ///
    /// When an issuer is there twice.
    pub fn new(settings: impl IntoIterator<Item = IssuerSettings>) -> Result<Self, DuplicateIssuer> {
        let mut issuers = HashMap::new();
        for settings in settings {
            match issuers.entry(Arc::clone(&settings.issuer)) {
                Entry::Occupied(_) => return Err(DuplicateIssuer { issuer: settings.issuer }),
                Entry::Vacant(place) => place.insert(Arc::new(settings)),
            };
        }
        Ok(Self(issuers))
    }

    /// The settings of exactly this issuer.
    #[must_use]
    pub fn find(&self, issuer: &str) -> Option<&Arc<IssuerSettings>> {
        self.0.get(issuer)
    }

    /// The live settings in the place of `settings`, where these judge every token
    /// as those do.
    #[must_use]
    pub(super) fn live(&self, settings: &Arc<IssuerSettings>) -> Option<Result<&Arc<IssuerSettings>, SettingsChanged>> {
        // There are a few, and these are nearly always among them.
        if let Some(live) = self.0.values().find(|live| Arc::ptr_eq(live, settings)) {
            return Some(Ok(live));
        }
        let live = self.find(&settings.issuer)?;
        Some(if live == settings { Ok(live) } else { Err(SettingsChanged) })
    }

    /// The settings of every issuer, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<IssuerSettings>> {
        self.0.values()
    }
}
