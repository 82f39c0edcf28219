//! Discovery, keys, tokens, userinfo.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Path, Request, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::accounts::Account;
use super::grants::Consent;
use super::keys::{base64url, sha256};
use super::token::{TokenSpec, now};
use super::{CLI_CLIENT, Endpoint, Fault, Shared, WEB_CLIENT, WEB_CLIENT_SECRET, authorize};
use crate::lock;

type Fields = HashMap<String, String>;

const ACCESS_SECONDS: i64 = 3600;
const OPENID_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks.json", get(jwks))
        .route("/authorize", get(authorize::page).post(authorize::choose))
        .route("/token", post(token))
        .route("/userinfo", get(userinfo).post(userinfo))
        .route("/logout", get(authorize::end_session).post(authorize::end_session))
        .route("/dev/token/{account}", get(dev_token))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), count_and_fail))
        .with_state(shared)
}

/// Counts the request and, where a fault is set, answers with it.
async fn count_and_fail(Extract(shared): Extract<Arc<Shared>>, request: Request, next: Next) -> Response {
    let endpoint = match request.uri().path() {
        "/.well-known/openid-configuration" => Endpoint::Discovery,
        "/jwks.json" => Endpoint::Jwks,
        "/authorize" => Endpoint::Authorize,
        "/token" => Endpoint::Token,
        "/userinfo" => Endpoint::Userinfo,
        "/logout" => Endpoint::EndSession,
        _ => return next.run(request).await,
    };
    let fault = {
        let mut state = lock(&shared.state);
        *state.counts.entry(endpoint).or_default() += 1;
        state.faults.get(&endpoint).cloned()
    };
    match fault {
        None => next.run(request).await,
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Some(Fault::Status(status)) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        Some(Fault::Redirect(target)) => (StatusCode::FOUND, [(header::LOCATION, target)]).into_response(),
        Some(Fault::Json(text)) => json_text(text),
        Some(Fault::HugeBody(size)) => json_text(format!("{{\"keys\":[],\"filler\":\"{}\"}}", "x".repeat(size))),
    }
}

