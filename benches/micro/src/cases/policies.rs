//! Finding the rule and judging the caller, and how that grows with routes,
//! hosts and tiers.

use std::hint::black_box;
use std::sync::Arc;

use serde_json::{Value, json};
use tiergate::policy::Policy;
use tiergate::policy::document::PolicyDocument;
use tiergate::types::{CanonicalPath, Host, NameSet, Principal, ProviderId, TierSource};

use super::{Case, Operation};

/// How the rules of a made-up policy look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `/shop/item-7/list`, all side by side.
    Exact,
    /// `/shop/item-7/{id}`
    Variable,
    /// `/shop/item-7/**`
    Rest,
    /// As [`Self::Rest`], ten to an exact host.
    Hosts,
    /// As [`Self::Rest`], ten to a wildcard host.
    WildcardHosts,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 5] = [Self::Exact, Self::Variable, Self::Rest, Self::Hosts, Self::WildcardHosts];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Variable => "variable",
            Self::Rest => "rest",
            Self::Hosts => "hosts",
            Self::WildcardHosts => "wildcard hosts",
        }
    }

    fn rule(self, number: usize, tier: &str) -> Value {
        let path = match self {
            Self::Exact => format!("/shop/item-{number}/list"),
            Self::Variable => format!("/shop/item-{number}/{{id}}"),
            Self::Rest | Self::Hosts | Self::WildcardHosts => format!("/shop/item-{number}/**"),
        };
        match self {
            Self::Exact | Self::Variable | Self::Rest => json!({ "path": path, "tier": tier }),
            Self::Hosts => json!({ "host": format!("shop-{}.example.com", number / 10), "path": path, "tier": tier }),
            Self::WildcardHosts => {
                json!({ "host": format!("*.shop-{}.example.com", number / 10), "path": path, "tier": tier })
            }
        }
    }

    fn host(self, number: usize) -> String {
        match self {
            Self::Exact | Self::Variable | Self::Rest => "gate.example.com".to_owned(),
            Self::Hosts => format!("shop-{}.example.com", number / 10),
            Self::WildcardHosts => format!("eu.shop-{}.example.com", number / 10),
        }
    }
}

/// A path that the rule `number` covers, whatever its shape.
#[must_use]
pub fn request_path(number: usize) -> String {
    format!("/shop/item-{number}/list")
}

/// A policy of this many tiers, each with a scope of its own and the one below
/// it, and this many rules, which ask for the highest.
#[must_use]
pub fn document(shape: Shape, routes: usize, tiers: usize) -> PolicyDocument {
    let tier = |number: usize| {
        let includes = number.checked_sub(1).map(|below| format!("tier-{below}"));
        let tier = json!({
            "grant": { "scopes": [format!("access:tier-{number}")] },
            "includes": includes.into_iter().collect::<Vec<_>>()
        });
        (format!("tier-{number}"), tier)
    };
    let highest = format!("tier-{}", tiers - 1);
    PolicyDocument {
        tiers: serde_json::from_value(Value::Object((0..tiers).map(tier).collect())).expect("tiers"),
        rules: (0..routes)
            .map(|number| serde_json::from_value(shape.rule(number, &highest)).expect("a rule"))
            .collect(),
    }
}

fn policy(shape: Shape, routes: usize, tiers: usize) -> Policy {
    Policy::compile(&document(shape, routes, tiers), &["main"]).expect("a policy")
}

/// Somebody with the scope of the tier `number`.
fn caller(number: usize) -> Arc<Principal> {
    let scope = format!("access:tier-{number}");
    Arc::new(Principal {
        provider: ProviderId::new("main"),
        issuer: Arc::from("https://login.example.com/"),
        subject: Box::from("dev|devel"),
        email: None,
        name: Some(Box::from("Devi Devel")),
        scopes: ["openid", "profile", "email", scope.as_str()].into_iter().collect(),
        permissions: NameSet::default(),
        groups: NameSet::default(),
        claims: Arc::default(),
        tiers: TierSource::default(),
        attributes: Arc::default(),
    })
}

/// Requests all over the policy, one after the other.
const REQUESTS: usize = 64;

fn spread<T>(routes: usize, make: impl Fn(usize) -> T) -> impl FnMut() -> Arc<T> {
    let all: Vec<Arc<T>> = (0..REQUESTS).map(|turn| Arc::new(make(turn * 7919 % routes))).collect();
    let mut all = all.into_iter().cycle();
    move || all.next().expect("an endless row")
}

fn find(shape: Shape, routes: usize) -> Operation {
    let policy = policy(shape, routes, 4);
    let mut requests = spread(routes, move |number| {
        let path = CanonicalPath::parse(request_path(number).as_bytes()).expect("a path");
        (Host::parse(shape.host(number).as_bytes()).expect("a host"), path)
    });
    Box::new(move || {
        let request = requests();
        let (host, path) = request.as_ref();
        black_box(policy.find(Some(host), black_box(path), "GET").expect("a rule"));
    })
}

fn decide(tiers: usize) -> Operation {
    let policy = policy(Shape::Rest, 10, tiers);
    let caller = caller(tiers - 1);
    let path = CanonicalPath::parse(request_path(7).as_bytes()).expect("a path");
    Box::new(move || {
        let matched = policy.find(None, &path, "GET").expect("a rule");
        black_box(matched.decide(policy.tiers(), Some(black_box(&caller)), None));
    })
}

/// From the bytes of a target to the decision.
fn decision(routes: usize) -> Operation {
    let policy = policy(Shape::Rest, routes, 4);
    let caller = caller(3);
    let mut requests = spread(routes, request_path);
    Box::new(move || {
        let target = requests();
        let path = CanonicalPath::parse(black_box(target.as_bytes())).expect("a path");
        let host = Host::parse(black_box(b"gate.example.com")).expect("a host");
        let matched = policy.find(Some(&host), &path, "GET").expect("a rule");
        black_box(matched.decide(policy.tiers(), Some(&caller), None));
    })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for shape in Shape::ALL {
        for routes in [10, 100, 1_000, 10_000] {
            let case = Case::new("find", format!("{}, {routes} routes", shape.as_str()), move || find(shape, routes));
            let is_gated = matches!((shape, routes), (Shape::Variable, 10 | 10_000) | (Shape::Hosts, 10_000));
            cases.push(if is_gated { case.gated() } else { case });
        }
    }
    for tiers in [4, 16, 64, 128] {
        let case = Case::new("find and decide", format!("{tiers} tiers"), move || decide(tiers));
        cases.push(if matches!(tiers, 4 | 128) { case.gated() } else { case });
    }
    for routes in [10, 100, 1_000, 10_000] {
        let case = Case::new("decision", format!("{routes} routes"), move || decision(routes));
        cases.push(if matches!(routes, 10 | 10_000) { case.gated() } else { case });
    }
    cases
}
