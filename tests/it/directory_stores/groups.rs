//! Groups, and the names that users carry of them.

use tiergate::backend::system::SystemRandom;
use tiergate::directory::{
    Actor, DirectoryError, Group, GroupChange, GroupId, GroupQuery, NewGroup, Report, ScimResource, UserChange,
    UserDirectory, UserId, UserRef,
};

use super::stage::{
    DirectoryUnderTest, at, change, entries, in_groups, main, names, new_id, patiently, reported, somebody, user,
};
use super::users::ALIKE;

fn new_group(name: &str, members: &[UserId]) -> NewGroup {
    let (id, name) = (GroupId::draw(&SystemRandom), name.to_owned());
    NewGroup { id, name, external_id: None, members: members.to_vec() }
}

async fn make(store: &dyn UserDirectory, name: &str, members: &[UserId]) -> Group {
    store.create_group(new_group(name, members), Actor::Shell, at(10)).await.unwrap()
}

async fn alter(
    store: &dyn UserDirectory,
    group: &Group,
    change: GroupChange,
    expected: Option<u64>,
) -> Result<Group, DirectoryError> {
    store.change_group(group.id, change, expected, Actor::Shell, at(20)).await
}

async fn members(store: &dyn UserDirectory, group: &Group) -> Vec<String> {
    let mut members = store.members(group.id, None, 100).await.unwrap();
    assert!(members.is_sorted_by_key(|(id, _)| *id));
    members.sort_by(|one, other| one.1.cmp(&other.1));
    members.into_iter().map(|(_, name)| name).collect()
}

async fn groups_of(store: &dyn UserDirectory, subject: &str) -> Vec<String> {
    user(store, subject).await.unwrap().groups.into_iter().collect()
}

pub(crate) async fn a_group_gives_its_name_to_its_members(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let (joe, ann) = (somebody(store.as_ref(), "joe").await, somebody(store.as_ref(), "ann").await);
    let eve = somebody(store.as_ref(), "eve").await;
    let through = patiently(|| store.sequence()).await;
    let ops = make(store.as_ref(), "ops", &[joe.id, ann.id]).await;
    assert_eq!((ops.version, ops.created_at), (1, at(10)));
    assert_eq!(store.group(ops.id).await.unwrap(), Some(ops.clone()));
    assert_eq!(members(store.as_ref(), &ops).await, ["ann", "joe"]);
    let told: Vec<_> =
        patiently(|| store.changes(through, 10)).await.users.into_iter().map(|(key, _)| key.subject).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(user(store.as_ref(), "joe").await.unwrap().version, 2);
    assert_eq!(user(store.as_ref(), "eve").await.unwrap(), eve);

    let change = GroupChange { add: vec![eve.id], remove: vec![joe.id, new_id()], ..GroupChange::default() };
    let ops = alter(store.as_ref(), &ops, change, Some(1)).await.unwrap();
    assert_eq!((ops.version, ops.updated_at), (2, at(20)));
    assert_eq!(members(store.as_ref(), &ops).await, ["ann", "eve"]);
    assert!(groups_of(store.as_ref(), "joe").await.is_empty());
    // In place of all, and nothing that is so already is a change.
    let change = GroupChange { members: Some(vec![joe.id]), add: vec![ann.id], ..GroupChange::default() };
    let ops = alter(store.as_ref(), &ops, change.clone(), None).await.unwrap();
    assert_eq!(members(store.as_ref(), &ops).await, ["ann", "joe"]);
    let written = entries(store.as_ref()).await.len();
    assert_eq!(alter(store.as_ref(), &ops, change, None).await.unwrap(), ops);
    assert_eq!(entries(store.as_ref()).await.len(), written);

    let first = store.members(ops.id, None, 1).await.unwrap();
    let second = store.members(ops.id, Some(first[0].0), 5).await.unwrap();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert!(first[0].0 < second[0].0);

    store.delete_group(ops.id, None, Actor::Shell, at(30)).await.unwrap();
    assert_eq!(store.group(ops.id).await.unwrap(), None);
    assert!(groups_of(store.as_ref(), "joe").await.is_empty() && groups_of(store.as_ref(), "ann").await.is_empty());
    assert!(store.members(ops.id, None, 5).await.unwrap().is_empty());
}

