//! Personal access tokens: a person makes, sees and revokes their own. Only a
//! session does that: no token makes another.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::content::{Moment, Notice, Sheet, json_page, redirect};
use super::request::{Form as Sent, Visit};
use super::{Pages, SigningIn, Who, renewed};
use crate::check::Page;
use crate::directory::{
    AccessToken, AccessTokenId, AccessTokenSecret, Actor, Because, Directory, DirectoryError, NewAccessToken, Rights,
    SignedIn, Standing, TOO_MANY_NEW_TOKENS, UserChange, UserKey, UserRef,
};
use crate::session::LiveSession;
use crate::types::{Principal, Random, Reason, TierSet, UnixTime};
use crate::ui::{Form, Language, Text};

/// The longest name of a token, in characters.
const MAX_NAME: usize = 100;
const DAY: u64 = 24 * 60 * 60;
/// The lifetimes to choose from, in days, besides the longest.
const DAYS: [u64; 5] = [7, 30, 90, 180, 365];

/// What the page of personal access tokens stands on.
pub struct AccessTokenPage {
    /// Keeps them.
    pub directory: Arc<Directory>,
    /// Makes them.
    pub random: Arc<dyn Random>,
    /// How long one may last.
    pub max_lifetime: Duration,
    /// How many somebody may have at a time.
    pub max_per_user: usize,
}

#[derive(Serialize)]
struct Row {
    id: String,
    name: String,
    tiers: Vec<String>,
    made: Moment,
    ends: Moment,
    used: Option<Moment>,
}

/// A tier to choose.
#[derive(Serialize)]
struct Choice {
    name: String,
    label: String,
}

/// A lifetime to choose.
#[derive(Serialize)]
struct Lifetime {
    seconds: u64,
    label: String,
    chosen: bool,
}

/// A token that was made a moment ago, the one time that it is shown.
#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    secret: &'a str,
    origin: &'a str,
}

/// What somebody asks for.
struct Wanted {
    name: String,
    tiers: Vec<String>,
    lifetime: Duration,
}

/// Why no token is made.
enum Refusal {
    Notice(&'static str),
    TooOften,
    Store,
}

impl Pages {
    /// `GET /tokens`, `POST /tokens` with `name`, `tier` (each) and `lifetime` (seconds).
    pub(super) async fn tokens(&self, visit: &Visit<'_>, parts: &SigningIn, tokens: &AccessTokenPage) -> Page {
        let makes = visit.method() == "POST";
        if makes && !visit.is_same_origin(&parts.public_origin) {
            return self.came_from_elsewhere(visit);
        }
        let live = match self.who(visit, parts).await {
            Who::Somebody(live) => live,
            Who::Nobody(_) => return self.nobody(visit, parts),
            Who::Barred(live) => return self.barred(visit, &live),
            Who::Unknown => return self.store_is_down(visit, if makes { NOT_MADE } else { UNREADABLE }),
        };
        let page = if makes {
            self.make_token(visit, parts, tokens, &live).await
        } else {
            self.list_tokens(visit, parts, tokens, &live, None).await
        };
        renewed(page, &live)
    }

    /// `POST /tokens/revoke` with `id`; only a token of the same person.
    pub(super) async fn revoke_token(&self, visit: &Visit<'_>, parts: &SigningIn, tokens: &AccessTokenPage) -> Page {
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
            Who::Unknown => return self.store_is_down(visit, NOT_REVOKED),
        };
        let Some(id) = form.field("id").and_then(|id| AccessTokenId::parse(&id)) else {
            return self.token_notice(visit, 400, "tokens.which", "tokens.which_text");
        };
        let key = key_of(&live.principal);
        let directory = &tokens.directory;
        let revoked = match directory.standing(&key).await {
            Ok(Some(owner)) => directory.revoke_access_token(owner.id, id, Actor::Person(key)).await,
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        match revoked {
            // One that is over already, or that of somebody else, is no error: it is not in the list.
            Ok(_) | Err(DirectoryError::Missing(_)) => {
                renewed(redirect(format!("{}{}", parts.public_origin, self.routes.to("/tokens")), &[]), &live)
            }
            Err(
                DirectoryError::Unavailable(_)
                | DirectoryError::Corrupt
                | DirectoryError::Taken(_)
                | DirectoryError::Changed
                | DirectoryError::NotManaged
                | DirectoryError::TooMany(_),
            ) => self.store_is_down(visit, NOT_REVOKED),
        }
    }

