//! What the service decides by and what it decided.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::admin::stage::{As, Stage};

#[test]
fn the_last_decisions_are_found_by_filters_and_hold_no_secret() {
    let stage = Stage::start_with("admin: { decisions: 20 }").unwrap();
    let devi = stage.somebody("dev|devi", "access:devel");
    for number in 0..5 {
        stage.check(&devi, &format!("/apps/devel/x{number}?code=secret-of-the-query")).unwrap();
        stage.check(&As::Nobody, &format!("/apps/ea/y{number}")).unwrap();
    }
    stage.check(&devi, "/apps/admin/z").unwrap();
    let find = |query: &str| stage.done("GET", &format!("/decisions{query}"), None, 200).unwrap();
    // The log is written by a thread of its own.
    let deadline = Instant::now() + Duration::from_secs(10);
    while find("?path=/apps/admin/z")["decisions"].as_array().unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the last decision does not come");
        std::thread::yield_now();
    }
    let count = |query: &str| find(query)["decisions"].as_array().unwrap().len();
    assert_eq!(count("?decision=allow&subject=dev%7Cdevi"), 5);
    assert_eq!(count("?reason=no_credentials"), 5);
    assert_eq!(count("?path=/apps/devel/x"), 5);
    assert_eq!(count("?tier=admin&reason=insufficient_tier&host=app.example.com"), 1);
    assert_eq!(count("?host=elsewhere"), 0);
    assert_eq!(count("?since=2999-01-01T00:00:00Z"), 0);
    assert_eq!(count("?since=2001-01-01T00:00:00%2B01:00&limit=3"), 3);
    let found = find("?path=/apps/&limit=1");
    assert_eq!((&found["decisions"][0]["path"], &found["more"]), (&json!("/apps/admin/z"), &json!(true)));
    assert_eq!(found["kept"], 20);
    assert_eq!(found["instance"], stage.done("GET", "/me", None, 200).unwrap()["instance"]);
    let As::Token(token) = &devi else { panic!("a token") };
    let all = find("?limit=1000").to_string();
    assert!(!all.contains("secret-of-the-query") && !all.contains(token.as_str()));
    for _ in 0..30 {
        stage.check(&As::Nobody, "/public/again").unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while count("?path=/public/again") < 20 {
        assert!(Instant::now() < deadline, "the oldest do not go");
    }
    assert_eq!(count("?limit=1000"), 20);
}

#[test]
fn tiers_rules_apps_and_providers_are_told_as_they_are() {
    let stage = Stage::start().unwrap();
    let read = |path: &str| stage.done("GET", path, None, 200).unwrap();
    let tiers = read("/tiers");
    let names: Vec<&Value> = tiers["tiers"].as_array().unwrap().iter().map(|tier| &tier["name"]).collect();
    assert_eq!(names, ["public", "stable", "ea", "devel", "admin"]);
    let admin = &tiers["tiers"][4];
    assert_eq!((&admin["label"], &admin["admin"]), (&json!("Almighty Admin"), &json!(true)));
    assert_eq!(admin["includes"], json!(["stable", "ea", "devel"]));

    let policy = read("/policy");
    let rules = policy["rules"].as_array().unwrap();
    let rule = |name: &str, source: &str| rules.iter().find(|rule| rule["name"] == name && rule["source"] == source);
    let audit = rule("/audit/**", "config").expect("a rule of the config");
    assert_eq!(audit["requires"], "tier ea and any of (group audit, user main/dev|ea)");
    assert_eq!(
        rule("/apps/{tier}/**", "config").unwrap()["requires"],
        "tier the tier that the path names".replacen("tier ", "", 1)
    );
    let implied = rule("/apps/stable/maps/**", "app stable/maps").expect("the rule of the app's place");
    assert_eq!((&implied["implied"], &implied["tier"]), (&json!(true), &json!("stable")));
    let own = rule("/apps/stable/maps/admin/**", "app stable/maps").expect("the app's own rule");
    assert_eq!((&own["implied"], &own["tier"]), (&json!(false), &json!("admin")));
    assert_eq!(policy["hash"].as_str().unwrap().len(), 12);

    let apps = read("/apps");
    assert_eq!((&apps["apps"][0]["id"], &apps["apps"][0]["title"]), (&json!("stable/maps"), &json!("Maps")));
    assert_eq!(apps["apps"][0]["health"], "unknown");

    let providers = read("/providers");
    let [main, other] = &providers["providers"].as_array().unwrap()[..] else { panic!("{providers}") };
    assert_eq!((&main["id"], &main["login"], &main["ready"]), (&json!("main"), &json!(true), &json!(true)));
    assert_eq!((&other["id"], &other["login"]), (&json!("other"), &json!(false)));
    assert_eq!((&main["last_refresh"], main["keys"].as_u64() > Some(0)), (&json!("ok"), true));
    assert!(main["last_refresh_at"].is_string() && main["keys_age_seconds"].is_u64(), "{main}");
}
