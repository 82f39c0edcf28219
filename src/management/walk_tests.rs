use std::collections::BTreeSet;

use serde_json::json;

use super::*;

/// As many users as `made`, one at each of these milliseconds.
fn page_of(made: &[i64], path: &str) -> String {
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(path.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
    let parameter = |name: &str| query.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str());
    let since = parameter("q").map(|q| q.strip_prefix("created_at:[").unwrap().strip_suffix(" TO *]").unwrap());
    let since = since.map_or(i64::MIN, |since| UnixTime::parse_rfc3339(since).unwrap().as_millis());
    let (page, per_page) = (
        parameter("page").unwrap().parse::<usize>().unwrap(),
        parameter("per_page").unwrap().parse::<usize>().unwrap(),
    );
    assert!((page + 1) * per_page <= 1000, "Auth0 refuses page {page}");
    let found: Vec<Value> = made
        .iter()
        .enumerate()
        .filter(|(_, made)| **made >= since)
        .skip(page * per_page)
        .take(per_page)
        .map(|(id, made)| json!({ "user_id": format!("auth0|{id}"), "created_at": UnixTime::from_millis(*made).to_string() }))
        .collect();
    json!({ "start": 0, "users": found }).to_string()
}

fn walk_all(made: &[i64]) -> Result<BTreeSet<String>, WalkError> {
    let mut walk = Walk::begin(Kind::Auth0, UnixTime::from_secs(1));
    let mut seen = BTreeSet::new();
    while let Some(path) = walk.next() {
        // As if each page were asked for by another process.
        walk = Walk::resume(Kind::Auth0, &walk.bookmark().unwrap()).unwrap();
        seen.extend(
            walk.take(page_of(made, &path).as_bytes(), UnixTime::from_secs(2))?.into_iter().map(|user| user.name),
        );
    }
    Ok(seen)
}

#[test]
fn every_user_is_seen_beyond_what_one_search_shows() {
    for count in [0, 1, 99, 100, 101, 999, 1000, 1001, 2500] {
        // Two at a time are made in one millisecond.
        let made: Vec<i64> = (0..count).map(|number| 1_000_000 + number / 2).collect();
        assert_eq!(walk_all(&made).unwrap().len(), usize::try_from(count).unwrap(), "{count}");
    }
}

#[test]
fn a_crowd_of_one_moment_is_told() {
    let made: Vec<i64> = (0..2001).map(|number| i64::from(number > 0)).collect();
    assert_eq!(walk_all(&made), Err(WalkError::Crowd("1970-01-01T00:00:00.001Z".to_owned())));
}

#[test]
fn keycloak_is_walked_until_a_page_is_empty() {
    let mut walk = Walk::begin(Kind::Keycloak, UnixTime::from_secs(1));
    assert_eq!(walk.next().unwrap(), "users?first=0&max=100&briefRepresentation=false");
    let page = json!([{ "id": "a", "username": "ann", "enabled": false }]).to_string();
    let found = walk.take(page.as_bytes(), UnixTime::from_secs(2)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(walk.next().unwrap(), "users?first=1&max=100&briefRepresentation=false");
    walk.take(b"[]", UnixTime::from_secs(2)).unwrap();
    assert_eq!((walk.next(), walk.bookmark()), (None, None));
}

#[test]
fn what_is_no_page_moves_nothing() {
    let mut walk = Walk::begin(Kind::Auth0, UnixTime::from_secs(1));
    let before = walk.clone();
    for page in ["", "{}", "3", "{\"users\":3}", "null"] {
        assert_eq!(walk.take(page.as_bytes(), UnixTime::from_secs(2)), Err(WalkError::Malformed), "{page}");
    }
    assert_eq!(walk, before);
}

#[test]
fn a_bookmark_of_another_api_is_none() {
    let walk = Walk::begin(Kind::Auth0, UnixTime::from_secs(1));
    let bookmark = walk.bookmark().unwrap();
    assert_eq!(Walk::resume(Kind::Auth0, &bookmark), Some(walk));
    assert_eq!(Walk::resume(Kind::Keycloak, &bookmark), None);
    assert_eq!(Walk::resume(Kind::Auth0, "{}"), None);
}

/// Whoever else writes attributes keeps theirs.
#[test]
fn what_the_provider_says_comes_besides_the_attributes_of_others() {
    use crate::directory::{AttributesChange, UserChange};
    let attributes = |told: Told| match told.change {
        UserChange::Reported(report) => report.attributes,
        other => panic!("{other:?}"),
    };
    let object = |value: Value| value.as_object().unwrap().clone();
    let plan = || Some(AttributesChange::Merge(object(json!({ "plan": "gold" }))));
    for scope in [Scope::Whole, Scope::Part] {
        let as_of = UnixTime::from_secs(1);
        let auth0 = |user: Value| attributes(auth0_user(&object(user), scope, as_of).unwrap());
        assert_eq!(auth0(json!({ "user_id": "a", "app_metadata": { "plan": "gold" } })), plan());
        assert_eq!(auth0(json!({ "user_id": "a" })), None);
        let keycloak = |user: Value| attributes(keycloak_user(&object(user), scope, as_of).unwrap());
        assert_eq!(keycloak(json!({ "id": "a", "attributes": { "plan": ["gold"] } })), plan());
        assert_eq!(keycloak(json!({ "id": "a" })), None);
    }
}
