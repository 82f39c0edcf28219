//! A development OpenID provider: discovery, keys, a one-click sign-in page,
//! tokens, and every fault a test wants. It knows no passwords, so it listens
//! on loopback and nowhere else, unless somebody asks for it ([`Provider::start_at`]).

mod accounts;
mod authorize;
mod clients;
mod controls;
mod endpoints;
mod faults;
mod grants;
mod keys;
mod logout;
mod management;
mod program;
#[cfg(test)]
mod tests;
mod token;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::http::Uri;
use serde_json::{Value, json};

use crate::lock;
use crate::server::Server;
use clients::Clients;
use faults::Faults;
use grants::Grants;
use keys::KeyRing;
use management::Management;

pub use accounts::Account;
pub use clients::{CLI_CLIENT, KEY_CLIENT, PUBLIC_CLIENT, WEB_CLIENT, WEB_CLIENT_SECRET};
pub use controls::LOGOUT_EVENT;
pub use faults::{Endpoint, Fault, IssuerInResponse};
pub(crate) use keys::pem;
pub use keys::{Key, base64url};
pub use management::Person;
pub use token::{TokenSpec, now};

/// The audience of access tokens unless [`Provider::start_with`] names another.
pub const DEFAULT_AUDIENCE: &str = "http://seistech.nz/api";
const ACCESS_SECONDS: i64 = 3600;

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
    pub(crate) faults: Faults,
    pub(crate) grants: Grants,
    pub(crate) clients: Clients,
    pub(crate) access_seconds: i64,
    /// The scopes of accounts that a test has changed.
    pub(crate) scopes: HashMap<&'static str, Vec<String>>,
    /// Where the service takes logout tokens.
    pub(crate) backchannel: Option<String>,
    /// Opaque access tokens, with what is said of each.
    pub(crate) opaque: HashMap<String, Value>,
    /// What the management APIs know.
    pub(crate) management: Management,
}

impl State {
    pub(crate) fn published(&self) -> Result<Value> {
        let mut keys = self.keys.published()?;
        keys.extend(self.kept.iter().cloned());
        Ok(json!({ "keys": keys }))
    }

    /// What an account's tokens carry beside the OpenID scopes.
    pub(crate) fn scopes_of(&self, account: &Account) -> Vec<String> {
        let own = || account.scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.scopes.get(account.name).cloned().unwrap_or_else(own)
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
        Self::launch((Ipv4Addr::LOCALHOST, port).into(), audience, None, Clients::default())
    }

    /// Starts one at an address under an issuer that the address does not tell, such as
    /// `http://localhost:8080/provider/` behind a proxy; its endpoints stand below the issuer's path. With `secret`, the
    /// client [`WEB_CLIENT`] has this one.
    ///
    /// Whoever reaches the address can sign in as anybody.
    pub fn start_at(listen: SocketAddr, issuer: &str, audience: &str, secret: Option<String>) -> Result<Self> {
        let path = issuer.parse::<Uri>().ok().filter(|uri| uri.authority().is_some()).map(|uri| uri.path().to_owned());
        if !path.is_some_and(|path| path.ends_with('/')) {
            bail!("the issuer `{issuer}` is no URL that ends with `/`");
        }
        Self::launch(listen, audience, Some(issuer), Clients::with_secret(secret))
    }

    fn launch(listen: SocketAddr, audience: &str, issuer: Option<&str>, clients: Clients) -> Result<Self> {
        let state = State {
            keys: KeyRing::generate(0)?,
            kept: Vec::new(),
            counts: HashMap::new(),
            faults: Faults::default(),
            grants: Grants::default(),
            clients,
            access_seconds: ACCESS_SECONDS,
            scopes: HashMap::new(),
            backchannel: None,
            opaque: HashMap::new(),
            management: Management::default(),
        };
        let mut shared = None;
        let server = Server::start_at(listen, |address| {
            let made = Arc::new(Shared {
                issuer: issuer.map_or_else(|| format!("http://{address}/"), str::to_owned),
                audience: audience.to_owned(),
                state: Mutex::new(state),
            });
            shared = Some(Arc::clone(&made));
            let path = issuer.and_then(|issuer| issuer.parse::<Uri>().ok());
            let path = path.as_ref().map_or("/", Uri::path).trim_end_matches('/').to_owned();
            let endpoints = endpoints::router(made);
            if path.is_empty() { endpoints } else { Router::new().nest(&path, endpoints) }
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
        Ok(pem("PUBLIC KEY", &self.public_der(key)?))
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

    /// Stops listening: connections are refused.
    pub fn go_down(&self) {
        lock(&self.server).down();
    }

    /// Listens again, on the same port and with the same keys.
    pub fn come_back(&self) -> Result<()> {
        lock(&self.server).up()
    }
}
