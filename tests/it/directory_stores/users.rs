//! One user, from the first sign-in to the tombstone.

use serde_json::json;
use tiergate::directory::{
    AsOf, AttributesChange, DirectoryError, EventId, Outcome, Report, Rights, ScimResource, SignedIn, Standing, User,
    UserChange, UserId, UserKey, UserRef,
};
use tiergate::types::{Email, ProviderId};

use super::stage::{
    DirectoryUnderTest, at, change, disable, entries, grant, in_groups, key, names, new_id, object, of, patiently,
    reported, request, sign_in, somebody, user,
};

pub(crate) async fn somebody_who_signs_in_is_kept_as_they_are(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    assert_eq!(store.user(of("joe")).await.unwrap(), None);
    assert_eq!(patiently(|| store.standing(key("joe"))).await, None);
    let request = request(of("joe"), sign_in(5), 6);
    let made = store.change(request.clone()).await.unwrap();
    assert_eq!((made.outcome, &made.before), (Outcome::Created, &None));
    let joe = made.after.unwrap();
    assert_eq!((joe.id, &joe.key, joe.version, joe.sequence), (request.new_id, &key("joe"), 1, 1));
    let replica = stage.open_replica().await;
    for whom in [of("joe"), UserRef::Id(joe.id)] {
        assert_eq!(replica.user(whom).await.unwrap().as_ref(), Some(&joe));
    }
    assert_eq!(patiently(|| replica.standing(key("joe"))).await, Some(Standing::of(&joe)));
    assert_eq!(patiently(|| store.sequence()).await, 1);
}

pub(crate) async fn every_field_comes_back_as_it_was_written(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let scim = ScimResource { external_id: Some("Ext-7".to_owned()), resource: object(json!({ "title": "Dr 🦀" })) };
    let rights = Rights {
        scopes: ["a", "b"].into_iter().collect(),
        permissions: ["p:1"].into_iter().collect(),
        groups: ["from token"].into_iter().collect(),
    };
    let report = Report {
        as_of: at(2),
        user_name: Some("Jöe ".to_owned()),
        email: Some(Some(Email::new("Joe@Example.com", true))),
        name: Some(Some("Joe 🦀 O'Neil\\".to_owned())),
        picture: Some(Some("https://example.com/joe.png".to_owned())),
        groups: Some(names(&["ops", "Öps", "a\"b"])),
        membership: None,
        disabled: Some(true),
        attributes: Some(AttributesChange::Replace(object(json!({ "z": 1, "a": { "deep": [null, 1.5, "x"] } })))),
        scim: Some(scim),
    };
    let told = SignedIn { as_of: at(4), rights, email: None, name: None, picture: None };
    let steps = [
        reported(report),
        UserChange::SignedIn(told),
        grant("devel", Some(90)),
        grant("admin", None),
        disable(),
        UserChange::SignOut,
    ];
    let mut last = None;
    for (step, now) in steps.into_iter().zip(10..) {
        last = change(store.as_ref(), "joe", step, now).await.after;
        let replica = stage.open_replica().await;
        assert_eq!(replica.user(of("joe")).await.unwrap(), last);
        let standing = patiently(|| replica.standing(key("joe"))).await;
        assert_eq!(standing, last.as_ref().map(Standing::of));
    }
    let joe = last.unwrap();
    assert_eq!((joe.version, joe.grants.len(), joe.valid_from, joe.last_seen), (6, 2, Some(at(15)), Some(at(4))));
    // The order of attributes is what headers and pages show.
    let found = user(store.as_ref(), "joe").await.unwrap();
    assert_eq!(found.attributes.keys().collect::<Vec<_>>(), ["z", "a"]);
}

pub(crate) async fn a_change_counts_versions_and_sequences(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let mut expected = Vec::new();
    for (number, (subject, step)) in
        [("joe", sign_in(1)), ("ann", sign_in(1)), ("joe", sign_in(2)), ("joe", disable()), ("ann", sign_in(3))]
            .into_iter()
            .enumerate()
    {
        let changed = change(store.as_ref(), subject, step, 10).await;
        let after = changed.after.unwrap();
        assert_eq!(after.sequence, number as u64 + 1);
        assert_eq!(after.version, changed.before.map_or(0, |user| user.version) + 1);
        expected.push(after);
    }
    assert_eq!(patiently(|| store.sequence()).await, 5);
    let changes = patiently(|| store.changes(0, 10)).await;
    let found: Vec<u64> = changes.users.iter().map(|(_, standing)| standing.sequence).collect();
    assert_eq!((found, changes.through), (vec![4, 5], 5));
}

