//! Personal access tokens: scripts of administrators, and how they end.

use crate::admin::stage::Stage;

#[test]
fn a_script_of_an_administrator_may_use_the_api_until_its_token_is_revoked() {
    let stage = Stage::start().unwrap();
    let id = stage.create("dev|script-owner").unwrap();
    stage.done("PUT", &format!("/users/{id}/grants/admin"), None, 200).unwrap();
    let (token, script) = stage.access_token(&id, &["admin"]).unwrap();
    let (other, _) = stage.access_token(&id, &["stable"]).unwrap();
    let me = stage.ask(&script, "GET", "/me", None).unwrap();
    assert_eq!(me.status, 200, "{}", me.text());
    assert_eq!(me.json().unwrap()["credential"], "token");
    // What it does is its owner's doing.
    let target = stage.create("dev|target").unwrap();
    assert_eq!(stage.ask(&script, "POST", &format!("/users/{target}/disable"), None).unwrap().status, 200);
    assert_eq!(stage.audit("?action=user.disable").unwrap()[0]["actor"], "main/dev|script-owner");
    assert_eq!(stage.ask(&script, "POST", &format!("/users/{id}/disable"), None).unwrap().status, 409, "nor its owner");

    let listed = stage.done("GET", &format!("/users/{id}/tokens"), None, 200).unwrap();
    let tokens = listed["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 2);
    assert!(tokens.iter().all(|token| token["active"] == true) && !listed.to_string().contains("tgp_"));
    // Nobody revokes it by the name of somebody else.
    stage.done("DELETE", &format!("/users/{target}/tokens/{token}"), None, 404).unwrap();
    let revoked = stage.done("DELETE", &format!("/users/{id}/tokens/{token}"), None, 200).unwrap();
    assert_eq!((&revoked["active"], revoked["revoked_at"].is_string()), (&false.into(), true));
    assert_eq!(stage.ask(&script, "GET", "/me", None).unwrap().status, 401, "at once");
    let listed = stage.done("GET", &format!("/users/{id}/tokens"), None, 200).unwrap();
    let active = listed["tokens"].as_array().unwrap().iter().filter(|token| token["active"] == true).count();
    assert_eq!(active, 1, "{other} still counts");
    let lines = stage.audit("?action=token.").unwrap();
    println!("{lines:#?}");
    assert!(lines.iter().any(|line| line["actor"] == "main/dev|admin"), "{lines:?}");
}

#[test]
fn a_script_ends_with_the_grant_of_its_owner() {
    let stage = Stage::start().unwrap();
    let id = stage.create("dev|script-owner").unwrap();
    stage.done("PUT", &format!("/users/{id}/grants/admin"), None, 200).unwrap();
    let (_, script) = stage.access_token(&id, &["admin"]).unwrap();
    assert_eq!(stage.ask(&script, "GET", "/users", None).unwrap().status, 200);
    stage.done("DELETE", &format!("/users/{id}/grants/admin"), None, 200).unwrap();
    assert_eq!(stage.ask(&script, "GET", "/users", None).unwrap().status, 403);
}
