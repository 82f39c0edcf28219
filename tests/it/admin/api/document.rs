//! The OpenAPI document and the service say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admin::stage::Stage;

/// Every way that the API has, by its document.
const WAYS: [&str; 24] = [
    "DELETE /sessions/{key}",
    "DELETE /users/{id}/grants/{tier}",
    "DELETE /users/{id}/tokens/{token}",
    "GET /apps",
    "GET /audit",
    "GET /decisions",
    "GET /groups",
    "GET /me",
    "GET /openapi.json",
    "GET /policy",
    "GET /providers",
    "GET /sessions",
    "GET /tiers",
    "GET /users",
    "GET /users/{id}",
    "GET /users/{id}/sessions",
    "GET /users/{id}/tokens",
    "PATCH /users/{id}",
    "POST /policy/explain",
    "POST /users",
    "POST /users/{id}/disable",
    "POST /users/{id}/enable",
    "POST /users/{id}/sign-out",
    "PUT /users/{id}/grants/{tier}",
];

#[test]
fn the_docs_list_every_way_and_no_other() {
    let docs = std::fs::read_to_string(tiergate_testbed::repo_root().join("docs/admin.md")).unwrap();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).map(|(way, _)| way);
    let mut listed: Vec<&str> = rows.filter(|way| way.contains(" /")).collect();
    listed.sort_unstable();
    assert_eq!(listed, WAYS);
}

fn filled(path: &str) -> String {
    let path = path.replace("{id}", &"0".repeat(32)).replace("{token}", &"1".repeat(32));
    path.replace("{key}", &"2".repeat(64)).replace("{tier}", "stable")
}

#[test]
fn every_way_is_documented_and_nothing_else_is_there() {
    let stage = Stage::start().unwrap();
    let document = stage.done("GET", "/openapi.json", None, 200).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "/_auth/admin/api");
    let mut ways = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            ways.insert(format!("{} {path}", method.to_uppercase()));
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{path} {status}");
            }
        }
        // What is not documented is not there: 405 with exactly what is, and 404 for what is no path.
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let is_there = item.get(method.to_ascii_lowercase()).is_some();
            let answer = stage.ask(&stage.admin(), method, &filled(path), None).unwrap();
            assert_eq!(answer.status == 405, !is_there, "{method} {path}: {}", answer.status);
            if answer.status == 405 {
                let allowed: BTreeSet<&str> = answer.header("allow").unwrap().split(", ").collect();
                let own = item.as_object().unwrap().keys().filter(|name| *name != "parameters");
                let mut own: BTreeSet<String> = own.map(|name| name.to_uppercase()).collect();
                if own.contains("GET") {
                    own.insert("HEAD".to_owned());
                }
                assert_eq!(allowed, own.iter().map(String::as_str).collect(), "{path}");
            } else {
                let documented = &item[method.to_ascii_lowercase()]["responses"][answer.status.to_string()];
                assert!(documented.is_object(), "{method} {path} answers {}", answer.status);
            }
        }
    }
    assert_eq!(ways.iter().map(String::as_str).collect::<Vec<_>>(), WAYS);
    // Every reference leads somewhere.
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let head = stage.ask(&stage.admin(), "HEAD", "/me", None).unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect(member, into));
        }
        Value::Array(list) => list.iter().for_each(|member| collect(member, into)),
        _ => {}
    }
}