pub(crate) async fn what_changes_nothing_writes_nothing(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    for step in [UserChange::Enable, UserChange::SignOut, UserChange::Gone { as_of: at(1) }] {
        let changed = change(store.as_ref(), "nobody", step, 1).await;
        assert_eq!((changed.outcome, changed.before, changed.after), (Outcome::Unchanged, None, None));
    }
    change(store.as_ref(), "joe", in_groups(5, &["ops"]), 5).await;
    let (joe, written) = (user(store.as_ref(), "joe").await, entries(store.as_ref()).await);
    for step in [in_groups(5, &["ops"]), in_groups(4, &["late"]), UserChange::Enable] {
        let changed = change(store.as_ref(), "joe", step, 9).await;
        assert_eq!((changed.outcome, &changed.before, &changed.after), (Outcome::Unchanged, &joe, &joe));
    }
    assert_eq!((user(store.as_ref(), "joe").await, &entries(store.as_ref()).await), (joe.clone(), &written));
    assert_eq!(patiently(|| store.sequence()).await, 1);

    // What is said again is kept as known as of later, and is the same user at the same version.
    let again = change(store.as_ref(), "joe", in_groups(20, &["ops"]), 21).await;
    let joe = joe.unwrap();
    let later = User { as_of: AsOf { groups: Some(at(20)), ..joe.as_of }, ..joe };
    assert_eq!((again.outcome, again.after.as_ref()), (Outcome::Unchanged, Some(&later)));
    assert_eq!(change(store.as_ref(), "joe", in_groups(19, &["late"]), 22).await.outcome, Outcome::Unchanged);
    assert_eq!((user(store.as_ref(), "joe").await, entries(store.as_ref()).await), (Some(later), written));
    assert_eq!(patiently(|| store.sequence()).await, 1);
}

pub(crate) async fn an_id_that_is_not_there_is_missing(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let refused = store.change(request(UserRef::Id(new_id()), disable(), 1)).await;
    assert!(matches!(refused, Err(DirectoryError::Missing("user"))), "{refused:?}");
    assert_eq!(store.user(UserRef::Id(new_id())).await.unwrap(), None);
    let joe = somebody(store.as_ref(), "joe").await;
    change(store.as_ref(), "joe", UserChange::Gone { as_of: at(5) }, 5).await;
    let refused = store.change(request(UserRef::Id(joe.id), disable(), 6)).await;
    assert!(matches!(refused, Err(DirectoryError::Missing("user"))), "{refused:?}");
    let mut same_id = request(of("ann"), sign_in(1), 1);
    same_id.new_id = joe.id;
    let refused = store.change(same_id).await;
    assert!(matches!(refused, Err(DirectoryError::Taken("id"))), "{refused:?}");
    assert_eq!(store.user(UserRef::Id(joe.id)).await.unwrap().unwrap().key, key("joe"));
}

pub(crate) async fn a_version_that_is_not_the_one_is_refused(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let with = |version, step| {
        let mut request = request(of("joe"), step, 9);
        request.expected_version = Some(version);
        request
    };
    let steps = [
        (1, sign_in(1), false),
        (0, sign_in(1), true),
        (0, disable(), false),
        (2, disable(), false),
        (1, disable(), true),
        (1, UserChange::Enable, false),
        (2, UserChange::Enable, true),
    ];
    for (version, step, passes) in steps {
        let (before, written) = (user(store.as_ref(), "joe").await, entries(store.as_ref()).await.len());
        match store.change(with(version, step.clone())).await {
            Ok(changed) => assert!(passes && changed.before == before, "{version} {step:?}"),
            Err(DirectoryError::Changed) => {
                assert!(!passes, "{version} {step:?}");
                assert_eq!(user(store.as_ref(), "joe").await, before);
                assert_eq!(entries(store.as_ref()).await.len(), written);
            }
            Err(error) => panic!("{version} {step:?}: {error:?}"),
        }
    }
}

