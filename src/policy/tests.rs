use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::types::{NameSet, Principal, ProviderId, Reason, TierSet};

fn document(tiers: Value, rules: Value) -> PolicyDocument {
    PolicyDocument {
        tiers: serde_json::from_value(tiers).expect("tiers"),
        rules: serde_json::from_value(rules).expect("rules"),
    }
}

fn contract_tiers() -> Value {
    json!({
        "public": { "grant": "anyone" },
        "stable": { "grant": "authenticated" },
        "ea": { "grant": { "scopes": ["access:ea"] }, "includes": ["stable"] },
        "devel": { "grant": { "scopes": ["access:devel"] }, "includes": ["ea"] },
        "admin": { "grant": { "scopes": ["access:admin"] }, "includes": ["devel"], "label": "Almighty Admin" }
    })
}

fn contract_rules() -> Value {
    json!([
        { "path": "/apps/{tier}/**", "tier": "{tier}" },
        { "path": "/public/**", "tier": "public" },
        { "path": "/drinks", "methods": ["GET"], "tier": "public" },
        { "path": "/drinks", "methods": ["POST"], "permissions": ["post:drinks"] },
        { "path": "/drinks/{id}", "methods": ["PATCH"], "permissions": ["patch:drinks"] },
        { "host": "api.example.com", "path": "/api/messages/admin", "permissions": ["read:admin-messages"] },
        { "path": "/reports/**", "require": { "tier": "ea", "scopes": ["read:reports"],
            "any": [{ "groups": ["audit"] }, { "tier": "admin" }] } }
    ])
}

fn policy(tiers: Value, rules: Value) -> Policy {
    Policy::compile(&document(tiers, rules), &["main"]).expect("policy compiles")
}

fn faults(tiers: Value, rules: Value) -> Vec<String> {
    Policy::compile(&document(tiers, rules), &["main"])
        .expect_err("policy is faulty")
        .iter()
        .map(|error| format!("{}: {error} ({})", error.pointer(), error.hint().unwrap_or_default()))
        .collect()
}

fn caller(scopes: &str, permissions: &str, groups: &str) -> Principal {
    let names = |list: &str| list.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let set = |list: &str| names(list).iter().map(String::as_str).collect::<NameSet>();
    Principal {
        provider: ProviderId::new("main"),
        issuer: Arc::from("https://idp.example.com/"),
        subject: Box::from("u-1"),
        email: None,
        name: None,
        scopes: set(scopes),
        permissions: set(permissions),
        groups: set(groups),
        claims: Arc::default(),
        tiers: crate::types::TierSource::default(),
        attributes: Arc::default(),
    }
}

fn ask(policy: &Policy, host: Option<&str>, method: &str, path: &str, caller: Option<&Principal>) -> Reason {
    let host = host.map(|host| Host::parse(host.as_bytes()).expect("host"));
    let path = CanonicalPath::parse(path.as_bytes()).expect("path");
    match policy.find(host.as_ref(), &path, method).map(|matched| matched.decide(policy.tiers(), caller, None)) {
        None => Reason::NoRule,
        Some(Decision::Allow(_)) => Reason::Ok,
        Some(Decision::Deny(reason)) => reason,
    }
}

