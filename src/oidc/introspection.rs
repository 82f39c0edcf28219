//! Asking a provider about its opaque tokens (RFC 7662), and keeping what it
//! said for a while.
//!
//! ```text
//! known   kept answer ─▶ still_counts
//! ask     flight (one a token, bounded) ─▶ endpoint ─▶ judge ─▶ kept
//! ```
//!
//! A flight goes on when the check that began it waits no longer: the next check
//! finds the answer. Tokens are kept by their SHA-256 alone.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{Either, Shared, select};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use moka::sync::Cache;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::http_client::{HttpClient, HttpError, is_json};
use crate::token::{
    Introspected, IntrospectedToken, IssuerSettings, Issuers, OpaqueRejection, OpaqueTokens, parse_object,
};
use crate::types::{Clock, FetchUrl, Monotonic, ProviderId, Secret, Tasks};

/// How long a check waits for the provider.
const WAIT: Duration = Duration::from_millis(100);
/// How many tokens the provider is asked about at once.
const MAX_FLIGHTS: usize = 64;
/// How long the answer for a token without an end of its own counts.
const ENDLESS: Duration = Duration::from_secs(30);
/// How long a bad word of the provider counts.
const REFUSED: Duration = Duration::from_secs(5);
/// How long the provider is left alone after it could not be asked.
const COOLDOWN: Duration = Duration::from_secs(1);
/// How long what it said of its endpoint is not asked again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// How one provider is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrospectionSettings {
    /// The provider.
    pub provider: ProviderId,
    /// Its issuer.
    pub issuer: Arc<str>,
    /// The endpoint; `None`: where its discovery document says.
    pub url: Option<FetchUrl>,
    /// Client id and secret of the service there.
    pub client: (String, Secret),
    /// How long an answer counts at most.
    pub max_age: Duration,
    /// How many good answers are kept, and as many bad ones.
    pub capacity: u64,
}

/// How asking ended; a closed set, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// The token counts.
    Active,
    /// The provider says that it does not.
    Inactive,
    /// The provider's word for it is not enough.
    Refused,
    /// No answer, or a failure of the provider's own.
    Unreachable,
    /// The provider does not take the service for its client.
    Client,
    /// Nothing that counts as an answer.
    Malformed,
}

impl Asked {
    /// The constant word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Client => "client",
            Self::Malformed => "malformed",
        }
    }
}

/// Is told how asking ended.
pub trait IntrospectionWatch: Send + Sync {
    /// The provider was asked about a token.
    fn asked(&self, provider: &ProviderId, result: Asked);
}

/// What asking needs of the world.
#[derive(Clone)]
pub struct IntrospectionPorts {
    /// Asks the provider.
    pub http: Arc<dyn HttpClient>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// For flights that outlast their check.
    pub tasks: Arc<dyn Tasks>,
    /// Is told how each ended.
    pub watch: Arc<dyn IntrospectionWatch>,
}

/// Asks one provider about its opaque tokens.
pub struct Introspection(Arc<Desk>);

struct Desk {
    settings: IntrospectionSettings,
    ports: IntrospectionPorts,
    good: Cache<TokenKey, Kept<Arc<IntrospectedToken>>>,
    bad: Cache<TokenKey, Kept<OpaqueRejection>>,
    flights: Mutex<HashMap<TokenKey, Flight>>,
    endpoint: futures_util::lock::Mutex<Option<(FetchUrl, Monotonic)>>,
    /// Until when the provider is left alone.
    pause: Mutex<Option<Monotonic>>,
}

/// The SHA-256 of a token.
type TokenKey = [u8; 32];
type Flight = Shared<Pin<Box<dyn Future<Output = Introspected> + Send>>>;

#[derive(Clone)]
struct Kept<T> {
    what: T,
    until: Monotonic,
}

/// Why nothing is known after asking.
enum Failure {
    /// The provider cannot be asked about any token: it is left alone for a while.
    Provider(Asked),
    /// What came back about this token is no answer, for so long. Whoever sends
    /// such tokens must not keep others from being asked about.
    Token(Asked, OpaqueRejection, Duration),
}

impl Failure {
    const MALFORMED: Self = Self::Token(Asked::Malformed, OpaqueRejection::Unavailable, COOLDOWN);
    const REFUSED: Self = Self::Token(Asked::Refused, OpaqueRejection::Inactive, REFUSED);
}

impl Introspection {
    /// Asks the provider of `settings`.
    #[must_use]
    pub fn new(settings: IntrospectionSettings, ports: IntrospectionPorts) -> Self {
        let capacity = settings.capacity;
        let good = Cache::builder().max_capacity(capacity).time_to_live(settings.max_age).build();
        let bad = Cache::builder().max_capacity(capacity).time_to_live(REFUSED).build();
        Self(Arc::new(Desk {
            settings,
            ports,
            good,
            bad,
            flights: Mutex::default(),
            endpoint: futures_util::lock::Mutex::default(),
            pause: Mutex::default(),
        }))
    }
}

