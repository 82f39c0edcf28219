//! The management APIs of two products over one set of people: `/api/v2/users` as Auth0 documents it, and
//! `/admin/realms/dev/users` as Keycloak does, both for the service's own token (client credentials).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::keys::random_name;
use super::token::now;
use super::{Provider, Shared};
use crate::lock;

type Fields = HashMap<String, String>;

/// The most users on a page of Auth0.
const MOST: usize = 100;
/// How many users of a search Auth0 shows.
const SHOWN: usize = 1000;

/// Somebody whom the management API knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// The name to sign in with.
    pub user_name: String,
    /// The address; always verified.
    pub email: String,
    /// The first name.
    pub first: String,
    /// The last name.
    pub last: String,
    /// Whether they are blocked (Auth0), not enabled (Keycloak).
    pub blocked: bool,
    /// What else is known.
    pub attributes: Map<String, Value>,
    /// Roles (Auth0), groups (Keycloak, where they get a `/` in front).
    pub groups: Vec<String>,
    /// When they were made, in milliseconds of 1970.
    pub created: i64,
}

impl Person {
    /// Somebody, made at a moment.
    pub fn named(name: &str, created: i64) -> Self {
        Self {
            user_name: name.to_owned(),
            email: format!("{name}@example.com"),
            first: name.to_owned(),
            last: "Example".to_owned(),
            blocked: false,
            attributes: Map::new(),
            groups: Vec::new(),
            created,
        }
    }

    fn auth0(&self, id: &str) -> Value {
        let mut user = json!({
            "user_id": id, "email": self.email, "email_verified": true, "username": self.user_name,
            "name": format!("{} {}", self.first, self.last), "nickname": self.user_name, "given_name": self.first,
            "family_name": self.last, "picture": format!("https://pictures.example.com/{}.png", self.user_name),
            "created_at": moment(self.created), "updated_at": moment(self.created), "logins_count": 3,
            "identities": [{ "connection": "Username-Password-Authentication", "provider": "auth0", "user_id": id, "isSocial": false }],
        });
        if let Some(members) = user.as_object_mut() {
            // As there: these are left out while there is nothing to say.
            if self.blocked {
                members.insert("blocked".to_owned(), true.into());
            }
            if !self.attributes.is_empty() {
                members.insert("app_metadata".to_owned(), self.attributes.clone().into());
            }
        }
        user
    }

