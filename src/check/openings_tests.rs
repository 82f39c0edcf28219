use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::apps::{App, AppId, AppName, AppPath, Catalogue, Entry, Prefix, RouteTag, Upstream};
use crate::check::fixture::{self, caller};
use crate::check::outcome::Answer;
use crate::policy::Policy;
use crate::policy::document::RuleFile;
use crate::types::{Protocol, RequestView};

/// An app with the rule of its tier and `more`, relative to its path.
fn app(policy: &Policy, id: (&str, &str), path: &str, more: &[(&str, &str)]) -> Arc<Entry> {
    let (tier, name) = id;
    let path = AppPath::parse(path).unwrap();
    let rule = |below: &str, tier: &str| RuleFile {
        path: format!("{}{below}", path.prefix()),
        tier: Some(tier.to_owned()),
        ..RuleFile::default()
    };
    let implied = rule("/**", tier);
    let rules: Vec<RuleFile> = more.iter().map(|(below, tier)| rule(below, tier)).collect();
    let compiled = policy.compile_rules(&implied, &rules).unwrap();
    let app = App {
        id: AppId { tier: Box::from(tier), name: AppName::parse(name).unwrap() },
        host: None,
        path,
        upstream: Upstream::parse(&format!("http://{name}:1")).unwrap(),
        prefix: Prefix::Strip,
        title: None,
        description: None,
        icon: None,
        owner: None,
        version: None,
        hidden: name == "hidden",
        health: None,
        source: String::new(),
        implied_rule: implied,
        rules,
    };
    Arc::new(Entry { app: Arc::new(app), rules: compiled })
}

fn snapshot(apps: impl Fn(&Policy) -> Vec<Arc<Entry>>) -> Snapshot {
    let bare = fixture::snapshot();
    let assembled = Catalogue::assemble(&bare.policy, &apps(&bare.policy));
    assert_eq!(assembled.conflicts, []);
    Snapshot { policy: Arc::new(assembled.policy), catalogue: Arc::new(assembled.catalogue), ..bare }
}

fn view<'a>(target: &'a str, route_app: Option<&'a str>) -> RequestView<'a> {
    RequestView {
        protocol: Protocol::Grpc,
        method: "GET",
        target: target.as_bytes(),
        host: Some(b"localhost"),
        headers: &[],
        route_tier: None,
        route_app,
        request_id: None,
    }
}

/// Apps at paths that do not name their tiers, one of them inside another.
fn fixed(policy: &Policy) -> Vec<Arc<Entry>> {
    vec![
        app(policy, ("public", "open"), "/a", &[]),
        app(policy, ("devel", "secret"), "/b", &[("/status", "public"), ("/deep/**", "devel")]),
        app(policy, ("stable", "hidden"), "/h", &[]),
        app(policy, ("stable", "outer"), "/p", &[("/status/**", "public"), ("/c/deep/**", "public")]),
        app(policy, ("public", "inner"), "/p/c", &[("/own/**", "devel")]),
    ]
}

#[test]
fn a_route_to_another_app_asks_for_what_that_one_asks() {
    let checker = fixture::checker();
    checker.replace(snapshot(fixed));
    let (open, secret) = ("public/open /a strip http://open:1", "devel/secret /b strip http://secret:1");
    let (outer, inner) = ("stable/outer /p strip http://outer:1", "public/inner /p/c strip http://inner:1");
    for (target, route, scopes, passes) in [
        // The route leads where the catalogue says.
        ("/a/x", open, None, true),
        ("/b/x", secret, None, false),
        ("/b/x", secret, Some("access:devel"), true),
        ("/p/c/x", inner, None, true),
        // The two apps have changed places, and the proxy does not know so far.
        ("/a/x", "devel/secret /a strip http://secret:1", None, false),
        ("/a/x", "devel/secret /a strip http://secret:1", Some(""), false),
        ("/a/x", "devel/secret /a strip http://secret:1", Some("access:devel"), true),
        ("/a/status", "devel/secret /a strip http://secret:1", None, true),
        ("/b/x", "public/open /b strip http://open:1", None, false),
        ("/b/x", "public/open /b strip http://open:1", Some("access:devel"), true),
        // The app has moved up within itself: what its route takes off counts, not what is served there now.
        ("/b/old/status", "devel/secret /b/old strip http://secret:1", Some("access:devel"), true),
        ("/p/status/deep", "stable/outer /p/status strip http://outer:1", None, false),
        ("/p/status/deep", "stable/outer /p/status strip http://outer:1", Some(""), true),
        // The route leads to an upstream that no app of the catalogue has, nor had.
        ("/b/x", "devel/secret /b strip http://elsewhere:1", Some("access:devel"), false),
        ("/b/x", "devel/secret /b keep http://secret:1", Some("access:devel"), false),
        // It has another tier or another name, and is the only one at its upstream.
        ("/b/x", "stable/secret /b strip http://secret:1", Some("access:devel"), true),
        ("/b/x", "stable/older /b strip http://secret:1", Some("access:devel"), true),
        ("/b/x", "stable/older /b strip http://secret:1", Some(""), false),
        // A spelling for which the proxy takes the route of the outer app.
        ("/p//c/status/x", outer, None, false),
        ("/p/%63/status/x", outer, Some("access:devel"), false),
        // An app that is no longer there: what it asked is not known.
        ("/a/x", "public/gone /a strip http://gone:1", Some("access:devel"), false),
        ("/public/x", "public/gone /public strip http://gone:1", None, false),
        // What is no tag.
        ("/a/x", "public/open", None, false),
        ("/a/x", "public/open /a strip http://open:1 more", None, false),
        ("/a/x", "", None, false),
        // The route to what is no app's.
        ("/public/x", RouteTag::NO_APP, None, true),
        ("/a/x", RouteTag::NO_APP, None, false),
        ("/b/x", RouteTag::NO_APP, Some("access:devel"), false),
    ] {
        let outcome = checker.check_as(&view(target, Some(route)), scopes.map(caller).as_deref());
        let passed = matches!(outcome.answer, Answer::Allow(_));
        assert_eq!(passed, passes, "{target} {route} {scopes:?}");
    }
}

