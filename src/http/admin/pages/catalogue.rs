//! Apps, tiers, providers and their keys.

use serde_json::{Value, json};

use super::words::State;
use super::{Asked, Sight};
use crate::check::Page;
use crate::http::admin::desk::{AppView, ProviderView, TierView};
use crate::ui::Text;

/// How many apps are listed.
const SHOWN: usize = 1000;

impl Asked<'_> {
    /// `GET /apps`
    pub(super) fn apps(&self) -> Page {
        let (apps, tiers) = (self.pages.desk.apps().apps, self.pages.desk.tiers().tiers);
        let label = |name: &str| {
            tiers.iter().find(|tier| tier.name == name).map_or_else(|| name.to_owned(), |tier| tier.label.clone())
        };
        let row = |app: &AppView| {
            let health: Option<State> = match app.health {
                "up" => Some(self.words.state("good", "portal.health_up")),
                "down" => Some(self.words.state("bad", "portal.health_down")),
                _ => None,
            };
            let host = app.host.as_deref().unwrap_or_default();
            json!({
                "title": app.title,
                "tier": label(&app.tier),
                "href": self.explained(&format!("{}{}", if host.is_empty() { String::new() } else { format!("http://{host}") }, app.path)),
                "path": format!("{host}{}", app.path),
                "upstream": app.upstream,
                "hidden": app.hidden,
                "health": health,
            })
        };
        let tier = |tier: &TierView| {
            json!({
                "name": tier.name,
                "label": tier.label,
                "grant": tier.grant.clone().unwrap_or_else(|| self.words.say("admin.tier_only_included")),
                "includes": tier.includes,
                "apps": apps.iter().filter(|app| app.tier == tier.name).count(),
            })
        };
        let values = json!({
            "apps": apps.iter().take(SHOWN).map(row).collect::<Vec<_>>(),
            "more": apps.len().saturating_sub(SHOWN),
            "tiers": tiers.iter().map(tier).collect::<Vec<_>>(),
        });
        let title = Text::of("admin.apps_tiers");
        self.page(Sight { place: "/apps", template: "admin_apps.html", title, values, told: None })
    }

    /// `GET /providers`
    pub(super) fn providers(&self) -> Page {
        let yes_or_no = |is: bool| self.words.say(if is { "admin.yes" } else { "admin.no" });
        let row = |provider: &ProviderView| -> Value {
            let age = |seconds: u64| self.words.text(&Text::of("admin.ago").with("count", seconds.to_string()));
            let mut facts = vec![
                self.words.fact("admin.fact_issuer", &provider.issuer),
                self.words.fact("admin.fact_login", yes_or_no(provider.login)),
                self.words.fact("admin.fact_keys", provider.keys.to_string()),
            ];
            facts.extend(provider.keys_age_seconds.map(|seconds| self.words.fact("admin.fact_keys_age", age(seconds))));
            if let Some((result, at)) = provider.last_refresh.zip(provider.last_refresh_at) {
                facts.push(
                    self.words.fact("admin.fact_refresh", format!("{result}, {}", self.words.moment(at).short())),
                );
            }
            let is_managed = self.pages.managed.contains(&provider.id);
            json!({
                "name": provider.id,
                "state": self.keys_state(provider),
                "facts": facts,
                "management": is_managed.then(|| self.to("/idp")),
            })
        };
        let values = json!({ "providers": self.pages.desk.providers().providers.iter().map(row).collect::<Vec<_>>() });
        let title = Text::of("admin.providers");
        self.page(Sight { place: "/providers", template: "admin_providers.html", title, values, told: None })
    }

    pub(super) fn keys_state(&self, provider: &ProviderView) -> State {
        match (provider.ready, provider.keys) {
            (true, _) => self.words.state("good", "admin.keys_fresh"),
            (false, 0) => self.words.state("bad", "admin.keys_missing"),
            (false, _) => self.words.state("bad", "admin.keys_old"),
        }
    }
}