    fn keycloak(&self, id: &str) -> Value {
        let list = |value: &Value| json!([value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
        let attributes: Map<String, Value> =
            self.attributes.iter().map(|(name, value)| (name.clone(), list(value))).collect();
        json!({
            "id": id, "createdTimestamp": self.created, "username": self.user_name, "enabled": !self.blocked, "totp": false,
            "emailVerified": true, "firstName": self.first, "lastName": self.last, "email": self.email,
            "attributes": attributes, "disableableCredentialTypes": [], "requiredActions": [], "notBefore": 0,
            "access": { "manageGroupMembership": true, "view": true, "mapRoles": true, "impersonate": false, "manage": true },
        })
    }
}

/// What the management APIs know.
#[derive(Default)]
pub(crate) struct Management {
    people: BTreeMap<String, Person>,
    /// The tokens that count, with their ends.
    tokens: HashMap<String, i64>,
    pub(crate) issued: usize,
    lifetime: Option<i64>,
    requests: Vec<String>,
    admin_events: Vec<Value>,
}

impl Management {
    /// A new token of the service, and how long it counts.
    pub(crate) fn issue(&mut self) -> anyhow::Result<(String, i64)> {
        let (token, lifetime) = (random_name()?, self.lifetime.unwrap_or(3600));
        self.tokens.insert(token.clone(), now().saturating_add(lifetime));
        self.issued = self.issued.saturating_add(1);
        Ok((token, lifetime))
    }

    fn admits(&mut self, headers: &HeaderMap, request: String) -> bool {
        self.requests.push(request);
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        token.and_then(|token| self.tokens.get(token)).is_some_and(|end| *end > now())
    }
}

impl Provider {
    /// These people, by id, in place of all that the management APIs knew.
    pub fn set_people(&self, people: impl IntoIterator<Item = (String, Person)>) {
        lock(&self.shared.state).management.people = people.into_iter().collect();
    }

    /// Changes somebody whom the management APIs know.
    pub fn change_person(&self, id: &str, change: impl FnOnce(&mut Person)) {
        lock(&self.shared.state).management.people.get_mut(id).map(change);
    }

    /// Forgets somebody; whether they were known.
    pub fn remove_person(&self, id: &str) -> bool {
        lock(&self.shared.state).management.people.remove(id).is_some()
    }

    /// What Keycloak's list of admin events holds besides.
    pub fn add_admin_event(&self, event: Value) {
        lock(&self.shared.state).management.admin_events.push(event);
    }

    /// No token of the service counts any more.
    pub fn revoke_service_tokens(&self) {
        lock(&self.shared.state).management.tokens.clear();
    }

    /// How long the tokens of the service count from now on; an hour at first.
    pub fn set_service_token_lifetime(&self, seconds: i64) {
        lock(&self.shared.state).management.lifetime = Some(seconds);
    }

    /// How many tokens the service was given.
    pub fn service_tokens(&self) -> usize {
        lock(&self.shared.state).management.issued
    }

    /// What the management APIs were asked, in order: method, path and query.
    pub fn management_requests(&self) -> Vec<String> {
        lock(&self.shared.state).management.requests.clone()
    }
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v2/users", get(auth0_users))
        .route("/api/v2/users/{id}", get(auth0_user).patch(auth0_change))
        .route("/api/v2/users/{id}/roles", get(auth0_roles))
        .route("/admin/realms/dev/users", get(keycloak_users))
        .route("/admin/realms/dev/admin-events", get(keycloak_events))
        .route("/admin/realms/dev/users/{id}", get(keycloak_user))
        .route("/admin/realms/dev/users/{id}/groups", get(keycloak_groups))
}

fn refuse(status: StatusCode, error: &str, message: &str) -> Response {
    (status, Json(json!({ "statusCode": status.as_u16(), "error": error, "message": message }))).into_response()
}

fn unauthorized() -> Response {
    refuse(StatusCode::UNAUTHORIZED, "Unauthorized", "Invalid token")
}

fn written(method: &str, path: &str, query: &Fields) -> String {
    let sorted: BTreeMap<&String, &String> = query.iter().collect();
    let query: Vec<String> = sorted.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{method} {path}?{}", query.join("&"))
}

fn number(query: &Fields, name: &str, otherwise: usize) -> usize {
    query.get(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

async fn auth0_users(
    headers: HeaderMap,
    Query(query): Query<Fields>,
    Extract(shared): Extract<Arc<Shared>>,
) -> Response {
    let mut state = lock(&shared.state);
    if !state.management.admits(&headers, written("GET", "/api/v2/users", &query)) {
        return unauthorized();
    }
    let (page, per_page) = (number(&query, "page", 0), number(&query, "per_page", 50));
    if per_page > MOST {
        return refuse(StatusCode::BAD_REQUEST, "Bad Request", "Query validation error: 'per_page' is too large");
    }
    if (page + 1) * per_page > SHOWN {
        return refuse(StatusCode::BAD_REQUEST, "Bad Request", "You can only page through the first 1000 records.");
    }
    let since =
        match query.get("q").map(|q| q.strip_prefix("created_at:[").and_then(|rest| rest.strip_suffix(" TO *]"))) {
            None => String::new(),
            Some(Some(since)) => since.to_owned(),
            Some(None) => return refuse(StatusCode::BAD_REQUEST, "Bad Request", "invalid_query_string"),
        };
    let mut found: Vec<(&String, &Person)> =
        state.management.people.iter().filter(|(_, person)| moment(person.created) >= since).collect();
    if query.get("sort").map(String::as_str) == Some("created_at:1") {
        found.sort_by_key(|(_, person)| person.created);
    }
    let total = found.len();
    let users: Vec<Value> =
        found.into_iter().skip(page * per_page).take(per_page).map(|(id, person)| person.auth0(id)).collect();
    if query.get("include_totals").map(String::as_str) == Some("true") {
        let length = users.len();
        return Json(
            json!({ "start": page * per_page, "limit": per_page, "length": length, "total": total, "users": users }),
        )
        .into_response();
    }
    Json(users).into_response()
}

async fn auth0_user(headers: HeaderMap, Path(id): Path<String>, Extract(shared): Extract<Arc<Shared>>) -> Response {
    let mut state = lock(&shared.state);
    if !state.management.admits(&headers, format!("GET /api/v2/users/{id}")) {
        return unauthorized();
    }
    match state.management.people.get(&id) {
        Some(person) => Json(person.auth0(&id)).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "Not Found", "The user does not exist."),
    }
}

async fn auth0_change(
    headers: HeaderMap,
    Path(id): Path<String>,
    Extract(shared): Extract<Arc<Shared>>,
    Json(change): Json<Value>,
) -> Response {
    let mut state = lock(&shared.state);
    if !state.management.admits(&headers, format!("PATCH /api/v2/users/{id} {change}")) {
        return unauthorized();
    }
    let Some(person) = state.management.people.get_mut(&id) else {
        return refuse(StatusCode::NOT_FOUND, "Not Found", "The user does not exist.");
    };
    if let Some(blocked) = change.get("blocked").and_then(Value::as_bool) {
        person.blocked = blocked;
    }
    Json(person.auth0(&id)).into_response()
}

async fn auth0_roles(
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<Fields>,
    Extract(shared): Extract<Arc<Shared>>,
) -> Response {
    let mut state = lock(&shared.state);
    if !state.management.admits(&headers, written("GET", &format!("/api/v2/users/{id}/roles"), &query)) {
        return unauthorized();
    }
    let (page, per_page) = (number(&query, "page", 0), number(&query, "per_page", 50));
    let roles = state.management.people.get(&id).map(|person| person.groups.as_slice()).unwrap_or_default();
    let roles = roles.iter().skip(page * per_page).take(per_page);
    Json(roles.map(|role| json!({ "id": format!("rol_{role}"), "name": role, "description": "" })).collect::<Vec<_>>())
        .into_response()
}

async fn keycloak_users(
    headers: HeaderMap,
    Query(query): Query<Fields>,
    Extract(shared): Extract<Arc<Shared>>,
) -> Response {
    let mut state = lock(&shared.state);
    if !state.management.admits(&headers, written("GET", "/admin/realms/dev/users", &query)) {
        return unauthorized();
    }
    let mut found: Vec<(&String, &Person)> = state.management.people.iter().collect();
    found.sort_by(|one, other| one.1.user_name.cmp(&other.1.user_name));
    let page = found.into_iter().skip(number(&query, "first", 0)).take(number(&query, "max", 100));
    let is_brief = query.get("briefRepresentation").map(String::as_str) == Some("true");
    let user = |(id, person): (&String, &Person)| {
        let mut user = person.keycloak(id);
        if is_brief && let Some(members) = user.as_object_mut() {
            members.remove("attributes");
        }
        user
    };
    Json(page.map(user).collect::<Vec<_>>()).into_response()
}

async fn keycloak_events(
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    Extract(shared): Extract<Arc<Shared>>,
) -> Response {
    let mut state = lock(&shared.state);
    if !state.management.admits(&headers, "GET /admin/realms/dev/admin-events".to_owned()) {
        return unauthorized();
    }
    let kinds: Vec<&str> =
        query.iter().filter(|(name, _)| name == "resourceTypes").map(|(_, kind)| kind.as_str()).collect();
    let one: Fields = query.iter().cloned().collect();
    let is_asked =
        |event: &&Value| event.get("resourceType").and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind));
    let mut found: Vec<Value> = state.management.admin_events.iter().filter(is_asked).cloned().collect();
    found.sort_by_key(|event| std::cmp::Reverse(event.get("time").and_then(Value::as_i64)));
    Json(found.into_iter().skip(number(&one, "first", 0)).take(number(&one, "max", 100)).collect::<Vec<_>>())
        .into_response()
}

async fn keycloak_user(headers: HeaderMap, Path(id): Path<String>, Extract(shared): Extract<Arc<Shared>>) -> Response {
    let mut state = lock(&shared.state);
    if !state.management.admits(&headers, format!("GET /admin/realms/dev/users/{id}")) {
        return unauthorized();
    }
    match state.management.people.get(&id) {
        Some(person) => Json(person.keycloak(&id)).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({ "error": "User not found" }))).into_response(),
    }
}

async fn keycloak_groups(
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<Fields>,
    Extract(shared): Extract<Arc<Shared>>,
) -> Response {
    let mut state = lock(&shared.state);
    if !state.management.admits(&headers, written("GET", &format!("/admin/realms/dev/users/{id}/groups"), &query)) {
        return unauthorized();
    }
    let groups = state.management.people.get(&id).map(|person| person.groups.as_slice()).unwrap_or_default();
    let page = groups.iter().skip(number(&query, "first", 0)).take(number(&query, "max", 100));
    let group = |name: &String| json!({ "id": format!("group-{name}"), "name": name, "path": format!("/{name}"), "subGroups": [] });
    Json(page.map(group).collect::<Vec<_>>()).into_response()
}

/// RFC 3339 with milliseconds.
fn moment(millis: i64) -> String {
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    // Days to a date: the algorithm of the proleptic Gregorian calendar, years counted from March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", of_day % 1000)
}