    async fn make_token(
        &self,
        visit: &Visit<'_>,
        parts: &SigningIn,
        tokens: &AccessTokenPage,
        live: &LiveSession,
    ) -> Page {
        let form = match visit.form() {
            Ok(form) => form,
            Err(error) => return self.no_form(visit, error),
        };
        let wanted = match self.wanted(&form, tokens, &live.principal) {
            Ok(wanted) => wanted,
            Err(fault) => return self.token_notice(visit, 400, "tokens.faulty", fault),
        };
        match self.keep_token(visit, tokens, live, wanted).await {
            Ok((token, secret)) if visit.is_navigation() => {
                let made = Made { name: &token.name, secret: secret.written().expose(), origin: &parts.public_origin };
                self.list_tokens(visit, parts, tokens, live, Some(made)).await
            }
            Ok((token, secret)) => {
                let mut made = told(&token);
                if let Some(made) = made.as_object_mut() {
                    made.insert("token".to_owned(), secret.written().expose().into());
                }
                json_page(201, "application/json", &made)
            }
            Err(Refusal::Notice(fault)) => self.token_notice(visit, 409, "tokens.faulty", fault),
            Err(Refusal::TooOften) => self.token_notice(visit, 429, "tokens.faulty", "tokens.faulty_often"),
            Err(Refusal::Store) => self.store_is_down(visit, NOT_MADE),
        }
    }

    async fn keep_token(
        &self,
        visit: &Visit<'_>,
        tokens: &AccessTokenPage,
        live: &LiveSession,
        wanted: Wanted,
    ) -> Result<(AccessToken, AccessTokenSecret), Refusal> {
        let now = self.clock.now();
        let key = key_of(&live.principal);
        let owner = tokens.owner(&key, live, visit.request_id()).await.map_err(|_| Refusal::Store)?;
        let held = tokens.counting(&owner, now).await.map_err(|_| Refusal::Store)?;
        // A page that is loaded again sends its form again.
        if held.iter().any(|token| token.name == wanted.name) {
            return Err(Refusal::Notice("tokens.faulty_taken"));
        }
        let secret = AccessTokenSecret::draw(tokens.random.as_ref());
        let new = NewAccessToken {
            id: AccessTokenId::draw(tokens.random.as_ref()),
            hash: secret.hash(),
            owner: owner.id,
            name: wanted.name,
            tiers: wanted.tiers,
            expires_at: now.plus(wanted.lifetime),
        };
        match tokens.directory.create_access_token(new, tokens.max_per_user, Actor::Person(key)).await {
            Ok(token) => Ok((token, secret)),
            Err(DirectoryError::TooMany(TOO_MANY_NEW_TOKENS)) => Err(Refusal::TooOften),
            Err(DirectoryError::TooMany(_)) => Err(Refusal::Notice("tokens.faulty_full")),
            Err(
                DirectoryError::Unavailable(_)
                | DirectoryError::Corrupt
                | DirectoryError::Taken(_)
                | DirectoryError::Missing(_)
                | DirectoryError::Changed
                | DirectoryError::NotManaged,
            ) => Err(Refusal::Store),
        }
    }

    /// What the form asks for, within what this person may ask for.
    fn wanted(&self, form: &Sent<'_>, tokens: &AccessTokenPage, owner: &Principal) -> Result<Wanted, &'static str> {
        let name = form.field("name").map(|name| name.trim().to_owned()).unwrap_or_default();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return Err("tokens.faulty_name");
        }
        let asked = form.fields("tier");
        let mut tiers: Vec<String> = self.choices(owner).into_iter().map(|choice| choice.name).collect();
        if asked.is_empty() || asked.iter().any(|tier| !tiers.contains(tier)) {
            return Err("tokens.faulty_tiers");
        }
        tiers.retain(|tier| asked.contains(tier));
        let seconds = form.field("lifetime").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        let lifetime = Duration::from_secs(seconds);
        if lifetime.is_zero() || lifetime > tokens.max_lifetime {
            return Err("tokens.faulty_time");
        }
        Ok(Wanted { name, tiers, lifetime })
    }

    /// The tiers that a token of this person may be for: theirs now, but not
    /// those that anybody has.
    fn choices(&self, owner: &Principal) -> Vec<Choice> {
        let snapshot = self.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        let (held, anybodys): (TierSet, TierSet) = (tiers.held_by(Some(owner)), tiers.held_by(None));
        let held = held.iter().filter(|tier| !anybodys.contains(*tier));
        held.map(|tier| Choice { name: tiers.name(tier).to_owned(), label: tiers.label(tier).to_owned() }).collect()
    }

