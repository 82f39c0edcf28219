//! What is done to one user.

use serde_json::json;

use super::span::{self, NoSpan};
use super::told::Told;
use super::{Asked, Sight};
use crate::check::Page;
use crate::directory::{AccessTokenId, UserId};
use crate::http::admin::DeskError;
use crate::http::admin::desk::UserView;
use crate::http::pages::FormFields;
use crate::session::SessionKey;
use crate::ui::Text;

/// The parameter of the page after a form: what was done.
const DONE: &str = "done";
/// The longest reason, in characters.
const MAX_REASON: usize = 500;

impl Asked<'_> {
    /// `GET /users/{id}/disable`
    pub(super) async fn confirm_disable(&self, id: UserId) -> Result<Page, DeskError> {
        let user = self.pages.desk.user(id).await?;
        if self.is_own(&user) {
            return Err(DeskError::Yourself);
        }
        let text = Text::of("admin.disable_text").with("name", &user.shown_name);
        let values = json!({
            "text": [self.words.text(&text)],
            "action": self.to(&format!("/users/{id}/disable")),
            "submit": self.words.say("admin.disable_now"),
            "back": self.to(&format!("/users/{id}")),
            "asks_reason": true,
        });
        let title = Text::of("admin.disable_title").with("name", &user.shown_name);
        Ok(self.page(Sight { place: "/users", template: "admin_confirm.html", title, values, told: None }))
    }

    /// `GET /users/{id}/sign-out`
    pub(super) async fn confirm_sign_out(&self, id: UserId) -> Result<Page, DeskError> {
        let user = self.pages.desk.user(id).await?;
        let mut text = vec![self.words.text(&Text::of("admin.sign_out_text").with("name", &user.shown_name))];
        if self.is_own(&user) {
            text.push(self.words.say("admin.sign_out_own"));
        }
        let values = json!({
            "text": text,
            "action": self.to(&format!("/users/{id}/sign-out")),
            "submit": self.words.say("admin.sign_out_now"),
            "back": self.to(&format!("/users/{id}")),
            "asks_reason": false,
        });
        let title = Text::of("admin.sign_out_title").with("name", &user.shown_name);
        Ok(self.page(Sight { place: "/users", template: "admin_confirm.html", title, values, told: None }))
    }

    /// `POST /users/{id}/disable` with `reason`
    pub(super) async fn disable(&self, id: UserId, form: FormFields<'_>) -> Result<Page, DeskError> {
        let reason = form.field("reason").map(|reason| reason.trim().chars().take(MAX_REASON).collect::<String>());
        self.pages.desk.disable(self.by(), id, reason.filter(|reason| !reason.is_empty())).await?;
        Ok(self.back(id, "disable"))
    }

    /// `POST /users/{id}/enable`
    pub(super) async fn enable(&self, id: UserId) -> Result<Page, DeskError> {
        self.pages.desk.enable(self.by(), id).await?;
        Ok(self.back(id, "enable"))
    }

    /// `POST /users/{id}/sign-out`
    pub(super) async fn sign_out(&self, id: UserId) -> Result<Page, DeskError> {
        self.pages.desk.sign_out(self.by(), id).await?;
        Ok(self.back(id, "sign-out"))
    }

    /// `POST /users/{id}/grant` with `tier`, and one of `for` and `until`
    pub(super) async fn grant(&self, id: UserId, form: FormFields<'_>) -> Result<Page, DeskError> {
        let [tier, span, until] =
            ["tier", "for", "until"].map(|name| form.field(name).unwrap_or_default().trim().to_owned());
        let is_known = self.pages.desk.tiers().tiers.iter().any(|known| known.name == tier && !known.anyone);
        let fault = match span::end(&span, &until, self.pages.clock.now()) {
            _ if !is_known => "admin.bad_tier",
            Ok(until) => {
                self.pages.desk.grant(self.by(), id, tier.clone(), until).await?;
                return Ok(self.back(id, &format!("grant&tier={}", encoded(&tier))));
            }
            Err(NoSpan::Neither) => "admin.bad_span",
            Err(NoSpan::Both) => "admin.bad_both",
            Err(NoSpan::End) => "admin.bad_until",
        };
        self.user(id, Some(Told::not_done(Text::of(fault)))).await
    }

    /// `POST /users/{id}/revoke` with `tier`
    pub(super) async fn revoke(&self, id: UserId, form: FormFields<'_>) -> Result<Page, DeskError> {
        let tier = form.field("tier").unwrap_or_default();
        match self.pages.desk.revoke(self.by(), id, tier.clone()).await {
            // Two who press the button at once both get what they want.
            Ok(_) | Err(DeskError::NotThere("grant")) => Ok(self.back(id, &format!("revoke&tier={}", encoded(&tier)))),
            Err(error) => Err(error),
        }
    }

    /// `POST /users/{id}/end-session` with `key`
    pub(super) async fn end_session_of(&self, id: UserId, form: FormFields<'_>) -> Result<Page, DeskError> {
        self.end(form).await?;
        Ok(self.back(id, "end-session"))
    }

    /// Ends the session that the form names. One that is over already is no error.
    pub(super) async fn end(&self, form: FormFields<'_>) -> Result<(), DeskError> {
        let key = form.field("key").and_then(|key| SessionKey::parse(&key)).ok_or(DeskError::NotThere("session"))?;
        match self.pages.desk.revoke_session(self.by(), key).await {
            Ok(()) | Err(DeskError::NotThere("session")) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `POST /users/{id}/revoke-token` with `token`
    pub(super) async fn revoke_token(&self, id: UserId, form: FormFields<'_>) -> Result<Page, DeskError> {
        let token = form.field("token").and_then(|token| AccessTokenId::parse(&token));
        let token = token.ok_or(DeskError::NotThere("token"))?;
        self.pages.desk.revoke_access_token(self.by(), id, token).await?;
        Ok(self.back(id, "revoke-token"))
    }

    fn back(&self, id: UserId, done: &str) -> Page {
        self.pages.onward(&format!("/users/{id}?{DONE}={done}"))
    }

    /// What is said above the page after a form. Anybody can write such an
    /// address: only what is true of the user now is said.
    pub(super) fn told_of(&self, user: &UserView) -> Option<Told> {
        let done = self.visit.parameter(DONE)?;
        let about = |key: &'static str| Text::of(key).with("name", &user.shown_name);
        let tier = || self.visit.parameter("tier").filter(|tier| !tier.is_empty());
        let text = match done.as_str() {
            "disable" if user.disabled => about("admin.did_disable"),
            "enable" if !user.disabled => about("admin.did_enable"),
            "sign-out" if user.valid_from.is_some() => about("admin.did_sign_out"),
            "grant" => {
                let tier = tier()?;
                let grant = user.grants.iter().find(|grant| grant.tier == tier && grant.active)?;
                match grant.until {
                    Some(until) => about("admin.did_grant_until")
                        .with("tier", tier)
                        .with("moment", self.words.moment(until).short()),
                    None => about("admin.did_grant").with("tier", tier),
                }
            }
            "revoke" => {
                let tier = tier().filter(|tier| user.grants.iter().all(|grant| grant.tier != *tier))?;
                about("admin.did_revoke").with("tier", tier)
            }
            "end-session" => Text::of("admin.did_end_session"),
            "revoke-token" => Text::of("admin.did_revoke_token"),
            _ => return None,
        };
        Some(Told::done(text))
    }
}

fn encoded(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