pub(crate) async fn a_renamed_group_renames_itself_at_its_members(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let joe = somebody(store.as_ref(), "joe").await;
    change(store.as_ref(), "ann", in_groups(1, &["admins", "other"]), 1).await;
    let ops = make(store.as_ref(), "ops", &[joe.id]).await;
    let rename = GroupChange { name: Some("admins".to_owned()), ..GroupChange::default() };
    let admins = alter(store.as_ref(), &ops, rename, None).await.unwrap();
    assert_eq!((admins.id, admins.name.as_str(), admins.version), (ops.id, "admins", 2));
    assert_eq!(groups_of(store.as_ref(), "joe").await, ["admins"]);
    // Who carries the name is in the group, whoever said so.
    assert_eq!(members(store.as_ref(), &admins).await, ["ann", "joe"]);
    assert_eq!(groups_of(store.as_ref(), "ann").await, ["admins", "other"]);
}

pub(crate) async fn a_group_refuses_what_is_not_there(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let joe = somebody(store.as_ref(), "joe").await;
    somebody(store.as_ref(), "gone").await;
    let gone = change(store.as_ref(), "gone", UserChange::Gone { as_of: at(2) }, 2).await.after.unwrap();
    let ops = make(store.as_ref(), "ops", &[joe.id]).await;
    make(store.as_ref(), "dev", &[]).await;
    let before = (user(store.as_ref(), "joe").await, patiently(|| store.sequence()).await);

    for members in [vec![new_id()], vec![joe.id, gone.id]] {
        let refused = store.create_group(new_group("new", &members), Actor::Shell, at(11)).await;
        assert!(matches!(refused, Err(DirectoryError::Missing("member"))), "{refused:?}");
        let change = GroupChange { add: members, name: Some("other".to_owned()), ..GroupChange::default() };
        let refused = alter(store.as_ref(), &ops, change, None).await;
        assert!(matches!(refused, Err(DirectoryError::Missing("member"))), "{refused:?}");
    }
    let refused = store.create_group(new_group("ops", &[]), Actor::Shell, at(11)).await;
    assert!(matches!(refused, Err(DirectoryError::Taken("name"))), "{refused:?}");
    let same_id = NewGroup { id: ops.id, ..new_group("third", &[]) };
    let refused = store.create_group(same_id, Actor::Shell, at(11)).await;
    assert!(matches!(refused, Err(DirectoryError::Taken("id"))), "{refused:?}");
    let rename = GroupChange { name: Some("dev".to_owned()), ..GroupChange::default() };
    let refused = alter(store.as_ref(), &ops, rename.clone(), None).await;
    assert!(matches!(refused, Err(DirectoryError::Taken("name"))), "{refused:?}");
    let refused = alter(store.as_ref(), &ops, rename, Some(7)).await;
    assert!(matches!(refused, Err(DirectoryError::Changed)), "{refused:?}");
    let refused = store.delete_group(ops.id, Some(7), Actor::Shell, at(11)).await;
    assert!(matches!(refused, Err(DirectoryError::Changed)), "{refused:?}");
    let stranger = Group { id: GroupId::draw(&SystemRandom), ..ops.clone() };
    let refused = alter(store.as_ref(), &stranger, GroupChange::default(), None).await;
    assert!(matches!(refused, Err(DirectoryError::Missing("group"))), "{refused:?}");
    let refused = store.delete_group(stranger.id, None, Actor::Shell, at(11)).await;
    assert!(matches!(refused, Err(DirectoryError::Missing("group"))), "{refused:?}");

    assert_eq!((user(store.as_ref(), "joe").await, patiently(|| store.sequence()).await), before);
    assert_eq!(store.group(ops.id).await.unwrap(), Some(ops));
}

pub(crate) async fn a_scim_client_changes_groups_of_its_own_users_only(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let scim = ScimResource { external_id: None, resource: serde_json::Map::new() };
    let provisioned = reported(Report { as_of: at(1), scim: Some(scim), ..Report::default() });
    let joe = change(store.as_ref(), "joe", provisioned, 1).await.after.unwrap();
    change(store.as_ref(), "eve", in_groups(1, &["ops", "admins"]), 1).await;
    let eve = user(store.as_ref(), "eve").await.unwrap();
    let (ops, dev) = (make(store.as_ref(), "ops", &[joe.id]).await, make(store.as_ref(), "dev", &[joe.id]).await);
    let before = (entries(store.as_ref()).await, patiently(|| store.sequence()).await);
    let client = || Actor::Scim(main());
    let named = |name: &str| GroupChange { name: Some(name.to_owned()), ..GroupChange::default() };
    for (group, change) in [
        (&ops, named("admins")),
        (&ops, named("other")),
        (&ops, GroupChange { members: Some(Vec::new()), ..GroupChange::default() }),
        (&dev, named("admins")),
        (&dev, GroupChange { add: vec![eve.id], ..GroupChange::default() }),
    ] {
        let refused = store.change_group(group.id, change.clone(), None, client(), at(20)).await;
        assert!(matches!(refused, Err(DirectoryError::NotManaged)), "{change:?} {refused:?}");
    }
    let other = Actor::Scim(tiergate::types::ProviderId::new("other"));
    for (group, actor) in [(&ops, client()), (&dev, other)] {
        let refused = store.delete_group(group.id, None, actor, at(20)).await;
        assert!(matches!(refused, Err(DirectoryError::NotManaged)), "{refused:?}");
    }
    for new in [new_group("admins", &[]), new_group("new", &[eve.id])] {
        let refused = store.create_group(new, client(), at(20)).await;
        assert!(matches!(refused, Err(DirectoryError::NotManaged)), "{refused:?}");
    }
    assert_eq!((entries(store.as_ref()).await, patiently(|| store.sequence()).await), before);
    assert_eq!(user(store.as_ref(), "eve").await, Some(eve));
    let dev = store.change_group(dev.id, named("devel"), None, client(), at(21)).await.unwrap();
    assert_eq!(groups_of(store.as_ref(), "joe").await, ["devel", "ops"]);
    store.delete_group(dev.id, None, client(), at(22)).await.unwrap();
}

