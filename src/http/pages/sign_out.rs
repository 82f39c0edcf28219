//! Signing out: by oneself, and by the provider over the back or the front channel.

use metrics::counter;
use serde_json::json;

use super::content::{Notice, Sheet, json_page, redirect};
use super::request::{NoForm, Visit};
use super::{Pages, SigningIn, Who, renewed};
use crate::check::Page;
use crate::oidc::LogoutTokenError;
use crate::session::{SessionCookie, SetCookie};
use crate::ui::{Form, Text};

impl Pages {
    /// `GET /logout`: asks first, so that no picture on another site signs anybody out.
    pub(super) async fn confirm_sign_out(&self, visit: &Visit<'_>, parts: &SigningIn) -> Page {
        match self.who(visit, parts).await {
            Who::Somebody(live) | Who::Barred(live) => {
                let values = json!({ "name": live.principal.shown_name(), "base": self.routes.base_path() });
                let onward = parts.relying_party.sign_out_origins(&live.principal.provider).await;
                let form = Form::Own(&onward);
                let sheet = Sheet { status: 200, template: "logout.html", sign: "door", title: "logout.title", form };
                renewed(self.content.page(visit, &sheet, values), &live)
            }
            Who::Nobody(_) => {
                let notice =
                    Notice::new(200, "done", "out.title", "out.nobody").action("page.start", self.routes.portal());
                self.content.notice(visit, &notice)
            }
            Who::Unknown => self.store_is_down(visit, "fault.store_who"),
        }
    }

    /// `POST /logout`, with `everywhere=1` for every session of the person.
    pub(super) async fn sign_out(&self, visit: &Visit<'_>, parts: &SigningIn) -> Page {
        if !visit.is_same_origin(&parts.public_origin) {
            return self.came_from_elsewhere(visit);
        }
        let form = match visit.form() {
            Ok(form) => form,
            Err(error) => return self.no_form(visit, error),
        };
        let everywhere = form.field("everywhere").is_some_and(|value| value == "1");
        let next = match &visit.cookies.session {
            SessionCookie::One(id) => match parts.relying_party.sign_out(id, everywhere).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(request_id = visit.request_id(), error = %error, "sign-out failed");
                    // The cookie stays: without it the session could not be ended any more.
                    return self.store_is_down(visit, "fault.store_sign_out");
                }
            },
            SessionCookie::None | SessionCookie::Malformed | SessionCookie::Multiple => None,
        };
        let next = next.unwrap_or_else(|| self.signed_out_url(parts));
        redirect(next, &[SetCookie::clear_session(), SetCookie::clear_rounds()])
    }

    /// `POST /backchannel-logout` (OIDC Back-Channel Logout 1.0 section 2.5).
    pub(super) async fn back_channel(visit: &Visit<'_>, parts: &SigningIn) -> Page {
        let token = match visit.form() {
            Ok(form) => form.field("logout_token"),
            Err(NoForm::NotAForm) => None,
            Err(NoForm::TooLarge) => {
                count_logout("too_large");
                return json_page(413, "application/json", &json!({ "error": "invalid_request" }));
            }
        };
        let ended = match token {
            Some(token) => parts.relying_party.end_by_logout_token(&token).await,
            None => Err(LogoutTokenError::Invalid("not_one_token")),
        };
        let request_id = visit.request_id();
        match ended {
            Ok(sessions) => {
                count_logout("ok");
                tracing::info!(request_id, sessions, "signed out by the provider");
                let headers = vec![("cache-control", "no-store".to_owned())];
                Page { status: 200, headers, body: String::new() }
            }
            Err(LogoutTokenError::Invalid(cause)) => {
                count_logout("invalid");
                tracing::warn!(request_id, cause, "a logout token was refused");
                json_page(400, "application/json", &json!({ "error": "invalid_request" }))
            }
            Err(LogoutTokenError::Store) => {
                count_logout("store");
                tracing::warn!(request_id, "a logout token could not be acted on: the session store does not answer");
                come_again()
            }
            Err(LogoutTokenError::Keys) => {
                count_logout("keys");
                tracing::warn!(request_id, "a logout token could not be judged: its key is not there");
                come_again()
            }
        }
    }

    /// `GET /frontchannel-logout?iss=…&sid=…` (OIDC Front-Channel Logout 1.0
    /// section 3), in a frame of the provider. Only the session that comes with
    /// its cookie is ended: other parties know a `sid` too. The page says nothing
    /// of it; only an outage of the store shows in the status.
    pub(super) async fn front_channel(&self, visit: &Visit<'_>, parts: &SigningIn) -> Page {
        let (mut ended, mut status) = (false, 200);
        if let (Some(issuer), Some(sid), SessionCookie::One(id)) =
            (visit.parameter("iss"), visit.parameter("sid"), &visit.cookies.session)
        {
            match parts.relying_party.end_by_front_channel(&issuer, &sid, id).await {
                Ok(is_ended) => ended = is_ended,
                Err(error) => {
                    tracing::warn!(error = %error, "front-channel logout failed");
                    status = 503;
                }
            }
        }
        let text = self.content.language(visit).say(&Text::of("sign_out.framed_text"));
        let values = json!({ "text": [text], "causes": [], "actions": [] });
        let form = Form::Framed(&self.framers);
        let sheet = Sheet { status, template: "message.html", sign: "door", title: "sign_out.framed", form };
        let mut page = self.content.page(visit, &sheet, values);
        if ended {
            page.headers.push(("set-cookie", SetCookie::clear_session().header_value()));
        }
        page
    }

    pub(super) fn no_form(&self, visit: &Visit<'_>, error: NoForm) -> Page {
        let notice = match error {
            NoForm::TooLarge => Notice::new(413, "trouble", "fault.form_large", "fault.form_large_text"),
            NoForm::NotAForm => Notice::new(415, "trouble", "fault.form_kind", "fault.form_kind_text"),
        };
        self.content.notice(visit, &notice.action("page.start", self.routes.portal()))
    }
}

/// The answer to a provider that should send its token once more.
fn come_again() -> Page {
    let mut page = json_page(503, "application/json", &json!({ "error": "temporarily_unavailable" }));
    page.headers.push(("retry-after", "5".to_owned()));
    page
}

fn count_logout(result: &'static str) {
    counter!("tiergate_logout_tokens_total", "result" => result).increment(1);
}
