//! The portal: the apps that open for whoever asks, as the check judges them.
//!
//! What an app says of itself is hostile text: it reaches the page escaped, and
//! as an address only where it is one of the kinds that run nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;
use unicode_normalization::UnicodeNormalization as _;

use super::cards::{Card, Scene};
use super::content::{Notice, Sheet};
use super::request::Visit;
use super::{Pages, SigningIn, Who, renewed};
use crate::apps::{App, Catalogue};
use crate::check::{Access, Opening, Page, Snapshot};
use crate::session::LiveSession;
use crate::types::Principal;
use crate::ui::{Form, Text};

/// The parameter of a browser that comes from signing out here.
const SIGNED_OUT: &str = "signed_out";
/// The parameter of one that comes back from signing out at its provider (OIDC
/// RP-Initiated Logout 1.0 section 3).
const STATE: &str = "state";
/// What is searched for.
const QUERY: &str = "q";
/// The name of the one tier to show.
const TIER: &str = "tier";

/// The most cards on the page; the rest is found by searching, or tier by tier.
const MAX_CARDS: usize = 120;
/// The least cards of a tier that has as many.
const MIN_OF_TIER: usize = 8;
/// The most cards on the page of one tier.
const MAX_OF_ONE_TIER: usize = 480;
/// The longest search, in characters.
const MAX_QUERY: usize = 100;

#[derive(Serialize)]
struct Group {
    label: String,
    apps: Vec<Card>,
    total: usize,
    /// How many are not shown.
    more: usize,
    /// Where all of them are.
    href: Option<String>,
}

/// What a catalogue is searched by, made once for each catalogue.
pub(super) struct Index {
    catalogue: Arc<Catalogue>,
    /// For each app that is not hidden, in the catalogue's order.
    apps: Vec<Searched>,
}

struct Searched {
    text: String,
    /// The place among the apps of all tiers, by title.
    order: usize,
}

/// The index of the catalogue that was shown last.
#[derive(Default)]
pub(super) struct Indexed(Mutex<Option<Arc<Index>>>);

impl Indexed {
    fn of(&self, catalogue: &Arc<Catalogue>) -> Arc<Index> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(index) = held.filter(|index| Arc::ptr_eq(&index.catalogue, catalogue)) {
            return index;
        }
        let index = Arc::new(Index::of(catalogue));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&index));
        index
    }
}

impl Index {
    fn of(catalogue: &Arc<Catalogue>) -> Self {
        let shown: Vec<&Arc<App>> = catalogue.apps().iter().filter(|app| !app.hidden).collect();
        let mut titles: Vec<(String, usize)> =
            shown.iter().enumerate().map(|(position, app)| (fold(app.shown_title()), position)).collect();
        titles.sort_unstable();
        let mut orders = vec![0; shown.len()];
        for (order, (_, position)) in titles.iter().enumerate() {
            if let Some(place) = orders.get_mut(*position) {
                *place = order;
            }
        }
        let apps = shown.iter().zip(orders).map(|(app, order)| Searched { text: searched(app), order }).collect();
        Self { catalogue: Arc::clone(catalogue), apps }
    }
}

/// Everything of an app that a search looks at.
fn searched(app: &App) -> String {
    let more = [app.title.as_deref(), app.description.as_deref(), app.owner.as_deref(), app.version.as_deref()];
    let parts = [app.id.name.as_str(), app.id.tier.as_ref()].into_iter().chain(more.into_iter().flatten());
    fold(&parts.collect::<Vec<_>>().join(" "))
}

