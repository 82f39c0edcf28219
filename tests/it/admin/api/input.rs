//! What is wrong with a request is told, and nothing is done.

use serde_json::json;
use tiergate_testbed::raw_http::request_with_body;

use crate::admin::stage::{API, As, Stage};

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    let stage = Stage::start().unwrap();
    let id = stage.create("dev|target").unwrap();
    let As::Token(token) = stage.admin() else { panic!("a token") };
    let bearer = format!("Bearer {token}");
    let user = format!("/users/{id}");
    let below = |rest: &str| format!("{user}{rest}");
    let json_type = "application/json";
    let many = format!("{{\"groups\":[{}]}}", vec!["\"g\""; 501].join(","));
    let large = format!("{{\"reason\":\"{}\"}}", "x".repeat(70_000));
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(501));
    let grant = below("/grants/ea");
    // (method, path, content type, If-Match, body, status, what is told)
    let cases: Vec<(&str, String, &str, &str, &str, u16, &str)> = vec![
        ("POST", "/users".into(), json_type, "", "{}", 400, "`provider` is missing; `subject` is missing"),
        ("POST", "/users".into(), json_type, "", "", 400, "not one JSON object"),
        ("POST", "/users".into(), json_type, "", "[]", 400, "not one JSON object"),
        (
            "POST",
            "/users".into(),
            json_type,
            "",
            r#"{"provider":"main","subject":"x","admin":true,"a\u0000b":1}"#,
            400,
            "`admin` is not known here",
        ),
        ("POST", "/users".into(), json_type, "", r#"{"provider":"main","subject":"x","subject":"y"}"#, 400, "twice"),
        (
            "POST",
            "/users".into(),
            json_type,
            "",
            r#"{"provider":"main","subject":"x","sub\u006aect":"y"}"#,
            400,
            "twice",
        ),
        ("POST", "/users".into(), json_type, "", r#"{"provider":"main","subject":7}"#, 400, "`subject` must be a text"),
        (
            "POST",
            "/users".into(),
            json_type,
            "",
            r#"{"provider":"main","subject":"a\nb"}"#,
            400,
            "`subject` must be a text",
        ),
        (
            "POST",
            "/users".into(),
            json_type,
            "",
            r#"{"provider":"nobody","subject":"x"}"#,
            422,
            "there is no identity provider `nobody`",
        ),
        (
            "POST",
            "/users".into(),
            json_type,
            "",
            r#"{"provider":"main","subject":"x","reason":"y"}"#,
            422,
            "set `disabled` to `true`",
        ),
        ("POST", "/users".into(), "text/plain", "", r#"{"provider":"main","subject":"x"}"#, 415, "application/json"),
        ("POST", "/users".into(), "", "", r#"{"provider":"main","subject":"x"}"#, 415, "application/json"),
        ("POST", below("/disable"), json_type, "", "{\"reason\":", 400, "not one JSON object"),
        ("POST", below("/disable"), json_type, "", &long, 400, "500 characters"),
        ("POST", below("/disable"), json_type, "", &large, 413, "too large"),
        ("POST", below("/disable"), json_type, "\"9\"", "", 412, "read it again"),
        ("POST", below("/disable"), json_type, "W/\"1\"", "", 412, "`ETag`"),
        ("POST", below("/disable"), json_type, "\"1\", \"2\"", "", 412, "`ETag`"),
        ("PATCH", user.clone(), json_type, "", r#"{"groups":[]}"#, 428, "Read the user first"),
        ("PATCH", user.clone(), json_type, "\"1\"", "{}", 400, "either `groups` or `attributes`"),
        (
            "PATCH",
            user.clone(),
            json_type,
            "\"1\"",
            r#"{"groups":[],"attributes":{}}"#,
            400,
            "either `groups` or `attributes`",
        ),
        ("PATCH", user.clone(), json_type, "\"1\"", r#"{"groups":["a",7]}"#, 400, "`groups` must be a list"),
        ("PATCH", user.clone(), json_type, "\"1\"", &many, 400, "at most 500 names"),
        ("PATCH", user.clone(), json_type, "\"1\"", r#"{"attributes":{"a":"\u0000"}}"#, 400, "without U+0000"),
        ("PATCH", user.clone(), json_type, "\"1\"", r#"{"attributes":{"a":{"b":1,"b":2}}}"#, 400, "twice"),
        ("PUT", grant.clone(), json_type, "", r#"{"until":"tomorrow"}"#, 400, "RFC 3339"),
        ("PUT", grant, json_type, "", r#"{"until":"2001-01-01T00:00:00Z"}"#, 422, "`until` is past"),
        ("PUT", below("/grants/nobodys"), json_type, "", "", 404, "there is no such tier"),
        ("PUT", format!("/users/{}/grants/ea", "0".repeat(32)), json_type, "", "", 404, "there is no such user"),
        ("GET", format!("/users/{}", id.to_uppercase() + "A"), "", "", "", 404, "there is no such user"),
        ("DELETE", below("/grants/ea"), "", "", "", 404, "there is no such grant"),
        ("DELETE", below("/tokens/x"), "", "", "", 404, "there is no such token"),
        ("DELETE", "/sessions/x".into(), "", "", "", 404, "there is no such session"),
        ("GET", "/users?serch=x".into(), "", "", "", 400, "`serch` is not known here: `search`, `provider`"),
        ("GET", "/users?limit=201".into(), "", "", "", 400, "`limit` must be a number from 1 to 200"),
        ("GET", "/users?limit=5&limit=6".into(), "", "", "", 400, "stands there twice"),
        ("GET", "/users?order=name".into(), "", "", "", 400, "`user_name`, `last_seen`, `id`"),
        ("GET", "/users?cursor=1".into(), "", "", "", 400, "32 lower-case"),
        ("GET", "/me?x".into(), "", "", "", 400, "there are none"),
        ("GET", "/decisions?since=now".into(), "", "", "", 400, "RFC 3339"),
        ("GET", "/sessions?subject=x".into(), "", "", "", 422, "give both or neither"),
        (
            "POST",
            "/policy/explain".into(),
            json_type,
            "",
            r#"{"method":"GET","url":"ftp://x"}"#,
            422,
            "must start with",
        ),
        (
            "POST",
            "/policy/explain".into(),
            json_type,
            "",
            r#"{"method":"GET","url":"/","anonymous":true,"scopes":["a"]}"#,
            400,
            "either `anonymous`",
        ),
        (
            "POST",
            "/policy/explain".into(),
            json_type,
            "",
            r#"{"method":"GET","url":"/","user":"x"}"#,
            400,
            "`user` must be the id",
        ),
        ("GET", "/nothing".into(), "", "", "", 404, "openapi.json"),
        ("PATCH", "/users".into(), json_type, "", "{}", 405, "GET, POST, HEAD"),
        ("OPTIONS", "/me".into(), "", "", "", 405, "GET, HEAD"),
    ];
    let before = stage.audit("").unwrap().len();
    let mut wrong = Vec::new();
    for (method, path, kind, if_match, body, status, told) in &cases {
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend((!kind.is_empty()).then_some(("Content-Type", *kind)));
        headers.extend((!if_match.is_empty()).then_some(("If-Match", *if_match)));
        let answer =
            request_with_body(stage.tiergate.http(), method, &format!("{API}{path}"), &headers, body.as_bytes())
                .unwrap();
        let text = answer.text();
        if answer.status != *status || !text.contains(told) {
            wrong.push(format!("{method} {path} {body:.80}: {} {text}", answer.status));
        }
        if *status != 413 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(stage.audit("").unwrap().len(), before, "nothing was done");
    assert_eq!(stage.done("GET", &user, None, 200).unwrap()["version"], json!(1));
}

#[test]
fn a_change_that_comes_to_a_check_is_sent_to_the_listener() {
    use crate::grid::wire::{Asker, Question, Wire};
    let stage = Stage::start().unwrap();
    let host = format!("localhost:{}", stage.tiergate.http().port());
    let asker = Asker::new(&stage.tiergate).unwrap();
    let ask = |method: &str, path: &str| {
        let headers = stage.admin().headers();
        let question =
            Question { method: method.to_owned(), target: format!("{API}{path}"), host: host.clone(), headers };
        asker.ask(Wire::Grpc, &question).unwrap()
    };
    let told = ask("POST", "/users");
    assert_eq!(told.status, 405);
    assert!(told.body.contains("route for changes"), "{}", told.body);
    let told = ask("GET", "/me");
    assert_eq!((told.status, told.answered), (200, true));
    assert!(told.body.contains("dev|admin"), "{}", told.body);
}
