//! Who is signed in, with what, and where else.

use serde::Serialize;
use serde_json::json;

use super::content::{Moment, Notice, Sheet, json_page, redirect};
use super::request::Visit;
use super::{Pages, SigningIn, Who, browser, renewed};
use crate::check::Page;
use crate::session::{LiveSession, SessionKey, SessionListing, SetCookie, StoreError};
use crate::types::{Principal, Reason};
use crate::ui::{Form, Language};

/// The most sessions on one page.
const MAX_SHOWN: usize = 50;

#[derive(Serialize)]
struct Row {
    key: String,
    browser: String,
    own: bool,
    since: Moment,
    until: Moment,
}

#[derive(Serialize)]
struct UserInfo<'a> {
    user: &'a str,
    email: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<&'a str>,
    #[serde(rename = "preferredUsername", skip_serializing_if = "Option::is_none")]
    preferred_username: Option<&'a str>,
}

impl Pages {
    /// `GET /me`
    pub(super) async fn me(&self, visit: &Visit<'_>, parts: Option<&SigningIn>) -> Page {
        let Some(parts) = parts else { return problem(visit, 401, "Not signed in", Reason::NoCredentials, None) };
        match self.who(visit, parts).await {
            Who::Somebody(live) => {
                let principal = &live.principal;
                let me = json!({
                    "subject": principal.subject,
                    "name": principal.name,
                    "email": principal.email.as_ref().map(|email| email.address()),
                    "provider": principal.provider.as_str(),
                    "tiers": self.tiers(principal),
                    "scopes": principal.scopes.iter().collect::<Vec<_>>(),
                    "expires_at": live.ends_at.to_string(),
                });
                renewed(json_page(200, "application/json", &me), &live)
            }
            who @ (Who::Nobody(_) | Who::Barred(_) | Who::Unknown) => self.not_me(visit, parts, &who),
        }
    }

    /// `GET /oauth2/userinfo`: the members of oauth2-proxy's answer, of which
    /// it leaves the last two out where they would be empty.
    pub(super) async fn userinfo(&self, visit: &Visit<'_>, parts: Option<&SigningIn>) -> Page {
        let Some(parts) = parts else { return problem(visit, 401, "Not signed in", Reason::NoCredentials, None) };
        match self.who(visit, parts).await {
            Who::Somebody(live) => {
                let principal = &live.principal;
                let userinfo = UserInfo {
                    user: &principal.subject,
                    email: principal.email.as_ref().map_or("", |email| email.address()),
                    groups: principal.groups.iter().collect(),
                    preferred_username: principal.name.as_deref(),
                };
                renewed(json_page(200, "application/json", &json!(userinfo)), &live)
            }
            who @ (Who::Nobody(_) | Who::Barred(_) | Who::Unknown) => self.not_me(visit, parts, &who),
        }
    }

    /// The answer for a program that asks who is signed in when nobody is known to be.
    fn not_me(&self, visit: &Visit<'_>, parts: &SigningIn, who: &Who) -> Page {
        match who {
            Who::Unknown => {
                return problem(visit, 503, "Sessions cannot be read right now", Reason::Unavailable, None);
            }
            Who::Barred(_) => return problem(visit, 403, "This account is disabled", Reason::DisabledUser, None),
            Who::Somebody(_) | Who::Nobody(_) => {}
        }
        let login_url = format!("{}{}", parts.public_origin, self.routes.to("/login"));
        problem(visit, 401, "Not signed in", Reason::NoCredentials, Some(login_url))
    }

    /// `GET /sessions`
    pub(super) async fn sessions(&self, visit: &Visit<'_>, parts: &SigningIn) -> Page {
        let live = match self.who(visit, parts).await {
            Who::Somebody(live) => live,
            Who::Nobody(_) => return self.nobody(visit, parts),
            Who::Barred(live) => return self.barred(visit, &live),
            Who::Unknown => return self.store_is_down(visit, UNREADABLE),
        };
        let language = self.content.language(visit);
        let Ok((rows, more)) = rows(parts, &live, live.key, &language).await else {
            return self.store_is_down(visit, UNREADABLE);
        };
        let values =
            json!({ "sessions": rows, "more": more, "base": self.routes.base_path(), "tokens": self.routes.tokens() });
        let form = Form::Own(&[]);
        let sheet = Sheet { status: 200, template: "sessions.html", sign: "devices", title: "sessions.title", form };
        renewed(self.content.page(visit, &sheet, values), &live)
    }