/// A text as searches compare it.
fn fold(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

/// What is asked of the portal.
struct Wanted {
    query: String,
    words: Vec<String>,
    tier: Option<String>,
}

impl Wanted {
    fn of(visit: &Visit<'_>, snapshot: &Snapshot) -> Self {
        let query: String = visit.parameter(QUERY).unwrap_or_default().trim().chars().take(MAX_QUERY).collect();
        let words = fold(&query).split_whitespace().map(str::to_owned).collect();
        let tier = visit.parameter(TIER).filter(|tier| snapshot.policy.tiers().index(tier).is_some());
        Self { query, words, tier }
    }

    fn is_everything(&self) -> bool {
        self.words.is_empty() && self.tier.is_none()
    }

    fn fits(&self, opening: &Opening, searched: &Searched, label: &str) -> bool {
        let is_of_tier = self.tier.as_deref().is_none_or(|tier| tier == opening.app.id.tier.as_ref());
        is_of_tier
            && self.words.iter().all(|word| searched.text.contains(word.as_str()) || label.contains(word.as_str()))
    }
}

impl Pages {
    /// `GET /`
    pub(super) async fn portal(&self, visit: &Visit<'_>, parts: Option<&SigningIn>) -> Page {
        let Some(parts) = parts else { return self.apps(visit, None, None) };
        match self.who(visit, parts).await {
            Who::Somebody(live) => renewed(self.apps(visit, Some(parts), Some(&live)), &live),
            Who::Nobody(_) => {
                // Anybody can write such an address: only words hang on it.
                let [here, there] = [SIGNED_OUT, STATE].map(|name| !visit.parameters(name).is_empty());
                if !here && !there {
                    return self.apps(visit, Some(parts), None);
                }
                let text = if here { "out.here" } else { "out.there" };
                let notice = Notice::new(200, "done", "out.title", text);
                let notice = notice.action("page.sign_in_again", self.routes.to("/login"));
                self.content.notice(visit, &notice.action("page.start", self.routes.portal()))
            }
            Who::Barred(live) => self.barred(visit, &live),
            Who::Unknown => self.store_is_down(visit, "fault.store_who"),
        }
    }

    /// Where a browser lands that has signed out here and not at its provider.
    pub(super) fn signed_out_url(&self, parts: &SigningIn) -> String {
        format!("{}{}?{SIGNED_OUT}=1", parts.public_origin, self.routes.portal())
    }

    /// Where the administrator's pages are, for those who may see them.
    fn admin_of(&self, snapshot: &Snapshot, principal: Option<&Principal>) -> Option<String> {
        let tiers = snapshot.policy.tiers();
        let tier = tiers.index(self.admin_tier.as_deref()?)?;
        tiers.held_by(Some(principal?)).contains(tier).then(|| self.routes.to("/admin/"))
    }

    fn apps(&self, visit: &Visit<'_>, parts: Option<&SigningIn>, live: Option<&LiveSession>) -> Page {
        let snapshot = self.checker.snapshot();
        let language = self.content.language(visit);
        let principal = live.map(|live| live.principal.as_ref());
        let wanted = Wanted::of(visit, &snapshot);
        let scene = Scene { pages: self, snapshot: &snapshot, language: &language, principal };
        let found = Found::of(&scene, &wanted);
        let title = if principal.is_some() { "portal.title" } else { "portal.title_nobody" };
        let note = if parts.is_some() { "portal.nobody_text" } else { "portal.no_sign_in" };
        let login = (principal.is_none() && parts.is_some()).then(|| self.routes.to("/login"));
        let person = parts.zip(live).map(|(parts, live)| scene.person(parts, live));
        let shown: usize = found.groups.iter().map(|group| group.apps.len()).sum();
        let values = json!({
            "person": person,
            "login": login,
            "note": language.say(&Text::of(note)),
            "base": self.routes.base_path(),
            "admin": self.admin_of(&snapshot, principal),
            "groups": found.groups,
            "query": wanted.query,
            "tier": wanted.tier,
            "searchable": found.of_person > 1,
            "whole": wanted.is_everything() && shown == found.of_person,
            "total": found.total,
            "empty": snapshot.catalogue.apps().is_empty(),
            "tokens": self.routes.tokens(),
        });
        let sheet = Sheet { status: 200, template: "portal.html", sign: "", title, form: Form::Portal };
        self.content.page(visit, &sheet, values)
    }
}

/// The apps to show.
struct Found {
    groups: Vec<Group>,
    /// Those that fit, shown or not.
    total: usize,
    /// Those that would fit were nothing searched for.
    of_person: usize,
}

impl Found {
    fn of(scene: &Scene<'_>, wanted: &Wanted) -> Self {
        let (pages, snapshot) = (scene.pages, scene.snapshot);
        let tiers = snapshot.policy.tiers();
        let index = pages.indexed.of(&snapshot.catalogue);
        let openings = snapshot.openings(scene.principal, pages.public_host.as_ref());
        let labels: BTreeMap<&str, String> =
            tiers.iter().map(|tier| (tiers.name(tier), fold(tiers.label(tier)))).collect();
        let label = |opening: &Opening| labels.get(opening.app.id.tier.as_ref()).map_or("", String::as_str);
        let is_shown = |opening: &Opening| snapshot.show_locked || opening.access == Access::Open;
        let mine: Vec<(&Opening, &Searched)> =
            openings.iter().zip(&index.apps).filter(|(opening, _)| is_shown(opening)).collect();
        let of_person = mine.len();
        // By tier, the widest first, as the config has them: what somebody gains
        // with a higher tier stands below what was there before.
        let mut by_tier: BTreeMap<Option<usize>, Vec<(&Opening, &Searched)>> = BTreeMap::new();
        for (opening, searched) in
            mine.into_iter().filter(|(opening, searched)| wanted.fits(opening, searched, label(opening)))
        {
            let tier = tiers.index(&opening.app.id.tier).map(|tier| tier.position());
            by_tier.entry(tier).or_default().push((opening, searched));
        }
        let total = by_tier.values().map(Vec::len).sum();
        let most = match by_tier.len() {
            _ if wanted.tier.is_some() => MAX_OF_ONE_TIER,
            _ if total <= MAX_CARDS => MAX_CARDS,
            groups => MAX_CARDS.checked_div(groups).unwrap_or(MAX_CARDS).max(MIN_OF_TIER),
        };
        let groups = by_tier.into_values().map(|apps| Group::of(scene, apps, most, wanted)).collect();
        Self { groups, total, of_person }
    }
}

impl Group {
    fn of(scene: &Scene<'_>, mut apps: Vec<(&Opening, &Searched)>, most: usize, wanted: &Wanted) -> Self {
        let tiers = scene.snapshot.policy.tiers();
        apps.sort_by_key(|(opening, searched)| (opening.access != Access::Open, searched.order));
        let total = apps.len();
        let tier = apps.first().and_then(|(opening, _)| tiers.index(&opening.app.id.tier));
        let more = total.saturating_sub(most);
        let href = tier.filter(|_| more > 0 && wanted.tier.is_none()).map(|tier| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair(TIER, tiers.name(tier));
            if !wanted.query.is_empty() {
                query.append_pair(QUERY, &wanted.query);
            }
            format!("{}?{}", scene.pages.routes.portal(), query.finish())
        });
        let apps = apps.into_iter().take(most).map(|(opening, _)| scene.card(opening)).collect();
        Self { label: tier.map_or("", |tier| tiers.label(tier)).to_owned(), apps, total, more, href }
    }
}
