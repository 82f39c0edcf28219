//! `session list` and `session revoke`, as people call them.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tiergate::backend::key_file;
use tiergate::backend::redis_store::RedisTopology;
use tiergate::backend::sqlite_store::SqliteStore;
use tiergate::backend::system::SystemRandom;
use tiergate::session::{Authority, Lifetimes, Seals, Session, SessionPorts, SessionStore, Sessions};
use tiergate::types::{Clock, Monotonic, ProviderId, Random, Secret, UnixTime};
use tiergate_testbed::Redis;

use super::stores::{open_redis, quick_folder, run};

const PROVIDERS: &str = r#"
identity_providers:
  - { id: main, issuer: "https://idp.example.com/", audience: [api], jwks: { file: keys.json } }
  - { id: other, issuer: "https://other.example.com/", audience: [api], jwks: { file: keys.json } }
"#;

/// 2099-01-01T00:00:00Z: what is live then is live on the day of the test.
const THEN: UnixTime = UnixTime::from_secs(4_070_908_800);

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> UnixTime {
        THEN
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::default()
    }
}

/// Ids that are the same in every run.
#[derive(Default)]
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

struct Stage(TempDir);

impl Stage {
    fn new(sessions: &str) -> Self {
        let stage = Self(quick_folder());
        stage.configure(sessions);
        stage
    }

    fn configure(&self, sessions: &str) {
        std::fs::write(self.0.path().join("tiergate.yaml"), format!("{PROVIDERS}{sessions}")).unwrap();
    }

    fn database(&self) -> std::path::PathBuf {
        self.0.path().join("tiergate.db")
    }

    /// Signs people in, as the service does, with the sessions in the SQLite file.
    fn sign_in(&self, people: &[Person]) {
        run(async {
            let store = SqliteStore::open(&self.database()).await.unwrap();
            let key = key_file::read_or_create(&key_file::beside(&self.database()), &SystemRandom).unwrap();
            begin(Arc::new(store), key, people).await;
        });
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiergate"));
        let output = command.args(arguments).current_dir(self.0.path()).env_clear().output().unwrap();
        Ran {
            code: output.status.code(),
            said: String::from_utf8(output.stdout).unwrap(),
            warned: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn session(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["session"], arguments].concat())
    }

    fn keys(&self) -> Vec<String> {
        let all = self.session(&["list", "--format", "json"]).said;
        let all: Vec<serde_json::Value> = serde_json::from_str(&all).unwrap();
        all.iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    }
}

/// Who signed in and when: (provider, subject, minutes, browser).
type Person = (&'static str, &'static str, u64, &'static str);

async fn begin(store: Arc<dyn SessionStore>, secret: Secret, people: &[Person]) {
    let ports = SessionPorts { store, random: Arc::new(Counting::default()), clock: Arc::new(Fixed) };
    let lifetimes = Lifetimes { idle: Duration::from_secs(1800), absolute: Duration::from_secs(12 * 3600) };
    let sessions = Sessions::new(ports, Seals::new(&[secret]).unwrap(), lifetimes);
    for (provider, subject, minutes, browser) in people {
        sessions.begin(&session(provider, subject, *minutes, browser)).await.unwrap();
    }
}

struct Ran {
    code: Option<i32>,
    said: String,
    warned: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit {}\n== stdout\n{}== stderr\n{}", self.code.unwrap_or(-1), self.said, self.warned)
    }
}

fn session(provider: &str, subject: &str, minutes: u64, browser: &str) -> Session {
    let issuer = if provider == "main" { "https://idp.example.com/" } else { "https://other.example.com/" };
    let expires_at = THEN.plus(Duration::from_secs(300));
    Session {
        provider: ProviderId::new(provider),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        sid: None,
        authority: Authority { from_access_token: true, claims: serde_json::Map::new(), expires_at },
        profile: serde_json::Map::new(),
        refresh_token: None,
        id_token: None,
        signed_in_at: THEN.minus(Duration::from_secs(minutes * 60)),
        user_agent: browser.to_owned(),
    }
}

const PEOPLE: &[Person] = &[
    ("main", "joe", 60, "Mozilla/5.0 (X11; Linux x86_64)"),
    ("main", "joe", 30, ""),
    ("other", "joe", 20, "curl/8.5 \u{1b}[2J\u{202e}"),
    ("main", "ann", 10, "Mozilla/5.0 (iPhone)"),
];