    /// `POST /sessions/revoke` with `key`; only a session of the same person.
    pub(super) async fn revoke(&self, visit: &Visit<'_>, parts: &SigningIn) -> Page {
        if !visit.is_same_origin(&parts.public_origin) {
            return self.came_from_elsewhere(visit);
        }
        let form = match visit.form() {
            Ok(form) => form,
            Err(error) => return self.no_form(visit, error),
        };
        let live = match self.who(visit, parts).await {
            Who::Somebody(live) => live,
            Who::Nobody(_) => return self.nobody(visit, parts),
            Who::Barred(live) => return self.barred(visit, &live),
            Who::Unknown => return self.store_is_down(visit, NOT_ENDED),
        };
        let Some(key) = form.field("key").and_then(|key| SessionKey::parse(&key)) else {
            let notice = Notice::new(400, "devices", "sessions.which", "sessions.which_text");
            return self.content.notice(visit, &notice.action("sessions.title", self.routes.to("/sessions")));
        };
        let principal = &live.principal;
        let Ok(own) = parts.sessions.of_subject(&principal.issuer, &principal.subject).await else {
            return self.store_is_down(visit, NOT_ENDED);
        };
        // One that is over already, or that of somebody else, is no error: it is not in the list.
        if own.contains(&key) && parts.sessions.end(key).await.is_err() {
            return self.store_is_down(visit, NOT_ENDED);
        }
        if key == live.key {
            return redirect(self.signed_out_url(parts), &[SetCookie::clear_session(), SetCookie::clear_rounds()]);
        }
        renewed(redirect(format!("{}{}", parts.public_origin, self.routes.to("/sessions")), &[]), &live)
    }

    /// The tiers of a person under the policy that is live, by name.
    fn tiers(&self, principal: &Principal) -> Vec<String> {
        let snapshot = self.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        let held = tiers.held_by(Some(principal));
        held.iter().map(|tier| tiers.name(tier).to_owned()).collect()
    }
}

fn problem(visit: &Visit<'_>, status: u16, title: &str, reason: Reason, login_url: Option<String>) -> Page {
    let detail = match status {
        403 => "An administrator can let it in again.",
        503 => "Try again in a moment.",
        _ => "The request brings no session that is live.",
    };
    let mut problem = json!({
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "reason": reason.as_str(),
        "request_id": visit.request_id(),
    });
    if let (Some(problem), Some(url)) = (problem.as_object_mut(), login_url) {
        problem.insert("login_url".to_owned(), url.into());
    }
    json_page(status, "application/problem+json", &problem)
}

const UNREADABLE: &str = "sessions.unreadable";
const NOT_ENDED: &str = "sessions.not_ended";

/// The sessions of the person, this one first, then the newest; and how many are not shown.
async fn rows(
    parts: &SigningIn,
    live: &LiveSession,
    own: SessionKey,
    language: &Language,
) -> Result<(Vec<Row>, usize), StoreError> {
    let principal = &live.principal;
    let mut keys = parts.sessions.of_subject(&principal.issuer, &principal.subject).await?;
    keys.retain(|key| *key != own);
    keys.insert(0, own);
    let more = keys.len().saturating_sub(MAX_SHOWN);
    let mut listings: Vec<SessionListing> = Vec::new();
    for key in keys.into_iter().take(MAX_SHOWN) {
        listings.extend(parts.sessions.look_at(key).await?);
    }
    let since = |listing: &SessionListing| listing.card.as_ref().map(|card| card.signed_in_at);
    listings.sort_by_key(|listing| (listing.key != own, std::cmp::Reverse(since(listing))));
    let row = |listing: SessionListing| {
        let card = listing.card?;
        Some(Row {
            key: listing.key.to_string(),
            browser: browser::name(&card.user_agent, language),
            own: listing.key == own,
            since: Moment::of(card.signed_in_at, language),
            until: Moment::of(listing.ends_at, language),
        })
    };
    Ok((listings.into_iter().filter_map(row).collect(), more))
}
