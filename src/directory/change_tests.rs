use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{AttributesChange, Membership, Report, SignedIn, UserChange};
use crate::directory::{Rights, ScimResource, TierGrant, User, UserId, UserKey};
use crate::types::{Email, ProviderId, UnixTime};

const fn at(secs: i64) -> UnixTime {
    UnixTime::from_secs(secs)
}

fn key() -> UserKey {
    UserKey::new(&ProviderId::new("main"), "joe")
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn sign_in(secs: i64) -> SignedIn {
    SignedIn { as_of: at(secs), rights: Rights::default(), email: None, name: None, picture: None }
}

fn report(secs: i64) -> Report {
    Report { as_of: at(secs), ..Report::default() }
}

fn reported(report: Report) -> UserChange {
    UserChange::Reported(Box::new(report))
}

fn in_groups(secs: i64, groups: &[&str]) -> UserChange {
    reported(Report { groups: Some(names(groups)), ..report(secs) })
}

fn disabled_there(secs: i64, disabled: bool) -> UserChange {
    reported(Report { disabled: Some(disabled), ..report(secs) })
}

fn moved(secs: i64, joined: &[&str], left: &[&str]) -> UserChange {
    let membership = Membership { joined: names(joined), left: names(left) };
    reported(Report { membership: Some(membership), ..report(secs) })
}

fn grant(tier: &str, until: Option<i64>) -> UserChange {
    let (tier, given_by) = (tier.to_owned(), "shell".to_owned());
    UserChange::Grant(TierGrant { tier, until: until.map(at), given_by, given_at: at(0) })
}

/// Runs changes one after the other, each at the time beside it.
fn run<'a>(changes: impl IntoIterator<Item = (i64, &'a UserChange)>) -> Option<User> {
    changes.into_iter().fold(None, |user, (now, change)| step(user, change, now))
}

fn step(user: Option<User>, change: &UserChange, now: i64) -> Option<User> {
    User::apply(user.as_ref(), &key(), UserId::from_bytes([1; 16]), change, at(now)).or(user)
}

fn story(changes: &[(i64, UserChange)]) -> User {
    run(changes.iter().map(|(now, change)| (*now, change))).unwrap()
}

#[test]
fn only_those_who_vouch_or_administer_make_a_user() {
    let reason = || None;
    let cases = [
        (UserChange::SignedIn(sign_in(1)), true),
        (reported(report(1)), true),
        (UserChange::Disable { reason: reason() }, true),
        (grant("devel", None), true),
        (UserChange::SetGroups(names(&["ops"])), true),
        (UserChange::SetAttributes(Map::new()), true),
        (UserChange::Gone { as_of: at(1) }, false),
        (UserChange::SignOut, false),
        (UserChange::Revoke { tier: "devel".to_owned() }, false),
        (UserChange::Enable, false),
    ];
    for (change, makes) in cases {
        let made = step(None, &change, 5);
        assert_eq!(made.is_some(), makes, "{change:?}");
        if let Some(user) = made {
            assert_eq!((user.user_name.as_str(), user.created_at, user.version), ("joe", at(5), 0), "{change:?}");
        }
    }
}

#[test]
fn what_says_nothing_new_changes_nothing() {
    let user = story(&[
        (1, UserChange::SignedIn(sign_in(1))),
        (2, in_groups(2, &["ops"])),
        (3, UserChange::Disable { reason: None }),
        (4, grant("devel", Some(9))),
        (5, UserChange::SignOut),
    ]);
    let again = [
        (6, UserChange::SignedIn(sign_in(1))),
        (6, in_groups(2, &["ops"])),
        (6, in_groups(1, &["late"])),
        (6, reported(report(6))),
        (2, UserChange::SetGroups(names(&["ops"]))),
        (6, UserChange::Disable { reason: None }),
        (6, grant("devel", Some(9))),
        (6, UserChange::Revoke { tier: "unknown".to_owned() }),
        (4, UserChange::SignOut),
    ];
    for (now, change) in again {
        assert_eq!(User::apply(Some(&user), &key(), user.id, &change, at(now)), None, "{change:?}");
    }
    // A deletion from before all that is known leaves its moment, and nothing else.
    let after = step(Some(user.clone()), &UserChange::Gone { as_of: at(-1) }, 6).unwrap();
    assert!(after.is_same_but_later(&user), "{after:?}");
}

