//! Every proxy, every user, every kind of path: the same decision, and what an
//! upstream receives is the request that was checked.

use std::fmt::Write as _;

use anyhow::{Result, bail, ensure};
use tiergate_testbed::{Gateway, RunningGateway, TokenSpec};

use super::identity::{Identity, TIER_ORDER};
use super::stage::{Asked, Stage, shared};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Anonymous,
    /// An account of the provider, named after its highest tier.
    Account(&'static str),
    Expired,
    WrongAudience,
}

const USERS: [(&str, User); 7] = [
    ("anonymous", User::Anonymous),
    ("stable", User::Account("stable")),
    ("ea", User::Account("ea")),
    ("devel", User::Account("devel")),
    ("admin", User::Account("admin")),
    ("expired", User::Expired),
    ("wrong audience", User::WrongAudience),
];

/// What a path asks for.
#[derive(Clone, Copy)]
enum Asks {
    /// The tier, and where an admitted request lands: upstream and target there.
    Tier(&'static str, &'static str, &'static str),
    /// No rule covers it.
    NoRule,
    /// It can be read in more than one way.
    Ambiguous,
}

const PATHS: [(&str, Asks); 32] = [
    ("/public/page", Asks::Tier("public", "site", "/public/page")),
    (
        "/public/a%20b/%C3%A9/x+y?q=%2F..%2f&r=a+b&s",
        Asks::Tier("public", "site", "/public/a%20b/%C3%A9/x+y?q=%2F..%2f&r=a+b&s"),
    ),
    ("/apps/stable/maps/tiles/1?z=3", Asks::Tier("stable", "maps", "/tiles/1?z=3")),
    ("/apps/ea/reports/", Asks::Tier("ea", "reports", "/")),
    ("/apps/devel/hazard/run/%7Euser/a%20b", Asks::Tier("devel", "hazard", "/run/%7Euser/a%20b")),
    ("/apps/admin/console", Asks::Tier("admin", "site", "/apps/admin/console")),
    ("/apps/nightly/x", Asks::NoRule),
    ("/apps", Asks::NoRule),
    ("/nowhere", Asks::NoRule),
    ("/publicly", Asks::NoRule),
    ("/Apps/stable/maps/", Asks::NoRule),
    ("/apps/STABLE/maps/", Asks::NoRule),
    ("/public/../apps/admin/x", Asks::Ambiguous),
    ("/public/%2e%2e/apps/admin/x", Asks::Ambiguous),
    ("/public/.%2E/apps/admin/x", Asks::Ambiguous),
    ("/public/./page", Asks::Ambiguous),
    ("/public/..", Asks::Ambiguous),
    ("//apps/admin/x", Asks::Ambiguous),
    ("/public/x;/../../apps/admin/x", Asks::Ambiguous),
    ("/public/x;v=1", Asks::Ambiguous),
    ("/public/..%2fapps/admin/x", Asks::Ambiguous),
    ("/public/a%2Fb", Asks::Ambiguous),
    ("/public/..%5capps/admin/x", Asks::Ambiguous),
    ("/public/..\\apps\\admin\\x", Asks::Ambiguous),
    ("/public/a%00b", Asks::Ambiguous),
    ("/public/%252e%252e/apps/admin/x", Asks::Ambiguous),
    ("/public/page#/../apps/admin/x", Asks::Ambiguous),
    ("/public/a%23b", Asks::Ambiguous),
    ("/public/a%3Fb", Asks::Ambiguous),
    ("/public/%zz", Asks::Ambiguous),
    ("/apps/stable/maps/..%20/x", Asks::Ambiguous),
    ("/public/%c0%ae%c0%ae/apps/admin/x", Asks::Ambiguous),
];

/// The decision, whatever the proxy makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Allow,
    Unauthenticated,
    Forbidden,
    /// 400, or 403 where the check or the proxy can say no other.
    Refused,
}

