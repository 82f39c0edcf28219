//! What the pages and the sessions ask of the relying party.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, select};

use super::attempt_limit::AttemptLimit;
use super::client::ClientSettings;
use super::error::SignInError;
use super::http_client::HttpClient;
use super::provider::{Metadata, MetadataError, Provider};
use crate::directory::Directory;
use crate::session::{Sessions, SetCookie};
use crate::token::{Issuers, KeyRefresh, KeySource};
use crate::types::{Clock, FetchUrl, FetchUrlError, ProviderId, Random, Tasks};

/// A provider that browsers can sign in at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginProvider {
    /// Its id in the config.
    pub id: ProviderId,
    /// What people read on the page where they choose.
    pub label: String,
    /// The path that it sends browsers back to.
    pub callback_path: String,
}

/// Where a browser goes next, and what it takes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// An absolute URL. May hold a `state`; never logged.
    pub location: String,
    /// The cookies to set.
    pub set_cookies: Vec<SetCookie>,
}

/// What the relying party needs of the world.
#[derive(Clone)]
pub struct RelyingPartyPorts {
    /// Asks providers.
    pub http: Arc<dyn HttpClient>,
    /// The live key sets.
    pub keys: Arc<dyn KeySource>,
    /// Their refresh.
    pub key_refresh: Arc<dyn KeyRefresh>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// For `state`, `nonce` and verifiers.
    pub random: Arc<dyn Random>,
    /// For what nobody waits for, and for not waiting too long.
    pub tasks: Arc<dyn Tasks>,
    /// The people, told of each sign-in; where the config has a `directory`.
    pub directory: Option<Arc<Directory>>,
}

/// Why there is no relying party.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A client at a provider whose tokens nobody configured.
    #[error("the client of provider {0:?} has no issuer")]
    NoIssuer(ProviderId),
    /// The place of the issuer's description may not be asked.
    #[error("the issuer of provider {0:?} cannot be asked")]
    Issuer(ProviderId, #[source] FetchUrlError),
}

/// Signs people in and out at every provider that has a `login`.
pub struct RelyingParty {
    listed: Vec<LoginProvider>,
    pub(super) providers: Vec<Arc<Provider>>,
    pub(super) issuers: Arc<Issuers>,
    pub(super) sessions: Sessions,
    pub(super) ports: RelyingPartyPorts,
    /// Scheme, host and port that browsers see, without a `/` behind them.
    pub(super) public_origin: String,
    pub(super) base_path: String,
    pub(super) attempts: Mutex<AttemptLimit>,
}

impl RelyingParty {
    /// The relying party of `clients`, in their order. `public_origin` is what
    /// browsers see, without a path; `base_path` has no `/` at its end.
    ///
    /// # Errors
    /// When a client and the issuers do not fit.
    pub fn new(
        clients: Vec<ClientSettings>,
        issuers: Arc<Issuers>,
        sessions: Sessions,
        ports: RelyingPartyPorts,
        public_origin: &str,
        base_path: &str,
    ) -> Result<Self, SetupError> {
        let listed = clients.iter().map(|client| LoginProvider {
            id: client.provider.clone(),
            label: client.label.clone(),
            callback_path: client.callback_path.clone(),
        });
        let listed = listed.collect();
        let providers: Result<_, _> = clients
            .into_iter()
            .map(|client| {
                let id = client.provider.clone();
                let tokens = issuers.iter().find(|settings| settings.provider == id).cloned();
                let tokens = tokens.ok_or_else(|| SetupError::NoIssuer(id.clone()))?;
                let document = format!("{}/.well-known/openid-configuration", tokens.issuer.trim_end_matches('/'));
                let document = FetchUrl::parse(&document).map_err(|error| SetupError::Issuer(id, error))?;
                Ok(Arc::new(Provider::new(client, tokens, document)))
            })
            .collect();
        let (public_origin, base_path) = (public_origin.trim_end_matches('/').to_owned(), base_path.to_owned());
        let mut secret = [0; 16];
        ports.random.fill(&mut secret);
        let attempts = Mutex::new(AttemptLimit::new(secret));
        Ok(Self { listed, providers: providers?, issuers, sessions, ports, public_origin, base_path, attempts })
    }

    /// The providers to sign in at, in the order of the config.
    #[must_use]
    pub fn providers(&self) -> &[LoginProvider] {
        &self.listed
    }

    pub(super) fn provider(&self, id: &ProviderId) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.client.provider == *id)
    }

    pub(super) async fn metadata(&self, provider: &Arc<Provider>) -> Result<Arc<Metadata>, MetadataError> {
        let RelyingPartyPorts { http, clock, tasks, keys: _, key_refresh: _, random: _, directory: _ } = &self.ports;
        provider.metadata(http, clock, tasks.as_ref()).await
    }

    /// An absolute URL on our own origin. `path` was validated before; what
    /// would lead elsewhere after all leads to the portal.
    pub(super) fn own_url(&self, path: &str) -> String {
        let stays = path.starts_with('/')
            && !path.starts_with("//")
            && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if stays { format!("{}{path}", self.public_origin) } else { self.portal_url() }
    }

    /// The page that everybody may see, also after signing out.
    pub(super) fn portal_url(&self) -> String {
        format!("{}{}/", self.public_origin, self.base_path)
    }

    pub(super) fn redirect_uri(&self, provider: &Provider) -> String {
        format!("{}{}", self.public_origin, provider.client.callback_path)
    }

    /// What `work` gives, unless it takes longer than `time`.
    pub(super) async fn within<T>(&self, time: Duration, work: impl Future<Output = T> + Send) -> Option<T> {
        let work = std::pin::pin!(work);
        match select(work, self.ports.tasks.sleep(time)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(((), _)) => None,
        }
    }
}

impl From<MetadataError> for SignInError {
    fn from(error: MetadataError) -> Self {
        Self::Provider(error)
    }
}