pub(crate) async fn groups_are_listed_by_name(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let joe = somebody(store.as_ref(), "joe").await;
    for (name, members) in [("b", vec![joe.id]), ("a", vec![]), ("Z", vec![joe.id]), ("é", vec![])] {
        let new = NewGroup { external_id: Some(format!("x{name}")), ..new_group(name, &members) };
        store.create_group(new, Actor::Shell, at(1)).await.unwrap();
    }
    let all = GroupQuery { limit: 10, ..GroupQuery::default() };
    let text = |text: &str| Some(text.to_owned());
    for (query, expected, total) in [
        (all.clone(), vec!["Z", "a", "b", "é"], 4),
        (GroupQuery { limit: 2, ..all.clone() }, vec!["Z", "a"], 4),
        (GroupQuery { after: text("a"), ..all.clone() }, vec!["b", "é"], 4),
        (GroupQuery { offset: 1, limit: 2, ..all.clone() }, vec!["a", "b"], 4),
        (GroupQuery { name: text("b"), ..all.clone() }, vec!["b"], 1),
        (GroupQuery { name: text("B"), ..all.clone() }, vec![], 0),
        (GroupQuery { external_id: text("xZ"), ..all.clone() }, vec!["Z"], 1),
        (GroupQuery { external_id: text("xz"), ..all.clone() }, vec![], 0),
        (GroupQuery { member: Some(joe.id), ..all.clone() }, vec!["Z", "b"], 2),
        (GroupQuery { member: Some(new_id()), ..all.clone() }, vec![], 0),
    ] {
        let page = store.groups(query.clone()).await.unwrap();
        let names: Vec<&str> = page.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!((names, page.total), (expected, total), "{query:?}");
    }
}

pub(crate) async fn a_group_counts_who_comes_and_goes_elsewhere(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let ops = make(store.as_ref(), "ops", &[]).await;
    let other = make(store.as_ref(), "other", &[]).await;
    change(store.as_ref(), "joe", in_groups(30, &["ops", "loose"]), 30).await;
    let version = async |id| store.group(id).await.unwrap().map(|group| (group.version, group.updated_at));
    assert_eq!(version(ops.id).await, Some((2, at(30))));
    change(store.as_ref(), "joe", UserChange::SetGroups(names(&["ops"])), 31).await;
    assert_eq!(version(ops.id).await, Some((2, at(30))));
    change(store.as_ref(), "joe", UserChange::Gone { as_of: at(32) }, 32).await;
    assert_eq!(version(ops.id).await, Some((3, at(32))));
    assert_eq!(version(other.id).await, Some((1, at(10))));
    assert!(members(store.as_ref(), &ops).await.is_empty());
}

pub(crate) async fn groups_are_compared_byte_for_byte(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    for subject in ALIKE {
        let joe = somebody(store.as_ref(), subject).await;
        make(store.as_ref(), subject, &[joe.id]).await;
    }
    for subject in ALIKE {
        let found =
            store.groups(GroupQuery { name: Some(subject.to_owned()), limit: 10, ..GroupQuery::default() }).await;
        let found = found.unwrap().groups;
        assert_eq!(found.len(), 1, "{subject:?}");
        assert_eq!(members(store.as_ref(), &found[0]).await, [subject]);
        let id = user(store.as_ref(), subject).await.unwrap().id;
        assert_eq!(store.user(UserRef::Id(id)).await.unwrap().unwrap().groups, names(&[subject]));
    }
}