#[test]
fn a_route_from_before_a_change_is_judged_by_what_was_said_then_and_now() {
    let at = |policy: &Policy, id, path, upstream: &str, more: &[(&str, &str)]| {
        let entry = app(policy, id, path, more);
        let upstream = Upstream::parse(upstream).unwrap();
        Arc::new(Entry { app: Arc::new(App { upstream, ..App::clone(&entry.app) }), rules: entry.rules.clone() })
    };
    let checker = fixture::checker();
    checker.replace(snapshot(|policy| {
        vec![
            at(policy, ("stable", "one"), "/one", "http://old:1", &[("/edit", "devel")]),
            app(policy, ("stable", "gone"), "/apps/stable/gone", &[("/edit", "devel")]),
        ]
    }));
    checker.replace(snapshot(|policy| vec![at(policy, ("stable", "one"), "/one", "http://new:1", &[])]));
    let (old, gone) = ("stable/one /one strip http://old:1", "stable/gone /apps/stable/gone strip http://gone:1");
    let cases = [
        ("/one/x", old, "", true),
        // Now it asks for no more than its tier; the old upstream asked for more.
        ("/one/edit", old, "", false),
        ("/one/edit", old, "access:devel", true),
        ("/one/edit", "stable/one /one strip http://new:1", "", true),
        ("/apps/stable/gone/x", gone, "", true),
        ("/apps/stable/gone/edit", gone, "", false),
        // At that path it never was.
        ("/one/x", "stable/gone /one strip http://gone:1", "", false),
    ];
    let passes = |target, route, scopes| {
        matches!(checker.check_as(&view(target, Some(route)), Some(&caller(scopes))).answer, Answer::Allow(_))
    };
    for (target, route, scopes, right) in cases {
        assert_eq!(passes(target, route, scopes), right, "{target} {route} {scopes}");
    }
    // What was so long ago is not known any more.
    for _ in 0..8 {
        checker.replace(snapshot(|_| Vec::new()));
    }
    assert!(!passes("/apps/stable/gone/x", gone, ""));
}

#[test]
fn no_app_opens_a_part_of_another() {
    let checker = fixture::checker();
    checker.replace(snapshot(|policy| {
        vec![
            app(policy, ("public", "outer"), "/p", &[("/c/deep/**", "public")]),
            app(policy, ("devel", "inner"), "/p/c", &[("/deep/open/**", "public")]),
        ]
    }));
    for (target, passes) in [("/p/x", true), ("/p/c/x", false), ("/p/c/deep/x", false), ("/p/c/deep/open/x", true)] {
        let outcome = checker.check_as(&view(target, None), None);
        assert_eq!(matches!(outcome.answer, Answer::Allow(_)), passes, "{target}");
    }
}

#[test]
fn hidden_apps_are_left_out_and_locked_ones_say_what_is_missing() {
    let snapshot = snapshot(fixed);
    let shown: BTreeMap<String, Access> =
        snapshot.openings(None, None).into_iter().map(|opening| (opening.app.id.to_string(), opening.access)).collect();
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["devel/secret", "public/inner", "public/open", "stable/outer"]);
    assert_eq!(shown["public/open"], Access::Open);
    let Access::Locked(reason, required) = &shown["devel/secret"] else { panic!("it is open to nobody") };
    assert_eq!((*reason, required.tiers.as_slice()), (Reason::NoCredentials, ["devel".to_owned()].as_slice()));
}

proptest! {
    /// What the portal shows is what the check lets pass.
    #[test]
    fn an_app_opens_when_a_request_for_it_passes(
        tiers in proptest::collection::vec(0usize..3, 1..12),
        fronts in proptest::collection::vec(proptest::option::of(0usize..3), 12),
        scopes in proptest::option::of(prop_oneof![Just(""), Just("access:devel"), Just("access:ea")]),
    ) {
        const TIERS: [&str; 3] = ["public", "stable", "devel"];
        let snapshot = snapshot(|policy| {
            tiers.iter().zip(&fronts).enumerate().map(|(number, (tier, front))| {
                let front: Vec<(&str, &str)> = front.iter().map(|tier| ("/", TIERS[*tier])).collect();
                app(policy, (TIERS[*tier], &format!("app-{number}")), &format!("/apps/{}/app-{number}", TIERS[*tier]), &front)
            }).collect()
        });
        let caller = scopes.map(caller);
        let openings = snapshot.openings(caller.as_deref(), None);
        prop_assert_eq!(openings.len(), tiers.len());
        let checker = fixture::checker();
        checker.replace(snapshot);
        for Opening { app, access } in openings {
            let tag = app.route_tag();
            let outcome = checker.check_as(&view(app.front(), Some(&tag)), caller.as_deref());
            prop_assert_eq!(matches!(outcome.answer, Answer::Allow(_)), access == Access::Open, "{}", tag);
        }
    }
}