#[test]
fn who_joins_late_does_not_and_who_leaves_late_does() {
    for (what, change, expected) in [
        ("joined later", moved(3, &["new"], &[]), &["new", "ops"][..]),
        ("joined at once", moved(2, &["new"], &[]), &["new", "ops"]),
        ("joined before", moved(1, &["new"], &[]), &["ops"]),
        ("left later", moved(3, &[], &["ops"]), &[]),
        ("left before", moved(1, &[], &["ops"]), &[]),
        ("changed sides before", moved(1, &["new"], &["ops"]), &[]),
        ("left what they were not in", moved(3, &[], &["new"]), &["ops"]),
    ] {
        assert_eq!(story(&[(2, in_groups(2, &["ops"])), (4, change)]).groups, names(expected), "{what}");
    }
    // What was heard of a move counts as of its time, as a whole list does.
    let user = story(&[(2, in_groups(2, &["ops"])), (4, moved(4, &["new"], &[])), (5, in_groups(3, &["late"]))]);
    assert_eq!(user.groups, names(&["new", "ops"]));
}

#[test]
fn a_sign_in_that_is_heard_of_late_changes_no_rights_and_no_profile() {
    let told = |secs: i64, scope: &str, address: &str| {
        let rights = Rights { scopes: [scope].into_iter().collect(), ..Rights::default() };
        let (email, name) = (Some(Email::new(address, true)), Some(address.to_owned()));
        UserChange::SignedIn(SignedIn { rights, email, name, picture: Some(address.to_owned()), ..sign_in(secs) })
    };
    let before = [(5, told(5, "new", "new@example.com"))];
    for (secs, scope, address) in
        [(4, "new", "new@example.com"), (5, "old", "old@example.com"), (6, "old", "old@example.com")]
    {
        let user = step(Some(story(&before)), &told(secs, "old", "old@example.com"), 7).unwrap();
        assert_eq!(user.rights.scopes.iter().collect::<Vec<_>>(), [scope], "as of {secs}");
        assert_eq!(user.email.as_ref().map(Email::address), Some(address), "as of {secs}");
        let texts = (user.name.as_deref(), user.picture.as_deref(), user.user_name.as_str());
        assert_eq!(texts, (Some(address), Some(address), address), "as of {secs}");
        assert_eq!((user.first_seen, user.last_seen), (Some(at(secs.min(5))), Some(at(secs.max(5)))));
    }
}

#[test]
fn claims_of_a_sign_in_never_become_groups_that_count() {
    let rights = Rights { groups: ["admins"].into_iter().collect(), ..Rights::default() };
    let user = story(&[(1, in_groups(1, &["ops"])), (2, UserChange::SignedIn(SignedIn { rights, ..sign_in(2) }))]);
    assert_eq!(user.groups, names(&["ops"]));
    assert!(user.rights.groups.contains("admins"));
}

