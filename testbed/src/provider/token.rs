//! Tokens of any shape, well formed or hostile.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::accounts::Account;
use super::keys::{self, Key, KeyRing, base64url};

type Change<T> = Arc<dyn Fn(T) -> T + Send + Sync>;

/// A token to mint: a good access token (`typ: at+jwt`, RS256 by `k1`, five
/// minutes to live), except for what is changed.
///
/// ```no_run
/// # use tiergate_testbed::{Key, Provider, TokenSpec};
/// # fn main() -> anyhow::Result<()> {
/// let provider = Provider::start()?;
/// let good = provider.mint(&TokenSpec::for_account("devel"))?;
/// let wrong = provider.mint(&TokenSpec::new().scope("access:devel").audience("another").key(Key::P256))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct TokenSpec {
    header: Map<String, Value>,
    header_gone: Vec<String>,
    claims: Map<String, Value>,
    claims_gone: Vec<String>,
    key: Option<Key>,
    algorithm: Option<String>,
    header_json: Option<Change<String>>,
    claims_json: Option<Change<String>>,
    signature: Option<Change<Vec<u8>>>,
    compact: Option<Change<String>>,
}

impl TokenSpec {
    /// A good token of nobody in particular, with no scopes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A good token of an account of the provider (an unknown name becomes a subject without scopes).
    pub fn for_account(name: &str) -> Self {
        match Account::named(name) {
            None => Self::new().subject(name),
            Some(account) => Self::new()
                .subject(&account.subject())
                .scope(&account.scopes.join(" "))
                .claim("permissions", json!(account.permissions))
                .claim("email", account.email())
                .claim("email_verified", true)
                .claim("name", account.display_name),
        }
    }

    /// Sets `sub`.
    pub fn subject(self, subject: &str) -> Self {
        self.claim("sub", subject)
    }

    /// Sets `scope`, space-separated.
    pub fn scope(self, scopes: &str) -> Self {
        self.claim("scope", scopes)
    }

    /// Sets `permissions`.
    pub fn permissions(self, permissions: &[&str]) -> Self {
        self.claim("permissions", json!(permissions))
    }

    /// Sets `aud`; a string or an array.
    pub fn audience(self, audience: impl Into<Value>) -> Self {
        self.claim("aud", audience)
    }

    /// Sets `iss`.
    pub fn issuer(self, issuer: &str) -> Self {
        self.claim("iss", issuer)
    }

    /// Sets `exp` to so many seconds from now; may be negative.
    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", now().saturating_add(seconds))
    }

    /// An hour old and expired for half of it.
    pub fn expired(self) -> Self {
        let now = now();
        self.claim("iat", now - 3600).claim("nbf", now - 3600).claim("exp", now - 1800)
    }

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a claim out.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims_gone.push(name.to_owned());
        self
    }

    /// Sets a header member.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a header member out.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header_gone.push(name.to_owned());
        self
    }

    /// Signs with this key; the header says its `alg` and `kid` unless they are set by [`TokenSpec::header`].
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Signs with this algorithm whatever the header says.
    pub fn sign_as(mut self, algorithm: &str) -> Self {
        self.algorithm = Some(algorithm.to_owned());
        self
    }

    /// Changes the header's JSON text before it is encoded and signed.
    pub fn map_header_json(mut self, change: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        self.header_json = Some(Arc::new(change));
        self
    }

    /// Changes the claims' JSON text before it is encoded and signed.
    pub fn map_claims_json(mut self, change: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        self.claims_json = Some(Arc::new(change));
        self
    }

    /// Changes the signature's bytes.
    pub fn map_signature(mut self, change: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.signature = Some(Arc::new(change));
        self
    }

    /// Changes the finished token's text.
    pub fn map_compact(mut self, change: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        self.compact = Some(Arc::new(change));
        self
    }

    pub(crate) fn mint(&self, keys: &KeyRing, issuer: &str, audience: &str) -> Result<String> {
        let key = self.key.as_ref().unwrap_or(&Key::Rsa);
        let header = overlay(
            json!({"alg": keys::algorithm_of(key), "typ": "at+jwt", "kid": keys.kid(key)}),
            &self.header,
            &self.header_gone,
        );
        let now = now();
        let base = json!({
            "iss": issuer, "aud": audience, "sub": "u-123", "client_id": "demo-cli", "scope": "",
            "iat": now - 5, "nbf": now - 5, "exp": now + 300, "jti": keys::random_name()?,
        });
        let header = apply(self.header_json.as_ref(), header.to_string());
        let claims = apply(self.claims_json.as_ref(), overlay(base, &self.claims, &self.claims_gone).to_string());
        let signed = format!("{}.{}", base64url(header), base64url(claims));
        let algorithm = self.algorithm.as_deref().unwrap_or_else(|| keys::algorithm_of(key));
        let signature = apply(self.signature.as_ref(), keys.sign(key, algorithm, signed.as_bytes())?);
        Ok(apply(self.compact.as_ref(), format!("{signed}.{}", base64url(signature))))
    }
}

impl fmt::Debug for TokenSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSpec")
            .field("header", &self.header)
            .field("claims", &self.claims)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn apply<T>(change: Option<&Change<T>>, value: T) -> T {
    match change {
        Some(change) => change(value),
        None => value,
    }
}

fn overlay(mut base: Value, set: &Map<String, Value>, gone: &[String]) -> Value {
    if let Some(base) = base.as_object_mut() {
        base.extend(set.clone());
        for name in gone {
            base.remove(name);
        }
    }
    base
}
