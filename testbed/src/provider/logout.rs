//! The end of a session (OIDC RP-Initiated Logout) and tokens that clients
//! give back (RFC 7009).

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::{Form, Json};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Shared;
use super::authorize::{is_loopback, refuse, with_query};
use crate::lock;

type Fields = HashMap<String, String>;

/// `GET|POST /logout`: ends the session that the ID token names and goes straight back.
pub(super) async fn end_session(
    Query(query): Query<Fields>,
    Extract(shared): Extract<Arc<Shared>>,
    body: String,
) -> Response {
    let posted: Fields = body.split('&').filter_map(|pair| pair.split_once('=')).map(decoded).collect();
    let field = |name: &str| query.get(name).or_else(|| posted.get(name));
    if let Some(sid) = field("id_token_hint").and_then(|token| sid_of(token)) {
        lock(&shared.state).grants.end(&sid);
    }
    match field("post_logout_redirect_uri") {
        None => Html("<!doctype html><html lang=\"en\"><title>Signed out</title><p>You are signed out.</p></html>\n")
            .into_response(),
        Some(target) if !is_loopback(target) => refuse("post_logout_redirect_uri must be on this machine"),
        Some(target) => match field("state") {
            None => Redirect::to(target).into_response(),
            Some(state) => Redirect::to(&with_query(target, &[("state", state)])).into_response(),
        },
    }
}

/// `POST /revoke`: 200 whether or not the token was known (RFC 7009 section 2.2).
pub(super) async fn revoke(
    headers: HeaderMap,
    Extract(shared): Extract<Arc<Shared>>,
    Form(form): Form<Fields>,
) -> Response {
    let mut state = lock(&shared.state);
    let here = format!("{}revoke", shared.issuer);
    let token_endpoint = format!("{}token", shared.issuer);
    if state.clients.authenticate(&headers, &form, &[&shared.issuer, &here, &token_endpoint]).is_none() {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    match form.get("token") {
        None => (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_request"}))).into_response(),
        Some(token) => {
            state.grants.revoke(token);
            StatusCode::OK.into_response()
        }
    }
}

fn sid_of(token: &str) -> Option<String> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    Some(serde_json::from_slice::<Value>(&claims).ok()?.get("sid")?.as_str()?.to_owned())
}

fn decoded((name, value): (&str, &str)) -> (String, String) {
    let mut out = Vec::new();
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let digits =
            (byte == b'%').then(|| [bytes.next(), bytes.next()].map(|digit| char::from(digit.unwrap_or(b'0'))));
        let escaped = digits.and_then(|[high, low]| Some(high.to_digit(16)? * 16 + low.to_digit(16)?));
        out.push(match escaped {
            Some(code) => u8::try_from(code).unwrap_or(b'?'),
            None if byte == b'+' => b' ',
            None => byte,
        });
    }
    (name.to_owned(), String::from_utf8_lossy(&out).into_owned())
}
