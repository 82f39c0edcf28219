//! The endpoints, with a directory in memory.

use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::backend::memory_directory::MemoryDirectory;
use crate::backend::system::SystemRandom;
use crate::check::{PageRequest, Sender};
use crate::directory::fixture::GuardedStore;
use crate::directory::{
    Because, DirectoryPorts, GroupChange, GroupId, Rights, SignedIn, User, UserChange, UserDirectory, UserKey, UserRef,
};
use crate::scim::schema::{LIST, PATCH, SEARCH, USER};
use crate::types::{Monotonic, UnixTime};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

struct Stage {
    area: ScimArea,
    directory: Arc<Directory>,
}

struct Told {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

impl Told {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_str())
    }

    fn kind(&self) -> &str {
        self.body["scimType"].as_str().unwrap_or_default()
    }

    fn id(&self) -> String {
        self.body["id"].as_str().expect("an id").to_owned()
    }
}

/// Never twice the same moment: who is made later was made later.
#[derive(Default)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> UnixTime {
        UnixTime::from_millis(1_790_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::default()
    }
}

fn stage() -> Stage {
    stage_in(Arc::new(MemoryDirectory::new()))
}

fn stage_in(store: Arc<dyn UserDirectory>) -> Stage {
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(Ticking::default()), Arc::new(SystemRandom));
    let ports = DirectoryPorts { store, clock: Arc::clone(&clock), random: Arc::clone(&random) };
    let directory = Arc::new(Directory::new(ports));
    let settings = ScimSettings {
        provider: ProviderId::new("main"),
        tokens: vec![Secret::new(OTHER.to_owned()), Secret::new(TOKEN.to_owned())],
        subject: SubjectRule::ExternalId,
    };
    let ports = ScimPorts { directory: Arc::clone(&directory), clock, random };
    Stage { area: ScimArea::new(&settings, ports, "https://x/scim/v2".to_owned()), directory }
}

impl Stage {
    async fn raw(&self, method: &str, target: &str, headers: &[(&str, &[u8])], body: Option<&[u8]>) -> Told {
        let (below, query) = target.split_once('?').unwrap_or((target, ""));
        let path = format!("{SCIM_PATH}{below}");
        let request =
            PageRequest { method, path: &path, query: query.as_bytes(), headers, body, sender: Sender::Proxy };
        let visit = Visit::of(&request, || "request".to_owned());
        let Page { status, headers, body } = self.area.answer(&visit, below).await;
        let body = serde_json::from_str(&body).unwrap_or_default();
        Told { status, headers, body }
    }

    async fn ask_if(&self, method: &str, target: &str, condition: Option<(&str, &str)>, body: &Value) -> Told {
        let bearer = format!("Bearer {TOKEN}");
        let mut headers =
            vec![("authorization", bearer.as_bytes()), ("content-type", b"application/scim+json; charset=utf-8")];
        headers.extend(condition.map(|(name, value)| (name, value.as_bytes())));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(method, target, &headers, Some(body.as_bytes())).await
    }

    async fn ask(&self, method: &str, target: &str, body: Value) -> Told {
        self.ask_if(method, target, None, &body).await
    }

    async fn look(&self, target: &str) -> Told {
        self.ask("GET", target, Value::Null).await
    }

    async fn create(&self, name: &str) -> Told {
        self.ask("POST", "/Users", json!({ "schemas": [USER], "userName": name, "externalId": format!("sub-{name}") }))
            .await
    }

    async fn kept(&self, subject: &str) -> User {
        let key = UserKey::new(&ProviderId::new("main"), subject);
        self.directory.store().user(UserRef::Key(key)).await.expect("a directory").expect("a user")
    }

    async fn change(&self, subject: &str, change: UserChange) {
        let key = UserKey::new(&ProviderId::new("main"), subject);
        let done = self.directory.change(UserRef::Key(key), change, Actor::Shell, Because::default()).await;
        done.expect("a change");
    }
}

fn patch(operations: Value) -> Value {
    json!({ "schemas": [PATCH], "Operations": operations })
}

