use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{ClaimPath, ClaimPathError};

fn find(path: &str) -> Option<Value> {
    let claims: Map<String, Value> = serde_json::from_value(json!({
        "scope": "a", "a/b": 1, "m~n": 2, "https://example.com/roles": ["r"], "": { "x": 5 }, "nothing": null,
        "realm_access": { "roles": ["x", "y"], "deep": { "er": true } },
    }))
    .unwrap();
    ClaimPath::parse(path).unwrap().find(&claims).cloned()
}

#[test]
fn a_path_is_a_name_or_a_pointer() {
    assert_eq!(find("scope"), Some(json!("a")));
    assert_eq!(find("/scope"), Some(json!("a")));
    assert_eq!(find("a/b"), Some(json!(1)), "a name, for it does not start with a slash");
    assert_eq!(find("/a~1b"), Some(json!(1)));
    assert_eq!(find("/m~0n"), Some(json!(2)));
    assert_eq!(find("https://example.com/roles"), Some(json!(["r"])));
    assert_eq!(find("/realm_access/roles"), Some(json!(["x", "y"])));
    assert_eq!(find("/realm_access/roles/1"), Some(json!("y")));
    assert_eq!(find("/realm_access/deep/er"), Some(json!(true)));
    assert_eq!(find("//x"), Some(json!(5)));
    for nowhere in [
        "/realm_access/roles/01",
        "/realm_access/roles/-",
        "/realm_access/roles/+1",
        "/scope/x",
        "realm_access.roles",
        "nothing",
        "Scope",
    ] {
        assert_eq!(find(nowhere), None, "{nowhere}");
    }
}

#[test]
fn a_broken_path_is_refused() {
    assert_eq!(ClaimPath::parse(""), Err(ClaimPathError::Empty));
    assert!(matches!(ClaimPath::parse("/a~"), Err(ClaimPathError::Escape(_))));
    assert!(matches!(ClaimPath::parse("/a~2"), Err(ClaimPathError::Escape(_))));
    assert!(ClaimPath::parse("/1/2/3/4/5/6/7/8").is_ok());
    assert!(matches!(ClaimPath::parse("/1/2/3/4/5/6/7/8/9"), Err(ClaimPathError::TooDeep(_))));
    assert_eq!(
        ClaimPath::parse("/a~x").unwrap_err().to_string(),
        "`/a~x` is not a json pointer: `~` must be written `~0`"
    );
}

proptest! {
    #[test]
    fn a_pointer_finds_what_serde_json_finds(path in "(/[ab~01]{0,3}){1,8}") {
        let claims = json!({ "a": { "b": [{ "a": 1 }, "x"], "": 2 }, "b": 1, "~": { "/": 3 }, "": { "a": 4 } });
        if let Ok(parsed) = ClaimPath::parse(&path) {
            prop_assert_eq!(parsed.find(claims.as_object().unwrap()), claims.pointer(&path));
        }
    }
}