#[test]
fn the_policy_of_the_contract_decides_as_it_says() {
    let policy = policy(contract_tiers(), contract_rules());
    let stable = caller("", "", "");
    let devel = caller("access:devel", "", "");
    let admin = caller("access:admin read:reports", "", "");
    let manager = caller("", "post:drinks patch:drinks", "");
    let auditor = caller("access:ea read:reports", "", "audit");
    for (method, path, caller, expected) in [
        ("GET", "/apps/devel/x", None, Reason::NoCredentials),
        ("GET", "/apps/devel/x", Some(&stable), Reason::InsufficientTier),
        ("GET", "/apps/devel/x", Some(&devel), Reason::Ok),
        ("GET", "/apps/devel", Some(&devel), Reason::Ok),
        ("GET", "/apps/devel/", Some(&devel), Reason::Ok),
        ("GET", "/apps/stable/x", Some(&devel), Reason::Ok),
        ("GET", "/apps/admin/x", Some(&devel), Reason::InsufficientTier),
        ("GET", "/apps/unknown/x", Some(&admin), Reason::NoRule),
        ("GET", "/apps/Devel/x", Some(&admin), Reason::NoRule),
        ("GET", "/apps", Some(&admin), Reason::NoRule),
        ("GET", "/apps/", Some(&admin), Reason::NoRule),
        ("GET", "/apps/public/x", None, Reason::Ok),
        ("GET", "/public", None, Reason::Ok),
        ("GET", "/public/", None, Reason::Ok),
        ("GET", "/publicly", None, Reason::NoRule),
        ("GET", "/drinks", None, Reason::Ok),
        ("GET", "/drinks/", None, Reason::NoRule),
        ("HEAD", "/drinks", None, Reason::Ok),
        ("POST", "/drinks", None, Reason::NoCredentials),
        ("POST", "/drinks", Some(&stable), Reason::InsufficientPermission),
        ("POST", "/drinks", Some(&manager), Reason::Ok),
        ("DELETE", "/drinks", Some(&manager), Reason::NoRule),
        ("PATCH", "/drinks/7", Some(&manager), Reason::Ok),
        ("PATCH", "/drinks/", Some(&manager), Reason::NoRule),
        ("GET", "/api/messages/admin", Some(&admin), Reason::NoRule),
        ("GET", "/reports/q1", Some(&auditor), Reason::Ok),
        ("GET", "/reports/q1", Some(&admin), Reason::Ok),
        ("GET", "/reports/q1", Some(&devel), Reason::InsufficientScope),
        ("GET", "/reports/q1", Some(&stable), Reason::InsufficientTier),
    ] {
        assert_eq!(ask(&policy, None, method, path, caller), expected, "{method} {path}");
    }
}

#[test]
fn hosts_count_first_exact_before_wildcard_before_none_one_port_before_every_port() {
    let tiers = json!({ "a": { "grant": "anyone" }, "no": {} });
    let policy = policy(
        tiers,
        json!([
            { "path": "/**", "tier": "no" },
            { "host": "*.example.com", "path": "/**", "tier": "a" },
            { "host": "*.example.com:9000", "path": "/**", "tier": "no" },
            { "host": "*.deep.example.com", "path": "/**", "tier": "no" },
            { "host": "x.deep.example.com", "path": "/open/**", "tier": "a" },
            { "host": "localhost:8080", "path": "/**", "tier": "a" }
        ]),
    );
    let user = caller("", "", "");
    for (host, path, expected) in [
        (None, "/x", Reason::InsufficientTier),
        (Some("example.com"), "/x", Reason::InsufficientTier),
        (Some("www.example.com"), "/x", Reason::Ok),
        (Some("a.b.example.com:443"), "/x", Reason::Ok),
        (Some("www.example.com:8443"), "/x", Reason::Ok),
        (Some("x.deep.example.com:8443"), "/open/x", Reason::Ok),
        (Some("www.example.com:9000"), "/x", Reason::InsufficientTier),
        (Some("y.deep.example.com"), "/x", Reason::InsufficientTier),
        (Some("x.deep.example.com"), "/x", Reason::InsufficientTier),
        (Some("x.deep.example.com"), "/open/x", Reason::Ok),
        (Some("badexample.com"), "/x", Reason::InsufficientTier),
        (Some("localhost:8080"), "/x", Reason::Ok),
        (Some("localhost"), "/x", Reason::InsufficientTier),
    ] {
        assert_eq!(ask(&policy, host, "GET", path, Some(&user)), expected, "{host:?} {path}");
    }
}

