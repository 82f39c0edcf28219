//! The hello API: three messages, and pages of one other origin.

use anyhow::{Result, ensure};
use serde_json::json;
use tiergate_testbed::{Example, Gateway, RawResponse};

use super::stage::{Stage, for_each_proxy};

const HELLO: Example = Example::HelloApi;
const CLIENT: &str = "http://localhost:4040";
const OTHER: &str = "http://localhost:4041";

fn is_error(answer: &RawResponse) -> Result<()> {
    let body = answer.json()?;
    let message = body["message"].as_str().unwrap_or_default();
    ensure!(!message.is_empty() && body == json!({ "message": message }), "another shape: {body}");
    Ok(())
}

#[test]
fn each_message_is_for_whom_it_says() {
    for_each_proxy(HELLO, |stage| {
        let read = |person, name: &str| {
            let answer = stage.passed(person, "GET", &format!("/api/messages/{name}"), None, 200)?.json()?;
            ensure!(answer["message"].as_str().is_some_and(|text| text.starts_with("This message is for")), "{answer}");
            Ok(())
        };
        for person in [None, Some("stable"), Some("admin")] {
            read(person, "public")?;
        }
        for person in ["stable", "manager", "admin"] {
            read(Some(person), "protected")?;
        }
        read(Some("admin"), "admin")?;
        for (person, name, status) in [
            (None, "protected", 401),
            (None, "admin", 401),
            (None, "unknown", 401),
            (Some("stable"), "admin", 403),
            (Some("manager"), "admin", 403),
        ] {
            is_error(&stage.refused(person, "GET", &format!("/api/messages/{name}"), None, status)?)?;
        }
        is_error(&stage.passed(Some("stable"), "GET", "/api/messages/unknown", None, 404)?)?;
        let elsewhere = stage.ask(Some("admin"), "GET", "/api/other", None)?;
        ensure!([403, 404].contains(&elsewhere.status), "/api/other: {}", elsewhere.status);
        Ok(())
    });
}

fn preflight(stage: &Stage, path: &str, origin: &str) -> Result<(String, RawResponse)> {
    let (mark, target) = stage.marked(path);
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    Ok((mark, stage.send("OPTIONS", &target, &headers, "")?))
}

#[test]
fn pages_of_the_client_may_ask_and_those_of_others_may_not() {
    for_each_proxy(HELLO, |stage| {
        for name in ["public", "protected", "admin"] {
            let path = format!("/api/messages/{name}");
            let (mark, allowed) = preflight(stage, &path, CLIENT)?;
            ensure!(matches!(allowed.status, 200 | 204), "{path}: {}", allowed.status);
            ensure!(allowed.header("access-control-allow-origin") == Some(CLIENT), "{path}: {:?}", allowed.headers);
            let headers = allowed.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
            ensure!(headers.contains("authorization"), "{path}: {headers}");
            // nginx can only ask whether a request may go on; it is the application that then answers.
            let behind_nginx = stage.running.proxy.kind() == Gateway::Nginx;
            ensure!(stage.heard(&mark) == behind_nginx, "{path}: who answers preflights has changed");
            let (mark, other) = preflight(stage, &path, OTHER)?;
            ensure!(other.status == 401 && !stage.heard(&mark), "{path}: {}", other.status);
            ensure!(other.header("access-control-allow-origin").is_none(), "{path}: {:?}", other.headers);
        }
        Ok(())
    });
}

#[test]
fn answers_are_readable_for_pages_of_the_client_alone() {
    for_each_proxy(HELLO, |stage| {
        let bearer = stage.bearer("admin")?;
        for (name, token, status) in [
            ("public", None, 200),
            ("protected", None, 401),
            ("protected", Some(&bearer), 200),
            ("admin", Some(&bearer), 200),
        ] {
            for (origin, readable) in [(CLIENT, Some(CLIENT)), (OTHER, None)] {
                let mut headers = vec![("Origin", origin)];
                headers.extend(token.map(|token| ("Authorization", token.as_str())));
                let answer = stage.send("GET", &format!("/api/messages/{name}"), &headers, "")?;
                let shown = answer.header_values("access-control-allow-origin");
                ensure!(answer.status == status, "{name} from {origin}: {}", answer.status);
                ensure!(shown == Vec::from_iter(readable), "{name} from {origin}: {shown:?}");
            }
        }
        Ok(())
    });
}
