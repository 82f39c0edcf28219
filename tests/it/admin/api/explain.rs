//! The API explains as `tiergate policy explain` does.

use std::process::Command;

use serde_json::{Value, json};

use crate::admin::stage::{BINARY, Stage};

const URLS: [(&str, &str); 13] = [
    ("GET", "/apps/ea/x"),
    ("GET", "/apps/nobody/x"),
    ("GET", "http://localhost/public/a//b"),
    ("GET", "http://localhost/apps/admin/%2e%2e/x"),
    ("GET", "http://localhost/messages"),
    ("POST", "http://localhost/messages?x=1"),
    ("PUT", "http://localhost/messages"),
    ("GET", "http://localhost/audit/today"),
    ("GET", "https://api.example.com/v1/things"),
    ("GET", "https://api.example.com:8443/v1/things"),
    ("GET", "http://localhost/apps/stable/maps/admin/users"),
    ("GET", "http://localhost/apps/stable/maps"),
    ("get", "http://localhost/public/x"),
];

#[test]
fn the_api_explains_as_the_shell_does() {
    let stage = Stage::start().unwrap();
    let callers: [(Value, Vec<&str>); 5] = [
        (json!({ "anonymous": true }), vec!["--anonymous"]),
        (json!({}), vec![]),
        (
            json!({ "scopes": ["access:ea", "write:messages"] }),
            vec!["--scope", "access:ea", "--scope", "write:messages"],
        ),
        (
            json!({ "groups": ["audit"], "scopes": ["access:devel"] }),
            vec!["--group", "audit", "--scope", "access:devel"],
        ),
        (
            json!({ "permissions": ["read:admin-messages"], "groups": ["administrators"] }),
            vec!["--permission", "read:admin-messages", "--group", "administrators"],
        ),
    ];
    let mut asked = 0;
    let mut allowed = 0;
    for (caller, arguments) in &callers {
        for (method, url) in URLS {
            let mut body = caller.clone();
            body["method"] = method.into();
            body["url"] = url.into();
            let by_api = stage.done("POST", "/policy/explain", Some(&body), 200).unwrap();
            let output = Command::new(BINARY)
                .args(["policy", "explain", "--format", "json", "-c"])
                .arg(stage.tiergate.config_path())
                .args([method, url])
                .args(arguments)
                .output()
                .unwrap();
            let by_shell: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
            assert_eq!(by_api, by_shell, "{method} {url} {caller}");
            asked += 1;
            allowed += usize::from(by_api["decision"] == "allow");
        }
    }
    println!("{asked} questions, {allowed} allowed");
    assert!(asked >= 50 && allowed > 10 && asked - allowed > 10);
}

#[test]
fn a_user_is_explained_as_the_directory_knows_them() {
    let stage = Stage::start().unwrap();
    let id = stage.create("dev|uma").unwrap();
    let ask = |url: &str| {
        let body = json!({ "method": "GET", "url": url, "user": id });
        stage.done("POST", "/policy/explain", Some(&body), 200).unwrap()
    };
    let user = stage.somebody("dev|uma", "");
    let agree = |path: &str| {
        let told = ask(&format!("http://app.example.com{path}"));
        let checked = stage.check(&user, path).unwrap();
        assert_eq!(told["decision"] == "allow", checked.status == 200, "{path}: {told}");
        told
    };
    assert_eq!(agree("/apps/ea/x")["reason"], "insufficient_tier");
    stage.done("PUT", &format!("/users/{id}/grants/devel"), None, 200).unwrap();
    assert_eq!(agree("/apps/ea/x")["caller"]["tiers"], json!(["public", "stable", "ea", "devel"]));
    stage.done("POST", &format!("/users/{id}/disable"), None, 200).unwrap();
    assert_eq!(agree("/apps/ea/x")["reason"], "disabled_user");
    assert_eq!(agree("/public/x")["reason"], "ok");
    assert_eq!(agree("/nothing/here")["reason"], "no_rule");
}