#[test]
fn one_resource_has_one_rule_however_it_is_spelled() {
    let policy = policy(
        contract_tiers(),
        json!([
            { "path": "/site/**", "tier": "public" },
            { "path": "/site/@admin/**", "tier": "admin" },
            { "path": "/site/p%7Cq", "tier": "admin" },
            { "path": "/x/**", "tier": "public" },
            { "path": "/x/secret", "methods": ["GET"], "tier": "admin" }
        ]),
    );
    for path in ["/site/@admin/x", "/site/%40admin/x", "/site/p|q", "/site/p%7cq"] {
        assert_eq!(ask(&policy, None, "GET", path, None), Reason::NoCredentials, "{path}");
    }
    assert_eq!(ask(&policy, None, "HEAD", "/x/secret", None), Reason::NoCredentials);
    let same = json!([{ "path": "/@a", "tier": "admin" }, { "path": "/%40a", "tier": "public" }]);
    assert!(faults(contract_tiers(), same)[0].starts_with("/rules/1: this rule and `/rules/0`"));
}

#[test]
fn a_segment_that_names_no_tier_is_denied_even_under_a_wider_rule() {
    let policy = policy(
        contract_tiers(),
        json!([{ "path": "/**", "tier": "public" }, { "path": "/apps/{tier}/**", "tier": "{tier}" }]),
    );
    assert_eq!(ask(&policy, None, "GET", "/apps/nothing/x", None), Reason::NoRule);
    assert_eq!(ask(&policy, None, "GET", "/other", None), Reason::Ok);
}

#[test]
fn a_route_tier_raises_and_never_lowers() {
    let policy = policy(contract_tiers(), contract_rules());
    let tier = |name: &str| policy.tiers().index(name);
    let path = CanonicalPath::parse(b"/apps/ea/x").expect("path");
    let matched = policy.find(None, &path, "GET").expect("rule");
    let ea = caller("access:ea", "", "");
    let devel = caller("access:devel", "", "");
    let decide = |caller: &Principal, raise: &str| matched.decide(policy.tiers(), Some(caller), tier(raise));
    assert!(matches!(decide(&ea, "public"), Decision::Allow(_)));
    assert_eq!(decide(&ea, "devel"), Decision::Deny(Reason::InsufficientTier));
    assert!(matches!(decide(&devel, "devel"), Decision::Allow(_)));
    assert_eq!(decide(&caller("", "", ""), "public"), Decision::Deny(Reason::InsufficientTier));
}

#[test]
fn a_grant_lists_alternatives_and_a_requirement_lists_demands() {
    let tiers = json!({
        "t": { "grant": { "scopes": ["a", "b"], "groups": ["g"], "users": ["main/u-9"] } },
        "nested": { "grant": { "all": [{ "groups": ["g"] }, { "scopes": ["a"] }] } }
    });
    let policy = policy(
        tiers,
        json!([
            { "path": "/t", "tier": "t" },
            { "path": "/nested", "tier": "nested" },
            { "path": "/both", "scopes": ["a"], "groups": ["g"] },
            { "path": "/mail", "email_domains": ["Example.com"] }
        ]),
    );
    let held = |path: &str, caller: &Principal| ask(&policy, None, "GET", path, Some(caller)) == Reason::Ok;
    assert!(!held("/t", &caller("a", "", "")));
    assert!(held("/t", &caller("a b", "", "")));
    assert!(held("/t", &caller("", "", "g")));
    assert!(held("/t", &Principal { subject: Box::from("u-9"), ..caller("", "", "") }));
    assert!(!held("/nested", &caller("", "", "g")));
    assert!(held("/nested", &caller("a", "", "g")));
    assert!(!held("/both", &caller("a", "", "")));
    assert!(held("/both", &caller("a", "", "g")));
    let with_mail = |address: &str, verified| Principal {
        email: Some(crate::types::Email::new(address, verified)),
        ..caller("", "", "")
    };
    assert!(held("/mail", &with_mail("a@example.com", true)));
    for (address, verified) in
        [("a@example.com", false), ("a@evil.com@example.com", true), ("@example.com", true), ("a@xexample.com", true)]
    {
        assert!(!held("/mail", &with_mail(address, verified)), "{address}");
    }
}

