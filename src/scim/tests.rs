//! Filters, patches and resources as data, the examples of RFC 7643, and what
//! holds for any text.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::schema::{ENTERPRISE, GROUPS, PATCH, USERS};
use super::*;
use crate::directory::{AttributesChange, Report, User, UserChange, UserId, UserKey};
use crate::types::{Email, ProviderId, UnixTime};

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

fn vectors(text: &str) -> Value {
    serde_json::from_str(text).expect("vectors")
}

fn now() -> UnixTime {
    UnixTime::from_secs(1_790_000_000)
}

fn reported(before: Option<&User>, report: Report) -> User {
    let key = UserKey::new(&ProviderId::new("main"), "sub");
    let change = UserChange::Reported(Box::new(report));
    let after = User::apply(before, &key, UserId::from_bytes([7; 16]), &change, now());
    after.or_else(|| before.cloned()).expect("a user")
}

fn created(body: &Value) -> User {
    reported(None, WrittenUser::created(object(body)).expect("a user").report(None, now()))
}

fn patch_of(operations: &Value) -> Value {
    json!({ "schemas": [PATCH], "Operations": operations })
}

#[test]
fn filters_hold_as_the_rfc_says() {
    let vectors = vectors(include_str!("../../tests/vectors/scim/filters.json"));
    let resource = object(&vectors["resource"]);
    let mut wrong = Vec::new();
    for case in vectors["cases"].as_array().expect("cases") {
        let text = case["filter"].as_str().expect("text");
        let found = match Filter::parse(text, &USERS) {
            Ok(filter) => json!({ "filter": text, "holds": filter.holds(&resource) }),
            Err(error) => json!({ "filter": text, "error": error.kind.expect("kind").as_str() }),
        };
        if found != *case {
            wrong.push(format!("{case}\n  {found} {:?}", Filter::parse(text, &USERS).err()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn patches_do_what_the_rfc_says_and_what_clients_mean() {
    let vectors = vectors(include_str!("../../tests/vectors/scim/patches.json"));
    let before = created(&vectors["before"]);
    let mut wrong = Vec::new();
    for case in vectors["cases"].as_array().expect("cases") {
        let patched = Patch::parse(object(&patch_of(&case["operations"])), &USERS)
            .and_then(|patch| WrittenUser::patched(&patch, &before))
            .map(|written| {
                let change = UserChange::Reported(Box::new(written.report(Some(&before), now())));
                let after = User::apply(Some(&before), &before.key, before.id, &change, now());
                let mut shown = show_user(after.as_ref().unwrap_or(&before), &[], "");
                for own in ["schemas", "id", "meta", "groups"] {
                    shown.remove(own);
                }
                Value::Object(shown)
            });
        let as_expected = match (&patched, case.get("error")) {
            (Ok(after), None) => *after == case["after"],
            (Err(error), Some(kind)) => error.kind.map(ScimType::as_str) == kind.as_str(),
            _ => false,
        };
        if !as_expected {
            wrong.push(format!("{}: {patched:?}", case["what"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// RFC 7643 section 8: what is written is what is read, but for what the service says itself.
#[test]
fn the_examples_of_the_rfc_are_read_and_shown() {
    let examples = vectors(include_str!("../../tests/vectors/scim/rfc7643.json"));
    for name in ["minimal", "full", "enterprise"] {
        let mut expected = object(&examples[name]);
        let mut shown = show_user(&created(&examples[name]), &[], "https://x/scim/v2");
        assert!(!Value::Object(shown.clone()).to_string().contains("t1meMa$heen"), "{name} shows the password");
        assert_eq!(shown["active"], json!(true));
        assert_eq!(shown["id"], "07070707070707070707070707070707");
        for own in ["id", "meta", "groups", "password", "active"] {
            expected.remove(own);
            shown.remove(own);
        }
        if let Some(manager) = expected.get_mut(ENTERPRISE).and_then(|held| held["manager"].as_object_mut()) {
            // The service says it, and does not know the manager.
            manager.remove("displayName");
        }
        assert_eq!(Value::Object(shown), Value::Object(expected), "{name}");
    }
    let mut group = examples["group"].clone();
    for (position, member) in group["members"].as_array_mut().expect("members").iter_mut().enumerate() {
        member["value"] = json!(UserId::from_bytes([u8::try_from(position).expect("few"); 16]).to_string());
    }
    let written = WrittenGroup::parse(object(&group)).expect("a group");
    assert_eq!((written.name.as_str(), written.members.len()), ("Tour Guides", 2));
}

#[test]
fn what_scim_says_becomes_the_directory_s() {
    let examples = vectors(include_str!("../../tests/vectors/scim/rfc7643.json"));
    let user = created(&examples["enterprise"]);
    assert_eq!(user.user_name, "bjensen@example.com");
    assert_eq!(user.name.as_deref(), Some("Babs Jensen"));
    // A client's word for an address is no proof of it: no tier is given by its domain.
    assert_eq!(user.email, Some(Email::new("bjensen@example.com", false)));
    assert_eq!(user.picture.as_deref(), Some("https://photos.example.com/profilephoto/72930000000Ccne/F"));
    let expected = json!({
        "title": "Tour Guide", "userType": "Employee", "preferredLanguage": "en-US", "locale": "en-US",
        "timezone": "America/Los_Angeles", "nickName": "Babs", "employeeNumber": "701984", "costCenter": "4130",
        "organization": "Universal Studios", "division": "Theme Park", "department": "Tour Operations",
        "manager": "26118915-6090-4610-87e4-49d8ca9f808d",
    });
    assert_eq!(Value::Object(user.attributes), expected);
    assert!(!user.disabled_there);
}

#[test]
fn what_scim_takes_back_goes_and_what_others_said_stays() {
    let before = User {
        attributes: object(&json!({ "plan": "gold", "department": "Tours", "locale": "de" })),
        picture: Some("https://x/picture".to_owned()),
        ..created(&json!({ "userName": "a", "emails": [{ "value": "a@x" }], ENTERPRISE: { "department": "Tours" } }))
    };
    let written = WrittenUser::replaced(object(&json!({ "userName": "a" })), &before).expect("a user");
    let report = written.report(Some(&before), now());
    assert_eq!((report.email.clone(), report.picture.clone(), report.disabled), (Some(None), None, None));
    assert_eq!(report.attributes, Some(AttributesChange::Merge(object(&json!({ "department": null })))));
    let after = reported(Some(&before), report);
    assert_eq!(Value::Object(after.attributes), json!({ "plan": "gold", "locale": "de" }));
}

#[test]
fn a_refusal_of_an_administrator_is_neither_lifted_nor_taken_over() {
    let refused = User { disabled_here: true, ..created(&json!({ "userName": "a", "active": true })) };
    assert_eq!(show_user(&refused, &[], "")["active"], false);
    for (operations, there) in [
        (json!([{ "op": "replace", "path": "title", "value": "T" }]), false),
        (
            json!([{ "op": "replace", "path": "active", "value": true }, { "op": "add", "path": "title", "value": "T" }]),
            false,
        ),
        (json!([{ "op": "replace", "path": "active", "value": false }]), true),
    ] {
        let patch = Patch::parse(object(&patch_of(&operations)), &USERS).expect("a patch");
        let after = reported(
            Some(&refused),
            WrittenUser::patched(&patch, &refused).expect("a user").report(Some(&refused), now()),
        );
        assert_eq!((after.disabled_here, after.disabled_there), (true, there), "{operations}");
        assert_eq!(show_user(&after, &[], "")["active"], false);
    }
}

#[test]
fn a_patch_says_whether_somebody_is_active_only_where_it_names_it() {
    let before = created(&json!({ "userName": "a", "active": true }));
    for (operations, disabled) in [
        (json!([{ "op": "replace", "path": "title", "value": "T" }]), None),
        (json!([{ "op": "add", "value": { "title": "T", "displayName": "A" } }]), None),
        (json!([{ "op": "replace", "path": "active", "value": true }]), Some(false)),
        (json!([{ "op": "replace", "path": "Active", "value": "False" }]), Some(true)),
        (json!([{ "op": "replace", "value": { "active": false, "title": "T" } }]), Some(true)),
    ] {
        let patch = Patch::parse(object(&patch_of(&operations)), &USERS).expect("a patch");
        let report = WrittenUser::patched(&patch, &before).expect("a user").report(Some(&before), now());
        assert_eq!(report.disabled, disabled, "{operations}");
    }
    // Whom a hook refused meanwhile stays refused.
    let refused = User { disabled_there: true, ..before };
    let patch = patch_of(&json!([{ "op": "replace", "path": "title", "value": "T" }]));
    let patch = Patch::parse(object(&patch), &USERS).expect("a patch");
    let report = WrittenUser::patched(&patch, &refused).expect("a user").report(Some(&refused), now());
    let after = reported(Some(&refused), report);
    assert_eq!((after.disabled_there, after.as_of.state), (true, refused.as_of.state));
}

/// Of two writes in one moment the later one counts, also where it lets in.
#[test]
fn a_client_lets_in_whom_it_refused_in_the_same_moment() {
    let write = |active: bool, before: Option<&User>| {
        let body = object(&json!({ "userName": "a", "active": active }));
        reported(before, WrittenUser::created(body).expect("a user").report(before, now()))
    };
    let refused = write(false, None);
    assert!(refused.disabled_there && !write(true, Some(&refused)).disabled_there);
}

#[test]
fn who_somebody_is_cannot_be_written() {
    let before = created(&json!({ "userName": "a", "externalId": "e" }));
    let rule = SubjectRule::ExternalId;
    for (body, rule, holds) in [
        (json!({ "userName": "b", "externalId": "e" }), rule, true),
        (json!({ "userName": "a", "externalId": "f" }), rule, false),
        (json!({ "userName": "b" }), rule, true),
        (json!({ "userName": "b", "externalId": "e" }), SubjectRule::UserName, false),
        (json!({ "userName": "a", "externalId": "f" }), SubjectRule::UserName, true),
    ] {
        let written = WrittenUser::replaced(object(&body), &before).expect("a user");
        let checked = written.check_identity(&before, rule);
        assert_eq!(checked.is_ok(), holds, "{body} {rule:?}");
        assert!(checked.err().is_none_or(|error| error.kind == Some(ScimType::Mutability)));
    }
    let nameless = created(&json!({ "userName": "a" }));
    let written =
        WrittenUser::replaced(object(&json!({ "userName": "a", "externalId": "f" })), &nameless).expect("a user");
    assert!(written.check_identity(&nameless, rule).is_err(), "the subject was the user name");
}

#[test]
fn what_scim_says_counts_whatever_other_clocks_say() {
    let ahead = now().plus(std::time::Duration::from_secs(90));
    let mut before = created(&json!({ "userName": "a" }));
    before.as_of.profile = Some(ahead);
    before.as_of.state = Some(ahead);
    let written = WrittenUser::created(object(&json!({ "userName": "b", "active": false }))).expect("a user");
    let after = reported(Some(&before), written.clone().report(Some(&before), now()));
    assert_eq!((after.user_name.as_str(), after.disabled_there), ("b", true));
    let gone = User::apply(
        Some(&before),
        &before.key,
        before.id,
        &UserChange::Gone { as_of: gone_as_of(&before, now()) },
        now(),
    );
    let gone = gone.filter(|user| user.deleted_at.is_some()).expect("gone");
    let back = reported(Some(&gone), written.report(Some(&gone), now()));
    assert!(back.deleted_at.is_none() && back.scim.is_some() && back.user_name == "b");
}

#[test]
fn bodies_that_are_no_user_or_group_are_refused() {
    let many = json!((0..20_000).map(|n| n.to_string()).collect::<Vec<_>>());
    for (body, kind) in [
        (json!({}), ScimType::InvalidValue),
        (json!({ "userName": 7 }), ScimType::InvalidValue),
        (json!({ "userName": "" }), ScimType::InvalidValue),
        (json!({ "userName": "x".repeat(256) }), ScimType::InvalidValue),
        (json!({ "userName": "a\u{0}" }), ScimType::InvalidValue),
        (json!({ "userName": "a", "USERNAME": "b" }), ScimType::InvalidSyntax),
        (json!({ "userName": "a", "x\ny": "b" }), ScimType::InvalidSyntax),
        (json!({ "userName": "a", "externalId": "x".repeat(256) }), ScimType::InvalidValue),
        (json!({ "userName": "a", "emails": [[]] }), ScimType::InvalidValue),
        (json!({ "userName": "a", "emails": [{ "primary": "x" }] }), ScimType::InvalidValue),
        (json!({ "userName": "a", "name": "b" }), ScimType::InvalidValue),
        (json!({ "userName": "a", "title": ["b", "c"] }), ScimType::InvalidValue),
        (json!({ "userName": "a", ENTERPRISE: [] }), ScimType::InvalidValue),
        (json!({ "userName": "a", "tags": many }), ScimType::InvalidValue),
    ] {
        let error = WrittenUser::created(object(&body)).expect_err("no user");
        assert_eq!((error.status, error.kind), (400, Some(kind)), "{error}");
    }
    let id = UserId::from_bytes([1; 16]).to_string();
    for body in [
        json!({}),
        json!({ "displayName": "a", "members": [{ "value": "x" }] }),
        json!({ "displayName": "a", "members": [{ "value": id, "type": "Group" }] }),
        json!({ "displayName": "a", "members": [{ "value": id.to_uppercase().replace('0', "O") }] }),
        json!({ "displayName": " " }),
    ] {
        let error = WrittenGroup::parse(object(&body)).expect_err("no group");
        assert_eq!(error.kind, Some(ScimType::InvalidValue), "{body}");
    }
    let twice = json!({ "displayName": "a", "members": [{ "value": id }, { "value": id, "type": "User" }] });
    assert_eq!(WrittenGroup::parse(object(&twice)).expect("a group").members.len(), 1);
}

/// What would grow with the square of a request is refused by its number.
#[test]
fn more_than_is_worked_on_is_refused_before_the_work() {
    let before = created(&json!({ "userName": "a" }));
    let mails = |many: usize| json!((0..many).map(|n| json!({ "value": format!("{n}@x") })).collect::<Vec<_>>());
    let attributes = |many: usize| Value::Object((0..many).map(|n| (format!("a{n}"), json!(n))).collect());
    let repeated = |many: usize, operation: Value| Value::from(vec![operation; many]);
    let select = |terms: usize| format!("emails[{}]", vec!["value co \"z\""; terms].join(" or "));
    let title = json!({ "op": "add", "path": "title", "value": "T" });
    let text = |bytes: usize| json!({ "op": "add", "path": "x", "value": { "y": "x".repeat(bytes) } });
    let put = |value: Value| json!([{ "op": "add", "path": "emails", "value": value }]);
    let remove = |terms: usize| json!({ "op": "remove", "path": select(terms) });
    let twice = json!([
        { "op": "add", "path": "emails", "value": mails(100) },
        { "op": "add", "path": "emails", "value": { "value": "more" } },
        { "op": "remove", "path": "emails" },
    ]);
    for (what, operations, kind) in [
        ("100 values", put(mails(100)), None),
        ("101 values", put(mails(101)), Some(ScimType::InvalidValue)),
        ("101 values in steps", twice, Some(ScimType::InvalidValue)),
        (
            "101 values without a path",
            json!([{ "op": "add", "value": { "emails": mails(101) } }]),
            Some(ScimType::InvalidValue),
        ),
        (
            "101 values to take away",
            json!([{ "op": "remove", "path": "emails", "value": mails(101) }]),
            Some(ScimType::InvalidValue),
        ),
        (
            "101 values of what no schema knows",
            json!([{ "op": "add", "path": "x", "value": mails(101) }]),
            Some(ScimType::InvalidValue),
        ),
        ("values in values", put(json!([{ "value": "a", "x": mails(100) }])), Some(ScimType::InvalidValue)),
        ("100 operations", repeated(100, title.clone()), None),
        ("101 operations", repeated(101, title), Some(ScimType::TooMany)),
        ("101 operations without a path", json!([{ "op": "add", "value": attributes(101) }]), Some(ScimType::TooMany)),
        (
            "201 attributes",
            json!([{ "op": "add", "path": "x", "value": attributes(201) }]),
            Some(ScimType::InvalidValue),
        ),
        ("20 comparisons", json!([remove(20)]), None),
        ("21 comparisons", json!([remove(21)]), Some(ScimType::InvalidFilter)),
        ("200 comparisons in all", repeated(10, remove(20)), None),
        ("220 comparisons in all", repeated(11, remove(20)), Some(ScimType::TooMany)),
        ("60 KiB", json!([text(60 * 1024)]), None),
        ("65 KiB", json!([text(65 * 1024), { "op": "remove", "path": "x" }]), Some(ScimType::InvalidValue)),
    ] {
        let patched = Patch::parse(object(&patch_of(&operations)), &USERS)
            .and_then(|patch| WrittenUser::patched(&patch, &before));
        assert_eq!(patched.as_ref().err().and_then(|error| error.kind), kind, "{what}: {:?}", patched.as_ref().err());
        assert!(patched.is_err() == kind.is_some(), "{what}");
        let many = patched.err().is_none_or(|error| {
            ["too many", "more than", "bytes at most"].iter().any(|word| error.detail.contains(word))
        });
        assert!(many, "{what} does not say what is too many");
    }
    for (what, body, holds) in [
        ("100 values", json!({ "userName": "a", "emails": mails(100) }), true),
        ("101 values", json!({ "userName": "a", "emails": mails(101) }), false),
        ("101 groups, which are not read", json!({ "userName": "a", "groups": mails(101) }), true),
        ("101 values of an extension", json!({ "userName": "a", ENTERPRISE: { "x": mails(101) } }), false),
        ("201 attributes", json!({ "userName": "a", "x": attributes(201) }), false),
        ("very many attributes", attributes(50_000), false),
    ] {
        let made = WrittenUser::created(object(&body));
        assert_eq!(made.is_ok(), holds, "{what}: {:?}", made.err());
        assert_eq!(WrittenUser::replaced(object(&body), &before).is_ok(), holds, "{what}");
    }
    let ids = |many: u64| {
        let id = |n: u64| UserId::from_bytes((u128::from(n) + 1).to_be_bytes());
        json!((0..many).map(|n| json!({ "value": id(n).to_string() })).collect::<Vec<_>>())
    };
    for (what, operations, holds) in [
        ("10000 members", json!([{ "op": "add", "path": "members", "value": ids(10_000) }]), true),
        ("10001 members", json!([{ "op": "add", "path": "members", "value": ids(10_001) }]), false),
        (
            "10001 members in two",
            json!([{ "op": "add", "path": "members", "value": ids(10_000) }, { "op": "remove", "path": "members[value eq \"x\"]" }]),
            false,
        ),
        ("1000 operations", repeated(1000, json!({ "op": "remove", "path": "members[value eq \"x\"]" })), true),
    ] {
        let change = Patch::parse(object(&patch_of(&operations)), &GROUPS).and_then(|patch| patch.group_change());
        assert_eq!(change.is_ok(), holds, "{what}: {:?}", change.err());
    }
    for (many, holds) in [(10_000, true), (10_001, false)] {
        let body = object(&json!({ "displayName": "g", "members": ids(many) }));
        assert_eq!(WrittenGroup::parse(body).is_ok(), holds, "{many} members");
    }
}

#[test]
fn patches_of_groups_need_not_read_them() {
    let id = |byte: u8| UserId::from_bytes([byte; 16]);
    let value = |byte: u8| json!([{ "value": id(byte).to_string(), "$ref": null }]);
    let select = |byte: u8| format!("members[value eq \"{}\"]", id(byte));
    for (operations, members, add, remove) in [
        (json!([{ "op": "Add", "path": "members", "value": value(1) }]), None, vec![1], vec![]),
        (json!([{ "op": "remove", "path": select(1) }]), None, vec![], vec![1]),
        (json!([{ "op": "Remove", "path": "members", "value": value(1) }]), None, vec![], vec![1]),
        (
            json!([{ "op": "remove", "path": select(1) }, { "op": "add", "path": "members", "value": value(1) }]),
            None,
            vec![1],
            vec![],
        ),
        (
            json!([{ "op": "add", "path": "members", "value": value(1) }, { "op": "remove", "path": select(1) }]),
            None,
            vec![],
            vec![1],
        ),
        (json!([{ "op": "replace", "path": "members", "value": value(2) }]), Some(vec![2]), vec![], vec![]),
        (json!([{ "op": "replace", "value": { "members": value(2) } }]), Some(vec![2]), vec![], vec![]),
        (json!([{ "op": "replace", "path": "members", "value": [] }]), Some(vec![]), vec![], vec![]),
        (json!([{ "op": "remove", "path": "members" }]), Some(vec![]), vec![], vec![]),
        (
            json!([{ "op": "add", "path": "members", "value": value(1) }, { "op": "remove", "path": "members" }]),
            Some(vec![]),
            vec![],
            vec![],
        ),
        (json!([{ "op": "remove", "path": "members[value eq \"nobody\"]" }]), None, vec![], vec![]),
    ] {
        let change = Patch::parse(object(&patch_of(&operations)), &GROUPS).and_then(|patch| patch.group_change());
        let change = change.expect("a change");
        let ids = |bytes: Vec<u8>| bytes.into_iter().map(id).collect::<Vec<_>>();
        assert_eq!(
            (change.members, change.add, change.remove),
            (members.map(ids), ids(add), ids(remove)),
            "{operations}"
        );
    }
    let renamed = json!([{ "op": "replace", "value": { "id": "x", "displayName": "New" } }]);
    let change = Patch::parse(object(&patch_of(&renamed)), &GROUPS).and_then(|patch| patch.group_change());
    assert_eq!(change.expect("a change").name.as_deref(), Some("New"));
    for (operations, kind) in [
        (json!([{ "op": "remove", "path": "displayName" }]), ScimType::InvalidValue),
        (json!([{ "op": "replace", "path": "displayName", "value": ["a"] }]), ScimType::InvalidValue),
        (json!([{ "op": "add", "path": "members", "value": [{ "value": "x" }] }]), ScimType::InvalidValue),
        (json!([{ "op": "remove", "path": "members[display eq \"x\"]" }]), ScimType::InvalidFilter),
        (json!([{ "op": "replace", "path": "members[value eq \"x\"].value", "value": "y" }]), ScimType::Mutability),
        (json!([{ "op": "add", "path": "members[value eq \"x\"]", "value": {} }]), ScimType::InvalidPath),
        (json!([{ "op": "replace", "path": "id", "value": "x" }]), ScimType::Mutability),
    ] {
        let change = Patch::parse(object(&patch_of(&operations)), &GROUPS).and_then(|patch| patch.group_change());
        assert_eq!(change.expect_err("no change").kind, Some(kind), "{operations}");
    }
}

#[test]
fn lists_are_asked_for_by_parameters() {
    let query = |start: Option<&str>, count: Option<&str>| {
        let parameters = Parameters {
            start_index: start.map(str::to_owned),
            count: count.map(str::to_owned),
            ..Parameters::default()
        };
        parameters.list(&USERS).map(|query| (query.start_index, query.count)).ok()
    };
    for (start, count, expected) in [
        (None, None, Some((1, 100))),
        (Some("0"), Some("-3"), Some((1, 0))),
        (Some("-7"), Some("100000"), Some((1, MOST_RESULTS))),
        (Some("101"), Some("100"), Some((101, 100))),
        (Some("x"), None, None),
        (None, Some("1.5"), None),
        (None, Some("99999999999999999999"), None),
    ] {
        assert_eq!(query(start, count), expected, "{start:?} {count:?}");
    }
    for (sort_by, order, expected) in [
        ("userName", None, Some(true)),
        ("USERNAME", Some("Ascending"), Some(true)),
        ("", None, Some(false)),
        ("userName", Some("descending"), None),
        ("title", None, None),
        ("name.familyName", None, None),
    ] {
        let parameters = Parameters {
            sort_by: Some(sort_by.to_owned()),
            sort_order: order.map(str::to_owned),
            ..Parameters::default()
        };
        assert_eq!(parameters.list(&USERS).ok().map(|query| query.by_user_name), expected, "{sort_by} {order:?}");
    }
}

#[test]
fn answers_have_the_attributes_that_are_asked_for() {
    let examples = vectors(include_str!("../../tests/vectors/scim/rfc7643.json"));
    let user = show_user(&created(&examples["enterprise"]), &[], "");
    let names = |only: &str, without: &str| {
        let parameters = Parameters {
            attributes: Some(only.to_owned()),
            excluded_attributes: Some(without.to_owned()),
            ..Parameters::default()
        };
        parameters.projection(&USERS).map(|projection| Value::Object(projection.of(user.clone())))
    };
    let only = names(
        "userName,name.givenName,emails.value,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department,nothing",
        "",
    );
    let expected = json!({
        "schemas": user["schemas"], "id": user["id"], "userName": "bjensen@example.com",
        "name": { "givenName": "Barbara" },
        "emails": [{ "value": "bjensen@example.com" }, { "value": "babs@jensen.org" }],
        ENTERPRISE: { "department": "Tour Operations" },
    });
    assert_eq!(only.expect("an answer"), expected);
    let without = names("", "emails.primary, name, ID, schemas, active").expect("an answer");
    assert!(without.get("name").is_none() && without.get("active").is_none() && without.get("id").is_some());
    assert_eq!(without["emails"][0], json!({ "value": "bjensen@example.com", "type": "work" }));
    assert!(names("userName", "emails").is_err());
    assert!(names("user name", "").is_err());
}

#[test]
fn every_attribute_that_is_listed_is_one_that_is_read() {
    for schema in schemas("") {
        let urn = schema["id"].as_str().expect("urn");
        for attribute in schema["attributes"].as_array().expect("attributes") {
            let name = format!("{urn}:{}", attribute["name"].as_str().expect("name"));
            let resource = if urn.ends_with("Group") { GROUPS } else { USERS };
            let path = AttributePath::parse(&name, &resource).expect("a path");
            assert!(path.attribute(&resource).is_some(), "{name}");
        }
        assert_eq!(schema_named(urn, "").as_ref(), Some(&schema));
    }
}

fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "userName",
        "emails",
        "name.givenName",
        "[",
        "]",
        "(",
        ")",
        "not",
        "and",
        "or",
        "eq",
        "ne",
        "co",
        "pr",
        "gt",
        "\"a\"",
        "\"",
        "\\",
        ".value",
        "true",
        "null",
        "1",
        "-1.5e9",
        " ",
        "urn:",
        ENTERPRISE,
        ":department",
        "type",
        "é",
        "\u{0}",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z\\.\\[\\]\" ]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop::sample::select(vec![
            "value", "type", "primary", "userName", "emails", "name", "active", "x", ENTERPRISE,
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4).prop_map(|members| Value::Object(
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

fn path() -> impl Strategy<Value = Option<String>> {
    let known = prop::sample::select(vec![
        "userName",
        "active",
        "emails",
        "emails[type eq \"work\"]",
        "emails[type eq \"work\"].value",
        "emails.value",
        "name",
        "name.givenName",
        "x",
        "x[y eq 1].z",
        ENTERPRISE,
        "urn:x:y:z",
        "members",
        "groups",
        "title",
    ]);
    prop_oneof![Just(None), known.prop_map(|path| Some(path.to_owned())), words().prop_map(Some),]
}

proptest! {
    #[test]
    fn no_text_breaks_the_reading_of_filters(text in prop_oneof![words(), any::<String>()]) {
        if let Ok(filter) = Filter::parse(&text, &USERS) {
            let _ = filter.holds(&Map::new());
            let _ = filter.holds(&object(&json!({ "userName": "a", "emails": [{ "value": "b" }, 1, null, []], "x": [[]] })));
        }
        let _ = Filter::parse(&text, &GROUPS);
    }

    #[test]
    fn what_a_patch_leaves_is_a_user(
        operations in prop::collection::vec((prop::sample::select(vec!["add", "Remove", "replace", "x"]), path(), json_value()), 1..5),
    ) {
        let before = created(&json!({ "userName": "a", "emails": [{ "value": "b", "type": "work" }], "name": { "givenName": "c" } }));
        let operations: Vec<Value> = operations.into_iter().map(|(op, path, value)| match path {
            Some(path) => json!({ "op": op, "path": path, "value": value }),
            None => json!({ "op": op, "value": value }),
        }).collect();
        let body = object(&patch_of(&Value::from(operations)));
        if let Ok(patch) = Patch::parse(body.clone(), &GROUPS) {
            let _ = patch.group_change();
        }
        if let Ok(written) = Patch::parse(body, &USERS).and_then(|patch| WrittenUser::patched(&patch, &before)) {
            prop_assert!(!written.user_name().trim().is_empty());
            let after = reported(Some(&before), Report { as_of: now(), ..written.report(Some(&before), now()) });
            let shown = show_user(&after, &[], "");
            prop_assert!(serde_json::to_string(&shown).expect("JSON").len() < 80 * 1024);
            // It can be written back as it is.
            prop_assert!(WrittenUser::created(shown).is_ok());
        }
    }
}