impl OpaqueTokens for Introspection {
    fn known(&self, token: &str, issuers: &Issuers) -> Option<Introspected> {
        self.0.kept(&key_of(token), issuers)
    }

    fn ask<'a>(
        &'a self,
        token: &'a str,
        issuers: &'a Issuers,
    ) -> Pin<Box<dyn Future<Output = Introspected> + Send + 'a>> {
        Box::pin(async move {
            let flight = match self.0.join_or_start(token, issuers) {
                Ok(flight) => flight,
                Err(known) => return known,
            };
            match select(flight, self.0.ports.tasks.sleep(WAIT)).await {
                Either::Left((landed, _)) => landed,
                Either::Right(((), _)) => Err(OpaqueRejection::Late),
            }
        })
    }
}

impl Desk {
    fn kept(&self, key: &TokenKey, issuers: &Issuers) -> Option<Introspected> {
        let now = self.ports.clock.monotonic();
        if let Some(kept) = self.good.get(key) {
            if now < kept.until && kept.what.still_counts(issuers, self.ports.clock.now()) {
                return Some(Ok(kept.what));
            }
            self.good.invalidate(key);
        }
        self.bad.get(key).filter(|kept| now < kept.until).map(|kept| Err(kept.what))
    }

    /// The flight of this token; what is known where there is none to wait for.
    fn join_or_start(self: &Arc<Self>, token: &str, issuers: &Issuers) -> Result<Flight, Introspected> {
        let key = key_of(token);
        let settings = issuers.find(&self.settings.issuer).ok_or(Err(OpaqueRejection::Unavailable))?;
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&key) {
            return Ok(flight.clone());
        }
        // One may have landed since it was looked.
        if let Some(known) = self.kept(&key, issuers) {
            return Err(known);
        }
        if lock(&self.pause).is_some_and(|until| self.ports.clock.monotonic() < until) {
            return Err(Err(OpaqueRejection::Unavailable));
        }
        if flights.len() >= MAX_FLIGHTS {
            return Err(Err(OpaqueRejection::Busy));
        }
        let place = Place { desk: Arc::clone(self), key };
        let (desk, settings, token) = (Arc::clone(self), Arc::clone(settings), Secret::new(token.to_owned()));
        let flight: Pin<Box<dyn Future<Output = Introspected> + Send>> = Box::pin(async move {
            let asked = AssertUnwindSafe(desk.fly(key, &token, &settings)).catch_unwind().await;
            // Before anybody learns of the end, so that the next one begins anew.
            drop(place);
            asked.unwrap_or(Err(OpaqueRejection::Unavailable))
        });
        let flight = flight.shared();
        flights.insert(key, flight.clone());
        drop(flights);
        self.ports.tasks.spawn(Box::pin(flight.clone().map(|_| ())));
        Ok(flight)
    }

    /// Asks, judges and keeps what came of it.
    async fn fly(&self, key: TokenKey, token: &Secret, settings: &Arc<IssuerSettings>) -> Introspected {
        let began = self.ports.clock.monotonic();
        let members = match self.ask_provider(token).await {
            Ok(members) => members,
            Err(Failure::Provider(asked)) => {
                *lock(&self.pause) = Some(self.ports.clock.monotonic().plus(COOLDOWN));
                self.tell(asked);
                return Err(OpaqueRejection::Unavailable);
            }
            Err(Failure::Token(asked, bad, lasts)) => {
                self.tell(asked);
                let until = self.ports.clock.monotonic().plus(lasts);
                self.bad.insert(key, Kept { what: bad.clone(), until });
                return Err(bad);
            }
        };
        let judged = match members {
            Some(members) => IntrospectedToken::judge(members, settings, self.ports.clock.now()),
            None => Err(OpaqueRejection::Inactive),
        };
        match judged {
            Ok(good) => {
                self.tell(Asked::Active);
                let good = Arc::new(good);
                // From when it was asked: what was said later may have been true no longer.
                let until = began.plus(self.lasts(&good));
                self.good.insert(key, Kept { what: Arc::clone(&good), until });
                Ok(good)
            }
            Err(bad) => {
                self.tell(if bad == OpaqueRejection::Inactive { Asked::Inactive } else { Asked::Refused });
                self.bad.insert(key, Kept { what: bad.clone(), until: began.plus(REFUSED) });
                Err(bad)
            }
        }
    }

    /// How long a good word counts. Its own end is judged on each use as well.
    fn lasts(&self, token: &IntrospectedToken) -> Duration {
        let most = self.settings.max_age;
        match token.expires_at() {
            Some(end) => most.min(end.since(self.ports.clock.now())),
            None => most.min(ENDLESS),
        }
    }

    /// The members of an answer whose `active` is true; `None` where it is false.
    async fn ask_provider(&self, token: &Secret) -> Result<Option<Map<String, Value>>, Failure> {
        let endpoint = self.endpoint().await?;
        let request = self.request(&endpoint, token).ok_or(Failure::Provider(Asked::Malformed))?;
        let answer = self.ports.http.send(request).await.map_err(|error| match error {
            HttpError::Unreachable(_) => Failure::Provider(Asked::Unreachable),
            HttpError::Unacceptable(_) => Failure::MALFORMED,
        })?;
        read(&answer)
    }

    fn request(&self, endpoint: &FetchUrl, token: &Secret) -> Option<Request<Bytes>> {
        let (id, secret) = &self.settings.client;
        // RFC 6749 section 2.3.1: each in the form of a form.
        let pair = Secret::new(format!("{}:{}", encoded(id), encoded(secret.expose())));
        let mut basic = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair.expose()))).ok()?;
        basic.set_sensitive(true);
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose())
            .append_pair("token_type_hint", "access_token")
            .finish();
        Request::post(endpoint.as_str())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, basic)
            .body(Bytes::from(form))
            .ok()
    }

    /// Where the provider is asked. Its discovery document is read once in an
    /// hour; where it is not to be had then, what it said before counts.
    async fn endpoint(&self) -> Result<FetchUrl, Failure> {
        if let Some(url) = &self.settings.url {
            return Ok(url.clone());
        }
        let mut known = self.endpoint.lock().await;
        let now = self.ports.clock.monotonic();
        if let Some((url, _)) = known.as_ref().filter(|(_, since)| now.since(*since) < FRESH) {
            return Ok(url.clone());
        }
        match (self.discover().await, known.as_ref()) {
            (Ok(url), _) => {
                *known = Some((url.clone(), now));
                Ok(url)
            }
            (Err(_), Some((url, _))) => Ok(url.clone()),
            (Err(failure), None) => Err(failure),
        }
    }

    async fn discover(&self) -> Result<FetchUrl, Failure> {
        let issuer = &self.settings.issuer;
        let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let request = Request::get(document).header(ACCEPT, "application/json").body(Bytes::new());
        let malformed = || Failure::Provider(Asked::Malformed);
        let request = request.map_err(|_| malformed())?;
        let answer = self.ports.http.send(request).await.map_err(|error| match error {
            HttpError::Unreachable(_) => Failure::Provider(Asked::Unreachable),
            HttpError::Unacceptable(_) => malformed(),
        })?;
        if answer.status() != StatusCode::OK {
            return Err(Failure::Provider(Asked::Unreachable));
        }
        let members = parse_object(answer.body()).map_err(|_| malformed())?;
        if members.get("issuer").and_then(Value::as_str) != Some(&**issuer) {
            return Err(malformed());
        }
        let url = members.get("introspection_endpoint").and_then(Value::as_str).ok_or_else(malformed)?;
        FetchUrl::parse(url).map_err(|_| malformed())
    }

    fn tell(&self, result: Asked) {
        self.ports.watch.asked(&self.settings.provider, result);
    }
}