#[test]
fn every_fault_of_a_policy_is_told_at_once_with_its_place() {
    let tiers = json!({
        "u p": {}, "a": { "includes": ["b"] }, "b": { "includes": ["a"] }, "c": { "includes": ["devl"] },
        "devel": { "grant": { "scopes": [] } }, "e": { "grant": {} }, "f": { "grant": { "tier": "a" } }
    });
    let rules = json!([
        { "path": "/x" },
        { "path": "/x/../y", "tier": "a" },
        { "path": "/x", "tier": "devell" },
        { "path": "/x", "tier": "{t}" },
        { "path": "/{s}/{t}", "tier": "{t}", "any": [{ "tier": "{s}" }] },
        { "path": "/x", "scopes": ["a b"] },
        { "path": "/x", "scopes": [] },
        { "path": "/x", "any": [{}] },
        { "path": "/x", "users": ["noslash", "mian/u"], "providers": ["other"] },
        { "path": "/x", "tier": "a", "methods": ["get", "TRACE"], "host": "a_b.example.com." },
        { "path": "/x", "tier": "a", "cors": { "origins": ["https://a.example.com/", "https://a.example.com"] } },
        { "path": "/x", "require": {} },
        { "path": "/t/{a}", "tier": "a" },
        { "path": "/t/{b}", "tier": "b" },
        { "path": "/t/{b}", "tier": "b", "methods": ["GET"] },
        { "path": "/x", "email_domains": ["@example.com"], "encoded": [], "token_from": [] }
    ]);
    insta::assert_snapshot!(faults(tiers, rules).join("\n"));
}

/// Small worlds in which rules collide often.
fn world() -> impl Strategy<Value = (Vec<Value>, Vec<(String, String)>)> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("{x}"), Just("{y}")];
    let pattern = (proptest::collection::vec(segment, 0..3), any::<bool>()).prop_map(|(segments, rest)| {
        let mut seen = std::collections::BTreeSet::new();
        let mut text = String::new();
        for segment in segments {
            let segment = if segment.starts_with('{') && !seen.insert(segment) { "{z}" } else { segment };
            if segment == "{z}" && !seen.insert("{z}") {
                continue;
            }
            text.push('/');
            text.push_str(segment);
        }
        if rest {
            text.push_str("/**");
        } else if text.is_empty() {
            text.push('/');
        }
        text
    });
    let method = prop_oneof![Just(None), Just(Some("GET")), Just(Some("POST"))];
    let host = prop_oneof![Just(None), Just(Some("h.example.com")), Just(Some("*.example.com"))];
    let tier = prop_oneof![Just("t0"), Just("t1"), Just("t2")];
    let rule = (pattern, method, host, tier).prop_map(|(path, method, host, tier)| {
        let mut rule = json!({ "path": path, "tier": tier });
        if let Some(method) = method {
            rule["methods"] = json!([method]);
        }
        if let Some(host) = host {
            rule["host"] = json!(host);
        }
        rule
    });
    let path = proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c"), Just("")], 0..4)
        .prop_map(|segments| format!("/{}", segments.join("/")))
        .prop_filter("canonical", |path| CanonicalPath::parse(path.as_bytes()).is_ok());
    let host = prop_oneof![Just("h.example.com"), Just("o.example.com"), Just("other.org")];
    let request = (host.prop_map(str::to_owned), path);
    (proptest::collection::vec(rule, 0..8), proptest::collection::vec(request, 1..12))
}

fn without_ties(rules: Vec<Value>) -> Vec<Value> {
    let tiers = json!({ "t0": {}, "t1": {}, "t2": {} });
    let mut kept: Vec<Value> = Vec::new();
    for rule in rules {
        kept.push(rule);
        if Policy::compile(&document(tiers.clone(), Value::Array(kept.clone())), &[]).is_err() {
            kept.pop();
        }
    }
    kept
}

