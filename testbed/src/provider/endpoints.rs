//! Discovery, keys, tokens, userinfo.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State as Extract};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::accounts::Account;
use super::grants::Consent;
use super::keys::{base64url, sha256};
use super::token::{TokenSpec, now};
use super::{CLI_CLIENT, Endpoint, Fault, IssuerInResponse, Shared, State, WEB_CLIENT, authorize, logout, management};
use crate::lock;

type Fields = HashMap<String, String>;

const ID_TOKEN_SECONDS: i64 = 3600;
const OPENID_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks.json", get(jwks))
        .route("/authorize", get(authorize::page).post(authorize::choose))
        .route("/token", post(token))
        .route("/userinfo", get(userinfo).post(userinfo))
        .route("/logout", get(logout::end_session).post(logout::end_session))
        .route("/revoke", post(logout::revoke))
        .route("/introspect", post(introspect))
        .route("/dev/token/{account}", get(dev_token))
        .merge(management::routes())
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), count_and_fail))
        .with_state(shared)
}

/// Counts the request and, where a fault is set, answers with it.
async fn count_and_fail(Extract(shared): Extract<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(endpoint) = Endpoint::at(request.uri().path()) else { return next.run(request).await };
    let fault = {
        let mut state = lock(&shared.state);
        *state.counts.entry(endpoint).or_default() += 1;
        state.faults.next(endpoint)
    };
    match fault {
        None => next.run(request).await,
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Some(Fault::LostAnswer) => {
            next.run(request).await;
            // A body that fails before its first byte takes the connection with it.
            let lost = futures_util::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("lost")) });
            Body::from_stream(lost).into_response()
        }
        Some(Fault::Status(status)) => status_of(status).into_response(),
        Some(Fault::Redirect(target)) => (StatusCode::FOUND, [(header::LOCATION, target)]).into_response(),
        Some(Fault::Json(text)) => json_text(text),
        Some(Fault::HugeBody(size)) => json_text(format!("{{\"keys\":[],\"filler\":\"{}\"}}", "x".repeat(size))),
        Some(Fault::OAuthError(error)) if endpoint == Endpoint::Authorize => {
            let query: Result<Query<Fields>, _> = Query::try_from_uri(request.uri());
            authorize::back_with_error(&query.unwrap_or_default().0, &shared, &error)
        }
        Some(Fault::OAuthError(error)) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
        Some(Fault::Answer { status, headers, body }) => {
            let mut answer = (status_of(status), body).into_response();
            answer.headers_mut().remove(header::CONTENT_TYPE);
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                    answer.headers_mut().append(name, value);
                }
            }
            answer
        }
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

