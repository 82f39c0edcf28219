use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::apps::{App, AppId, AppName, AppPath, Catalogue, Entry, Prefix, Upstream};
use crate::check::fixture::{self, caller};
use crate::check::outcome::Answer;
use crate::policy::document::RuleFile;
use crate::types::{Protocol, RequestView};

/// An app with the rule of its tier and `more`, relative to its path.
fn app(policy: &crate::policy::Policy, id: (&str, &str), path: &str, more: &[(&str, &str)]) -> Arc<Entry> {
    let (tier, name) = id;
    let path = AppPath::parse(path).unwrap();
    let rule = |below: &str, tier: &str| RuleFile {
        path: format!("{}{below}", path.prefix()),
        tier: Some(tier.to_owned()),
        ..RuleFile::default()
    };
    let implied = rule("/**", tier);
    let rules: Vec<RuleFile> = more.iter().map(|(below, tier)| rule(below, tier)).collect();
    let compiled = policy.compile_rules(Some(&implied), &rules).unwrap();
    let app = App {
        id: AppId { tier: Box::from(tier), name: AppName::parse(name).unwrap() },
        host: None,
        path,
        upstream: Upstream::parse("http://127.0.0.1:1").unwrap(),
        prefix: Prefix::Strip,
        title: None,
        description: None,
        icon: None,
        owner: None,
        version: None,
        hidden: name == "hidden",
        health: None,
        source: String::new(),
        implied_rule: Some(implied),
        rules,
    };
    Arc::new(Entry { app: Arc::new(app), rules: compiled })
}

fn snapshot(apps: impl Fn(&crate::policy::Policy) -> Vec<Arc<Entry>>) -> Snapshot {
    let bare = fixture::snapshot();
    let assembled = Catalogue::assemble(&bare.policy, &apps(&bare.policy));
    assert_eq!(assembled.conflicts, []);
    Snapshot { policy: assembled.policy, catalogue: Arc::new(assembled.catalogue), ..bare }
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

/// Two apps at paths that do not name their tiers.
fn fixed(policy: &crate::policy::Policy) -> Vec<Arc<Entry>> {
    vec![
        app(policy, ("public", "open"), "/a", &[]),
        app(policy, ("devel", "secret"), "/b", &[("/status", "public"), ("/deep/**", "devel")]),
        app(policy, ("stable", "hidden"), "/h", &[]),
    ]
}

#[test]
fn a_route_to_another_app_asks_for_what_that_one_asks() {
    let checker = fixture::checker();
    checker.replace(snapshot(fixed));
    for (target, route, scopes, passes) in [
        // The route leads where the catalogue says.
        ("/a/x", "public/open", None, true),
        ("/b/x", "devel/secret", None, false),
        ("/b/x", "devel/secret", Some("access:devel"), true),
        // The two apps have changed places, and the proxy does not know so far.
        ("/a/x", "devel/secret", None, false),
        ("/a/x", "devel/secret", Some(""), false),
        ("/a/x", "devel/secret", Some("access:devel"), true),
        ("/a/status", "devel/secret", None, true),
        ("/b/x", "public/open", None, false),
        ("/b/x", "public/open", Some("access:devel"), true),
        // One that is no longer there had this tier.
        ("/a/x", "devel/gone", None, false),
        ("/a/x", "devel/gone", Some("access:devel"), true),
        ("/a/x", "stable/gone", Some(""), true),
        // A tier that was never there, and what is no id.
        ("/a/x", "nowhere/gone", Some("access:devel"), false),
        ("/a/x", "devel", Some("access:devel"), false),
        ("/a/x", "", Some("access:devel"), false),
        // A place of no app.
        ("/public/x", "devel/secret", None, false),
        ("/public/x", "devel/secret", Some("access:devel"), true),
    ] {
        let outcome = checker.check_as(&view(target, Some(route)), scopes.map(caller).as_deref());
        let passed = matches!(outcome.answer, Answer::Allow(_));
        assert_eq!(passed, passes, "{target} {route} {scopes:?}");
    }
}

#[test]
fn hidden_apps_are_left_out_and_locked_ones_say_what_is_missing() {
    let snapshot = snapshot(fixed);
    let shown: BTreeMap<String, Access> =
        snapshot.openings(None, None).into_iter().map(|opening| (opening.app.id.to_string(), opening.access)).collect();
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["devel/secret", "public/open"]);
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
            let id = app.id.to_string();
            let outcome = checker.check_as(&view(app.front(), Some(&id)), caller.as_deref());
            prop_assert_eq!(matches!(outcome.answer, Answer::Allow(_)), access == Access::Open, "{}", id);
        }
    }
}