/// Its name, changes with their times, who refuses at the end: here, there.
type Case = (&'static str, Vec<(i64, UserChange)>, (bool, bool));

#[test]
fn each_side_disables_for_itself_and_either_refuses() {
    let here = || UserChange::Disable { reason: Some("left".to_owned()) };
    let cases: [Case; 6] = [
        ("the provider", vec![(1, disabled_there(1, true))], (false, true)),
        (
            "the provider takes it back",
            vec![(1, disabled_there(1, true)), (2, disabled_there(2, false))],
            (false, false),
        ),
        (
            "not by what it said before",
            vec![(1, disabled_there(2, true)), (2, disabled_there(1, false))],
            (false, true),
        ),
        ("it does not undo an administrator", vec![(1, here()), (2, disabled_there(2, false))], (true, false)),
        (
            "an administrator undoes both",
            vec![(1, here()), (2, disabled_there(2, true)), (3, UserChange::Enable)],
            (false, false),
        ),
        (
            "the provider may say it again",
            vec![(1, disabled_there(1, true)), (2, UserChange::Enable), (3, disabled_there(3, true))],
            (false, true),
        ),
    ];
    for (name, changes, expected) in cases {
        let user = story(&changes);
        assert_eq!((user.disabled_here, user.disabled_there), expected, "{name}");
        assert_eq!(user.is_disabled(), expected != (false, false), "{name}");
        assert_eq!(user.disabled_reason.is_some(), user.disabled_here, "{name}");
    }
}

#[test]
fn who_is_gone_comes_back_by_being_vouched_for_later_and_with_nothing() {
    let rights = Rights { scopes: ["access:devel"].into_iter().collect(), ..Rights::default() };
    let before = [
        (1, UserChange::SignedIn(SignedIn { rights, name: Some("Joe".to_owned()), ..sign_in(1) })),
        (2, in_groups(2, &["ops"])),
        (3, grant("devel", None)),
        (3, UserChange::SetAttributes(object(json!({ "plan": "gold" })))),
        (4, UserChange::Disable { reason: Some("left".to_owned()) }),
        (10, UserChange::Gone { as_of: at(9) }),
    ];
    let gone = story(&before);
    assert_eq!((gone.deleted_at, gone.valid_from), (Some(at(9)), Some(at(10))));
    assert!(gone.groups.is_empty() && gone.grants.is_empty() && gone.disabled_here);
    assert_eq!((&gone.rights, &gone.attributes, &gone.name), (&Rights::default(), &Map::new(), &None));
    assert_eq!((gone.first_seen, gone.created_at), (Some(at(1)), at(1)));
    // Heard of again, it is no later sign-out; only a later end of theirs is one.
    for (as_of, ended) in [(8, (9, 10)), (9, (9, 10)), (12, (12, 13))] {
        let user = step(Some(gone.clone()), &UserChange::Gone { as_of: at(as_of) }, 13).unwrap();
        assert_eq!((user.deleted_at, user.valid_from), (Some(at(ended.0)), Some(at(ended.1))), "as of {as_of}");
    }

    for (change, returns) in [
        (UserChange::SignedIn(sign_in(9)), false),
        (in_groups(8, &["ops"]), false),
        (UserChange::SignedIn(sign_in(10)), true),
        (in_groups(10, &["new"]), true),
    ] {
        let user = step(Some(gone.clone()), &change, 11).unwrap();
        assert_eq!(user.deleted_at.is_none(), returns, "{change:?}");
        assert!(user.grants.is_empty() && user.disabled_here && user.valid_from == Some(at(10)), "{change:?}");
    }
}

#[test]
fn scim_says_what_those_are_called_whom_it_manages() {
    let scim = Some(ScimResource { external_id: Some("7".to_owned()), resource: Map::new() });
    let managed = Report { name: Some(Some("Joe by SCIM".to_owned())), scim, ..report(1) };
    let email = Some(Email::new("other@example.com", true));
    let told = SignedIn { name: Some("Joe by token".to_owned()), email, ..sign_in(2) };
    let user = story(&[(1, reported(managed)), (2, UserChange::SignedIn(told))]);
    assert_eq!((user.name.as_deref(), user.email, user.last_seen), (Some("Joe by SCIM"), None, Some(at(2))));
}

/// Two changes with their times, whether they are disabled after both and after
/// both the other way round.
#[test]
fn of_two_that_speak_of_one_moment_who_refuses_is_believed() {
    for (one, other, disabled) in [
        (disabled_there(5, true), disabled_there(5, false), true),
        (disabled_there(5, true), disabled_there(6, false), false),
        (disabled_there(5, false), disabled_there(6, true), true),
        (disabled_there(5, false), disabled_there(5, false), false),
    ] {
        for changes in [[(9, one.clone()), (9, other.clone())], [(9, other.clone()), (9, one.clone())]] {
            assert_eq!(story(&changes).disabled_there, disabled, "{changes:?}");
        }
    }
}

#[test]
fn what_was_said_before_a_deletion_does_not_come_back_after_it() {
    let rights = Rights { scopes: ["admin"].into_iter().collect(), ..Rights::default() };
    let back =
        [(1, UserChange::SignedIn(sign_in(1))), (5, UserChange::Gone { as_of: at(5) }), (7, disabled_there(7, false))];
    let back = story(&back);
    assert!(back.deleted_at.is_none());
    let attributes = AttributesChange::Replace(object(json!({ "plan": "gold" })));
    let scim = Some(ScimResource { external_id: None, resource: Map::new() });
    for (now, late) in [
        (8, in_groups(3, &["admins"])),
        (8, in_groups(5, &["admins"])),
        (8, disabled_there(5, true)),
        (8, UserChange::SignedIn(SignedIn { rights, name: Some("Old".to_owned()), ..sign_in(4) })),
        (8, reported(Report { name: Some(Some("Old".to_owned())), ..report(5) })),
        (8, reported(Report { attributes: Some(attributes), ..report(5) })),
        (8, reported(Report { scim, ..report(5) })),
        (8, UserChange::Gone { as_of: at(5) }),
        (8, UserChange::Gone { as_of: at(4) }),
    ] {
        let after = step(Some(back.clone()), &late, now).unwrap();
        let seen = User { last_seen: back.last_seen, updated_at: back.updated_at, ..after };
        assert_eq!(seen, back, "{late:?}");
    }
}

#[test]
fn a_deletion_that_comes_late_takes_what_was_known_before_it() {
    let held = |tier: &str, secs| {
        let (tier, given_by) = (tier.to_owned(), "shell".to_owned());
        UserChange::Grant(TierGrant { tier, until: None, given_by, given_at: at(secs) })
    };
    let attributes = AttributesChange::Replace(object(json!({ "plan": "gold" })));
    let known = story(&[
        (1, in_groups(1, &["admins"])),
        (1, held("devel", 1)),
        (1, reported(Report { attributes: Some(attributes), email: Some(None), ..report(1) })),
        (3, disabled_there(3, false)),
        (4, held("ea", 4)),
    ]);
    let after = step(Some(known), &UserChange::Gone { as_of: at(2) }, 9).unwrap();
    assert_eq!((after.deleted_at, after.valid_from), (None, Some(at(2))));
    assert!(after.groups.is_empty() && after.attributes.is_empty(), "{after:?}");
    assert_eq!(after.grants.iter().map(|grant| grant.tier.as_str()).collect::<Vec<_>>(), ["ea"]);
    // Told once more, it changes nothing.
    assert_eq!(User::apply(Some(&after), &key(), after.id, &UserChange::Gone { as_of: at(2) }, at(10)), None);
    // Who signed in since is there again too.
    let seen = story(&[(1, in_groups(1, &["admins"])), (3, UserChange::SignedIn(sign_in(3)))]);
    let after = step(Some(seen), &UserChange::Gone { as_of: at(2) }, 9).unwrap();
    assert_eq!((after.deleted_at, after.groups.len(), after.valid_from), (None, 0, Some(at(2))));
}

#[test]
fn others_say_of_those_whom_scim_manages_all_but_what_they_are_called() {
    let scim = Some(ScimResource { external_id: None, resource: Map::new() });
    let managed = Report {
        user_name: Some("ann".to_owned()),
        name: Some(Some("Ann by SCIM".to_owned())),
        scim: scim.clone(),
        ..report(1)
    };
    let told = Report {
        user_name: Some("other".to_owned()),
        email: Some(Some(Email::new("other@example.com", true))),
        name: Some(None),
        picture: Some(Some("https://x/".to_owned())),
        groups: Some(names(&["ops"])),
        disabled: Some(true),
        attributes: Some(AttributesChange::Merge(object(json!({ "plan": "gold" })))),
        ..report(2)
    };
    let user = story(&[(1, reported(managed)), (2, reported(told.clone()))]);
    assert_eq!(
        (user.user_name.as_str(), user.name.as_deref(), &user.email, &user.picture),
        ("ann", Some("Ann by SCIM"), &None, &None)
    );
    assert!(user.groups.contains("ops") && user.disabled_there && user.attributes.contains_key("plan"));
    let names_only = Report { groups: None, disabled: None, attributes: None, ..told.clone() };
    let again = User::apply(Some(&user), &key(), user.id, &reported(Report { as_of: at(3), ..names_only }), at(3));
    assert_eq!(again, None);
    // SCIM itself may.
    let user = step(Some(user), &reported(Report { scim, ..Report { as_of: at(4), ..told } }), 4).unwrap();
    assert_eq!((user.user_name.as_str(), user.name), ("other", None));
}

#[test]
fn what_an_administrator_sets_stays_whatever_was_said_before() {
    let old = Report {
        groups: Some(names(&["old"])),
        attributes: Some(AttributesChange::Replace(object(json!({ "plan": "old" })))),
        ..report(4)
    };
    let user = story(&[
        (5, UserChange::SetGroups(names(&["ops"]))),
        (5, UserChange::SetAttributes(object(json!({ "plan": "gold" })))),
        (6, reported(old.clone())),
    ]);
    assert_eq!((&user.groups, &user.attributes), (&names(&["ops"]), &object(json!({ "plan": "gold" }))));
    let user = step(Some(user), &reported(Report { as_of: at(7), ..old }), 7).unwrap();
    assert_eq!((user.groups, user.attributes), (names(&["old"]), object(json!({ "plan": "old" }))));
}

/// As of when it is known has to be kept: else what is said between the two would
/// be taken for news.
#[test]
fn what_is_said_again_is_known_as_of_later_and_is_no_other_user() {
    let before = story(&[(1, disabled_there(1, true))]);
    let after = step(Some(before.clone()), &disabled_there(9, true), 9).unwrap();
    assert!(after.is_same_but_later(&before) && !before.is_same_but_later(&before));
    assert_eq!((after.updated_at, after.as_of.state), (before.updated_at, Some(at(9))));
    assert_eq!(User::apply(Some(&after), &key(), after.id, &disabled_there(5, false), at(9)), None);
    let other = step(Some(before.clone()), &disabled_there(9, false), 9).unwrap();
    assert!(!other.is_same_but_later(&before) && other.updated_at == at(9));
}

#[test]
fn attributes_are_merged_or_replaced() {
    let attributes = |secs, change| reported(Report { attributes: Some(change), ..report(secs) });
    let user = story(&[
        (1, attributes(1, AttributesChange::Replace(object(json!({ "plan": "free", "team": 1 }))))),
        (2, attributes(2, AttributesChange::Merge(object(json!({ "plan": "paid", "team": null, "gone": null }))))),
    ]);
    assert_eq!(user.attributes, object(json!({ "plan": "paid" })));
    let user = step(Some(user), &attributes(3, AttributesChange::Replace(object(json!({ "team": 2 })))), 3).unwrap();
    assert_eq!(user.attributes, object(json!({ "team": 2 })));
}

#[test]
fn grants_stand_in_the_order_of_their_names_each_once() {
    let user = story(&[(1, grant("ea", None)), (2, grant("devel", None)), (3, grant("ea", Some(9)))]);
    let tiers: Vec<_> = user.grants.iter().map(|grant| (grant.tier.as_str(), grant.until)).collect();
    assert_eq!(tiers, [("devel", None), ("ea", Some(at(9)))]);
    let user = step(Some(user), &UserChange::Revoke { tier: "devel".to_owned() }, 4).unwrap();
    assert_eq!(user.grants.len(), 1);
}

/// Whatever a provider may say of a user, whole: what one leaves out, another
/// one with the same time would have to fill in.
fn any_report() -> impl Strategy<Value = Report> {
    let texts = || prop::option::of("[a-c]{1,2}");
    (texts(), texts(), prop::collection::btree_set("[a-c]", 0..3), any::<bool>(), texts()).prop_map(
        |(email, name, groups, disabled, plan)| Report {
            user_name: Some("joe".to_owned()),
            email: Some(email.map(|email| Email::new(&email, true))),
            name: Some(name),
            picture: Some(None),
            groups: Some(groups),
            disabled: Some(disabled),
            attributes: Some(AttributesChange::Replace(object(json!({ "plan": plan })))),
            ..Report::default()
        },
    )
}

/// Reports, each as of another time, in the order of their times and in another one.
fn reports_and_another_order() -> impl Strategy<Value = (Vec<UserChange>, Vec<UserChange>)> {
    let timed = prop::collection::vec(any_report(), 1..8).prop_map(|reports| -> Vec<UserChange> {
        let timed = reports.into_iter().zip(1..).map(|(report, secs)| Report { as_of: at(secs), ..report });
        timed.map(reported).collect()
    });
    timed.prop_flat_map(|reports| (Just(reports.clone()), Just(reports).prop_shuffle()))
}

/// As [`reports_and_another_order`], with deletions among them.
fn reports_with_deletions_and_another_order() -> impl Strategy<Value = (Vec<UserChange>, Vec<UserChange>)> {
    let one = (any_report(), prop::bool::weighted(0.35));
    let timed = prop::collection::vec(one, 1..9).prop_map(|all| -> Vec<UserChange> {
        let timed = all.into_iter().zip(1..).map(|((report, is_gone), secs)| match is_gone {
            true => UserChange::Gone { as_of: at(secs) },
            false => reported(Report { as_of: at(secs), ..report }),
        });
        timed.collect()
    });
    timed.prop_flat_map(|reports| (Just(reports.clone()), Just(reports).prop_shuffle()))
}

/// When the provider last said that they are gone.
fn last_gone(changes: &[UserChange]) -> Option<UnixTime> {
    let gone = changes.iter().map(|change| if let UserChange::Gone { as_of } = change { Some(*as_of) } else { None });
    gone.max().flatten()
}

proptest! {
    /// Except for the sign-out: where the deletion comes first, it is also one of what was given meanwhile.
    #[test]
    fn the_same_user_comes_of_reports_and_deletions_in_any_order(
        (in_order, shuffled) in reports_with_deletions_and_another_order(),
    ) {
        let first = reported(Report { as_of: at(0), groups: Some(names(&["first"])), ..Report::default() });
        let run = |changes: &[UserChange]| run(std::iter::once(&first).chain(changes).map(|change| (100, change))).unwrap();
        let (one, other) = (run(&in_order), run(&shuffled));
        prop_assert!(one.valid_from >= last_gone(&in_order) && other.valid_from >= last_gone(&in_order));
        prop_assert_eq!(User { valid_from: None, ..one }, User { valid_from: None, ..other });
    }

    #[test]
    fn the_same_user_comes_of_reports_in_any_order((in_order, shuffled) in reports_and_another_order()) {
        let one = run(in_order.iter().map(|change| (100, change)));
        let other = run(shuffled.iter().map(|change| (100, change)));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn what_comes_late_changes_nothing(reports in prop::collection::vec(any_report(), 2..6)) {
        let timed: Vec<UserChange> =
            reports.into_iter().zip(1..).map(|(report, secs)| reported(Report { as_of: at(secs), ..report })).collect();
        let (last, late) = timed.split_last().unwrap();
        let user = step(None, last, 100).unwrap();
        for change in late {
            prop_assert_eq!(User::apply(Some(&user), &key(), user.id, change, at(200)), None);
        }
    }

    #[test]
    fn nobody_but_an_administrator_lets_in_whom_one_refused(
        changes in prop::collection::vec((any_report(), 1i64..50, 0u8..9), 0..20),
    ) {
        let mut user = step(None, &UserChange::Disable { reason: Some("left".to_owned()) }, 1);
        for (report, secs, kind) in changes {
            let change = match kind {
                0 => UserChange::SignedIn(sign_in(secs)),
                1 => UserChange::Gone { as_of: at(secs) },
                2 => UserChange::SignOut,
                3 => grant("devel", None),
                4 => UserChange::Revoke { tier: "devel".to_owned() },
                5 => UserChange::SetGroups(names(&["ops"])),
                6 => UserChange::SetAttributes(Map::new()),
                _ => reported(Report { as_of: at(secs), disabled: Some(false), ..report }),
            };
            user = step(user, &change, secs);
            prop_assert!(user.as_ref().unwrap().disabled_here, "{:?}", change);
        }
        prop_assert!(!step(user, &UserChange::Enable, 60).unwrap().is_disabled());
    }
}
