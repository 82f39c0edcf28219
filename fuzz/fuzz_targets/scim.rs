//! No filter and no patch breaks the reading of it, and what a patch leaves is
//! a user that can be written back. The first line is a filter and a path, the
//! rest the body of a PATCH.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use tiergate::directory::{User, UserChange, UserId, UserKey};
use tiergate::scim::schema::{GROUPS, USERS};
use tiergate::scim::{Filter, Patch, Target, WrittenUser, show_user};
use tiergate::token::parse_object;
use tiergate::types::{ProviderId, UnixTime};

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn reported(before: Option<&User>, written: WrittenUser) -> Option<User> {
    let (key, now) = (UserKey::new(&ProviderId::new("main"), "sub"), UnixTime::from_secs(1_790_000_000));
    let change = UserChange::Reported(Box::new(written.report(before, now)));
    User::apply(before, &key, UserId::from_bytes([7; 16]), &change, now).or_else(|| before.cloned())
}

fuzz_target!(|raw: &[u8]| {
    let line = raw.iter().position(|byte| *byte == b'\n').unwrap_or(raw.len());
    let (text, body) = raw.split_at(line);
    let resource = json!({
        "userName": "a", "externalId": "e", "name": { "givenName": "b" }, "emails": [{ "value": "c", "type": "work" }],
    });
    if let Ok(text) = std::str::from_utf8(text) {
        for schema in [USERS, GROUPS] {
            if let Ok(filter) = Filter::parse(text, &schema) {
                let _ = filter.holds(&object(&resource));
            }
            let _ = Target::parse(text, &schema);
        }
    }
    let Ok(body) = parse_object(body) else { return };
    if let Ok(patch) = Patch::parse(body.clone(), &GROUPS) {
        let _ = patch.group_change();
    }
    let user = WrittenUser::created(object(&resource)).ok().and_then(|written| reported(None, written));
    let Some(user) = user else { unreachable!("the resource is a user") };
    if let Ok(written) = Patch::parse(body, &USERS).and_then(|patch| WrittenUser::patched(&patch, &user)) {
        let after = reported(Some(&user), written).expect("a user stays one");
        assert!(WrittenUser::created(show_user(&after, &[], "")).is_ok(), "it cannot be written back");
    }
});