#[test]
fn the_list_shows_who_is_signed_in() {
    let stage = Stage::new("sessions: { store: 'sqlite:tiergate.db' }\n");
    stage.sign_in(PEOPLE);
    let mut text = String::new();
    for arguments in [
        &["list"][..],
        &["list", "--subject", "joe", "--provider", "main"],
        &["list", "--subject", "joe", "--format", "json"],
        &["list", "--provider", "other"],
        &["list", "--subject", "nobody"],
        &["list", "--provider", "nobody"],
    ] {
        writeln!(text, "$ tiergate session {}\n{}", arguments.join(" "), stage.session(arguments)).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_docs_show_what_the_list_says() {
    let stage = Stage::new("sessions: { store: 'sqlite:tiergate.db' }\n");
    stage.sign_in(&PEOPLE[..1]);
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sessions.md")).unwrap();
    let said = stage.session(&["list"]).said;
    assert!(docs.contains(&format!("```text\n{said}```")), "{said}");
}

#[test]
fn a_revoked_session_is_gone() {
    let stage = Stage::new("sessions: { store: 'sqlite:tiergate.db' }\n");
    stage.sign_in(PEOPLE);
    let keys = stage.keys();
    assert_eq!(keys.len(), 4);
    let steps: [(&[&str], i32, &str, usize); 9] = [
        (&["revoke", &keys[0]], 0, "1 session ended\n", 3),
        (&["revoke", &keys[0]], 1, "0 sessions ended\n", 3),
        (&["revoke", "--subject", "joe", "--provider", "main"], 0, "1 session ended\n", 2),
        (&["revoke", "--subject", "joe"], 0, "1 session ended\n", 1),
        (&["revoke", "--subject", "joe"], 1, "0 sessions ended\n", 1),
        (&["revoke", "--subject", "joe", "--provider", "nobody"], 2, "", 1),
        (&["revoke", "x"], 2, "", 1),
        (&["revoke", "--all"], 0, "1 session ended\n", 0),
        (&["revoke", "--all"], 0, "0 sessions ended\n", 0),
    ];
    for (arguments, code, said, left) in steps {
        let ran = stage.session(arguments);
        assert_eq!((ran.code, ran.said.as_str()), (Some(code), said), "{arguments:?}: {ran}");
        assert_eq!(stage.keys().len(), left, "{arguments:?}");
    }
}

/// What the service keeps in Redis, the commands reach there, by its URL and secret alone.
#[test]
fn the_sessions_in_redis_are_listed_and_revoked() {
    const SECRET: &str = "a-secret-of-more-than-32-characters-for-redis";
    let redis = Redis::standalone().unwrap();
    let config = |secret: &str| format!("sessions: {{ store: '{}', secrets: [{secret}] }}\n", redis.url());
    let stage = Stage::new(&config(SECRET));
    run(async {
        let store = open_redis(RedisTopology::Single, redis.url()).await;
        begin(store, Secret::new(SECRET.to_owned()), PEOPLE).await;
    });
    let listed = stage.session(&["list"]);
    assert_eq!(listed.code, Some(0), "{listed}");
    assert!(listed.said.ends_with("4 sessions\n") && listed.said.contains("iPhone"), "{listed}");
    let of_joe = stage.session(&["list", "--subject", "joe", "--provider", "main"]);
    assert!(of_joe.said.ends_with("2 sessions\n") && !of_joe.said.contains("ann"), "{of_joe}");

    stage.configure(&config("another-secret-of-32-characters-at-least"));
    let sealed = stage.session(&["list"]);
    assert!(!sealed.said.contains("joe") && !sealed.said.contains("iPhone"), "{sealed}");
    assert_eq!(stage.session(&["revoke", "--subject", "joe"]).code, Some(1));
    stage.configure(&config(SECRET));

    let keys = stage.keys();
    let steps: [(&[&str], i32, &str, usize); 5] = [
        (&["revoke", &keys[0]], 0, "1 session ended\n", 3),
        (&["revoke", &keys[0]], 1, "0 sessions ended\n", 3),
        (&["revoke", "--subject", "joe"], 0, "2 sessions ended\n", 1),
        (&["revoke", "--all"], 0, "1 session ended\n", 0),
        (&["revoke", "--all"], 0, "0 sessions ended\n", 0),
    ];
    for (arguments, code, said, left) in steps {
        let ran = stage.session(arguments);
        assert_eq!((ran.code, ran.said.as_str()), (Some(code), said), "{arguments:?}: {ran}");
        assert_eq!(stage.keys().len(), left, "{arguments:?}");
    }

    redis.pause();
    for arguments in [&["list"][..], &["revoke", "--all"]] {
        let ran = stage.session(arguments);
        assert!(ran.code != Some(0) && ran.said.is_empty() && !ran.warned.is_empty(), "{ran}");
    }
    redis.resume();
}

#[test]
fn revoking_says_whom() {
    let stage = Stage::new("sessions: { store: 'sqlite:tiergate.db' }\n");
    let key = "0".repeat(64);
    for wrong in [
        &["revoke"][..],
        &["revoke", "--provider", "main"],
        &["revoke", "--all", "--subject", "joe"],
        &["revoke", "--all", "--provider", "main"],
        &["revoke", &key, "--all"],
        &["revoke", &key, "--subject", "joe"],
    ] {
        let ran = stage.session(wrong);
        assert_eq!((ran.code, ran.said.as_str()), (Some(2), ""), "{wrong:?}: {ran}");
    }
}

#[test]
fn what_cannot_be_reached_is_told() {
    let stage = Stage::new("");
    let mut text = String::new();
    let mut tell = |what: &str, ran: Ran| writeln!(text, "# {what}\n{ran}").unwrap();
    tell("no sessions in the config", stage.session(&["list"]));
    stage.configure("sessions: { store: memory }\n");
    tell("memory", stage.session(&["list"]));
    tell("memory", stage.session(&["revoke", "--all"]));
    stage.configure("sessions: { store: 'sqlite:tiergate.db' }\n");
    tell("no file", stage.session(&["list"]));
    stage.sign_in(PEOPLE);
    stage.configure("sessions: { store: 'sqlite:tiergate.db', secrets: [another-secret-of-32-characters-at-least] }\n");
    tell("another secret", stage.session(&["list"]));
    stage.configure("sessions: { store: 'sqlite:tiergate.db' }\n");
    let key = stage.0.path().join("tiergate.db.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    tell("a key that all may read", stage.session(&["list"]));
    std::fs::remove_file(&key).unwrap();
    tell("no key", stage.session(&["list"]));
    assert!(!key.exists(), "a command made a key");
    insta::assert_snapshot!(text);
    assert_eq!(files(stage.0.path()), ["tiergate.db", "tiergate.yaml"]);
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    // What SQLite keeps beside the file, until the last one who has it open closes it.
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}
