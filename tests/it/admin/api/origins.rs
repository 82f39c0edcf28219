//! A change that comes with what browsers send unasked comes from a page of the service.

use serde_json::json;

use crate::admin::stage::Stage;

#[test]
fn a_cookie_changes_nothing_from_elsewhere() {
    let stage = Stage::start().unwrap();
    let browser = stage.browser("admin").unwrap();
    let id = stage.create("dev|target").unwrap();
    let own = stage.origin();
    let path = format!("/users/{id}/disable");
    for headers in [
        vec![],
        vec![("Sec-Fetch-Site", "cross-site")],
        vec![("Sec-Fetch-Site", "same-site")],
        vec![("Sec-Fetch-Site", "none")],
        vec![("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "same-origin")],
        vec![("Origin", "null")],
        vec![("Origin", "http://evil.example")],
        vec![("Origin", "http://localhost")],
        // The newer word counts, whatever the older one says.
        vec![("Sec-Fetch-Site", "cross-site"), ("Origin", &own)],
    ] {
        for (method, path, body) in [
            ("POST", path.as_str(), None),
            ("DELETE", &format!("/users/{id}/grants/stable"), None),
            ("PUT", &format!("/users/{id}/grants/stable"), None),
            ("PATCH", &format!("/users/{id}"), Some(json!({ "groups": [] }))),
            ("POST", "/nothing", None),
        ] {
            let answer = stage.ask_with(&browser, method, path, body.as_ref(), &headers).unwrap();
            assert_eq!(answer.status, 403, "{method} {path} {headers:?}: {}", answer.text());
            assert_eq!(answer.json().unwrap()["reason"], "insufficient_permission");
        }
        // Looking changes nothing.
        assert_eq!(stage.ask_with(&browser, "GET", "/me", None, &headers).unwrap().status, 200);
    }
    assert_eq!(stage.done("GET", &format!("/users/{id}"), None, 200).unwrap()["version"], 1);
    for headers in [vec![("Sec-Fetch-Site", "same-origin")], vec![("Origin", own.as_str())]] {
        let answer = stage.ask_with(&browser, "POST", &path, None, &headers).unwrap();
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.text());
    }
    // No browser sends a bearer token by itself.
    let answer = stage.ask_with(&stage.admin(), "POST", &path, None, &[("Sec-Fetch-Site", "cross-site")]).unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn a_password_that_a_browser_keeps_changes_nothing_from_elsewhere() {
    let stage = Stage::start().unwrap();
    let me = stage.done("GET", "/me", None, 200).unwrap();
    let owner = stage.person(me["subject"].as_str().unwrap()).unwrap();
    let (_, script) = stage.access_token(&owner, &["admin"]).unwrap();
    let basic = script.as_basic();
    let id = stage.create("dev|target").unwrap();
    let own = stage.origin();
    let path = format!("/users/{id}/disable");
    for headers in [
        vec![("Sec-Fetch-Site", "cross-site")],
        vec![("Sec-Fetch-Site", "same-site")],
        vec![("Sec-Fetch-Site", "none")],
        vec![("Sec-Fetch-Site", "")],
        vec![("Origin", "null")],
        vec![("Origin", "")],
        vec![("Origin", "http://evil.example")],
        vec![("Origin", &own), ("Origin", "http://evil.example")],
        vec![("Sec-Fetch-Site", "cross-site"), ("Origin", &own)],
    ] {
        let answer = stage.ask_with(&basic, "POST", &path, None, &headers).unwrap();
        assert_eq!(answer.status, 403, "{headers:?}: {}", answer.text());
        assert_eq!(answer.json().unwrap()["reason"], "insufficient_permission");
        assert_eq!(stage.ask_with(&basic, "GET", "/me", None, &headers).unwrap().status, 200);
        // The same token as a bearer token is sent by nobody unasked.
        let answer = stage.ask_with(&script, "POST", &format!("/users/{id}/enable"), None, &headers).unwrap();
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.text());
    }
    assert_eq!(stage.done("GET", &format!("/users/{id}"), None, 200).unwrap()["disabled"], false);
    // A program says nothing of a page.
    for headers in [vec![], vec![("Sec-Fetch-Site", "same-origin")], vec![("Origin", own.as_str())]] {
        let answer = stage.ask_with(&basic, "POST", &path, None, &headers).unwrap();
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.text());
    }
}