async fn discovery(Extract(shared): Extract<Arc<Shared>>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", shared.issuer);
    let says_issuer = lock(&shared.state).faults.issuer != IssuerInResponse::Absent;
    Json(json!({
        "issuer": shared.issuer,
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "userinfo_endpoint": at("userinfo"),
        "end_session_endpoint": at("logout"),
        "revocation_endpoint": at("revoke"),
        "introspection_endpoint": at("introspect"),
        "jwks_uri": at("jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": OPENID_SCOPES,
        "claims_supported": ["sub", "name", "email", "email_verified"],
        "authorization_response_iss_parameter_supported": says_issuer,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
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
    let here = format!("{}token", shared.issuer);
    let client = lock(&shared.state).clients.authenticate(&headers, &form, &[&shared.issuer, &here]);
    let Some(client) = client else {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    };
    if field("grant_type") == "client_credentials" {
        return service_token(&client, &shared);
    }
    let redeemed = match field("grant_type") {
        "authorization_code" => lock(&shared.state).grants.redeem_code(
            field("code"),
            &client,
            field("redirect_uri"),
            form.get("code_verifier").map(String::as_str),
        ),
        "refresh_token" => lock(&shared.state).grants.redeem_refresh(field("refresh_token"), &client),
        // Development only: the name is enough.
        "password" if client == CLI_CLIENT => Account::named(field("username"))
            .ok_or("no such account")
            .and_then(|account| Consent::new(account, &client, field("scope"), None).map_err(|_| "no randomness")),
        _ => return (StatusCode::BAD_REQUEST, Json(json!({"error": "unsupported_grant_type"}))).into_response(),
    };
    let answer = redeemed
        .map_err(str::to_owned)
        .and_then(|consent| token_answer(&consent, &shared).map_err(|error| error.to_string()));
    match answer {
        Ok(answer) => ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(why) => {
            (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant", "error_description": why}))).into_response()
        }
    }
}

/// The service's own token for the management APIs (RFC 6749 section 4.4).
fn service_token(client: &str, shared: &Shared) -> Response {
    if client != WEB_CLIENT {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "unauthorized_client"}))).into_response();
    }
    match lock(&shared.state).management.issue() {
        Ok((token, lifetime)) => {
            let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime });
            ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn token_answer(consent: &Consent, shared: &Shared) -> Result<Value> {
    let access = access_token(consent, shared)?;
    let mut answer = Map::new();
    if consent.asked_for("openid") {
        answer.insert("id_token".to_owned(), id_token(consent, &access, shared)?.into());
    }
    let mut state = lock(&shared.state);
    if consent.asked_for("offline_access") {
        let refresh = state.grants.issue_refresh(consent.clone())?;
        answer.insert("refresh_token".to_owned(), refresh.into());
    }
    answer.insert("access_token".to_owned(), access.into());
    answer.insert("token_type".to_owned(), "Bearer".into());
    answer.insert("expires_in".to_owned(), state.access_seconds.into());
    answer.insert("scope".to_owned(), scope_of(consent, &state).into());
    let answer = answer.into();
    Ok(match &state.faults.token_answer {
        None => answer,
        Some(shape) => shape(answer),
    })
}

/// The OpenID scopes that were asked for, and the account's own.
fn scope_of(consent: &Consent, state: &State) -> String {
    let asked = OPENID_SCOPES.iter().filter(|scope| consent.asked_for(scope)).map(|scope| (*scope).to_owned());
    asked.chain(state.scopes_of(consent.account)).collect::<Vec<_>>().join(" ")
}

fn access_token(consent: &Consent, shared: &Shared) -> Result<String> {
    let state = lock(&shared.state);
    let spec = TokenSpec::for_account(consent.account.name)
        .scope(&scope_of(consent, &state))
        .claim("client_id", consent.client.as_str())
        .claim("sid", consent.session.as_str())
        .claim("iat", now())
        .expires_in(state.access_seconds);
    let spec = match &state.faults.access_token {
        None => spec,
        Some(shape) => shape(spec),
    };
    spec.mint(&state.keys, &shared.issuer, &shared.audience)
}

fn id_token(consent: &Consent, access: &str, shared: &Shared) -> Result<String> {
    let half_hash = sha256(access).get(..16).map(base64url).unwrap_or_default();
    let mut spec = TokenSpec::for_account(consent.account.name)
        .header("typ", "JWT")
        .audience(consent.client.as_str())
        .claim("sid", consent.session.as_str())
        .claim("auth_time", consent.at)
        .claim("iat", now())
        .claim("at_hash", half_hash)
        .without_claim("scope")
        .without_claim("permissions")
        .without_claim("client_id")
        .expires_in(ID_TOKEN_SECONDS);
    if let Some(nonce) = &consent.nonce {
        spec = spec.claim("nonce", nonce.as_str());
    }
    let state = lock(&shared.state);
    if let Some(shape) = &state.faults.id_token {
        spec = shape(spec);
    }
    spec.mint(&state.keys, &shared.issuer, &shared.audience)
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

/// RFC 7662: what an opaque token stands for, told to the service's client alone.
async fn introspect(headers: HeaderMap, Extract(shared): Extract<Arc<Shared>>, Form(form): Form<Fields>) -> Response {
    let mut state = lock(&shared.state);
    let here = format!("{}introspect", shared.issuer);
    let client = state.clients.authenticate(&headers, &form, &[&shared.issuer, &here]);
    if client.as_deref() != Some(WEB_CLIENT) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    let Some(token) = form.get("token") else {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_request"}))).into_response();
    };
    let lives = |claims: &&Value| claims.get("exp").and_then(Value::as_i64).is_none_or(|end| end > now());
    match state.opaque.get(token).filter(lives) {
        Some(claims) => Json(claims.clone()).into_response(),
        None => Json(json!({"active": false})).into_response(),
    }
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
