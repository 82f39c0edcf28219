//! The drinks API: four permissions, two roles, one shape of errors.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tiergate_testbed::{Example, RawResponse};

use super::stage::for_each_proxy;

const DRINKS: Example = Example::DrinksApi;

/// `{"error": STATUS, "message": TEXT, "success": false}`, as JSON and nothing else in it.
fn is_error(answer: &RawResponse) -> Result<()> {
    let body = answer.json()?;
    let message = body["message"].as_str().unwrap_or_default();
    ensure!(!message.is_empty(), "no message: {body}");
    ensure!(body == json!({"error": answer.status, "message": message, "success": false}), "another shape: {body}");
    let kind = answer.header("content-type").unwrap_or_default();
    ensure!(kind.starts_with("application/json"), "as {kind}");
    Ok(())
}

fn drink(title: &str) -> String {
    json!({"title": title, "recipe": [{"name": "water", "color": "blue", "parts": 1}]}).to_string()
}

#[test]
fn everybody_reads_the_menu_and_not_what_is_in_it() {
    for_each_proxy(DRINKS, |stage| {
        for person in [None, Some("stable"), Some("barista"), Some("manager")] {
            let menu = stage.passed(person, "GET", "/drinks", None, 200)?.json()?;
            ensure!(menu["success"] == true && menu["drinks"][0]["title"] == "Flat white", "{menu}");
            ensure!(menu["drinks"][0]["recipe"][0].get("name").is_none(), "it tells the ingredients: {menu}");
        }
        Ok(())
    });
}

#[test]
fn each_role_does_what_its_permissions_say() {
    for_each_proxy(DRINKS, |stage| {
        let body = drink("Americano");
        let calls = [
            ("GET", "/drinks-detail", None),
            ("POST", "/drinks", Some(body.as_str())),
            ("PATCH", "/drinks/1", Some(r#"{"title": "Flat white"}"#)),
            ("DELETE", "/drinks/2000", None),
        ];
        for (method, path, body) in calls {
            is_error(&stage.refused(None, method, path, body, 401)?)?;
            is_error(&stage.refused(Some("stable"), method, path, body, 403)?)?;
            if method != "GET" {
                is_error(&stage.refused(Some("barista"), method, path, body, 403)?)?;
            }
        }
        for role in ["barista", "manager"] {
            let detail = stage.passed(Some(role), "GET", "/drinks-detail", None, 200)?.json()?;
            ensure!(detail["drinks"][0]["recipe"][0]["name"] == "milk", "{detail}");
        }
        Ok(())
    });
}

#[test]
fn a_manager_adds_changes_and_removes_a_drink() {
    for_each_proxy(DRINKS, |stage| {
        let added = stage.passed(Some("manager"), "POST", "/drinks", Some(&drink("Matcha")), 200)?.json()?;
        let id = added["drinks"][0]["id"].as_u64().unwrap_or_default();
        let path = format!("/drinks/{id}");
        let change = r#"{"title": "Matcha latte"}"#;
        let changed = stage.passed(Some("manager"), "PATCH", &path, Some(change), 200)?.json()?;
        ensure!(changed["drinks"][0]["title"] == "Matcha latte", "{changed}");
        ensure!(changed["drinks"][0]["recipe"] == added["drinks"][0]["recipe"], "{changed}");
        let menu = stage.ask(None, "GET", "/drinks", None)?.text();
        ensure!(menu.contains("Matcha latte"), "{menu}");
        let removed = stage.passed(Some("manager"), "DELETE", &path, None, 200)?.json()?;
        ensure!(removed == json!({"success": true, "delete": id}), "{removed}");
        is_error(&stage.passed(Some("manager"), "DELETE", &path, None, 404)?)
    });
}

#[test]
fn errors_of_the_application_have_the_same_shape() {
    for_each_proxy(DRINKS, |stage| {
        let manager = |method: &str, path: &str, body: Option<&str>, status: u16| {
            stage.passed(Some("manager"), method, path, body, status).and_then(|answer| is_error(&answer))
        };
        manager("POST", "/drinks", Some("{"), 400)?;
        manager("POST", "/drinks", Some("[]"), 400)?;
        manager("POST", "/drinks", Some("{}"), 422)?;
        manager("POST", "/drinks", Some(&drink("Flat white")), 422)?;
        manager("POST", "/drinks", Some(&drink("")), 422)?;
        manager("PATCH", "/drinks/1", Some(r#"{"recipe": [{"name": "milk"}]}"#), 422)?;
        manager("PATCH", "/drinks/999", Some("{}"), 404)?;
        manager("GET", "/nothing", None, 404)?;
        manager("PUT", "/drinks", Some("{}"), 405)
    });
}

#[test]
fn errors_of_tiergate_have_it_too() {
    for_each_proxy(DRINKS, |stage| {
        for token in ["no.token.atall", "x"] {
            let headers = [("Authorization", format!("Bearer {token}"))];
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = stage.send("GET", "/drinks-detail", &headers, "")?;
            ensure!(answer.status == 401, "{}", answer.status);
            is_error(&answer)?;
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            ensure!(challenge.contains("invalid_token"), "{challenge}");
        }
        // What no line of the rules names asks who it is.
        for (method, path) in [("GET", "/nothing"), ("PUT", "/drinks"), ("DELETE", "/drinks"), ("GET", "/drinks/1")] {
            is_error(&stage.refused(None, method, path, None, 401)?)?;
        }
        let other =
            stage.running.provider.mint(&tiergate_testbed::TokenSpec::for_account("manager").audience("another"))?;
        let answer = stage.send("DELETE", "/drinks/1", &[("Authorization", &format!("Bearer {other}"))], "")?;
        ensure!(answer.status == 401, "a token for somebody else: {}", answer.status);
        let menu: Value = stage.ask(None, "GET", "/drinks", None)?.json()?;
        ensure!(menu["drinks"][0]["id"] == 1, "{menu}");
        Ok(())
    });
}