/// What the contract says, written the slow way: among all rules that cover the
/// request the one with the greatest (host, path, method).
fn slow_find(rules: &[Value], host: &str, path: &str, method: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    rules
        .iter()
        .filter_map(|rule| {
            let host_rank = match rule["host"].as_str() {
                None => 0,
                Some(wild) if wild.starts_with("*.") && host.ends_with(wild.trim_start_matches('*')) => 1,
                Some(exact) if exact == host => 2,
                Some(_) => return None,
            };
            let method_rank = match rule["methods"][0].as_str() {
                None => 0,
                Some(named) if named == method => 1,
                Some(_) => return None,
            };
            let mut ranks = Vec::new();
            let written: Vec<&str> = rule["path"].as_str()?.split('/').skip(1).collect();
            let mut ended = false;
            for (position, part) in written.iter().enumerate() {
                match (*part, segments.get(position)) {
                    ("**", _) => {
                        ranks.push(0);
                        ended = true;
                    }
                    (variable, Some(segment)) if variable.starts_with('{') && !segment.is_empty() => ranks.push(1),
                    (literal, Some(segment)) if literal == *segment => ranks.push(2),
                    _ => return None,
                }
            }
            if !ended {
                if written.len() != segments.len() {
                    return None;
                }
                ranks.push(3); // an exact end is more specific than `**` in its place
            }
            Some(((host_rank, ranks, method_rank), rule["tier"].as_str()?.to_owned()))
        })
        .max()
        .map(|(_, tier)| tier)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn matching_is_what_the_contract_says_and_order_has_no_meaning(
        (rules, requests) in world(), seed in any::<u64>()
    ) {
        let tiers = json!({ "t0": {}, "t1": {}, "t2": {} });
        let rules = without_ties(rules);
        let mut shuffled = rules.clone();
        let length = shuffled.len().max(1);
        for position in 0..shuffled.len() {
            shuffled.swap(position, (seed as usize).wrapping_mul(position + 7) % length);
        }
        let first = policy(tiers.clone(), Value::Array(rules.clone()));
        let second = policy(tiers, Value::Array(shuffled));
        prop_assert_eq!(first.fingerprint(), second.fingerprint());
        for (host, path) in requests {
            let parsed = Host::parse(host.as_bytes()).expect("host");
            let canonical = CanonicalPath::parse(path.as_bytes()).expect("path");
            for method in ["GET", "POST", "PUT"] {
                let find = |policy: &Policy| policy
                    .find(Some(&parsed), &canonical, method)
                    .map(|matched| policy.tiers().name(matched.tier().expect("tier")).to_owned());
                let expected = slow_find(&rules, &host, canonical.as_str(), method);
                prop_assert_eq!(find(&first), expected.clone(), "{} {} {}", method, host, path);
                prop_assert_eq!(find(&second), expected);
            }
        }
    }

    #[test]
    fn admission_is_monotone_in_tiers(
        includes in proptest::collection::vec((0usize..6, 0usize..6), 0..8), more in 0usize..6, held in 0usize..6
    ) {
        // Edges from the wider to the narrower tier only, so that there is no cycle.
        let tier = |index: usize| {
            let below: Vec<String> = includes.iter()
                .filter(|(from, to)| from.max(to) == &index && from != to)
                .map(|(from, to)| format!("t{}", from.min(to))).collect();
            json!({ "grant": { "scopes": [format!("s{index}")] }, "includes": below })
        };
        let tiers: serde_json::Map<String, Value> = (0..6).map(|index| (format!("t{index}"), tier(index))).collect();
        let policy = policy(Value::Object(tiers), json!([{ "path": "/{tier}/**", "tier": "{tier}" }]));
        let few = caller(&format!("s{held}"), "", "");
        let many = caller(&format!("s{held} s{more}"), "", "");
        let tiers_of = |caller: &Principal| policy.tiers().held_by(Some(caller));
        prop_assert!(tiers_of(&few).is_subset(tiers_of(&many)));
        prop_assert_eq!(tiers_of(&many), tiers_of(&few).union(tiers_of(&caller(&format!("s{more}"), "", ""))));
        prop_assert_eq!(policy.tiers().held_by(None), TierSet::EMPTY);
        for wanted in 0..6 {
            let path = format!("/t{wanted}/x");
            if ask(&policy, None, "GET", &path, Some(&few)) == Reason::Ok {
                prop_assert_eq!(ask(&policy, None, "GET", &path, Some(&many)), Reason::Ok);
            }
        }
    }
}