fn encoded(filter: &str) -> String {
    url::form_urlencoded::byte_serialize(filter.as_bytes()).collect()
}

#[tokio::test]
async fn nothing_is_told_to_whoever_shows_no_token() {
    let stage = stage();
    let double = format!("Bearer {TOKEN}");
    for headers in [
        vec![],
        vec![("authorization", &b"Bearer"[..])],
        vec![("authorization", b"Bearer ")],
        vec![("authorization", b"Bearer 0123456789abcdef0123456789abcde")],
        vec![("authorization", b"Bearer 0123456789abcdef0123456789abcdef0")],
        vec![("authorization", b"Bearer  0123456789abcdef0123456789abcdef")],
        vec![("authorization", b"Basic 0123456789abcdef0123456789abcdef")],
        vec![("authorization", b"0123456789abcdef0123456789abcdef")],
        vec![("authorization", b"Bearer \xff")],
        vec![("authorization", double.as_bytes()), ("authorization", double.as_bytes())],
        vec![("cookie", double.as_bytes()), ("x-authorization", double.as_bytes())],
    ] {
        for (method, path) in [
            ("GET", "/Users"),
            ("POST", "/Users"),
            ("TRACE", "/nothing"),
            ("GET", "/ServiceProviderConfig"),
            ("GET", "/Me"),
        ] {
            let told = stage.raw(method, path, &headers, Some(b"{")).await;
            assert_eq!((told.status, told.header("www-authenticate")), (401, Some("Bearer")), "{method} {path}");
            assert_eq!(told.body["status"], "401");
        }
    }
    for token in [TOKEN, OTHER] {
        let bearer = format!("bEARER {token}");
        assert_eq!(stage.raw("GET", "/Users", &[("authorization", bearer.as_bytes())], None).await.status, 200);
    }
}

#[tokio::test]
async fn each_path_has_its_methods() {
    let stage = stage();
    let user = stage.create("a").await.id();
    let group = stage.ask("POST", "/Groups", json!({ "displayName": "g" })).await.id();
    for (method, path, status, allow) in [
        ("GET", "/Users/", 200, None),
        ("HEAD", "/Users", 200, None),
        ("DELETE", "/Users", 405, Some("GET, HEAD, POST")),
        ("POST", &format!("/Users/{user}"), 405, Some("GET, HEAD, PUT, PATCH, DELETE")),
        ("OPTIONS", &format!("/Groups/{group}"), 405, Some("GET, HEAD, PUT, PATCH, DELETE")),
        ("GET", "/Users/.search", 405, Some("POST")),
        ("PUT", "/.search", 405, Some("POST")),
        ("POST", "/Schemas", 405, Some("GET, HEAD")),
        ("GET", "/Me", 501, None),
        ("POST", "/Bulk", 501, None),
        ("GET", "/nothing", 404, None),
        ("GET", "/Users/x/y", 404, None),
        ("GET", "/users", 404, None),
        ("GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group", 200, None),
        ("GET", "/Schemas/urn:x", 404, None),
        ("GET", "/ResourceTypes/User", 200, None),
        ("GET", "/ResourceTypes?filter=id%20pr", 403, None),
        ("GET", "/ServiceProviderConfig", 200, None),
        // Of another kind, another form, or nobody's.
        ("GET", &format!("/Users/{group}"), 404, None),
        ("GET", &format!("/Groups/{user}"), 404, None),
        ("GET", &format!("/Users/{}", user.to_uppercase() + "0"), 404, None),
        ("DELETE", "/Users/00000000000000000000000000000000", 404, None),
        ("DELETE", "/Groups/' or 1=1 --", 404, None),
    ] {
        let told = stage.ask(method, path, Value::Null).await;
        assert_eq!((told.status, told.header("allow")), (status, allow), "{method} {path} {}", told.body);
        assert_eq!(told.header("content-type"), Some("application/scim+json"), "{method} {path}");
        assert_eq!(told.header("cache-control"), Some("no-store"));
    }
    let overridden = [("x-http-method-override", "DELETE"), ("x-method-override", "DELETE")];
    for header in overridden {
        assert_eq!(stage.ask_if("GET", &format!("/Users/{user}"), Some(header), &Value::Null).await.status, 200);
    }
    assert_eq!(stage.look(&format!("/Users/{user}")).await.status, 200);
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let stage = stage();
    let bearer = format!("Bearer {TOKEN}");
    let deep = format!("{{\"userName\":\"a\",\"x\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    for (kind, body, status) in [
        (Some("application/scim+json"), Some("{\"userName\":\"a\",\"userName\":\"b\"}"), 400),
        (Some("application/scim+json"), Some("{\"userName\":\"a\",\"user\\u004eame\":\"b\"}"), 400),
        (Some("application/scim+json"), Some(deep.as_str()), 400),
        (Some("application/scim+json"), Some("[]"), 400),
        (Some("application/scim+json"), Some("{} {}"), 400),
        (Some("application/scim+json"), Some(""), 400),
        (Some("application/json"), Some("{\"userName\":\"ok\"}"), 201),
        (Some("text/plain"), Some("{\"userName\":\"a\"}"), 415),
        (None, Some("{\"userName\":\"a\"}"), 415),
        (Some("application/scim+json"), None, 501),
    ] {
        let mut headers = vec![("authorization", bearer.as_bytes())];
        headers.extend(kind.map(|kind| ("content-type", kind.as_bytes())));
        let told = stage.raw("POST", "/Users", &headers, body.map(str::as_bytes)).await;
        assert_eq!(told.status, status, "{kind:?} {}", told.body);
    }
}

