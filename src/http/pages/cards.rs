//! The cards of the portal, and who looks at them.

use serde::Serialize;

use super::content::Moment;
use super::{Pages, SigningIn};
use crate::apps::{App, Health, Icon};
use crate::check::{Access, Opening, Snapshot};
use crate::policy::Required;
use crate::session::LiveSession;
use crate::types::{CanonicalPath, Host, Principal, Reason};
use crate::ui::{Contact, Language, Text};

/// The longest text that stands in the square of a card in large letters, in characters.
const MAX_LARGE: usize = 2;

/// The portal as one person sees it.
pub(super) struct Scene<'a> {
    pub(super) pages: &'a Pages,
    pub(super) snapshot: &'a Snapshot,
    pub(super) language: &'a Language,
    pub(super) principal: Option<&'a Principal>,
}

/// Who is signed in.
#[derive(Serialize)]
pub(super) struct Person {
    name: String,
    letter: String,
    email: Option<String>,
    provider: String,
    /// What the highest tier is called.
    level: Option<String>,
    until: Moment,
}

/// One app.
#[derive(Serialize)]
pub(super) struct Card {
    name: String,
    title: String,
    href: String,
    description: Option<String>,
    version: Option<String>,
    owner: Option<Contact>,
    health: Option<&'static str>,
    icon: Picture,
    locked: bool,
    /// What is missing, in words.
    needs: Vec<String>,
}

/// What stands in the square of a card.
#[derive(Serialize)]
struct Picture {
    text: String,
    /// What stands there when a picture does not come.
    letter: String,
    src: Option<String>,
    /// Whether the text needs smaller letters.
    long: bool,
}

impl Scene<'_> {
    pub(super) fn person(&self, parts: &SigningIn, live: &LiveSession) -> Person {
        let principal = &live.principal;
        let tiers = self.snapshot.policy.tiers();
        let name = principal.shown_name();
        let email = principal.email.as_ref().map(|email| email.address()).filter(|email| *email != name);
        let providers = parts.relying_party.providers();
        let provider = providers.iter().find(|provider| provider.id == principal.provider);
        let level = tiers.highest(tiers.held_by(Some(principal)));
        Person {
            name: name.to_owned(),
            letter: letter(name),
            email: email.map(str::to_owned),
            provider: provider.map_or(principal.provider.as_str(), |provider| &provider.label).to_owned(),
            level: level.map(|tier| tiers.label(tier).to_owned()),
            until: Moment::of(live.ends_at, self.language),
        }
    }

    pub(super) fn card(&self, opening: &Opening) -> Card {
        let app = &opening.app;
        let needs = match &opening.access {
            Access::Open => Vec::new(),
            Access::Locked(reason, required) => self.needs(*reason, required),
        };
        let locked = opening.access != Access::Open;
        let health =
            app.health.as_ref().filter(|_| !locked).and(self.pages.health.as_ref()).map(|health| health.of(app));
        Card {
            name: app.id.name.as_str().to_owned(),
            title: app.shown_title().to_owned(),
            href: self.address(app),
            description: app.description.clone(),
            version: app.version.clone(),
            owner: app.owner.as_deref().map(Contact::parse),
            health: health.map(Health::as_str),
            icon: self.picture(app, locked),
            locked,
            needs,
        }
    }

    /// What of `required` the person does not have.
    fn needs(&self, reason: Reason, required: &Required) -> Vec<String> {
        let Some(principal) = self.principal else {
            return vec![self.language.say(&Text::of("portal.locked_sign_in"))];
        };
        let tiers = self.snapshot.policy.tiers();
        let held = tiers.held_by(Some(principal));
        let mut needs: Vec<Text> = Vec::new();
        for tier in required.tiers.iter().filter_map(|name| tiers.index(name)).filter(|tier| !held.contains(*tier)) {
            needs.push(Text::of("portal.locked_tier").with("tier", tiers.label(tier)));
        }
        let mut lists = |key: &'static str, names: &[String], has: &dyn Fn(&str) -> bool| {
            let missing: Vec<&str> = names.iter().map(String::as_str).filter(|name| !has(name)).collect();
            if !missing.is_empty() {
                needs.push(Text::of(key).with("names", missing.join(", ")));
            }
        };
        lists("portal.locked_scopes", &required.scopes, &|name| principal.scopes.contains(name));
        lists("portal.locked_permissions", &required.permissions, &|name| principal.permissions.contains(name));
        // Who passes by group, name or address is not told to strangers.
        if needs.is_empty() {
            let key = if reason == Reason::DisabledUser { "refused.disabled_user" } else { "portal.locked_other" };
            needs.push(Text::of(key));
        }
        needs.iter().map(|need| self.language.say(need)).collect()
    }

    /// Where the app is: a path, or a URL where the app names another host.
    fn address(&self, app: &App) -> String {
        let Some(host) = app.host.as_ref().filter(|_| !self.is_here(app)) else { return app.front().to_owned() };
        let scheme = self.pages.public_scheme.as_deref().unwrap_or("https");
        // A host without a port is reached at the port of the gateway.
        let port =
            self.pages.public_host.as_ref().map(Host::port).filter(|port| !port.is_empty() && host.port().is_empty());
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{scheme}://{}{port}{}", host.as_str(), app.front())
    }

    /// Whether the app is served where the portal is.
    fn is_here(&self, app: &App) -> bool {
        let is_public = |host: &Host| {
            let public = self.pages.public_host.as_ref();
            public.is_some_and(|public| public == host || (host.port().is_empty() && public.name() == host.name()))
        };
        app.host.as_ref().is_none_or(is_public)
    }

    /// A picture comes from below the app's own path or not at all: no other
    /// page is asked for with the cookies of whoever looks at the portal.
    fn picture(&self, app: &App, locked: bool) -> Picture {
        let letter = letter(app.shown_title());
        let (text, src) = match &app.icon {
            None => (letter.clone(), None),
            Some(Icon::Text(text)) => (text.clone(), None),
            Some(Icon::Path(path)) => {
                let whole = format!("{}{path}", app.path.prefix());
                let canonical =
                    CanonicalPath::parse(whole.as_bytes()).ok().filter(|path| app.path.covers(path.as_str()));
                (
                    letter.clone(),
                    canonical.filter(|_| !locked && self.is_here(app)).map(|path| path.as_str().to_owned()),
                )
            }
        };
        let long = text.chars().filter(|character| !is_joined(*character)).count() > MAX_LARGE;
        Picture { text, letter, src, long }
    }
}

/// Whether a character is one with the one before it, as in many emoji.
fn is_joined(character: char) -> bool {
    matches!(character, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
}

/// The first letter of a name.
fn letter(name: &str) -> String {
    let first = name.chars().find(|character| character.is_alphanumeric());
    first.map_or_else(|| "·".to_owned(), |first| first.to_uppercase().collect())
}
