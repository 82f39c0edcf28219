//! How the service is, at a glance.

use serde_json::json;

use super::words::{Fact, State};
use super::{Asked, Sight};
use crate::check::Page;
use crate::http::admin::desk::{SessionSearch, UserSearch};
use crate::http::admin::{AdminDesk, DeskError};
use crate::ui::Text;

/// How many sessions are counted at most.
const MOST_SESSIONS: usize = AdminDesk::MAX_SESSIONS;

impl Asked<'_> {
    /// It is shown whatever does not answer: that is what it is for.
    pub(super) async fn overview(&self) -> Page {
        let desk = &self.pages.desk;
        let mut tiles = Vec::new();
        let mut parts = Vec::new();
        let mut tile = |label: &'static str, value: String, path: &str| {
            tiles.push(json!({ "label": self.words.say(label), "value": value, "href": self.to(path) }));
        };
        if desk.has_directory() {
            let count = async |disabled: Option<bool>| {
                desk.users(UserSearch { disabled, limit: 1, ..UserSearch::default() }).await.map(|found| found.total)
            };
            let (all, disabled) = (count(None).await, count(Some(true)).await);
            parts.push(self.part("admin.store_directory", desk.directory_kind(), works(&all)));
            let number =
                |count: Result<u64, DeskError>| count.map_or_else(|_| "–".to_owned(), |count| count.to_string());
            tile("admin.users", number(all), "/users");
            tile("admin.users_disabled", number(disabled), "/users?state=disabled");
        }
        match desk.sessions(SessionSearch { of: None, limit: MOST_SESSIONS }).await {
            Err(DeskError::NoSessions) => {}
            Err(_) => {
                parts.push(self.part("admin.store_sessions", None, false));
                tile("admin.sessions", "–".to_owned(), "/sessions");
            }
            Ok(list) => {
                parts.push(self.part("admin.store_sessions", None, true));
                let more = if list.more { "+" } else { "" };
                tile("admin.sessions", format!("{}{more}", list.sessions.len()), "/sessions");
            }
        }
        let policy = desk.policy();
        tile("admin.apps", desk.apps().apps.len().to_string(), "/apps");
        tile("admin.rules", policy.rules.len().to_string(), "/policy");
        for provider in desk.providers().providers {
            let state = self.keys_state(&provider);
            parts.push(json!({ "name": provider.id, "about": provider.issuer, "state": state }));
        }
        let facts: [Fact; 3] = [
            self.words.fact("admin.version", env!("CARGO_PKG_VERSION")),
            self.words.fact("admin.policy_hash", policy.hash),
            self.words.fact("admin.instance", desk.instance()),
        ];
        let values = json!({ "tiles": tiles, "parts": parts, "facts": facts });
        let title = Text::of("admin.overview");
        self.page(Sight { place: "/", template: "admin_overview.html", title, values, told: None })
    }

    fn part(&self, name: &'static str, about: Option<&str>, works: bool) -> serde_json::Value {
        let state: State =
            if works { self.words.state("good", "admin.works") } else { self.words.state("bad", "admin.fails") };
        json!({ "name": self.words.say(name), "about": about, "state": state })
    }
}

const fn works<T>(answer: &Result<T, DeskError>) -> bool {
    answer.is_ok()
}