#[tokio::test]
async fn a_user_lives_and_goes_and_comes_back() {
    let stage = stage();
    let made = stage.create("Ann").await;
    let id = made.id();
    assert_eq!((made.status, made.header("etag")), (201, Some("W/\"1\"")));
    assert_eq!(made.header("location"), Some(format!("https://x/scim/v2/Users/{id}").as_str()));
    assert_eq!((&made.body["active"], &made.body["groups"]), (&json!(true), &json!([])));
    let again = stage.create("Ann").await;
    assert_eq!((again.status, again.kind()), (409, "uniqueness"));
    let rival = stage.ask("POST", "/Users", json!({ "userName": "aNN", "externalId": "other" })).await;
    assert_eq!((rival.status, rival.kind()), (409, "uniqueness"), "{}", rival.body);
    let off = patch(json!([{ "op": "replace", "value": { "active": false } }]));
    let told = stage.ask("PATCH", &format!("/Users/{id}"), off).await;
    assert_eq!((told.status, &told.body["active"]), (200, &json!(false)));
    assert!(stage.kept("sub-Ann").await.disabled_there);
    let told =
        stage.ask("PUT", &format!("/Users/{id}"), json!({ "userName": "Anna", "active": true, "title": "T" })).await;
    assert_eq!(
        (told.status, &told.body["userName"], &told.body["externalId"]),
        (200, &json!("Anna"), &json!("sub-Ann"))
    );
    let other = stage.ask("PUT", &format!("/Users/{id}"), json!({ "userName": "Anna", "externalId": "x" })).await;
    assert_eq!((other.status, other.kind()), (400, "mutability"));
    assert_eq!(stage.ask("DELETE", &format!("/Users/{id}"), Value::Null).await.status, 204);
    for method in ["GET", "DELETE"] {
        assert_eq!(stage.ask(method, &format!("/Users/{id}"), Value::Null).await.status, 404);
    }
    assert!(stage.kept("sub-Ann").await.deleted_at.is_some());
    assert_eq!(stage.look("/Users").await.body["totalResults"], 0);
    let back = stage.create("Ann").await;
    assert_eq!((back.status, &back.body["active"], back.body.get("title")), (201, &json!(true), None));
}

