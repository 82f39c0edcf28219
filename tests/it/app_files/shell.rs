//! `apps list` and `apps check`, as people call them.

use std::net::TcpListener;

use serde_json::Value;
use tiergate_testbed::Upstream;

use super::stage::{Apps, app, run};

#[test]
fn lists_what_is_there() {
    let apps = Apps::new();
    let config = apps.config_file("");
    let config = config.to_str().unwrap();
    let (code, out, _) = run(&["apps", "list", "-c", config]);
    assert_eq!((code, out.as_str()), (0, "there is no app\n"));
    apps.write("maps.yaml", &app("stable", "version: '2.1'\nowner: maps@example.com\nhidden: true"));
    apps.write("hazard.yaml", &app("devel", "title: Hazard\nhost: hazard.example.com\nhealth: /healthz"));
    apps.write("bad.yaml", "tier: gold");
    let (code, out, told) = run(&["apps", "list", "-c", config]);
    assert_eq!(code, 0);
    assert!(told.contains("bad.yaml:1:7: there is no tier `gold`"), "{told}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["APP", "PATH", "UPSTREAM", "VERSION"]);
    assert!(lines[1].starts_with("stable/maps  ") && lines[1].ends_with("http://127.0.0.1:9  2.1"), "{out}");
    assert!(
        lines[2].contains("owner maps@example.com, hidden yes, source ") && lines[2].ends_with("maps.yaml"),
        "{out}"
    );
    assert!(lines[4].contains("host hazard.example.com"), "{out}");
    let (code, out, _) = run(&["apps", "list", "-c", config, "--format", "json"]);
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, list[1]["app"].as_str(), list[1]["health"].as_str()),
        (0, Some("devel/hazard"), Some("/healthz"))
    );
    assert_eq!((list[0]["hidden"].as_bool(), list[1]["version"].is_null()), (Some(true), true));
}

#[test]
fn a_short_list_is_one_table() {
    let apps = Apps::new();
    let config = apps.config_file("apps: [{ name: x, tier: stable, upstream: \"http://h:1\", owner: me }]\n");
    let (_, out, _) = run(&["apps", "list", "-c", config.to_str().unwrap()]);
    let table = "APP       PATH            UPSTREAM    OWNER  SOURCE\n\
                 stable/x  /apps/stable/x  http://h:1  me     apps[0]\n";
    assert_eq!(out, table);
}

#[test]
fn checks_who_answers_and_which_rule_decides() {
    let upstream = Upstream::start().unwrap();
    let there = upstream.address();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let apps = Apps::new();
    let rules = "rules:\n  - { path: /apps/devel/good/admin/**, tier: devel }\n  - { path: /apps/**, tier: stable }\n";
    let config = apps.config_file(rules);
    let config = config.to_str().unwrap();
    apps.write("good.yaml", &format!("tier: devel\nupstream: http://{there}\nhealth: /anything\n"));
    let (code, out, told) = run(&["apps", "check", "-c", config]);
    assert_eq!(code, 0, "{out}{told}");
    assert!(out.contains("ok      devel/good"), "{out}");
    assert!(
        out.contains("note: the rule `/apps/devel/good/admin/**` of the config decides about a part of it"),
        "{out}"
    );
    assert!(out.ends_with("1 app, 1 well, 0 not\n"), "{out}");

    apps.write("gone.yaml", &format!("tier: devel\nupstream: http://{gone}\nhealth: /x\n"));
    apps.write("inner.yaml", &format!("tier: devel\nupstream: http://{there}\npath: /apps/devel/good/inner\n"));
    let (code, out, _) = run(&["apps", "check", "-c", config, "--format", "json"]);
    let list: Value = serde_json::from_str(&out).unwrap();
    let of = |name: &str| list.as_array().unwrap().iter().find(|app| app["app"] == name).unwrap();
    assert_eq!(code, 1);
    assert_eq!(
        (of("devel/good")["reachable"].as_bool(), of("devel/good")["health_status"].as_u64()),
        (Some(true), Some(200))
    );
    assert_eq!(
        (of("devel/gone")["reachable"].as_bool(), of("devel/gone")["health_status"].is_null()),
        (Some(false), true)
    );
    assert!(of("devel/gone")["faults"][0].as_str().unwrap().contains("cannot be reached"), "{out}");
    assert!(of("devel/inner")["notes"][0].as_str().unwrap().contains("inside of `devel/good`"), "{out}");

    apps.remove("gone.yaml");
    apps.write("twin.yaml", &format!("tier: stable\nupstream: http://{there}\npath: /apps/devel/good\n"));
    let (code, _, told) = run(&["apps", "check", "-c", config]);
    assert_eq!(code, 1);
    assert!(
        told.contains("the app `devel/good` is served at this path already") && told.contains("good.yaml"),
        "{told}"
    );
}