impl Decision {
    /// What the policy says, written down a second time on purpose.
    fn expected(user: User, asks: Asks) -> Self {
        let rank = |tier: &str| TIER_ORDER.iter().position(|other| *other == tier);
        match (asks, user) {
            (Asks::Ambiguous, _) => Self::Refused,
            (Asks::NoRule, _) => Self::Forbidden,
            (Asks::Tier("public", ..), _) => Self::Allow,
            (Asks::Tier(tier, ..), User::Account(held)) if rank(held) >= rank(tier) => Self::Allow,
            (Asks::Tier(..), User::Account(_)) => Self::Forbidden,
            (Asks::Tier(..), User::Anonymous | User::Expired | User::WrongAudience) => Self::Unauthenticated,
        }
    }

    fn fits(self, status: u16) -> bool {
        match self {
            Self::Allow => status == 200,
            Self::Unauthenticated => status == 401,
            Self::Forbidden => status == 403,
            Self::Refused => matches!(status, 400 | 403),
        }
    }
}

#[test]
fn every_proxy_gives_every_user_the_same_decision_for_every_path() {
    let stage = shared();
    let mut wrong = String::new();
    let mut cells = 0;
    for (name, user) in USERS {
        let token = token(stage, user).unwrap();
        for (path, asks) in PATHS {
            for gateway in stage.gateways() {
                cells += 1;
                if let Err(error) = cell(stage, gateway, token.as_deref(), user, path, asks) {
                    let _ = writeln!(wrong, "{:<11}{name:<15}{path:<45} {error:#}", gateway.kind().name());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "of {cells} cells these are wrong:\n{:<11}{:<15}path\n{wrong}", "proxy", "user");
}

fn token(stage: &Stage, user: User) -> Result<Option<String>> {
    let spec = match user {
        User::Anonymous => return Ok(None),
        User::Account(name) => TokenSpec::for_account(name),
        User::Expired => TokenSpec::for_account("admin").expired(),
        User::WrongAudience => TokenSpec::for_account("admin").audience("http://elsewhere.example/api"),
    };
    stage.mint(&spec).map(Some)
}

fn cell(
    stage: &Stage,
    gateway: &RunningGateway,
    token: Option<&str>,
    user: User,
    path: &str,
    asks: Asks,
) -> Result<()> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
    let asked = stage.ask(gateway, "GET", path, &headers)?;
    let expected = Decision::expected(user, asks);
    let status = asked.answer.status;
    ensure!(expected.fits(status), "expected {expected:?}, got {status}");
    match (expected, asks) {
        (Decision::Allow, Asks::Tier(tier, place, target)) => {
            let identity = match user {
                User::Account(name) => Identity::account(name, tier),
                User::Anonymous | User::Expired | User::WrongAudience => Identity::anonymous(tier),
            };
            landed(&asked, place, &sent_by(gateway.kind(), target))?;
            identity.check(stage, &asked.landed[0].received)
        }
        _ => {
            ensure!(asked.landed.is_empty(), "refused, and an upstream received {:?}", asked.landed);
            let cached = asked.answer.header("cache-control");
            // A proxy that refuses by itself (400) says nothing about caches.
            ensure!(cached == Some("no-store") || status == 400, "a refusal with Cache-Control {cached:?}");
            Ok(())
        }
    }
}

/// The target as it leaves a proxy: as it came. Only Traefik decodes what needs no
/// encoding (RFC 3986 section 6.2.2.2), which is the same path to every reader.
fn sent_by(gateway: Gateway, target: &str) -> String {
    if gateway == Gateway::Traefik { target.replace("%7E", "~") } else { target.to_owned() }
}

/// Exactly one request, there, with this target.
fn landed(asked: &Asked, place: &str, target: &str) -> Result<()> {
    let [only] = asked.landed.as_slice() else { bail!("admitted, and the upstreams received {:?}", asked.landed) };
    ensure!(only.place == place, "landed at {} in place of {place}", only.place);
    ensure!(only.received.target == target, "landed as {} in place of {target}", only.received.target);
    Ok(())
}