#[tokio::test]
async fn who_was_known_before_becomes_scim_s() {
    let stage = stage();
    let told = SignedIn {
        as_of: stage.area.ports.clock.now(),
        rights: Rights::default(),
        email: None,
        name: Some("Eve".to_owned()),
        picture: None,
    };
    stage.change("sub-eve", UserChange::SignedIn(told)).await;
    stage.change("sub-eve", UserChange::Disable { reason: None }).await;
    let before = stage.kept("sub-eve").await;
    // Before that SCIM does not see them.
    assert_eq!(stage.look(&format!("/Users/{}", before.id)).await.status, 404);
    assert_eq!(stage.look("/Users").await.body["totalResults"], 0);
    let made = stage.create("eve").await;
    assert_eq!((made.status, made.id()), (201, before.id.to_string()));
    assert_eq!(made.body["active"], json!(false), "an administrator refused them");
    let after = stage.kept("sub-eve").await;
    assert!(after.first_seen.is_some() && after.disabled_here && !after.disabled_there);
    let on = patch(json!([{ "op": "replace", "path": "active", "value": true }]));
    assert_eq!(stage.ask("PATCH", &format!("/Users/{}", before.id), on).await.body["active"], json!(false));
}

#[tokio::test]
async fn of_two_that_name_the_same_version_one_wins() {
    let stage = stage();
    let made = stage.create("a").await;
    let target = format!("/Users/{}", made.id());
    let tag = made.header("etag").expect("a tag").to_owned();
    let write = |n: u32| patch(json!([{ "op": "replace", "path": "title", "value": n.to_string() }]));
    let bodies: Vec<Value> = (0..8).map(write).collect();
    let told = join_all(bodies.iter().map(|body| stage.ask_if("PATCH", &target, Some(("if-match", &tag)), body))).await;
    let statuses: Vec<u16> = told.iter().map(|told| told.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
    // Without a version every one is done.
    let told = join_all(bodies.iter().map(|body| stage.ask("PATCH", &target, body.clone()))).await;
    assert!(told.iter().all(|told| told.status == 200));
    let now = stage.look(&target).await;
    let tag = now.header("etag").expect("a tag");
    assert_eq!(stage.ask_if("GET", &target, Some(("if-none-match", tag)), &Value::Null).await.status, 304);
    assert_eq!(stage.ask_if("GET", &target, Some(("if-none-match", "W/\"1\"")), &Value::Null).await.status, 200);
    for (method, stale) in [("PUT", "W/\"1\""), ("DELETE", "W/\"1\""), ("DELETE", "x"), ("DELETE", "")] {
        let body = json!({ "userName": "a" });
        assert_eq!(
            stage.ask_if(method, &target, Some(("if-match", stale)), &body).await.status,
            412,
            "{method} {stale}"
        );
    }
    assert_eq!(stage.ask_if("DELETE", &target, Some(("if-match", "*")), &Value::Null).await.status, 204);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let stage = stage();
    for n in 0..25 {
        let department = if n % 2 == 0 { "even" } else { "odd" };
        let told = stage.ask("POST", "/Users", json!({
            "userName": format!("User{n:02}"), "externalId": format!("e{n}"), "active": n != 3,
            "emails": [{ "value": format!("a{n}@x"), "type": "work" }, { "value": format!("b{n}@x"), "type": "home" }],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": department },
        })).await;
        assert_eq!(told.status, 201, "{}", told.body);
    }
    let page = async |query: &str| {
        let told = stage.look(&format!("/Users?{query}")).await;
        assert_eq!((told.status, &told.body["schemas"]), (200, &json!([LIST])), "{query} {}", told.body);
        let names: Vec<String> = told.body["Resources"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|user| user["userName"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(told.body["itemsPerPage"], names.len());
        (told.body["totalResults"].as_u64().expect("a total"), names)
    };
    let (total, names) = page("startIndex=1&count=10").await;
    assert_eq!((total, names.len(), names[0].as_str()), (25, 10, "User00"));
    assert_eq!(page("startIndex=21&count=10").await.1.len(), 5);
    assert_eq!(page("startIndex=26&count=10").await, (25, vec![]));
    assert_eq!(page("count=0").await, (25, vec![]));
    assert_eq!(page("sortBy=userName&count=1").await.1, ["User00"]);
    for (filter, total, first) in [
        ("userName eq \"user07\"", 1, "User07"),
        ("externalId eq \"e7\"", 1, "User07"),
        ("externalId eq \"E7\"", 0, ""),
        ("userName eq \"user07\" and externalId eq \"e8\"", 0, ""),
        ("emails[type eq \"work\"].value eq \"a9@x\"", 1, "User09"),
        ("emails[type eq \"work\"].value eq \"b9@x\"", 0, ""),
        ("emails.value eq \"B9@x\"", 1, "User09"),
        ("active eq false", 1, "User03"),
        ("not (active eq true)", 1, "User03"),
        ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"odd\"", 12, "User01"),
        ("userName sw \"user1\"", 10, "User10"),
        ("userName eq \"user07\" or userName eq \"user08\"", 2, "User07"),
        ("id eq \"x\"", 0, ""),
        ("userName eq \"x\\\" or 1 eq 1 or userName eq \\\"\"", 0, ""),
    ] {
        let (found, names) = page(&format!("filter={}", encoded(filter))).await;
        assert_eq!((found, names.first().map_or("", String::as_str)), (total, first), "{filter}");
    }
    let (total, names) = page(&format!("startIndex=5&count=3&filter={}", encoded("userName sw \"user1\""))).await;
    assert_eq!((total, names.as_slice()), (10, &["User14".to_owned(), "User15".to_owned(), "User16".to_owned()][..]));
    for (query, kind) in [
        ("filter=userName", "invalidFilter"),
        ("filter=a%20pr&filter=b%20pr", "invalidValue"),
        ("startIndex=x", "invalidValue"),
        ("sortBy=title", "invalidValue"),
        ("attributes=a&excludedAttributes=b", "invalidValue"),
    ] {
        let told = stage.look(&format!("/Users?{query}")).await;
        assert_eq!((told.status, told.kind()), (400, kind), "{query}");
    }
    let search = json!({ "schemas": [SEARCH], "filter": "userName eq \"user07\"", "attributes": ["userName"], "count": 5, "startIndex": 1 });
    let told = stage.ask("POST", "/Users/.search", search.clone()).await;
    assert_eq!((told.status, &told.body["totalResults"]), (200, &json!(1)));
    assert!(told.body["Resources"][0].get("emails").is_none());
    stage.ask("POST", "/Groups", json!({ "displayName": "g" })).await;
    let told = stage.ask("POST", "/.search", json!({ "schemas": [SEARCH], "startIndex": 25, "count": 5 })).await;
    assert_eq!((&told.body["totalResults"], told.body["Resources"].as_array().map(Vec::len)), (&json!(26), Some(2)));
    assert_eq!(stage.ask("POST", "/.search", json!({})).await.kind(), "invalidSyntax");
}

#[tokio::test]
async fn groups_have_members_and_names() {
    let stage = stage();
    let (ann, bob) = (stage.create("ann").await.id(), stage.create("bob").await.id());
    let made = stage
        .ask("POST", "/Groups", json!({ "displayName": "audit", "externalId": "g1", "members": [{ "value": ann }] }))
        .await;
    let (id, target) = (made.id(), format!("/Groups/{}", made.id()));
    assert_eq!((made.status, &made.body["members"][0]["display"]), (201, &json!("ann")));
    assert_eq!(stage.ask("POST", "/Groups", json!({ "displayName": "audit" })).await.kind(), "uniqueness");
    let groups = async |subject: &str| stage.kept(subject).await.groups.into_iter().collect::<Vec<_>>();
    assert_eq!(groups("sub-ann").await, ["audit"]);
    let shown = stage.look(&format!("/Users/{ann}")).await;
    assert_eq!((&shown.body["groups"][0]["value"], &shown.body["groups"][0]["display"]), (&json!(id), &json!("audit")));
    let swap = patch(json!([
        { "op": "remove", "path": format!("members[value eq \"{ann}\"]") },
        { "op": "add", "path": "members", "value": [{ "value": bob, "display": "bob" }] },
    ]));
    let told = stage.ask("PATCH", &target, swap).await;
    assert_eq!((told.status, told.header("content-type")), (204, None));
    assert_eq!((groups("sub-ann").await.len(), groups("sub-bob").await.len()), (0, 1));
    let renamed = patch(json!([{ "op": "Replace", "path": "displayName", "value": "auditors" }]));
    assert_eq!(
        stage.ask("PATCH", &format!("{target}?attributes=displayName"), renamed).await.body["displayName"],
        "auditors"
    );
    assert_eq!(groups("sub-bob").await, ["auditors"]);
    for (filter, total) in [
        ("displayName eq \"auditors\"", 1),
        ("displayName eq \"Auditors\"", 0),
        ("externalId eq \"g1\"", 1),
        (&format!("id eq \"{id}\" and members eq \"{bob}\""), 1),
        (&format!("id eq \"{id}\" and members eq \"{ann}\""), 0),
        (&format!("members.value eq \"{bob}\""), 1),
        ("members eq \"nobody\"", 0),
        ("displayName co \"audi\"", 1),
    ] {
        let told = stage.look(&format!("/Groups?excludedAttributes=members&filter={}", encoded(filter))).await;
        assert_eq!(told.body["totalResults"], total, "{filter} {}", told.body);
        assert!(
            told.body["Resources"].as_array().is_some_and(|all| all.iter().all(|group| group.get("members").is_none()))
        );
    }
    for filter in ["members.display co \"a\"", "members eq \"a\" or displayName eq \"b\"", "not (members eq \"a\")"] {
        assert_eq!(
            stage.look(&format!("/Groups?filter={}", encoded(filter))).await.kind(),
            "invalidFilter",
            "{filter}"
        );
    }
    // Nobody is put into a group who is not this client's.
    stage.change("stranger", UserChange::Disable { reason: None }).await;
    let stranger = stage.kept("stranger").await.id.to_string();
    for member in [stranger.as_str(), id.as_str(), "00000000000000000000000000000000"] {
        let add = patch(json!([{ "op": "add", "path": "members", "value": [{ "value": member }] }]));
        let told = stage.ask("PATCH", &target, add).await;
        assert_eq!((told.status, told.kind()), (400, "invalidValue"), "{member}");
    }
    let replaced = stage
        .ask("PUT", &target, json!({ "displayName": "auditors", "members": [{ "value": ann }, { "value": bob }] }))
        .await;
    assert_eq!((replaced.status, replaced.body["members"].as_array().map(Vec::len)), (200, Some(2)));
    assert_eq!(stage.ask_if("DELETE", &target, Some(("if-match", "W/\"1\"")), &Value::Null).await.status, 412);
    assert_eq!(stage.ask("DELETE", &target, Value::Null).await.status, 204);
    assert_eq!((groups("sub-ann").await.len(), stage.look(&target).await.status), (0, 404));
}

#[tokio::test]
async fn a_user_of_another_provider_is_nobody_s() {
    let stage = stage();
    let key = UserKey::new(&ProviderId::new("other"), "sub-x");
    let written =
        crate::scim::WrittenUser::created(json!({ "userName": "x" }).as_object().cloned().expect("an object"))
            .expect("a user");
    let report = UserChange::Reported(Box::new(written.report(None, stage.area.ports.clock.now())));
    let made =
        stage.directory.change(UserRef::Key(key), report, Actor::Shell, Because::default()).await.expect("a change");
    let id = made.after.expect("a user").id;
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(
            stage.ask(method, &format!("/Users/{id}"), json!({ "userName": "y" })).await.status,
            404,
            "{method}"
        );
    }
    let add = json!({ "displayName": "g", "members": [{ "value": id.to_string() }] });
    assert_eq!(stage.ask("POST", "/Groups", add).await.status, 400);
    assert_eq!(stage.look("/Users").await.body["totalResults"], 0);
    // The name is unique in one provider.
    assert_eq!(stage.create("x").await.status, 201);
}

#[tokio::test]
async fn a_group_that_changes_between_the_look_and_the_write_is_not_overwritten() {
    for (method, body) in [
        ("PATCH", patch(json!([{ "op": "replace", "path": "displayName", "value": "mine" }]))),
        ("PUT", json!({ "displayName": "mine" })),
        ("DELETE", Value::Null),
    ] {
        let store = Arc::new(GuardedStore::default());
        let stage = stage_in(store.clone());
        let id = stage.ask("POST", "/Groups", json!({ "displayName": "audit" })).await.id();
        let target = format!("/Groups/{id}");
        let tag = stage.look(&target).await.header("etag").expect("a tag").to_owned();
        store.hold_back("group");
        let mut mine = pin!(stage.ask_if(method, &target, Some(("if-match", &tag)), &body));
        assert!(mine.as_mut().now_or_never().is_none(), "{method}: it has looked and waits");
        let other = GroupChange { name: Some("theirs".to_owned()), ..GroupChange::default() };
        let group = GroupId::parse(&id).expect("an id");
        stage.directory.change_group(group, other, None, Actor::Shell).await.expect("a change");
        store.let_go();
        let told = mine.await;
        assert_eq!(told.status, 412, "{method}: {}", told.body);
        assert_eq!(stage.look(&target).await.body["displayName"], "theirs", "{method}");
    }
}

#[tokio::test]
async fn a_group_with_users_of_others_in_it_is_not_a_client_s() {
    let stage = stage();
    let (ann, bob) = (stage.create("ann").await.id(), stage.create("bob").await.id());
    let mine = stage.ask("POST", "/Groups", json!({ "displayName": "mine", "members": [{ "value": ann }] })).await;
    let shared = stage.ask("POST", "/Groups", json!({ "displayName": "shared", "members": [{ "value": ann }] })).await;
    let groups = |names: &[&str]| UserChange::SetGroups(names.iter().map(|name| (*name).to_owned()).collect());
    let key = UserKey::new(&ProviderId::new("other"), "eve");
    let eve = async || stage.directory.store().user(UserRef::Key(key.clone())).await.expect("a directory");
    let told = groups(&["shared", "administrators"]);
    stage.directory.change(UserRef::Key(key.clone()), told, Actor::Shell, Because::default()).await.expect("a change");
    let before = eve().await.expect("a user");
    let (mine, shared) = (format!("/Groups/{}", mine.id()), format!("/Groups/{}", shared.id()));
    let rename = |name: &str| patch(json!([{ "op": "replace", "path": "displayName", "value": name }]));
    let add = patch(json!([{ "op": "add", "path": "members", "value": [{ "value": bob }] }]));
    for (method, target, body) in [
        ("PATCH", &shared, rename("administrators")),
        ("PATCH", &shared, rename("anything")),
        ("PATCH", &shared, add.clone()),
        ("PATCH", &shared, patch(json!([{ "op": "remove", "path": "members" }]))),
        ("PUT", &shared, json!({ "displayName": "shared", "members": [] })),
        ("DELETE", &shared, Value::Null),
        ("PATCH", &mine, rename("administrators")),
        ("POST", &"/Groups".to_owned(), json!({ "displayName": "administrators" })),
    ] {
        let told = stage.ask(method, target, body.clone()).await;
        assert_eq!(told.status, 403, "{method} {body} {}", told.body);
        assert!(told.body["detail"].as_str().is_some_and(|detail| detail.contains("administrator")), "{}", told.body);
    }
    assert_eq!(eve().await.as_ref(), Some(&before));
    // Of the others it learns nothing.
    let seen = stage.look(&shared).await.body["members"].clone();
    assert_eq!((seen.as_array().map(Vec::len), &seen[0]["value"]), (Some(1), &json!(ann)), "{seen}");
    for (member, found) in [(before.id.to_string(), 0), (ann.clone(), 2)] {
        let filter = encoded(&format!("members eq \"{member}\""));
        assert_eq!(stage.look(&format!("/Groups?filter={filter}")).await.body["totalResults"], found);
    }
    assert_eq!(stage.kept("sub-ann").await.groups.len(), 2);
    assert_eq!(stage.ask("PATCH", &mine, add.clone()).await.status, 204);
    stage
        .directory
        .change(UserRef::Key(key.clone()), groups(&[]), Actor::Shell, Because::default())
        .await
        .expect("gone");
    assert_eq!(stage.ask("PATCH", &shared, add).await.status, 204);
    assert_eq!(stage.ask("DELETE", &shared, Value::Null).await.status, 204);
}

/// Who is added while somebody pages comes after what was shown.
#[tokio::test]
async fn paging_loses_nobody_and_shows_nobody_twice_while_users_are_added() {
    let stage = stage();
    for n in 0..230 {
        assert_eq!(stage.create(&format!("u{n}")).await.status, 201);
    }
    let added = AtomicU64::new(0);
    let mut seen: Vec<String> = Vec::new();
    loop {
        let told = stage.look(&format!("/Users?startIndex={}&count=20&attributes=userName", seen.len() + 1)).await;
        let names = told.body["Resources"].as_array().expect("a list").iter().map(|user| user["userName"].to_string());
        let before = seen.len();
        seen.extend(names);
        if seen.len() == before {
            break;
        }
        if added.fetch_add(1, Ordering::Relaxed) < 10 {
            assert_eq!(stage.create(&format!("a-new-{}", added.load(Ordering::Relaxed))).await.status, 201);
        }
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((seen.len(), unique.len()), (240, 240));
}

/// The sequences that Okta and Entra document, answered as they ask.
#[tokio::test]
async fn what_okta_and_entra_send_is_answered() {
    for (name, text) in [
        ("okta/users", include_str!("../../../tests/vectors/scim/okta/users.json")),
        ("okta/groups", include_str!("../../../tests/vectors/scim/okta/groups.json")),
        ("entra/users", include_str!("../../../tests/vectors/scim/entra/users.json")),
        ("entra/users-flag", include_str!("../../../tests/vectors/scim/entra/users-flag.json")),
        ("entra/groups", include_str!("../../../tests/vectors/scim/entra/groups.json")),
    ] {
        let (stage, mut kept) = (stage(), Vec::<(String, String)>::new());
        let sequence: Value = serde_json::from_str(text).expect("a sequence");
        for step in sequence["steps"].as_array().expect("steps") {
            let filled = |value: &Value| -> Value {
                let text =
                    kept.iter().fold(value.to_string(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id));
                serde_json::from_str(&text).expect("JSON")
            };
            let (request, answer) = (filled(&step["request"]), filled(&step["answer"]));
            let method = request["method"].as_str().expect("a method");
            let told = stage.ask(method, request["path"].as_str().expect("a path"), request["body"].clone()).await;
            let at = format!("{name}: {}: {} {}", step["what"], told.status, told.body);
            assert_eq!(answer["status"], told.status, "{at}");
            assert!(fits(&answer["body"], &told.body), "{at}\nwanted {}", answer["body"]);
            for absent in answer["absent"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                assert!(told.body.pointer(absent).is_none(), "{at}\nnot {absent}");
            }
            for (header, value) in answer["headers"].as_object().into_iter().flatten() {
                assert_eq!(told.header(header), value.as_str(), "{at}");
            }
            for (name, pointer) in step["keep"].as_object().into_iter().flatten() {
                let id = told.body.pointer(pointer.as_str().unwrap_or_default()).and_then(Value::as_str);
                kept.push((name.clone(), id.expect("an id").to_owned()));
            }
        }
    }
}

/// Whether what was found has all that is wanted; `*` stands for anything, and so does an id that is kept only now.
fn fits(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Null, _) => true,
        (Value::String(any), found) if any == "*" || any.starts_with('{') => !found.is_null(),
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(name, value)| found.get(name).is_some_and(|found| fits(value, found)))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| fits(wanted, found))
        }
        _ => wanted == found,
    }
}
