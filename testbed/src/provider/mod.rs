//! A development OpenID provider: discovery, keys, a one-click sign-in page,
//! tokens, and every fault a test wants. It knows no passwords, so it listens
//! on loopback and nowhere else.

mod accounts;
mod authorize;
mod endpoints;
mod grants;
mod keys;
#[cfg(test)]
mod tests;
mod token;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::lock;
use crate::server::Server;
use grants::Grants;
use keys::KeyRing;

pub use accounts::Account;
pub use keys::{Key, base64url};
pub use token::{TokenSpec, now};

/// The audience of access tokens unless [`Provider::start_with`] names another.
pub const DEFAULT_AUDIENCE: &str = "http://seistech.nz/api";
/// The public client of the command line.
pub const CLI_CLIENT: &str = "demo-cli";
/// The confidential client that the service signs people in with.
pub const WEB_CLIENT: &str = "tiergate";
/// Its secret, which protects nothing.
pub const WEB_CLIENT_SECRET: &str = "development-only-secret";

/// An endpoint of the provider, for counting and for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/.well-known/openid-configuration`
    Discovery,
    /// `/jwks.json`
    Jwks,
    /// `/authorize`
    Authorize,
    /// `/token`
    Token,
    /// `/userinfo`
    Userinfo,
    /// `/logout`
    EndSession,
}

/// What an endpoint does in place of its work.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers with this status and no body.
    Status(u16),
    /// Waits, then works as usual.
    Delay(Duration),
    /// Redirects (302) there.
    Redirect(String),
    /// Answers 200 with this JSON text.
    Json(String),
    /// Answers 200 with JSON of this many bytes.
    HugeBody(usize),
}

pub(crate) struct Shared {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) keys: KeyRing,
    /// Public keys of an earlier generation that are still published.
    kept: Vec<Value>,
    pub(crate) counts: HashMap<Endpoint, usize>,
    pub(crate) faults: HashMap<Endpoint, Fault>,
    pub(crate) grants: Grants,
}

impl State {
    pub(crate) fn published(&self) -> Result<Value> {
        let mut keys = self.keys.published()?;
        keys.extend(self.kept.iter().cloned());
        Ok(json!({ "keys": keys }))
    }
}

/// A running provider.
pub struct Provider {
    shared: Arc<Shared>,
    server: Mutex<Server>,
    address: SocketAddr,
}

impl Provider {
    /// Starts one on a free port, for [`DEFAULT_AUDIENCE`].
    pub fn start() -> Result<Self> {
        Self::start_with(0, DEFAULT_AUDIENCE)
    }

    /// Starts one on a port (0 for a free one) for an audience.
    pub fn start_with(port: u16, audience: &str) -> Result<Self> {
        let state = State {
            keys: KeyRing::generate(0)?,
            kept: Vec::new(),
            counts: HashMap::new(),
            faults: HashMap::new(),
            grants: Grants::default(),
        };
        let mut shared = None;
        let server = Server::start(port, |address| {
            let made = Arc::new(Shared {
                issuer: format!("http://{address}/"),
                audience: audience.to_owned(),
                state: Mutex::new(state),
            });
            shared = Some(Arc::clone(&made));
            endpoints::router(made)
        })
        .context("the development provider did not start")?;
        let shared = shared.context("the development provider has no state")?;
        let address = server.address();
        Ok(Self { shared, server: Mutex::new(server), address })
    }

    /// The issuer, with its slash at the end: `http://127.0.0.1:PORT/`.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// The audience of its access tokens.
    pub fn audience(&self) -> &str {
        &self.shared.audience
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key set's address.
    pub fn jwks_uri(&self) -> String {
        format!("{}jwks.json", self.shared.issuer)
    }

    /// Mints a token.
    pub fn mint(&self, spec: &TokenSpec) -> Result<String> {
        spec.mint(&lock(&self.shared.state).keys, self.issuer(), self.audience())
    }

    /// A good access token of an account.
    pub fn token(&self, account: &str) -> Result<String> {
        let account = Account::named(account).with_context(|| format!("no account `{account}`"))?;
        self.mint(&TokenSpec::for_account(account.name))
    }

    /// The public half of a key as a JWK, for custom key sets.
    pub fn jwk(&self, key: &Key) -> Result<Value> {
        lock(&self.shared.state).keys.jwk(key)
    }

    /// The public half of a key as SubjectPublicKeyInfo DER.
    pub fn public_der(&self, key: &Key) -> Result<Vec<u8>> {
        lock(&self.shared.state).keys.public_der(key)
    }

    /// The public half of a key as PEM.
    pub fn public_pem(&self, key: &Key) -> Result<String> {
        Ok(keys::pem("PUBLIC KEY", &self.public_der(key)?))
    }

    /// The key set as it is published without faults.
    pub fn jwks(&self) -> Result<Value> {
        lock(&self.shared.state).published()
    }

    /// Changes every key (`k1` becomes `k1-1`, …); the old ones are no longer published.
    pub fn rotate(&self) -> Result<()> {
        self.rotate_keeping(false)
    }

    /// Changes every key and still publishes the old ones beside the new.
    pub fn rotate_with_overlap(&self) -> Result<()> {
        self.rotate_keeping(true)
    }

    fn rotate_keeping(&self, keep: bool) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let next = KeyRing::generate(state.keys.generation() + 1)?;
        let old = state.keys.published()?;
        if keep {
            state.kept.extend(old);
        } else {
            state.kept.clear();
        }
        state.keys = next;
        Ok(())
    }

    /// How often an endpoint was asked.
    pub fn count(&self, endpoint: Endpoint) -> usize {
        lock(&self.shared.state).counts.get(&endpoint).copied().unwrap_or(0)
    }

    /// Starts counting anew.
    pub fn reset_counts(&self) {
        lock(&self.shared.state).counts.clear();
    }

    /// Makes an endpoint fail until [`Provider::heal`].
    pub fn fail(&self, endpoint: Endpoint, fault: Fault) {
        lock(&self.shared.state).faults.insert(endpoint, fault);
    }

    /// Publishes this document in place of the key set.
    pub fn publish_jwks(&self, document: &Value) {
        self.fail(Endpoint::Jwks, Fault::Json(document.to_string()));
    }

    /// Ends every fault.
    pub fn heal(&self) {
        lock(&self.shared.state).faults.clear();
    }

    /// Stops listening: connections are refused.
    pub fn go_down(&self) {
        lock(&self.server).down();
    }

    /// Listens again, on the same port and with the same keys.
    pub fn come_back(&self) -> Result<()> {
        lock(&self.server).up()
    }
}
