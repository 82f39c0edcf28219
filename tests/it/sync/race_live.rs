//! The same race as it is in production: two services over one database, a person at the provider's page, signed
//! hooks, a SCIM client, `user sync` as a process, all about one user. What each does is asked of both replicas, of
//! the audit and at the door.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tiergate_testbed::provider::{Person, WEB_CLIENT, WEB_CLIENT_SECRET, now};
use tiergate_testbed::raw_http::{percent_encode, request_with_body};
use tiergate_testbed::{MariaDb, Postgres, Provider, RawResponse, Redis, Tiergate, TokenSpec, UserAgent, request};

use super::BINARY;

const KEY: &str = "the-key-of-the-hook-0123456789-abcdef";
const SCIM: &str = "scim-token-of-the-race-0123456789abcdef";
const COOKIE: &str = "__Host-tiergate-session";
const SUBJECT: &str = "dev|devel";
const SOON: Duration = Duration::from_secs(10);
/// Messages of each sender of hooks in a storm; the seconds that they speak of are the same for all of them.
const MESSAGES: i64 = 4;

struct Race {
    replicas: [Tiergate; 2],
    provider: Provider,
    _sessions: Redis,
}

impl Race {
    fn start(directory: &str) -> Self {
        let (provider, sessions) = (Provider::start().expect("the provider"), Redis::standalone().expect("Redis"));
        provider.set_people([(SUBJECT.to_owned(), Person::named("devel", 1_700_000_000_000))]);
        let config = config(&provider, sessions.url(), directory);
        let replicas = [0, 1].map(|_| Tiergate::start(BINARY, &config).expect("a replica"));
        Self { replicas, provider, _sessions: sessions }
    }

    /// Signs the person in at a replica; the cookie, where they are let in.
    fn sign_in(&self, replica: usize) -> Option<String> {
        let mut agent = UserAgent::new();
        let login = format!("http://localhost:{}/_auth/login?rd=%2F", self.replicas[replica].http().port());
        let choice = agent.open(&login).expect("the provider's page");
        let visit = agent.submit(&choice, &[("account", "devel")]).expect("the way back");
        assert!(visit.status() < 500, "{} {}", visit.trail(), visit.text());
        agent.cookie(COOKIE).map(|cookie| format!("{COOKIE}={}", cookie.value))
    }