    async fn list_tokens(
        &self,
        visit: &Visit<'_>,
        parts: &SigningIn,
        tokens: &AccessTokenPage,
        live: &LiveSession,
        made: Option<Made<'_>>,
    ) -> Page {
        let now = self.clock.now();
        let held = match tokens.directory.standing(&key_of(&live.principal)).await {
            Ok(Some(owner)) => tokens.counting(&owner, now).await,
            Ok(None) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let Ok(held) = held else {
            // The token is there: it has to be shown, whatever else cannot be.
            return match made {
                Some(made) => self.token_page(visit, tokens, live, &[], Some(&made)),
                None => self.store_is_down(visit, UNREADABLE),
            };
        };
        if made.is_none() && !visit.is_navigation() {
            let list: Vec<serde_json::Value> = held.iter().map(told).collect();
            let place = format!("{}{}", parts.public_origin, self.routes.to("/tokens"));
            return json_page(200, "application/json", &json!({ "tokens": list, "page": place }));
        }
        self.token_page(visit, tokens, live, &held, made.as_ref())
    }

    fn token_page(
        &self,
        visit: &Visit<'_>,
        tokens: &AccessTokenPage,
        live: &LiveSession,
        held: &[AccessToken],
        made: Option<&Made<'_>>,
    ) -> Page {
        let language = self.content.language(visit);
        let rows: Vec<Row> = held.iter().map(|token| self.row(token, &language)).collect();
        let values = json!({
            "made": made,
            "tokens": rows,
            "choices": self.choices(&live.principal),
            "lifetimes": tokens.lifetimes(self.clock.now(), &language),
            "full": held.len() >= tokens.max_per_user,
            "most": tokens.max_per_user,
            "base": self.routes.base_path(),
        });
        let form = Form::Own(&[]);
        let sheet = Sheet { status: 200, template: "tokens.html", sign: "key", title: "tokens.title", form };
        self.content.page(visit, &sheet, values)
    }

    fn row(&self, token: &AccessToken, language: &Language) -> Row {
        let snapshot = self.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        let label = |name: &String| tiers.index(name).map_or(name.as_str(), |tier| tiers.label(tier)).to_owned();
        Row {
            id: token.id.to_string(),
            name: token.name.clone(),
            tiers: token.tiers.iter().map(label).collect(),
            made: Moment::of(token.created_at, language),
            ends: Moment::of(token.expires_at, language),
            used: token.last_used_at.map(|used| Moment::of(used, language)),
        }
    }

    fn token_notice(&self, visit: &Visit<'_>, status: u16, title: &'static str, text: &'static str) -> Page {
        let notice = Notice::new(status, "key", title, text).reason(Reason::BadTarget);
        self.content.notice(visit, &notice.action("tokens.title", self.routes.to("/tokens")))
    }
}

impl AccessTokenPage {
    /// The tokens of somebody that count, the latest first.
    async fn counting(&self, owner: &Standing, now: UnixTime) -> Result<Vec<AccessToken>, DirectoryError> {
        let mut held = self.directory.store().access_tokens(owner.id).await?;
        held.retain(|token| token.counts(owner.valid_from, now));
        Ok(held)
    }

    /// The record of somebody who is signed in; it is made for a session that is
    /// older than the directory.
    async fn owner(
        &self,
        key: &UserKey,
        live: &LiveSession,
        request_id: &str,
    ) -> Result<Arc<Standing>, DirectoryError> {
        if let Some(standing) = self.directory.standing(key).await? {
            return Ok(standing);
        }
        let Principal { scopes, permissions, groups, email, name, .. } = live.principal.as_ref();
        let told = SignedIn {
            as_of: live.signed_in_at,
            rights: Rights { scopes: scopes.clone(), permissions: permissions.clone(), groups: groups.clone() },
            email: email.clone(),
            name: name.as_deref().map(str::to_owned),
            picture: None,
        };
        let because = Because { request_id: Some(request_id.to_owned()), ..Because::default() };
        let target = UserRef::Key(key.clone());
        self.directory.change(target, UserChange::SignedIn(told), Actor::SignIn, because).await?;
        self.directory.standing(key).await?.ok_or(DirectoryError::Missing("user"))
    }

    fn lifetimes(&self, now: UnixTime, language: &Language) -> Vec<Lifetime> {
        let longest = self.max_lifetime.as_secs();
        let days = DAYS.iter().map(|days| days.saturating_mul(DAY)).filter(|seconds| *seconds < longest);
        let all: Vec<u64> = days.chain([longest]).collect();
        // A month, or what comes nearest to it.
        let chosen = all.iter().rposition(|seconds| *seconds <= 30 * DAY).unwrap_or(0);
        let lifetime = |(place, seconds): (usize, u64)| {
            let until = Moment::of(now.plus(Duration::from_secs(seconds)), language);
            let (days, rest) = (seconds / DAY, seconds % DAY);
            let text = if days > 1 && rest == 0 {
                Text::of("tokens.days").with("count", days.to_string())
            } else {
                Text::of("tokens.until")
            };
            let label = language.say(&text.with("moment", until.short()));
            Lifetime { seconds, label, chosen: place == chosen }
        };
        all.into_iter().enumerate().map(lifetime).collect()
    }
}

const UNREADABLE: &str = "tokens.unreadable";
const NOT_MADE: &str = "tokens.not_made";
const NOT_REVOKED: &str = "tokens.not_revoked";

fn key_of(principal: &Principal) -> UserKey {
    UserKey::new(&principal.provider, &principal.subject)
}

/// A token as programs are told of it.
fn told(token: &AccessToken) -> serde_json::Value {
    json!({
        "id": token.id.to_string(),
        "name": token.name,
        "tiers": token.tiers,
        "created_at": token.created_at.to_string(),
        "expires_at": token.expires_at.to_string(),
        "last_used_at": token.last_used_at.map(|used| used.to_string()),
    })
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
