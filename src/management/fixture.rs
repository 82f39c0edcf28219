//! A management API for tests: it answers as the test says, and remembers what it was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use super::{
    Kind, ManagementApi, ManagementPorts, ManagementSettings, TokenEndpoint, Transport, TransportError, TransportFuture,
};
use crate::types::{Clock, FetchUrl, ProviderId, Secret};

pub(crate) const ISSUER: &str = "https://idp.example.com/";
pub(crate) const API: &str = "https://idp.example.com/api/v2/";
pub(crate) const TOKENS: &str = "https://idp.example.com/oauth/token";
pub(crate) const DOCUMENT: &str = "https://idp.example.com/.well-known/openid-configuration";

/// A provider that answers as the test says.
pub(crate) struct FakeApi(Mutex<Kept>);

struct Kept {
    /// The next answers of the API, the first one first; after them, 200.
    statuses: Vec<u16>,
    /// The answer of the token endpoint; `access_token` is counted where it is not there.
    token: (u16, String),
    document: Value,
    asked: Vec<String>,
    tokens: usize,
}

impl Default for FakeApi {
    fn default() -> Self {
        let token = json!({ "token_type": "Bearer", "expires_in": 86_400 }).to_string();
        let document = json!({ "issuer": ISSUER, "token_endpoint": TOKENS });
        let kept = Kept { statuses: Vec::new(), token: (200, token), document, asked: Vec::new(), tokens: 0 };
        Self(Mutex::new(kept))
    }
}

impl FakeApi {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn answers_with(&self, statuses: &[u16]) {
        self.kept().statuses = statuses.to_vec();
    }

    pub(crate) fn gives_token(&self, status: u16, answer: &str) {
        self.kept().token = (status, answer.to_owned());
    }

    pub(crate) fn discovers(&self, document: Value) {
        self.kept().document = document;
    }

    /// What was asked outside of the token endpoint: method, URL and credentials.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.kept().asked.clone()
    }

    /// How often a token was asked for.
    pub(crate) fn tokens(&self) -> usize {
        self.kept().tokens
    }

    /// The API at it.
    pub(crate) fn api(self: &Arc<Self>, token_endpoint: Option<TokenEndpoint>, clock: Arc<dyn Clock>) -> ManagementApi {
        let settings = ManagementSettings {
            provider: ProviderId::new("main"),
            kind: Kind::Auth0,
            url: url(API),
            token_endpoint: token_endpoint.unwrap_or_else(|| TokenEndpoint::At(url(TOKENS))),
            client_id: "me".to_owned(),
            client_secret: Secret::new("secret".to_owned()),
            audience: None,
            scopes: Vec::new(),
        };
        ManagementApi::new(settings, ManagementPorts { transport: self.clone(), clock })
    }

    fn answer(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let mut kept = self.kept();
        let answer = |status: u16, body: String| {
            let answer = Response::builder().status(status).header("content-type", "application/json");
            Ok(answer.body(Bytes::from(body)).expect("an answer"))
        };
        let uri = request.uri().to_string();
        if uri == TOKENS {
            kept.tokens += 1;
            let (status, mut text) = kept.token.clone();
            if let Ok(Value::Object(mut members)) = serde_json::from_str(&text)
                && !text.contains("access_token")
            {
                members.insert("access_token".to_owned(), json!(format!("t{}", kept.tokens)));
                text = Value::Object(members).to_string();
            }
            return answer(status, text);
        }
        let credentials = request.headers().get("authorization").map_or("", |held| held.to_str().unwrap_or("?"));
        let line = format!("{} {uri} {credentials}", request.method());
        kept.asked.push(line.trim_end().to_owned());
        if uri == DOCUMENT {
            return answer(200, kept.document.to_string());
        }
        let status = if kept.statuses.is_empty() { 200 } else { kept.statuses.remove(0) };
        answer(status, "{}".to_owned())
    }
}

pub(crate) fn url(text: &str) -> FetchUrl {
    FetchUrl::parse(text).expect("a url")
}

impl Transport for FakeApi {
    fn send(&self, request: Request<Bytes>, _: usize) -> TransportFuture<'_> {
        Box::pin(async move { self.answer(&request) })
    }
}