async fn discovery(Extract(shared): Extract<Arc<Shared>>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", shared.issuer);
    Json(json!({
        "issuer": shared.issuer,
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "userinfo_endpoint": at("userinfo"),
        "end_session_endpoint": at("logout"),
        "jwks_uri": at("jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": OPENID_SCOPES,
        "claims_supported": ["sub", "name", "email", "email_verified"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn jwks(Extract(shared): Extract<Arc<Shared>>) -> Response {
    match lock(&shared.state).published() {
        Ok(set) => Json(set).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `GET /dev/token/{account}`: an access token as plain text, for a shell.
async fn dev_token(Path(account): Path<String>, Extract(shared): Extract<Arc<Shared>>) -> Response {
    let Some(account) = Account::named(&account) else {
        let names: Vec<&str> = Account::ALL.iter().map(|account| account.name).collect();
        return (StatusCode::NOT_FOUND, format!("no such account; there are: {}\n", names.join(" "))).into_response();
    };
    match Consent::new(account, CLI_CLIENT, "", None).and_then(|consent| access_token(&consent, &shared)) {
        Ok(token) => token.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn token(headers: HeaderMap, Extract(shared): Extract<Arc<Shared>>, Form(form): Form<Fields>) -> Response {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let Some(client) = authenticated_client(&headers, &form) else {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    };
    let redeemed = match field("grant_type") {
        "authorization_code" => lock(&shared.state)
            .grants
            .redeem_code(field("code"), &client, field("redirect_uri"), form.get("code_verifier").map(String::as_str))
            .map(|consent| (consent, None)),
        "refresh_token" => lock(&shared.state)
            .grants
            .redeem_refresh(field("refresh_token"), &client)
            .map(|(consent, family)| (consent, Some(family))),
        // Development only: the name is enough.
        "password" if client == CLI_CLIENT => Account::named(field("username"))
            .ok_or("no such account")
            .and_then(|account| Consent::new(account, &client, field("scope"), None).map_err(|_| "no randomness"))
            .map(|consent| (consent, None)),
        _ => return (StatusCode::BAD_REQUEST, Json(json!({"error": "unsupported_grant_type"}))).into_response(),
    };
    let answer = redeemed
        .map_err(str::to_owned)
        .and_then(|(consent, family)| token_answer(&consent, family, &shared).map_err(|error| error.to_string()));
    match answer {
        Ok(answer) => ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(why) => {
            (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant", "error_description": why}))).into_response()
        }
    }
}

/// By HTTP Basic, by form fields, or by name alone for the public client.
fn authenticated_client(headers: &HeaderMap, form: &Fields) -> Option<String> {
    let basic = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|encoded| String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok());
    let (id, secret) = match basic.as_ref().and_then(|pair| pair.split_once(':')) {
        Some((id, secret)) => (id, Some(secret)),
        None => (form.get("client_id")?.as_str(), form.get("client_secret").map(String::as_str)),
    };
    let known = id == CLI_CLIENT || (id == WEB_CLIENT && secret == Some(WEB_CLIENT_SECRET));
    known.then(|| id.to_owned())
}

fn token_answer(consent: &Consent, family: Option<String>, shared: &Shared) -> Result<Value> {
    let access = access_token(consent, shared)?;
    let mut answer = Map::new();
    if consent.asked_for("openid") {
        answer.insert("id_token".to_owned(), id_token(consent, &access, shared)?.into());
    }
    if consent.asked_for("offline_access") {
        let refresh = lock(&shared.state).grants.issue_refresh(consent.clone(), family)?;
        answer.insert("refresh_token".to_owned(), refresh.into());
    }
    answer.insert("access_token".to_owned(), access.into());
    answer.insert("token_type".to_owned(), "Bearer".into());
    answer.insert("expires_in".to_owned(), ACCESS_SECONDS.into());
    answer.insert("scope".to_owned(), scope_of(consent).into());
    Ok(answer.into())
}

/// The OpenID scopes that were asked for, and the account's own.
fn scope_of(consent: &Consent) -> String {
    let asked = OPENID_SCOPES.iter().filter(|scope| consent.asked_for(scope));
    asked.chain(consent.account.scopes).copied().collect::<Vec<_>>().join(" ")
}

fn access_token(consent: &Consent, shared: &Shared) -> Result<String> {
    let issued = now();
    TokenSpec::for_account(consent.account.name)
        .scope(&scope_of(consent))
        .claim("client_id", consent.client.as_str())
        .claim("sid", consent.session.as_str())
        .claim("iat", issued)
        .expires_in(ACCESS_SECONDS)
        .mint(&lock(&shared.state).keys, &shared.issuer, &shared.audience)
}

fn id_token(consent: &Consent, access: &str, shared: &Shared) -> Result<String> {
    let half_hash = sha256(access).get(..16).map(base64url).unwrap_or_default();
    let mut spec = TokenSpec::for_account(consent.account.name)
        .header("typ", "JWT")
        .audience(consent.client.as_str())
        .claim("sid", consent.session.as_str())
        .claim("auth_time", consent.at)
        .claim("at_hash", half_hash)
        .without_claim("scope")
        .without_claim("permissions")
        .without_claim("client_id")
        .expires_in(ACCESS_SECONDS);
    if let Some(nonce) = &consent.nonce {
        spec = spec.claim("nonce", nonce.as_str());
    }
    spec.mint(&lock(&shared.state).keys, &shared.issuer, &shared.audience)
}

/// Believes any token whose payload names one of the accounts: this provider protects nothing.
async fn userinfo(headers: HeaderMap) -> Response {
    let subject = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .and_then(|token| BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok())
        .and_then(|payload| serde_json::from_slice::<Value>(&payload).ok())
        .and_then(|claims| claims.get("sub")?.as_str().map(str::to_owned));
    match Account::ALL.iter().find(|account| Some(account.subject()) == subject) {
        None => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")]).into_response()
        }
        Some(account) => Json(json!({
            "sub": account.subject(), "name": account.display_name, "email": account.email(), "email_verified": true,
        }))
        .into_response(),
    }
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
