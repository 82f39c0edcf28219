//! Whoever is no administrator learns nothing, on any path, by any way.

use std::collections::BTreeSet;

use serde_json::json;

use crate::admin::stage::{API, As, Stage};
use crate::grid::wire::{Asker, Question, Wire};
use tiergate_testbed::TokenSpec;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Every path of the document, and others.
fn paths(stage: &Stage) -> Vec<String> {
    let document = stage.done("GET", "/openapi.json", None, 200).unwrap();
    let known = document["paths"].as_object().unwrap().keys();
    let filled = known.map(|path| {
        let path = path.replace("{id}", &"0".repeat(32)).replace("{token}", &"1".repeat(32));
        format!("{API}{}", path.replace("{key}", &"2".repeat(64)).replace("{tier}", "stable"))
    });
    let unknown =
        ["/_auth/admin", "/_auth/admin/", "/_auth/admin/users", "/_auth/admin/idp/users", "/_auth/admin/nothing"]
            .map(str::to_owned);
    let below = ["", "/", "/nothing", "/users/", "/users/x", "/users/x/y/z"].map(|path| format!("{API}{path}"));
    filled.chain(unknown).chain(below).collect()
}

#[test]
fn nobody_but_administrators_is_told_anything() {
    let stage = Stage::start().unwrap();
    // A second administrator, who is refused; and somebody whom only the directory made one.
    let fallen = stage.create("dev|fallen").unwrap();
    stage.done("POST", &format!("/users/{fallen}/disable"), None, 200).unwrap();
    let granted = stage.create("dev|granted").unwrap();
    stage.done("PUT", &format!("/users/{granted}/grants/admin"), None, 200).unwrap();
    let ends = json!({ "until": "2999-01-01T00:00:00Z" });
    stage.done("PUT", &format!("/users/{granted}/grants/admin"), Some(&ends), 200).unwrap();
    assert_eq!(stage.ask(&stage.somebody("dev|granted", ""), "GET", "/me", None).unwrap().status, 200);

    let (_, script) = stage.access_token(&granted, &["devel"]).unwrap();
    let token = |spec: TokenSpec| As::Token(stage.main.mint(&spec).unwrap());
    let bad_signature = match stage.admin() {
        As::Token(token) => As::Token(format!("{}AAAA", &token[..token.len() - 4])),
        other => other,
    };
    let callers: Vec<(&str, As, u16)> = vec![
        ("nobody", As::Nobody, 401),
        ("no token at all", As::Token("nonsense".to_owned()), 401),
        ("another signature", bad_signature, 401),
        ("a token that is over", token(TokenSpec::for_account("admin").expired()), 401),
        ("a token for another audience", token(TokenSpec::for_account("admin").audience("http://other")), 401),
        ("an unknown access token", As::Token(format!("tgp_{}", "A".repeat(43))), 401),
        ("a broken session", As::Cookie(format!("__Host-tiergate-session={}", "A".repeat(43))), 401),
        ("somebody", stage.somebody("dev|stella", ""), 403),
        ("a developer", stage.somebody("dev|devi", "access:devel"), 403),
        ("a script of an administrator, for less", script, 403),
        ("a developer's browser", stage.browser("devel").unwrap(), 403),
        ("an administrator who is refused", stage.somebody("dev|fallen", "access:admin"), 403),
        (
            "the same subject at another provider",
            As::Token(stage.other.mint(&TokenSpec::new().subject("dev|granted")).unwrap()),
            403,
        ),
    ];
    let asker = Asker::new(&stage.tiergate).unwrap();
    let mut wrong = Vec::new();
    let mut answers = 0;
    for (name, who, status) in &callers {
        let mut told = BTreeSet::new();
        for path in paths(&stage) {
            for method in METHODS {
                let mut fault = |way: &str, found: u16| {
                    answers += 1;
                    if found != *status {
                        wrong.push(format!("{name}: {method} {path} {way}: {found} in place of {status}"));
                    }
                };
                let own = who.headers();
                let headers: Vec<(&str, &str)> = own.iter().map(|(name, value)| (&**name, &**value)).collect();
                let answer = tiergate_testbed::request(stage.tiergate.http(), method, &path, &headers).unwrap();
                fault("directly", answer.status);
                if method != "HEAD" {
                    let mut problem = answer.json().unwrap();
                    problem["request_id"] = "".into();
                    told.insert(problem.to_string());
                }
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}: {method} {path}");
                let host = format!("localhost:{}", stage.tiergate.http().port());
                let question = Question { method: method.to_owned(), target: path.clone(), host, headers: own };
                let grpc = asker.ask(Wire::Grpc, &question).unwrap();
                fault("over gRPC", grpc.status);
                for wire in [Wire::ForwardAuth, Wire::AuthRequest, Wire::ExtAuthz] {
                    fault(&format!("{wire:?}"), asker.ask(wire, &question).unwrap().status);
                }
            }
        }
        assert_eq!(told.len(), 1, "{name} can tell paths from each other: {told:#?}");
    }
    println!("{answers} refusals");
    // The same gates let an administrator through.
    for path in paths(&stage) {
        let host = format!("localhost:{}", stage.tiergate.http().port());
        let headers = stage.admin().headers();
        let question = Question { method: "GET".to_owned(), target: path.clone(), host, headers };
        for wire in [Wire::ForwardAuth, Wire::AuthRequest, Wire::ExtAuthz] {
            assert_eq!(asker.ask(wire, &question).unwrap().status, 200, "an administrator: {path} {wire:?}");
        }
    }
    assert_eq!(stage.ask(&stage.admin(), "GET", "/me", None).unwrap().status, 200);
    assert!(wrong.is_empty(), "{} of {answers}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn who_cannot_be_looked_up_is_told_so_and_gets_nothing() {
    // Without a tier of administrators there is no area.
    let provider = tiergate_testbed::Provider::start().unwrap();
    let config = format!(
        "identity_providers:\n  - id: main\n    issuer: \"{}\"\n    audience: [\"{}\"]\ntiers: {{ public: {{ grant: anyone }} }}\nrules: [{{ path: /**, tier: public }}]\n",
        provider.issuer(),
        provider.audience()
    );
    let tiergate = tiergate_testbed::Tiergate::start(crate::admin::stage::BINARY, &config).unwrap();
    for path in ["/_auth/admin/", "/_auth/admin/api/me", "/_auth/admin/api/openapi.json"] {
        let token = format!("Bearer {}", provider.token("admin").unwrap());
        let answer = tiergate_testbed::request(tiergate.http(), "GET", path, &[("Authorization", &token)]).unwrap();
        assert_eq!(answer.status, 404, "{path}");
    }
}
