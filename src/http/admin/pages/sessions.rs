//! Every live session.

use serde_json::json;

use super::told::Told;
use super::words::pager;
use super::{Asked, Sight};
use crate::check::{Credential, Page};
use crate::http::admin::DeskError;
use crate::http::pages::{FormFields, browser_name};
use crate::ui::Text;

/// How many are shown on a page.
const SHOWN: usize = 100;

impl Asked<'_> {
    /// `GET /sessions`
    pub(super) async fn sessions(&self) -> Result<Page, DeskError> {
        let skip = self.parameter("skip").and_then(|skip| skip.parse().ok()).unwrap_or(0);
        let (list, next) = self.pages.desk.session_page(skip, SHOWN).await?;
        let first = (skip > 0).then(|| self.to("/sessions"));
        let next = next.map(|next| self.to(&format!("/sessions?skip={next}")));
        let own = match &self.administrator.guest.credential {
            Credential::Session(live) => Some(live.key.to_string()),
            Credential::Bearer | Credential::AccessToken { .. } => None,
        };
        let owners = self.pages.desk.owners(&list.sessions).await;
        let rows: Vec<_> = list
            .sessions
            .iter()
            .zip(owners)
            .map(|(session, owner)| {
                let subject = session.subject.clone().unwrap_or_else(|| self.words.say("admin.unreadable"));
                let name = owner.as_ref().map_or(subject, |owner| owner.name.clone());
                json!({
                    "key": session.key,
                    "name": name,
                    "href": owner.map(|owner| self.to(&format!("/users/{}", owner.id))),
                    "own": own.as_deref() == Some(&session.key),
                    "browser": browser_name(session.user_agent.as_deref().unwrap_or_default(), self.words.language()),
                    "provider": session.provider,
                    "since": self.words.moment(session.signed_in_at.unwrap_or(session.idle_until)),
                    "until": self.words.moment(session.ends_at),
                })
            })
            .collect();
        let values = json!({
            "note": list.more.then(|| self.words.say("admin.sessions_more")),
            "sessions": rows,
            "here": self.to("/sessions"),
            "pages": pager(first.as_deref(), next.as_deref()),
        });
        let told = self.visit.parameter("done").map(|_| Told::done(Text::of("admin.did_end_session")));
        let title = Text::of("admin.sessions");
        Ok(self.page(Sight { place: "/sessions", template: "admin_sessions.html", title, values, told }))
    }

    /// `POST /sessions/end` with `key`
    pub(super) async fn end_session(&self, form: FormFields<'_>) -> Result<Page, DeskError> {
        self.end(form).await?;
        Ok(self.pages.onward("/sessions?done=1"))
    }
}
