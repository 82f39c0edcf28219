//! What goes wrong at the provider because a test wants it to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::token::TokenSpec;

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
    /// `/revoke`
    Revocation,
    /// `/introspect`
    Introspection,
    /// `/api/v2/…` and `/admin/realms/…`
    Management,
}

impl Endpoint {
    pub(crate) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/.well-known/openid-configuration" => Self::Discovery,
            "/jwks.json" => Self::Jwks,
            "/authorize" => Self::Authorize,
            "/token" => Self::Token,
            "/userinfo" => Self::Userinfo,
            "/logout" => Self::EndSession,
            "/revoke" => Self::Revocation,
            "/introspect" => Self::Introspection,
            _ if path.starts_with("/api/v2/") || path.starts_with("/admin/realms/") => Self::Management,
            _ => return None,
        })
    }
}

/// What an endpoint does in place of its work.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers with this status and no body.
    Status(u16),
    /// Waits, then works as usual.
    Delay(Duration),
    /// Works as usual, and the answer is lost: the connection ends without one.
    LostAnswer,
    /// Redirects (302) there.
    Redirect(String),
    /// Answers 200 with this JSON text.
    Json(String),
    /// Answers 200 with JSON of this many bytes.
    HugeBody(usize),
    /// Answers with an OAuth error: at `/authorize` by sending the browser back (RFC 6749 section 4.1.2.1), elsewhere as
    /// 400 with JSON (section 5.2).
    OAuthError(String),
    /// Answers with exactly this.
    Answer {
        /// The status.
        status: u16,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
}

/// What the authorization response says of who sent it (RFC 9207).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerInResponse {
    /// The right issuer, and discovery says that it will be there.
    Right,
    /// Nothing, and discovery promises nothing.
    Absent,
    /// Nothing, though discovery promises it.
    Missing,
    /// Another issuer.
    Other(String),
}

type Shape<T> = Arc<dyn Fn(T) -> T + Send + Sync>;

pub(crate) struct Faults {
    /// What fails, and for how many more requests if not for all.
    at: HashMap<Endpoint, (Fault, Option<usize>)>,
    pub(crate) issuer: IssuerInResponse,
    pub(crate) id_token: Option<Shape<TokenSpec>>,
    pub(crate) access_token: Option<Shape<TokenSpec>>,
    pub(crate) token_answer: Option<Shape<Value>>,
}

impl Default for Faults {
    fn default() -> Self {
        let at = HashMap::new();
        Self { at, issuer: IssuerInResponse::Right, id_token: None, access_token: None, token_answer: None }
    }
}

impl Faults {
    pub(crate) fn set(&mut self, endpoint: Endpoint, fault: Fault, times: Option<usize>) {
        self.at.insert(endpoint, (fault, times));
    }

    /// The fault of this request, which counts against those that end by themselves.
    pub(crate) fn next(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let (fault, times) = self.at.get_mut(&endpoint)?;
        match times {
            None => Some(fault.clone()),
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                Some(fault.clone())
            }
        }
    }
}
