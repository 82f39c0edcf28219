//! One provider: the client that the service is there, and what the provider
//! says of itself (OIDC Discovery section 4).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use serde_json::{Map, Value};

use super::client::ClientSettings;
use super::http_client::{HttpClient, HttpError};
use crate::token::{IssuerSettings, parse_object};
use crate::types::{Clock, FetchUrl, Monotonic, Tasks};

/// How long what a provider said of itself is not asked again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long a provider is left alone after it could not be asked.
const COOLDOWN: Duration = Duration::from_secs(5);

/// Why nothing is known of a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// No answer, or none that is read; also shortly after such a failure.
    #[error("the provider's description was not answered")]
    Unreachable,
    /// Another status than 200.
    #[error("the provider's description was answered with status {0}")]
    Status(u16),
    /// No JSON object, or one with a member named twice or of the wrong type.
    #[error("the provider's description is malformed")]
    Malformed,
    /// It is of another issuer.
    #[error("the provider's description is of another issuer")]
    IssuerMismatch,
    /// An endpoint is missing or may not be asked.
    #[error("the provider's `{0}` is missing, or is not https")]
    Endpoint(&'static str),
    /// The provider does not take PKCE with S256 (RFC 9700 section 2.1.1).
    #[error("the provider's `code_challenge_methods_supported` does not hold `S256`")]
    NoS256,
}

impl MetadataError {
    /// Whether the provider is only not there at the moment.
    pub(super) const fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable | Self::Status(500..))
    }
}

/// What counts of a provider's description.
///
/// The endpoints may be on another host than the issuer: the description came
/// from the issuer itself over TLS, and each endpoint has to be https (or on
/// this machine) as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: FetchUrl,
    pub(super) token_endpoint: FetchUrl,
    pub(super) userinfo_endpoint: Option<FetchUrl>,
    pub(super) end_session_endpoint: Option<FetchUrl>,
    pub(super) revocation_endpoint: Option<FetchUrl>,
    /// Whether each of its answers names the issuer (RFC 9207 section 3).
    pub(super) names_itself: bool,
}

impl Metadata {
    fn parse(document: &[u8], issuer: &str) -> Result<Self, MetadataError> {
        let members = parse_object(document).map_err(|_| MetadataError::Malformed)?;
        if members.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(MetadataError::IssuerMismatch);
        }
        let required = |name: &'static str| endpoint(&members, name)?.ok_or(MetadataError::Endpoint(name));
        if let Some(methods) = members.get("code_challenge_methods_supported") {
            let methods = methods.as_array().ok_or(MetadataError::Malformed)?;
            if !methods.iter().any(|method| method == "S256") {
                return Err(MetadataError::NoS256);
            }
        }
        let names_itself = match members.get("authorization_response_iss_parameter_supported") {
            None => false,
            Some(Value::Bool(supported)) => *supported,
            Some(_) => return Err(MetadataError::Malformed),
        };
        Ok(Self {
            authorization_endpoint: required("authorization_endpoint")?,
            token_endpoint: required("token_endpoint")?,
            userinfo_endpoint: endpoint(&members, "userinfo_endpoint")?,
            end_session_endpoint: endpoint(&members, "end_session_endpoint")?,
            revocation_endpoint: endpoint(&members, "revocation_endpoint")?,
            names_itself,
        })
    }
}

fn endpoint(members: &Map<String, Value>, name: &'static str) -> Result<Option<FetchUrl>, MetadataError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(url)) => FetchUrl::parse(url).map(Some).map_err(|_| MetadataError::Endpoint(name)),
        Some(_) => Err(MetadataError::Endpoint(name)),
    }
}

/// A provider that browsers can sign in at.
pub(super) struct Provider {
    pub(super) client: ClientSettings,
    pub(super) tokens: Arc<IssuerSettings>,
    document: FetchUrl,
    known: Mutex<Known>,
    /// Held while the provider is asked: the others wait for that answer.
    asking: futures_util::lock::Mutex<()>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Monotonic)>,
    failure: Option<(MetadataError, Monotonic)>,
}

impl Known {
    fn fresh(&self, now: Monotonic) -> Option<Arc<Metadata>> {
        let (metadata, since) = self.metadata.as_ref()?;
        (now.since(*since) < FRESH).then(|| Arc::clone(metadata))
    }

    fn recent_failure(&self, now: Monotonic) -> Option<MetadataError> {
        let (error, since) = self.failure.as_ref()?;
        (now.since(*since) < COOLDOWN).then(|| error.clone())
    }
}

impl Provider {
    pub(super) fn new(client: ClientSettings, tokens: Arc<IssuerSettings>, document: FetchUrl) -> Self {
        Self { client, tokens, document, known: Mutex::default(), asking: futures_util::lock::Mutex::new(()) }
    }

    /// What the provider says of itself. It is asked once in an hour; when it
    /// does not answer then, what it said before goes on to count.
    pub(super) async fn metadata(
        self: &Arc<Self>,
        http: &Arc<dyn HttpClient>,
        clock: &Arc<dyn Clock>,
        tasks: &dyn Tasks,
    ) -> Result<Arc<Metadata>, MetadataError> {
        let now = clock.monotonic();
        let old = {
            let known = self.known();
            if let Some(fresh) = known.fresh(now) {
                return Ok(fresh);
            }
            let old = known.metadata.as_ref().map(|(metadata, _)| Arc::clone(metadata));
            match (old, known.recent_failure(now)) {
                (Some(old), Some(_)) => return Ok(old),
                (None, Some(error)) => return Err(error),
                (old, None) => old,
            }
        };
        let Some(old) = old else { return self.ask(http.as_ref(), clock.as_ref()).await };
        if self.asking.try_lock().is_none() {
            return Ok(old);
        }
        // Nobody waits for what is only to be confirmed.
        let (provider, http, clock) = (Arc::clone(self), Arc::clone(http), Arc::clone(clock));
        tasks.spawn(Box::pin(async move {
            let _ = provider.ask(http.as_ref(), clock.as_ref()).await;
        }));
        Ok(old)
    }

    async fn ask(&self, http: &dyn HttpClient, clock: &dyn Clock) -> Result<Arc<Metadata>, MetadataError> {
        let _asking = self.asking.lock().await;
        {
            let known = self.known();
            let now = clock.monotonic();
            if let Some(fresh) = known.fresh(now) {
                return Ok(fresh);
            }
            if let Some(error) = known.recent_failure(now) {
                return Err(error);
            }
        }
        let asked = fetch(http, &self.document, &self.tokens.issuer).await;
        let mut known = self.known();
        let now = clock.monotonic();
        match asked {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *known = Known { metadata: Some((Arc::clone(&metadata), now)), failure: None };
                Ok(metadata)
            }
            Err(error) => {
                known.failure = Some((error.clone(), now));
                Err(error)
            }
        }
    }

    /// Never held while waiting.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(http: &dyn HttpClient, document: &FetchUrl, issuer: &str) -> Result<Metadata, MetadataError> {
    let request = Request::get(document.as_str())
        .header(ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|_| MetadataError::Unreachable)?;
    let answer = http.send(request).await.map_err(|error| match error {
        HttpError::Unreachable(_) => MetadataError::Unreachable,
        HttpError::Unacceptable(_) => MetadataError::Malformed,
    })?;
    if answer.status() != StatusCode::OK {
        return Err(MetadataError::Status(answer.status().as_u16()));
    }
    Metadata::parse(answer.body(), issuer)
}
