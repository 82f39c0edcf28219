//! What administrators do to users, what comes of it, and what is written down.

use serde_json::{Value, json};

use crate::admin::stage::{As, Stage};

#[test]
fn a_user_is_prepared_changed_refused_and_let_in_again() {
    let stage = Stage::start().unwrap();
    let user = stage.somebody("dev|uma", "");
    let status = |path: &str| stage.check(&user, path).unwrap().status;
    assert_eq!([status("/apps/stable/x"), status("/apps/ea/x")], [200, 403]);

    let id = stage.create("dev|uma").unwrap();
    let at = |below: &str| format!("/users/{id}{below}");
    let twin = stage.ask(&stage.admin(), "POST", "/users", Some(&json!({ "provider": "main", "subject": "dev|uma" })));
    assert_eq!(twin.unwrap().status, 409);

    // A check that begins after the answer knows of it.
    stage.done("PUT", &at("/grants/ea"), Some(&json!({ "until": "2999-01-01T00:00:00+02:00" })), 200).unwrap();
    assert_eq!(status("/apps/ea/x"), 200);
    let read = stage.done("GET", &at(""), None, 200).unwrap();
    assert_eq!(read["grants"][0]["until"], "2998-12-31T22:00:00.000Z");
    assert_eq!(read["grants"][0]["given_by"], "main/dev|admin");
    assert_eq!(read["tiers"], json!(["public", "stable", "ea"]));
    stage.done("DELETE", &at("/grants/ea"), None, 200).unwrap();
    assert_eq!(status("/apps/ea/x"), 403);
    stage.done("DELETE", &at("/grants/ea"), None, 404).unwrap();

    stage.done("POST", &at("/disable"), Some(&json!({ "reason": "left the house" })), 200).unwrap();
    let refused = stage.check(&user, "/apps/stable/x").unwrap();
    assert_eq!((refused.status, &refused.json().unwrap()["reason"]), (403, &json!("disabled_user")));
    assert_eq!(status("/public/x"), 200, "what asks for nobody is open to everybody");
    assert_eq!(
        stage.done("GET", "/users?disabled=true", None, 200).unwrap()["users"][0]["disabled_reason"],
        "left the house"
    );
    stage.done("POST", &at("/enable"), None, 200).unwrap();
    assert_eq!(status("/apps/stable/x"), 200);

    let etag = |stage: &Stage| {
        let read = stage.ask(&stage.admin(), "GET", &at(""), None).unwrap();
        read.header("etag").unwrap().to_owned()
    };
    let tag = etag(&stage);
    let patch = |body: &Value, tag: &str| {
        stage.ask_with(&stage.admin(), "PATCH", &at(""), Some(body), &[("If-Match", tag)]).unwrap()
    };
    let changed = patch(&json!({ "groups": ["administrators", "audit"] }), &tag);
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(status("/apps/admin/x"), 200, "groups count");
    let changed = patch(&json!({ "attributes": { "plan": "gold", "seats": 3 } }), changed.header("etag").unwrap());
    assert_eq!(changed.json().unwrap()["attributes"], json!({ "plan": "gold", "seats": 3 }));
    assert_eq!(patch(&json!({ "groups": [] }), &tag).status, 412, "somebody was quicker");
    assert_eq!(patch(&json!({ "groups": [] }), &etag(&stage)).status, 200);

    let signed_out = stage.done("POST", &at("/sign-out"), None, 200).unwrap();
    assert_eq!(signed_out["sessions_ended"], 0);
    let refused = stage.check(&user, "/apps/stable/x").unwrap();
    assert_eq!(refused.status, 401, "the token is from before");

    // Each change is written down once, with what was before and what is after.
    let lines = stage.audit(&format!("?user={id}")).unwrap();
    let told: Vec<&str> = lines.iter().rev().map(|line| line["action"].as_str().unwrap()).collect();
    println!("{told:?}");
    assert_eq!(told.len(), 9, "{told:?}");
    for line in &lines {
        assert_eq!(line["actor"], "main/dev|admin");
        assert!(line["request_id"].is_string(), "{line}");
        assert_ne!(line["before"], line["after"], "{line}");
    }
    let disable = lines.iter().find(|line| line["action"] == "user.disable").expect("a line of the disabling");
    assert!(disable.to_string().contains("left the house"), "{disable}");
}

#[test]
fn two_administrators_who_change_one_user_at_once_do_not_undo_each_other() {
    let stage = Stage::start().unwrap();
    let id = stage.create("dev|contested").unwrap();
    let path = format!("/users/{id}");
    let admins = [stage.admin(), stage.somebody("dev|other-admin", "access:admin")];
    let rounds = 10;
    for round in 0..rounds {
        let read = stage.ask(&stage.admin(), "GET", &path, None).unwrap();
        let tag = read.header("etag").unwrap().to_owned();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let (stage, tag, path) = (&stage, &tag, &path);
            let tries: Vec<_> = admins
                .iter()
                .enumerate()
                .map(|(number, admin)| {
                    let body = json!({ "groups": [format!("g{round}-{number}")] });
                    scope.spawn(move || {
                        stage.ask_with(admin, "PATCH", path, Some(&body), &[("If-Match", tag)]).unwrap().status
                    })
                })
                .collect();
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let mut sorted = statuses.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [200, 412], "round {round}");
        let winner = statuses.iter().position(|status| *status == 200).unwrap();
        let now = stage.done("GET", &path, None, 200).unwrap();
        assert_eq!(now["groups"], json!([format!("g{round}-{winner}")]));
    }
    assert_eq!(stage.audit(&format!("?user={id}")).unwrap().len(), rounds + 1, "who was late left no line");
}