pub(crate) async fn an_event_counts_once(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let event = |number: u8, expires| Some(EventId { digest: [number; 32], expires: at(expires) });
    let send = |event, step, now| {
        let mut request = request(of("joe"), step, now);
        request.event = event;
        store.change(request)
    };
    assert_eq!(send(event(1, 100), in_groups(10, &["a"]), 10).await.unwrap().outcome, Outcome::Created);
    let again = send(event(1, 100), in_groups(20, &["b"]), 20).await.unwrap();
    assert_eq!((again.outcome, &again.before), (Outcome::Duplicate, &again.after));
    assert_eq!(again.after, user(store.as_ref(), "joe").await);
    assert_eq!(again.after.unwrap().groups, names(&["a"]));
    // One that changed nothing was seen too.
    assert_eq!(send(event(2, 100), in_groups(9, &["late"]), 21).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(send(event(2, 100), in_groups(30, &["c"]), 30).await.unwrap().outcome, Outcome::Duplicate);
    // One that was refused was not.
    let mut refused = request(of("joe"), in_groups(31, &["d"]), 31);
    (refused.event, refused.expected_version) = (event(3, 100), Some(77));
    assert!(matches!(store.change(refused).await, Err(DirectoryError::Changed)));
    assert_eq!(send(event(3, 100), in_groups(31, &["d"]), 31).await.unwrap().outcome, Outcome::Updated);
    // After its end it may come again, swept or not.
    assert_eq!(send(event(1, 200), in_groups(100, &["e"]), 100).await.unwrap().outcome, Outcome::Updated);
    assert_eq!(send(event(1, 200), in_groups(101, &["f"]), 101).await.unwrap().outcome, Outcome::Duplicate);
    store.sweep(at(150), at(0)).await.unwrap();
    assert_eq!(send(event(1, 200), in_groups(150, &["g"]), 150).await.unwrap().outcome, Outcome::Duplicate);
    assert_eq!(send(event(2, 300), in_groups(151, &["h"]), 151).await.unwrap().outcome, Outcome::Updated);
}

pub(crate) async fn the_name_of_one_whom_scim_manages_is_taken(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let managed = |name: &str, secs| {
        let scim = ScimResource { external_id: None, resource: object(json!({})) };
        reported(Report { as_of: at(secs), user_name: Some(name.to_owned()), scim: Some(scim), ..Report::default() })
    };
    change(store.as_ref(), "plain", sign_in(1), 1).await;
    change(store.as_ref(), "joe", managed("Joe", 1), 1).await;
    let ann = change(store.as_ref(), "ann", managed("plain", 1), 1).await;
    assert_eq!(ann.outcome, Outcome::Created, "who is not managed has no claim to a name");
    for (subject, name) in [("eve", "joe"), ("ann", "JOE")] {
        let refused = store.change(request(of(subject), managed(name, 2), 2)).await;
        assert!(matches!(refused, Err(DirectoryError::Taken("user_name"))), "{subject}: {refused:?}");
    }
    assert_eq!(user(store.as_ref(), "eve").await, None);
    let elsewhere = UserKey::new(&ProviderId::new("other"), "eve");
    store.change(request(UserRef::Key(elsewhere), managed("joe", 2), 2)).await.unwrap();
    change(store.as_ref(), "joe", managed("JOE", 3), 3).await;
    change(store.as_ref(), "joe", UserChange::Gone { as_of: at(4) }, 4).await;
    change(store.as_ref(), "ann", managed("joe", 5), 5).await;
}

pub(crate) async fn who_is_gone_is_a_tombstone(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let joe = change(store.as_ref(), "joe", in_groups(1, &["ops"]), 1).await.after.unwrap();
    change(store.as_ref(), "joe", grant("devel", None), 2).await;
    change(store.as_ref(), "joe", UserChange::Gone { as_of: at(5) }, 6).await;
    let gone = user(store.as_ref(), "joe").await.unwrap();
    assert_eq!((gone.id, gone.version, gone.deleted_at, gone.valid_from), (joe.id, 3, Some(at(5)), Some(at(6))));
    let standing = patiently(|| store.standing(key("joe"))).await.unwrap();
    assert_eq!((standing.valid_from, standing.grants.len()), (Some(at(6)), 0));
    let changes = patiently(|| store.changes(2, 10)).await;
    assert_eq!(changes.users, [(key("joe"), standing)]);
    assert_eq!(store.users(super::stage::query()).await.unwrap().total, 0);
    let back = change(store.as_ref(), "joe", sign_in(7), 7).await;
    assert_eq!((back.outcome, back.after.unwrap().id), (Outcome::Updated, joe.id));
    assert_eq!(store.users(super::stage::query()).await.unwrap().total, 1);
}

/// What databases like to take for the same, or cannot keep.
pub(crate) const ALIKE: [&str; 18] = [
    "joe",
    "Joe",
    "JOE",
    "joé",
    "joe\u{301}",
    "joe ",
    "joe  ",
    " joe",
    "joe\t",
    "joe\0",
    "joe\0\0",
    "\0",
    "🦀",
    "🦀 ",
    "ß",
    "ss",
    "auth0|joe",
    "%",
];

pub(crate) async fn identities_are_bytes_and_nothing_else(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let mut ids: Vec<(&str, UserId)> = Vec::new();
    for subject in ALIKE {
        let made = change(store.as_ref(), subject, in_groups(1, &[subject]), 1).await;
        assert_eq!(made.outcome, Outcome::Created, "{subject:?}");
        ids.push((subject, made.after.unwrap().id));
    }
    for (subject, id) in &ids {
        let found = user(store.as_ref(), subject).await.unwrap();
        assert_eq!((found.id, found.key.subject.as_ref()), (*id, *subject));
        assert_eq!(found.groups, names(&[subject]));
        let standing = patiently(|| store.standing(key(subject))).await.unwrap();
        assert_eq!(standing.groups.iter().collect::<Vec<_>>(), [*subject]);
    }
    let other = UserKey::new(&ProviderId::new("mainj"), "oe");
    assert_eq!(store.user(UserRef::Key(other)).await.unwrap(), None);
    let long = "x".repeat(20_000);
    let made = change(store.as_ref(), &long, in_groups(1, &[&long]), 1).await.after.unwrap();
    assert_eq!(user(store.as_ref(), &long).await, Some(made));
}
