//! The authorization endpoint and its one-click account page. Redirects go to
//! loopback addresses only.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, RawQuery, State as Extract};
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::accounts::Account;
use super::clients::is_known;
use super::grants::Consent;
use super::{IssuerInResponse, Shared};
use crate::lock;
use crate::raw_http::percent_encode;

type Fields = HashMap<String, String>;

/// `GET /authorize`: the account page.
pub(super) async fn page(
    Query(query): Query<Fields>,
    RawQuery(raw): RawQuery,
    Extract(shared): Extract<Arc<Shared>>,
) -> Response {
    if let Err(answer) = check(&query, &shared) {
        return *answer;
    }
    if query.get("prompt").is_some_and(|prompt| prompt == "none") {
        return back_with_error(&query, &shared, "login_required");
    }
    let mut buttons = String::new();
    for account in Account::ALL {
        let scopes = lock(&shared.state).scopes_of(account);
        let permissions = account.permissions.iter().map(|name| (*name).to_owned()).collect();
        let what = [scopes, permissions].concat().join(" ");
        let what = if what.is_empty() { "signed in, nothing more" } else { &what };
        let Account { name, display_name, .. } = account;
        let _ = writeln!(
            buttons,
            "<button name=\"account\" value=\"{name}\"><b>{name}</b> {display_name}<small>{what}</small></button>"
        );
    }
    // Relative: behind a proxy the page does not stand at the root.
    let action = escape(&format!("authorize?{}", raw.unwrap_or_default()));
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Sign in</title><style>{STYLE}</style></head>\n\
         <body><main><h1>Who are you today?</h1><p>A development provider: no passwords, one click.</p>\n\
         <form method=\"post\" action=\"{action}\">\n{buttons}</form></main></body></html>\n"
    ))
    .into_response()
}

/// `POST /authorize`: an account was chosen.
pub(super) async fn choose(
    Query(query): Query<Fields>,
    Extract(shared): Extract<Arc<Shared>>,
    Form(form): Form<Fields>,
) -> Response {
    if let Err(answer) = check(&query, &shared) {
        return *answer;
    }
    let Some(account) = form.get("account").and_then(|name| Account::named(name)) else {
        return back_with_error(&query, &shared, "access_denied");
    };
    let field = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let redirect_uri = field("redirect_uri");
    let code =
        Consent::new(account, field("client_id"), field("scope"), query.get("nonce").cloned()).and_then(|consent| {
            lock(&shared.state).grants.issue_code(consent, redirect_uri, query.get("code_challenge").cloned())
        });
    match code {
        Ok(code) => back(&query, &shared, &[("code", &code)]),
        Err(_) => back_with_error(&query, &shared, "server_error"),
    }
}

/// What must be right before anything may go back to the client.
fn check(query: &Fields, shared: &Shared) -> Result<(), Box<Response>> {
    let field = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    if !is_known(field("client_id")) {
        return Err(Box::new(refuse("unknown client_id")));
    }
    if !is_loopback(field("redirect_uri")) {
        return Err(Box::new(refuse("redirect_uri must be on this machine")));
    }
    if field("response_type") != "code" {
        return Err(Box::new(back_with_error(query, shared, "unsupported_response_type")));
    }
    if !query.contains_key("code_challenge") || field("code_challenge_method") != "S256" {
        return Err(Box::new(back_with_error(query, shared, "invalid_request")));
    }
    if !field("scope").split(' ').any(|scope| scope == "openid") {
        return Err(Box::new(back_with_error(query, shared, "invalid_scope")));
    }
    Ok(())
}

pub(super) fn back_with_error(query: &Fields, shared: &Shared, error: &str) -> Response {
    back(query, shared, &[("error", error)])
}

/// Back to the client, with `state` and `iss` (RFC 9207).
fn back(query: &Fields, shared: &Shared, parameters: &[(&str, &str)]) -> Response {
    let mut parameters = parameters.to_vec();
    if let Some(state) = query.get("state") {
        parameters.push(("state", state));
    }
    let issuer = match lock(&shared.state).faults.issuer.clone() {
        IssuerInResponse::Right => Some(shared.issuer.clone()),
        IssuerInResponse::Absent | IssuerInResponse::Missing => None,
        IssuerInResponse::Other(other) => Some(other),
    };
    if let Some(issuer) = &issuer {
        parameters.push(("iss", issuer));
    }
    let target = query.get("redirect_uri").map(String::as_str).unwrap_or_default();
    Redirect::to(&with_query(target, &parameters)).into_response()
}

pub(super) fn refuse(why: &'static str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response()
}

pub(super) fn is_loopback(uri: &str) -> bool {
    let Ok(uri) = uri.parse::<Uri>() else { return false };
    matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]")) && uri.scheme_str().is_some()
}

pub(super) fn with_query(target: &str, parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}{}", pairs.join("&"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;background:light-dark(#f4f5f7,#14171b);color:light-dark(#1b1f24,#e8ebef);margin:0;padding:0 1rem}\
    main{max-width:26rem;margin:8vh auto;background:light-dark(#fff,#1d2127);border-radius:12px;padding:2rem;box-shadow:0 2px 12px #0002}\
    h1{font-size:1.3rem;margin:0}p{color:light-dark(#555,#a9b2bd);margin:.3rem 0 1.2rem}\
    button{display:block;width:100%;text-align:left;font:inherit;padding:.6rem .8rem;margin:.4rem 0;border:1px solid light-dark(#ccd,#3a414b);\
    border-radius:8px;background:light-dark(#fff,#1d2127);color:inherit;cursor:pointer}button:hover,button:focus{border-color:#36c;background:light-dark(#f2f6ff,#22304a)}\
    small{display:block;color:light-dark(#555,#a9b2bd)}";