#[test]
fn nobody_disables_themselves() {
    let stage = Stage::start().unwrap();
    let id = stage.create("dev|admin").unwrap();
    let refused = stage.ask(&stage.admin(), "POST", &format!("/users/{id}/disable"), None).unwrap();
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("ask another administrator"), "{}", refused.text());
    stage.done("GET", &format!("/users/{id}"), None, 200).unwrap();
    let by_another = stage.somebody("dev|other-admin", "access:admin");
    assert_eq!(stage.ask(&by_another, "POST", &format!("/users/{id}/disable"), None).unwrap().status, 200);
    assert_eq!(stage.ask(&stage.admin(), "GET", "/me", None).unwrap().status, 403);
    let twin = json!({ "provider": "main", "subject": "dev|other-admin", "disabled": true });
    assert_eq!(stage.ask(&by_another, "POST", "/users", Some(&twin)).unwrap().status, 409, "nor before they came");
}

#[test]
fn who_is_made_to_be_refused_is_refused_from_the_first_version_on() {
    let stage = Stage::start().unwrap();
    let who = json!({ "provider": "main", "subject": "dev|gone", "disabled": true, "reason": "left" });
    let made = stage.done("POST", "/users", Some(&who), 201).unwrap();
    assert_eq!((&made["disabled_here"], &made["disabled_reason"]), (&json!(true), &json!("left")));
    assert_eq!(made["version"], 1);
    let lines = stage.audit(&format!("?user={}", made["id"].as_str().unwrap())).unwrap();
    assert_eq!(lines.iter().map(|line| &line["action"]).collect::<Vec<_>>(), ["user.disable"]);
    assert_eq!(stage.ask(&stage.admin(), "POST", "/users", Some(&who)).unwrap().status, 409);
    assert_eq!(stage.audit("?action=user.").unwrap().len(), 1);
}

#[test]
fn sessions_are_listed_and_ended() {
    let stage = Stage::start().unwrap();
    let id = stage.create("dev|stable").unwrap();
    let browsers: Vec<As> = (0..3).map(|_| stage.browser("stable").unwrap()).collect();
    let open = |browser: &As| stage.check(browser, "/apps/stable/x").unwrap().status == 200;
    assert!(browsers.iter().all(open));
    let all = stage.done("GET", "/sessions?provider=main&subject=dev%7Cstable", None, 200).unwrap();
    assert_eq!(all["sessions"].as_array().unwrap().len(), 3);
    assert_eq!(stage.done("GET", "/sessions", None, 200).unwrap()["sessions"].as_array().unwrap().len(), 3);
    let key = all["sessions"][0]["key"].as_str().unwrap();
    stage.done("DELETE", &format!("/sessions/{key}"), None, 204).unwrap();
    stage.done("DELETE", &format!("/sessions/{key}"), None, 404).unwrap();
    assert_eq!(browsers.iter().filter(|browser| open(browser)).count(), 2);
    let lines = stage.audit("?action=session.").unwrap();
    assert_eq!((lines.len(), &lines[0]["action"], &lines[0]["target"]), (1, &json!("session.revoke"), &json!(key)));
    assert_eq!(lines[0]["before"]["subject"], "dev|stable");

    let theirs = stage.done("GET", &format!("/users/{id}/sessions"), None, 200).unwrap();
    assert_eq!(theirs["sessions"].as_array().unwrap().len(), 2);
    let signed_out = stage.done("POST", &format!("/users/{id}/sign-out"), None, 200).unwrap();
    assert_eq!(signed_out["sessions_ended"], 2);
    assert!(!browsers.iter().any(open));
}

#[test]
fn without_a_directory_the_rest_works() {
    let stage = Stage::start_with("").unwrap();
    // The keys of the provider may still be on their way.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while stage.ask(&stage.admin(), "GET", "/me", None).unwrap().status == 503 {
        assert!(std::time::Instant::now() < deadline, "the service never knows its keys");
    }
    for path in ["/users", "/groups", "/audit"] {
        let answer = stage.ask(&stage.admin(), "GET", path, None).unwrap();
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("no user directory is configured"), "{}", answer.text());
    }
    for path in ["/me", "/sessions", "/apps", "/tiers", "/policy", "/decisions", "/providers", "/openapi.json"] {
        stage.done("GET", path, None, 200).unwrap();
    }
    let browser = stage.browser("stable").unwrap();
    let key = stage.done("GET", "/sessions", None, 200).unwrap()["sessions"][0]["key"].as_str().unwrap().to_owned();
    stage.done("DELETE", &format!("/sessions/{key}"), None, 204).unwrap();
    assert_eq!(stage.check(&browser, "/apps/stable/x").unwrap().status, 401);
}
