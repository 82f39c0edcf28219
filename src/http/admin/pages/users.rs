//! The users: searched, filtered, page by page.

use serde_json::{Value, json};

use super::words::{Choice, State, address, named, pager};
use super::{Asked, Sight};
use crate::check::Page;
use crate::directory::{UserId, UserOrder};
use crate::http::admin::DeskError;
use crate::http::admin::desk::{UserSearch, UserView};
use crate::ui::Text;

/// How many are on a page.
const PER_PAGE: usize = 50;
/// The value of the filter for users who are refused.
const DISABLED: &str = "disabled";
/// The value for those who are not.
const ACTIVE: &str = "active";

impl Asked<'_> {
    /// `GET /users?q=…&provider=…&state=…&tier=…&group=…&after=…`
    pub(super) async fn users(&self) -> Result<Page, DeskError> {
        let [query, provider, state, tier, group] =
            ["q", "provider", "state", "tier", "group"].map(|name| self.parameter(name));
        let state = state.filter(|state| [DISABLED, ACTIVE].contains(&state.as_str()));
        let after = self.parameter("after").and_then(|after| UserId::parse(&after));
        let search = UserSearch {
            search: query.clone(),
            provider: provider.clone(),
            disabled: state.as_deref().map(|state| state == DISABLED),
            group: group.clone(),
            tier: tier.clone(),
            order: UserOrder::UserName,
            after,
            limit: PER_PAGE,
        };
        let found = self.pages.desk.users(search).await?;
        let here = self.to("/users");
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (q, of, is, at, within) = (text(&query), text(&provider), text(&state), text(&tier), text(&group));
        let page = |after: &str| {
            let filters = [("q", q.as_str()), ("provider", &of), ("state", &is), ("tier", &at), ("group", &within)];
            address(&here, &[filters.as_slice(), &[("after", after)]].concat())
        };
        let pages = pager(after.map(|_| page("")).as_deref(), found.next.as_deref().map(&page).as_deref());
        let providers = self.provider_choices(provider.as_deref());
        let is_one_of_many = !providers.is_empty();
        let is_filtered = [&query, &provider, &state, &tier, &group].into_iter().any(Option::is_some);
        let values = json!({
            "here": here,
            "query": q,
            "providers": providers,
            "states": [
                self.words.choice("", "admin.any", state.as_deref()),
                self.words.choice(ACTIVE, "admin.state_active", state.as_deref()),
                self.words.choice(DISABLED, "admin.state_disabled", state.as_deref()),
            ],
            "tiers": self.tier_choices("admin.any", tier.as_deref()),
            "group": within,
            "users": found.users.iter().map(|user| self.user_row(user, is_one_of_many)).collect::<Vec<_>>(),
            "total": found.total,
            "filtered": is_filtered,
            "pages": pages,
        });
        let title = Text::of("admin.users");
        Ok(self.page(Sight { place: "/users", template: "admin_users.html", title, values, told: None }))
    }

    fn user_row(&self, user: &UserView, says_provider: bool) -> Value {
        json!({
            "href": self.to(&format!("/users/{}", user.id)),
            "name": user.shown_name,
            "about": about(user),
            "provider": says_provider.then_some(&user.provider),
            "state": self.user_state(user, false),
            "grants": user.grants.iter().filter(|grant| grant.active).map(|grant| &grant.tier).collect::<Vec<_>>(),
            "seen": user.last_seen.map(|seen| self.words.moment(seen)),
        })
    }

    /// How somebody is; of those who are as they should be nothing is said in a list.
    pub(super) fn user_state(&self, user: &UserView, says_active: bool) -> State {
        match (user.disabled_here, user.disabled_there) {
            (true, _) => self.words.state("bad", "admin.state_disabled"),
            (false, true) => self.words.state("bad", "admin.state_disabled_there"),
            (false, false) if says_active => self.words.state("good", "admin.state_active"),
            (false, false) => State { kind: "", text: String::new() },
        }
    }

    /// None where there is only one.
    fn provider_choices(&self, chosen: Option<&str>) -> Vec<Choice> {
        let providers = self.pages.desk.providers().providers;
        if providers.len() < 2 {
            return Vec::new();
        }
        let any = self.words.choice("", "admin.any", chosen);
        std::iter::once(any).chain(providers.iter().map(|provider| named(&provider.id, chosen))).collect()
    }

    /// The tiers that somebody may be given, after what is said by `first`.
    pub(super) fn tier_choices(&self, first: &'static str, chosen: Option<&str>) -> Vec<Choice> {
        let tiers = self.pages.desk.tiers().tiers;
        let choice = |name: &str, label: &str| Choice {
            value: name.to_owned(),
            label: if name == label { name.to_owned() } else { format!("{label} ({name})") },
            chosen: chosen == Some(name),
        };
        let tiers = tiers.iter().filter(|tier| !tier.anyone).map(|tier| choice(&tier.name, &tier.label));
        std::iter::once(self.words.choice("", first, chosen)).chain(tiers).collect()
    }
}

/// What somebody is known by beside their name.
pub(super) fn about(user: &UserView) -> String {
    let known = user.email.as_deref().filter(|email| *email != user.shown_name);
    known.unwrap_or(&user.subject).to_owned()
}