    /// A signed message that happened in this second.
    fn hook(&self, replica: usize, event: &str, time: i64, user: &Value) -> Value {
        let mut user = user.clone();
        user["subject"] = SUBJECT.into();
        let body = json!({ "event": event, "time": time, "user": user }).to_string();
        let timestamp = now().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
        let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
        let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Tiergate-Timestamp", timestamp.as_str()),
            ("X-Tiergate-Signature", &format!("sha256={digits}")),
        ];
        let address = self.replicas[replica].http();
        let answer = request_with_body(address, "POST", "/_auth/hooks/users", &headers, body.as_bytes());
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        answer.json().expect("json")
    }

    fn scim(&self, replica: usize, method: &str, path: &str, body: &Value) -> RawResponse {
        let headers = [("Authorization", &*format!("Bearer {SCIM}")), ("Content-Type", "application/scim+json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let address = self.replicas[replica].http();
        request_with_body(address, method, &format!("/scim/v2{path}"), &headers, body.as_bytes()).expect("an answer")
    }

    /// Puts the user into the hands of the SCIM client; their id there.
    fn provision(&self, replica: usize) -> String {
        let user = json!({ "userName": "devel@example.com", "externalId": SUBJECT, "displayName": "From SCIM" });
        let made = self.scim(replica, "POST", "/Users", &user);
        assert!(matches!(made.status, 200 | 201), "{} {}", made.status, made.text());
        made.json().expect("json")["id"].as_str().expect("an id").to_owned()
    }

    fn rename(&self, replica: usize, id: &str, name: &str) -> u16 {
        let operations = json!([{ "op": "replace", "path": "displayName", "value": name }]);
        let patch = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        // Who lost to others again and again is told to try again, as clients do.
        let send = || self.scim(replica, "PATCH", &format!("/Users/{id}"), &patch).status;
        (0..20).map(|_| send()).find(|status| *status != 503).expect("an answer at last")
    }

    fn sync(&self, replica: usize) {
        let output = Command::new(BINARY)
            .args(["user", "sync", "-c"])
            .arg(self.replicas[replica].config_path())
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn admin(&self, replica: usize, path: &str) -> Value {
        let bearer = format!("Bearer {}", self.provider.token("admin").expect("a token"));
        let headers = [("Authorization", bearer.as_str()), ("Accept", "application/json")];
        let target = format!("/_auth/admin/api{path}");
        let answer = request(self.replicas[replica].http(), "GET", &target, &headers).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json().expect("json")
    }

    /// The one row of the user, the same on both replicas; `None` where there is none.
    fn row(&self) -> Option<Value> {
        let [one, other] = [0, 1].map(|replica| {
            let found = self.admin(replica, &format!("/users?search={}", percent_encode(SUBJECT)));
            let users = found["users"].as_array().expect("users");
            assert!(users.len() <= 1 && found["total"] == users.len(), "{found}");
            users.first().cloned()
        });
        assert_eq!(one, other, "the replicas differ");
        one
    }

    /// That each line of the audit begins where the one before it ended, and that the last one is what the row says.
    fn check_audit(&self, id: &str) {
        let [lines, other] = [0, 1].map(|replica| {
            let (mut lines, mut before) = (Vec::new(), String::new());
            loop {
                let page = self.admin(replica, &format!("/audit?user={id}&limit=100{before}"));
                lines.extend(page["entries"].as_array().expect("entries").iter().cloned());
                let Some(next) = page["next"].as_u64() else { return lines };
                before = format!("&before={next}");
            }
        });
        assert_eq!(lines, other, "the replicas tell another story");
        let mut held: BTreeMap<&str, &Value> = BTreeMap::new();
        for line in lines.iter().rev() {
            for (name, was) in line["before"].as_object().into_iter().flatten() {
                let known = held.get(name.as_str()).copied();
                let is_nothing = |value: &Value| match value {
                    Value::Array(items) => items.is_empty(),
                    Value::Object(members) => members.is_empty(),
                    other => other.is_null() || *other == false,
                };
                let agrees = known.map_or_else(|| is_nothing(was), |known| known == was);
                assert!(agrees, "`{name}` was {known:?} and not what this line says: {line}");
            }
            held.extend(line["after"].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)));
        }
        let Some(row) = self.row() else {
            assert!(!held["deleted_at"].is_null(), "{held:?}");
            return;
        };
        for name in ["name", "groups", "disabled_there", "disabled_here", "email", "user_name", "attributes"] {
            let said = held.get(name).copied().cloned().unwrap_or_default();
            let is_same = said == row[name]
                || (said.is_null() && matches!(&row[name], Value::Bool(false)))
                || row[name].as_array().is_some_and(|groups| groups.is_empty() && said.is_null())
                || row[name].as_object().is_some_and(|members| members.is_empty() && said.is_null());
            assert!(is_same, "`{name}`: the audit says {said}, the row {row}");
        }
    }

    /// What a replica answers at the door: status and reason.
    fn door(&self, replica: usize, header: &str, value: &str) -> (u16, String) {
        let headers = [
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "app.example.com"),
            ("X-Forwarded-Uri", "/apps/stable/x"),
            ("Accept", "application/json"),
            (header, value),
        ];
        let answer = request(self.replicas[replica].http(), "GET", "/authz/forward-auth", &headers).expect("an answer");
        let reason = answer.json().ok().and_then(|body| Some(body["reason"].as_str()?.to_owned()));
        (answer.status, reason.unwrap_or_default())
    }

    /// That both replicas say the same of both credentials, soon.
    fn expect_at_the_door(&self, cookie: &str, bearer: &str, expected: [(u16, &str); 2]) {
        for replica in [0, 1] {
            for ((header, value), (status, reason)) in
                [("Cookie", cookie), ("Authorization", bearer)].iter().zip(expected)
            {
                let start = Instant::now();
                loop {
                    let answer = self.door(replica, header, value);
                    if answer == (status, reason.to_owned()) {
                        break;
                    }
                    assert!(start.elapsed() < SOON, "replica {replica}, {header}: {answer:?}, not {status} {reason}");
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    fn bearer(&self) -> String {
        let issued = TokenSpec::for_account("devel").claim("iat", now()).claim("nbf", now());
        format!("Bearer {}", self.provider.mint(&issued).expect("a token"))
    }

    /// Everybody speaks at once, on both replicas. The last second that a hook spoke of.
    fn storm(&self, round: usize, scim: Option<&str>, refuses: bool) -> i64 {
        let last = now();
        std::thread::scope(|scope| {
            for replica in [0, 1] {
                scope.spawn(move || {
                    let cookie = self.sign_in(replica);
                    assert!(refuses || cookie.is_some(), "not signed in");
                });
                scope.spawn(move || {
                    for message in 0..MESSAGES {
                        // Not in their order, and each second told of twice, by one sender on each replica.
                        let time = last - (message * 3 + 1) % MESSAGES;
                        let mut user = json!({ "groups": [format!("r{round}-{time}")] });
                        if refuses {
                            user["disabled"] = (replica == 0).into();
                        }
                        self.hook(replica, "user.updated", time, &user);
                    }
                });
                let Some(id) = scim else { continue };
                scope.spawn(move || {
                    for number in 0..MESSAGES {
                        assert_eq!(self.rename(replica, id, &format!("s{round}-{replica}-{number}")), 200);
                    }
                });
            }
            scope.spawn(|| self.sync(round % 2));
        });
        last
    }
}

/// Waits for the next second, which nobody has spoken of.
fn next_second() -> i64 {
    let before = now();
    while now() == before {
        std::thread::sleep(Duration::from_millis(5));
    }
    now()
}

fn race_live(directory: &str) {
    let begun = Instant::now();
    let race = Race::start(directory);
    println!("started after {:?}", begun.elapsed());

    // Nobody has a record: whoever comes first makes it.
    let last = race.storm(0, None, false);
    let row = race.row().expect("a row");
    let id = row["id"].as_str().expect("an id").to_owned();
    assert_eq!(row["groups"], json!([format!("r0-{last}")]), "{row}");
    assert_eq!((&row["provider"], &row["subject"]), (&json!("main"), &json!(SUBJECT)));
    assert!(row["first_seen"].is_string() && row["disabled"] == false, "{row}");
    race.check_audit(&id);

    // With a SCIM client that calls them what it wants, and hooks of one second that contradict each other.
    next_second();
    let resource = race.provision(0);
    assert_eq!(resource, id, "one row");
    let last = race.storm(1, Some(&id), true);
    let row = race.row().expect("a row");
    assert_eq!((&row["id"], &row["groups"]), (&json!(id), &json!([format!("r1-{last}")])), "{row}");
    let name = row["name"].as_str().expect("a name");
    assert!(name == "s1-0-3" || name == "s1-1-3", "none of the last two words of the client: {row}");
    race.check_audit(&id);

    // Two of one second at once: who refuses is believed, on both replicas and by both carriers.
    let second = next_second();
    race.hook(0, "user.enabled", second, &json!({}));
    let (cookie, bearer) = (race.sign_in(0).expect("signed in"), race.bearer());
    race.expect_at_the_door(&cookie, &bearer, [(200, ""), (200, "")]);
    let second = next_second();
    std::thread::scope(|scope| {
        for (number, event) in (0..).zip(["user.enabled", "user.disabled", "user.enabled", "user.enabled"]) {
            // Each is an event of its own.
            let user = json!({ "attributes": { "told_by": number } });
            let race = &race;
            scope.spawn(move || race.hook(number % 2, event, second, &user));
        }
    });
    race.hook(0, "user.enabled", second, &json!({ "attributes": { "told_by": "the last" } }));
    assert_eq!(race.row().expect("a row")["disabled_there"], true);
    race.expect_at_the_door(&cookie, &bearer, [(403, "disabled_user"), (403, "disabled_user")]);
    race.check_audit(&id);

    // Deleted in between: what speaks of the same second or of one before does not bring them back.
    let second = next_second();
    std::thread::scope(|scope| {
        let race = &race;
        let id = id.as_str();
        for replica in [0, 1] {
            scope.spawn(move || {
                race.hook(replica, "user.updated", second, &json!({ "groups": ["too-late"], "disabled": false }));
                race.hook(replica, "user.enabled", second - 1, &json!({ "name": "Too Late" }));
            });
        }
        scope.spawn(move || race.hook(1, "user.deleted", second, &json!({})));
        scope.spawn(move || {
            let status = race.rename(0, id, "Gone?");
            assert!(matches!(status, 200 | 404), "{status}");
        });
    });
    if race.row().is_some() {
        // The client's word came after the deletion of its second: it counts, and so does its own deletion.
        let deleted = race.scim(1, "DELETE", &format!("/Users/{id}"), &Value::Null);
        assert_eq!(deleted.status, 204, "{}", deleted.text());
    }
    assert_eq!(race.row(), None);
    race.expect_at_the_door(&cookie, &bearer, [(401, "session_expired"), (401, "invalid_token")]);
    race.check_audit(&id);

    // And back again, all at once: one row still, the same one, without what it had.
    next_second();
    let last = race.storm(2, None, false);
    let row = race.row().expect("a row");
    assert_eq!(
        (&row["id"], &row["groups"], &row["disabled"]),
        (&json!(id), &json!([format!("r2-{last}")]), &json!(false))
    );
    assert_eq!((&row["scim"], &row["grants"]), (&json!(false), &json!([])), "{row}");
    let cookie = race.sign_in(1).expect("signed in");
    race.expect_at_the_door(&cookie, &race.bearer(), [(200, ""), (200, "")]);
    race.check_audit(&id);
    println!("done after {:?}", begun.elapsed());
}

#[test]
fn all_ways_at_once_make_one_right_row_in_mariadb() {
    let server = MariaDb::start().expect("MariaDB");
    race_live(&server.database().expect("a database"));
}

#[test]
fn all_ways_at_once_make_one_right_row_in_postgresql() {
    let server = Postgres::start().expect("PostgreSQL");
    race_live(&server.database().expect("a database"));
}

fn config(provider: &Provider, sessions: &str, directory: &str) -> String {
    format!(
        r#"
listen: {{ grpc: "127.0.0.1:@GRPC@", http: "127.0.0.1:@HTTP@", admin: "127.0.0.1:@ADMIN@" }}
public_url: http://localhost:@HTTP@
trusted_proxies: [127.0.0.1/32]
identity_providers:
  - id: main
    issuer: "{issuer}"
    audience: ["{audience}"]
    token_types: [at+jwt]
    # One machine has one clock: who is back after a deletion is in at once.
    leeway: 0s
    login:
      client_id: {WEB_CLIENT}
      client_secret: {WEB_CLIENT_SECRET}
      scopes: [openid, profile, email, offline_access]
      extra_params: {{ audience: "{audience}" }}
    management:
      kind: auth0
      url: "{issuer}api/v2/"
      client_id: {WEB_CLIENT}
      client_secret: {WEB_CLIENT_SECRET}
sessions: {{ store: "{sessions}", secrets: ["the-secret-that-seals-what-replicas-share"] }}
directory:
  url: "{directory}"
  hooks: [{{ provider: main, secret: "{KEY}" }}]
  scim: {{ provider: main, tokens: ["{SCIM}"] }}
tiers:
  stable: {{ grant: authenticated }}
  admin:  {{ grant: {{ scopes: ["access:admin"] }}, includes: [stable] }}
rules:
  - {{ path: "/apps/{{tier}}/**", tier: "{{tier}}" }}
"#,
        issuer = provider.issuer(),
        audience = provider.audience(),
    )
}