/// Takes a flight off the list, however it ends.
struct Place {
    desk: Arc<Desk>,
    key: TokenKey,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.desk.flights).remove(&self.key);
    }
}

/// Reads an answer (RFC 7662 section 2.2): one JSON object with each member
/// once, in which `active` is true or false and nothing else.
fn read(answer: &Response<Bytes>) -> Result<Option<Map<String, Value>>, Failure> {
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS => return Err(Failure::Provider(Asked::Unreachable)),
        // Of the service itself, and not of a token (RFC 7662 section 2.3).
        StatusCode::UNAUTHORIZED => return Err(Failure::Provider(Asked::Client)),
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN if is_about_client(answer.body()) => {
            return Err(Failure::Provider(Asked::Client));
        }
        // Of an endpoint that is not there, or of a firewall before it that dislikes
        // this token: whoever sends such tokens must not keep others from being asked about.
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => return Err(Failure::MALFORMED),
        status if status.is_client_error() => return Err(Failure::REFUSED),
        status if status.is_server_error() => return Err(Failure::Provider(Asked::Unreachable)),
        _ => return Err(Failure::MALFORMED),
    }
    let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(is_json);
    if !is_json || answer.body().len() > MAX_ANSWER {
        return Err(Failure::MALFORMED);
    }
    let members = parse_object(answer.body()).map_err(|_| Failure::MALFORMED)?;
    match members.get("active") {
        Some(Value::Bool(true)) => Ok(Some(members)),
        Some(Value::Bool(false)) => Ok(None),
        Some(_) | None => Err(Failure::MALFORMED),
    }
}

/// Whether the provider says by 400 or 403 what others say by 401 (RFC 6749 section 5.2).
fn is_about_client(body: &[u8]) -> bool {
    let members = parse_object(body).unwrap_or_default();
    matches!(members.get("error").and_then(Value::as_str), Some("invalid_client" | "unauthorized_client"))
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn key_of(token: &str) -> TokenKey {
    let mut key = [0u8; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    key
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "introspection_tests.rs"]
mod tests;