#[test]
fn a_challenge_names_each_scope_once_and_in_order() {
    let tiers = json!({ "ea": { "grant": { "scopes": ["b", "a"] } } });
    let rules = json!([{ "path": "/x", "tier": "ea", "scopes": ["c", "b", "a"] }]);
    let policy = policy(tiers, rules);
    let path = CanonicalPath::parse(b"/x").unwrap();
    let matched = policy.find(None, &path, "GET").unwrap();
    assert_eq!(matched.required(policy.tiers(), None).challenge_scope().as_deref(), Some("b a c"));
}

#[test]
fn a_scope_is_what_a_challenge_can_carry() {
    for scope in ["say \\\"hi\\\"", "a\\\\b", "höhe", "a b"] {
        let rules = format!(r#"[{{ "path": "/x", "scopes": ["{scope}"] }}]"#);
        let told = faults(json!({}), serde_json::from_str(&rules).unwrap());
        assert_eq!(told.len(), 1, "{scope}: {told:?}");
        assert!(told[0].starts_with("/rules/0/scopes/0: "), "{told:?}");
    }
    // Permissions never stand in a header, so a quotation mark is no harm in one.
    policy(json!({}), json!([{ "path": "/x", "permissions": ["a\"b"], "scopes": ["!#[]~:/.*"] }]));
}

#[test]
fn the_operator_reads_the_whole_requirement() {
    let rules = json!([
        { "path": "/a/{tier}/x", "tier": "{tier}" },
        { "path": "/b", "tier": "ea", "groups": ["audit"],
          "any": [{ "users": ["main/x"] }, { "tier": "admin" }] },
        { "path": "/c", "scopes": ["a", "b"], "permissions": ["p"] },
        { "path": "/d", "groups": ["g", "h"], "email_domains": ["example.com"], "providers": ["main"] },
        { "path": "/e", "any": [{ "scopes": ["a", "b"] }, { "groups": ["g", "h"] }, { "any": [{ "tier": "ea" }] }] },
        { "path": "/f", "all": [{ "scopes": ["a"] }, { "all": [{ "tier": "ea" }, { "permissions": ["p"] }] }] }
    ]);
    let policy = policy(contract_tiers(), rules);
    for (path, expected) in [
        ("/a/devel/x", "tier devel"),
        ("/b", "tier ea and group audit and any of (user main/x, tier admin)"),
        ("/c", "scope a and scope b and permission p"),
        ("/d", "any of (group g, group h) and provider main and e-mail domain example.com"),
        ("/e", "any of (all of (scope a, scope b), group g, group h, tier ea)"),
        ("/f", "scope a and tier ea and permission p"),
    ] {
        let path = CanonicalPath::parse(path.as_bytes()).unwrap();
        let matched = policy.find(None, &path, "GET").unwrap();
        assert_eq!(matched.requirement(policy.tiers()).to_string(), expected);
    }
}

#[test]
fn a_part_of_a_policy_is_judged_by_what_is_known() {
    let part = document(
        json!({ "a": { "includes": ["b"] }, "c": { "includes": ["a", "gone"] } }),
        json!([{ "path": "/x", "tier": "gone" }, { "path": "/y", "tier": "nowhere", "providers": ["other"] }]),
    );
    let told = |tiers: Option<&[&str]>, providers: Option<&[&str]>| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (tiers, providers) = (tiers.map(owned), providers.map(owned));
        let declared = Declared { tiers: tiers.as_deref(), providers: providers.as_deref() };
        let faults = Policy::faults_of_part(&part, &declared);
        faults.iter().map(|error| error.pointer().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(None, None), Vec::<String>::new());
    // `b` was taken out: that it is the second tier makes no cycle of the others.
    assert_eq!(told(Some(&["a", "b", "c", "gone"]), None), ["/rules/1/tier"]);
    assert_eq!(told(None, Some(&["main"])), ["/rules/1/providers/0"]);
}
