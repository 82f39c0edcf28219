//! One user: all that is known, and what can be done.

use serde_json::{Value, json};

use super::audit::entries;
use super::span::SPANS;
use super::told::Told;
use super::users::about;
use super::words::{Fact, letter};
use super::{Asked, Sight};
use crate::check::Page;
use crate::directory::UserId;
use crate::http::admin::DeskError;
use crate::http::admin::desk::{AuditSearch, GrantView, SessionView, TokenView, UserView};
use crate::http::pages::browser_name;
use crate::ui::Text;

/// How many sessions are shown.
const SESSIONS: usize = 20;
/// How many lines of the audit are shown.
const HISTORY: usize = 10;

impl Asked<'_> {
    /// `GET /users/{id}`; `told` is said above it.
    pub(super) async fn user(&self, id: UserId, told: Option<Told>) -> Result<Page, DeskError> {
        let desk = &self.pages.desk;
        let user = desk.user(id).await?;
        let tokens = desk.access_tokens(id).await?.tokens;
        let history = desk.audit(AuditSearch { user: Some(id), limit: HISTORY, ..AuditSearch::default() }).await?;
        // Without them the rest is worth showing.
        let (sessions, more, note) = match desk.user_sessions(id, SESSIONS).await {
            Ok(list) => (list.sessions, list.more, "admin.user_sessions_none"),
            Err(DeskError::NoSessions) => (Vec::new(), false, "admin.user_sessions_none"),
            Err(_) => (Vec::new(), false, "admin.sessions_down"),
        };
        let here = self.to(&format!("/users/{id}"));
        let own = self.is_own(&user);
        let attributes =
            (!user.attributes.is_empty()).then(|| serde_json::to_string_pretty(&user.attributes).unwrap_or_default());
        let told = told.or_else(|| self.told_of(&user));
        let values = json!({
            "here": here,
            "users": self.to("/users"),
            "user": {
                "letter": letter(&user.shown_name),
                "about": about(&user),
                "own": own,
                "state": self.user_state(&user, true),
                "reason": user.disabled_reason,
                "can_enable": user.disabled,
                "can_disable": !user.disabled_here && !own,
                "groups": user.groups,
                "attributes": attributes,
            },
            "facts": self.facts(&user),
            "rights": user.rights,
            "grants": user.grants.iter().map(|grant| self.grant_row(grant)).collect::<Vec<_>>(),
            "tiers": self.tier_choices("admin.grant_choose", None),
            "spans": SPANS.map(|(value, label)| self.words.choice(value, label, None)),
            "until": "",
            "sessions": sessions.iter().map(|session| self.session_row(session)).collect::<Vec<_>>(),
            "more_sessions": more,
            "sessions_note": self.words.say(note),
            "tokens": tokens.iter().map(|token| self.token_row(token)).collect::<Vec<_>>(),
            "history": entries(self, &history.entries, false),
            "history_href": history.next.map(|_| format!("{}?user={id}", self.to("/audit"))),
        });
        let title = Text::of("admin.user_title").with("name", &user.shown_name);
        Ok(self.page(Sight { place: "/users", template: "admin_user.html", title, values, told }))
    }

    pub(super) fn is_own(&self, user: &UserView) -> bool {
        let actor = &self.administrator.actor;
        actor.provider.as_str() == user.provider && *actor.subject == *user.subject
    }

    fn facts(&self, user: &UserView) -> Vec<Fact> {
        let words = &self.words;
        let labels: Vec<String> = {
            let tiers = self.pages.desk.tiers().tiers;
            user.tiers
                .iter()
                .map(|held| tiers.iter().find(|tier| tier.name == *held).map_or(held, |tier| &tier.label).clone())
                .collect()
        };
        let none = || words.say("admin.none");
        [
            Some(words.fact("admin.fact_tiers", if labels.is_empty() { none() } else { labels.join(", ") })),
            user.email.as_ref().map(|email| words.fact("admin.fact_email", email)),
            Some(words.fact("admin.fact_user_name", &user.user_name)),
            Some(words.fact("admin.provider", &user.provider)),
            Some(words.fact("admin.fact_subject", &user.subject)),
            words.moment_fact("admin.fact_first_seen", user.first_seen),
            words.moment_fact("admin.fact_last_seen", user.last_seen),
            words.moment_fact("admin.fact_created", Some(user.created_at)),
            words.moment_fact("admin.fact_changed", Some(user.updated_at)),
            words.moment_fact("admin.fact_valid_from", user.valid_from),
            user.scim.then(|| words.fact("admin.fact_managed", words.say("admin.yes"))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn grant_row(&self, grant: &GrantView) -> Value {
        let tiers = self.pages.desk.tiers().tiers;
        let known = tiers.iter().find(|tier| tier.name == grant.tier);
        let note = match (grant.active, known) {
            (true, _) => None,
            (false, None) => Some(self.words.say("admin.grant_unknown")),
            (false, Some(_)) => Some(self.words.say("admin.grant_over")),
        };
        json!({
            "tier": grant.tier,
            "label": known.map_or(grant.tier.as_str(), |tier| &tier.label),
            "until": grant.until.map(|until| self.words.moment(until)),
            "note": note,
            "given_by": grant.given_by,
            "given_at": self.words.moment(grant.given_at),
        })
    }

    fn session_row(&self, session: &SessionView) -> Value {
        json!({
            "key": session.key,
            "browser": browser_name(session.user_agent.as_deref().unwrap_or_default(), self.words.language()),
            "since": self.words.moment(session.signed_in_at.unwrap_or(session.idle_until)),
            "until": self.words.moment(session.ends_at),
        })
    }

    fn token_row(&self, token: &TokenView) -> Value {
        let note = match (token.active, token.revoked_at) {
            (true, _) => None,
            (false, Some(_)) => Some(self.words.say("admin.token_revoked")),
            (false, None) => Some(self.words.say("admin.token_over")),
        };
        json!({
            "id": token.id,
            "name": token.name,
            "note": note,
            "tiers": token.tiers,
            "since": self.words.moment(token.created_at),
            "until": self.words.moment(token.expires_at),
            "used": token.last_used_at.map(|used| self.words.moment(used)),
            "live": token.active,
        })
    }
}
