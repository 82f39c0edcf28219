//! For `make bench`: fills a session store as if so many people had signed in,
//! and writes the cookies of their browsers down, one a line.
//!
//! ```text
//! cargo bench --bench sessions -- STORE SECRET TOKEN COUNT COOKIES
//! ```
//!
//! `STORE` is `sqlite:FILE` or the address of a Redis, as in `sessions.store`;
//! `SECRET` seals; the sessions have the claims of `TOKEN`, each with another
//! subject.

#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "it is run from the outside: arguments, files")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::try_join_all;
use serde_json::{Map, Value};
use tiergate::backend::redis_store::{RedisStore, RedisTopology};
use tiergate::backend::sqlite_store::SqliteStore;
use tiergate::backend::system::{SystemClock, SystemRandom};
use tiergate::session::{Authority, Lifetimes, Seals, Session, SessionPorts, SessionStore, Sessions, SetCookie};
use tiergate::types::{Clock, ProviderId, Random, Secret, UnixTime};

/// Sessions that are begun at once: SQLite commits together what waits together.
const AT_ONCE: usize = 50;
/// How often each is tried on a machine that is too busy for the store to answer in time.
const TRIES: u32 = 20;
/// The defaults of the config.
const LIFETIMES: Lifetimes = Lifetimes { idle: Duration::from_secs(30 * 60), absolute: Duration::from_secs(12 * 3600) };

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [store, secret, token, count, cookies] = arguments.as_slice() else {
        eprintln!("usage: cargo bench --bench sessions -- STORE SECRET TOKEN COUNT COOKIES");
        // Without arguments there is nothing to measure here: `cargo bench` alone comes by.
        return if arguments.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(fill(store, secret, token, count.parse()?, Path::new(cookies))));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sessions: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn fill(address: &str, secret: &str, token: &str, count: usize, cookies: &Path) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let store = open(address, &clock, &random).await?;
    let seals = Seals::new(&[Secret::new(secret.to_owned())]).ok_or("no secret")?;
    let sessions = Sessions::new(SessionPorts { store, random, clock: Arc::clone(&clock) }, seals, LIFETIMES);
    let claims = claims(token)?;
    let mut lines = String::new();
    for first in (0..count).step_by(AT_ONCE) {
        let begun = (first..count.min(first + AT_ONCE)).map(|number| begin(&sessions, &claims, number, clock.now()));
        for cookie in try_join_all(begun).await? {
            lines.push_str(&cookie);
            lines.push('\n');
        }
    }
    std::fs::write(cookies, lines)?;
    Ok(())
}

async fn open(
    address: &str,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Arc<dyn SessionStore>, Failure> {
    if let Some(file) = address.strip_prefix("sqlite:") {
        return Ok(Arc::new(SqliteStore::open(Path::new(file)).await?));
    }
    let url = Secret::new(address.to_owned());
    let store = RedisStore::open(RedisTopology::Single, &url, Arc::clone(clock), Arc::clone(random))?;
    for _ in 0..50 {
        if store.probe(clock.now()).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Arc::new(store))
}

/// What the token says. Its signature is the service's business.
fn claims(token: &str) -> Result<Map<String, Value>, Failure> {
    let payload = token.split('.').nth(1).ok_or("TOKEN is no JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}

/// One person signs in; the cookie, as their browser sends it.
async fn begin(
    sessions: &Sessions,
    claims: &Map<String, Value>,
    number: usize,
    now: UnixTime,
) -> Result<String, Failure> {
    let mut claims = claims.clone();
    let subject = format!("demo|{number:08}");
    claims.insert("sub".to_owned(), subject.clone().into());
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let profile = ["sub", "email", "email_verified", "name"];
    let session = Session {
        provider: ProviderId::new("main"),
        issuer: text("iss"),
        subject,
        sid: Some(format!("{number:032x}")),
        profile: profile.iter().filter_map(|name| Some(((*name).to_owned(), claims.get(*name)?.clone()))).collect(),
        authority: Authority { from_access_token: true, expires_at: now.plus(Duration::from_secs(3600)), claims },
        refresh_token: Some(Secret::new(format!("{number:064x}"))),
        id_token: Some(Secret::new("e30".repeat(250))),
        signed_in_at: now,
        user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0"
            .to_owned(),
    };
    let mut begun = sessions.begin(&session).await;
    for _ in 1..TRIES {
        if begun.is_ok() {
            break;
        }
        begun = sessions.begin(&session).await;
    }
    let id = begun?;
    let set_cookie = SetCookie::session(&id, LIFETIMES.absolute).header_value();
    Ok(set_cookie.split(';').next().unwrap_or_default().to_owned())
}
