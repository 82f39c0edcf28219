//! Random stories: each store ends as the one in memory.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use tiergate::backend::memory_directory::MemoryDirectory;
use tiergate::directory::{
    Actor, AuditQuery, ChangeRequest, DirectoryError, EventId, GroupChange, GroupId, GroupQuery, NewGroup, Report,
    ReportRequest, UserChange, UserDirectory, UserId, UserOrder, UserQuery, UserRef,
};

use super::stage::{DirectoryUnderTest, at, grant, in_groups, key, names, patiently, query, reported, sign_in};

#[derive(Debug, Clone)]
enum Step {
    Change { subject: u8, change: UserChange, version: Option<u64>, event: Option<u8> },
    ChangeById { of: u8, change: UserChange },
    Report(Vec<(u8, i64, u8)>, bool),
    MakeGroup(u8, Vec<u8>),
    ChangeGroup { group: u8, name: Option<u8>, add: Vec<u8>, remove: Vec<u8>, all: Option<Vec<u8>> },
    DropGroup(u8),
    Sweep,
}

const SUBJECTS: [&str; 4] = ["joe", "Joe", "ann ", "🦀"];
const GROUPS: [&str; 4] = ["ops", "Ops", "dev", "ops "];

fn any_change() -> impl Strategy<Value = UserChange> {
    let groups = || prop::collection::vec(0..GROUPS.len(), 0..3);
    let named = |groups: Vec<usize>| groups.into_iter().map(|group| GROUPS[group]).collect::<Vec<_>>();
    prop_oneof![
        (0i64..30).prop_map(sign_in),
        (0i64..30, groups()).prop_map(move |(secs, groups)| in_groups(secs, &named(groups))),
        (0i64..30, any::<bool>()).prop_map(|(secs, disabled)| reported(Report {
            as_of: at(secs),
            disabled: Some(disabled),
            ..Report::default()
        })),
        (0i64..30).prop_map(|secs| UserChange::Gone { as_of: at(secs) }),
        Just(UserChange::Disable { reason: None }),
        Just(UserChange::Enable),
        Just(UserChange::SignOut),
        prop_oneof![Just("ea"), Just("devel")].prop_map(|tier| grant(tier, Some(40))),
        Just(UserChange::Revoke { tier: "ea".to_owned() }),
        groups().prop_map(move |groups| UserChange::SetGroups(names(&named(groups)))),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let subject = || 0..SUBJECTS.len() as u8;
    let group = || 0..GROUPS.len() as u8;
    let some = || prop::collection::vec(0..6u8, 0..3);
    prop_oneof![
        8 => (subject(), any_change(), prop::option::weighted(0.2, 0..4u64), prop::option::weighted(0.3, 0..3u8))
            .prop_map(|(subject, change, version, event)| Step::Change { subject, change, version, event }),
        2 => (0..6u8, any_change()).prop_map(|(of, change)| Step::ChangeById { of, change }),
        2 => (prop::collection::vec((subject(), 0i64..30, group()), 0..6), any::<bool>())
            .prop_map(|(reports, dry)| Step::Report(reports, dry)),
        2 => (group(), some()).prop_map(|(group, members)| Step::MakeGroup(group, members)),
        3 => (group(), prop::option::of(group()), some(), some(), prop::option::of(some()))
            .prop_map(|(group, name, add, remove, all)| Step::ChangeGroup { group, name, add, remove, all }),
        1 => group().prop_map(Step::DropGroup),
        1 => Just(Step::Sweep),
    ]
}

fn user_id(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

fn refused(error: DirectoryError) -> String {
    match error {
        DirectoryError::Unavailable(error) => panic!("{error:?}"),
        DirectoryError::Corrupt => panic!("the directory holds something broken"),
        other @ (DirectoryError::Taken(_)
        | DirectoryError::Missing(_)
        | DirectoryError::Changed
        | DirectoryError::NotManaged
        | DirectoryError::TooMany(_)) => other.to_string(),
    }
}

/// Takes one step; all that is told of it.
async fn take(store: &dyn UserDirectory, step: &Step, now: i64) -> String {
    let ids = |numbers: &[u8]| numbers.iter().map(|number| user_id(*number)).collect::<Vec<_>>();
    let request = |target, change: &UserChange, subject: u8| ChangeRequest {
        target,
        change: change.clone(),
        actor: Actor::Shell,
        new_id: user_id(subject),
        expected_version: None,
        event: None,
        request_id: None,
        now: at(now),
    };
    let group_id = |group: u8| GroupId::from_bytes([group; 16]);
    match step {
        Step::Change { subject, change, version, event } => {
            let event = event.map(|event| EventId { digest: [event; 32], expires: at(now + 5) });
            let target = UserRef::Key(key(SUBJECTS[usize::from(*subject)]));
            let request = ChangeRequest { expected_version: *version, event, ..request(target, change, *subject) };
            format!("{:?}", store.change(request).await.map_err(refused))
        }
        Step::ChangeById { of, change } => {
            format!("{:?}", store.change(request(UserRef::Id(user_id(*of)), change, *of)).await.map_err(refused))
        }
        Step::Report(reports, dry_run) => {
            let reports = reports.iter().map(|(subject, secs, group)| ReportRequest {
                key: key(SUBJECTS[usize::from(*subject)]),
                report: Report {
                    as_of: at(*secs),
                    groups: Some(names(&[GROUPS[usize::from(*group)]])),
                    ..Report::default()
                },
                new_id: user_id(*subject),
            });
            format!("{:?}", store.report(reports.collect(), Actor::Shell, *dry_run, at(now)).await.map_err(refused))
        }
        Step::MakeGroup(group, members) => {
            let name = GROUPS[usize::from(*group)].to_owned();
            let new = NewGroup { id: group_id(*group), name, external_id: None, members: ids(members) };
            format!("{:?}", store.create_group(new, Actor::Shell, at(now)).await.map_err(refused))
        }
        Step::ChangeGroup { group, name, add, remove, all } => {
            let change = GroupChange {
                name: name.map(|name| GROUPS[usize::from(name)].to_owned()),
                external_id: None,
                members: all.as_deref().map(ids),
                add: ids(add),
                remove: ids(remove),
            };
            let changed = store.change_group(group_id(*group), change, None, Actor::Shell, at(now)).await;
            format!("{:?}", changed.map_err(refused))
        }
        Step::DropGroup(group) => {
            format!("{:?}", store.delete_group(group_id(*group), None, Actor::Shell, at(now)).await.map_err(refused))
        }
        Step::Sweep => format!("{:?}", store.sweep(at(now), at(now - 20)).await.map_err(refused)),
    }
}

/// All that is in a directory.
async fn whole(store: &dyn UserDirectory) -> String {
    let mut whole = String::new();
    for order in [UserOrder::Id, UserOrder::UserName, UserOrder::LastSeen, UserOrder::Created] {
        whole += &format!("{:?}\n", store.users(UserQuery { order, ..query() }).await.unwrap());
    }
    for number in 0..6 {
        whole += &format!("{:?}\n", store.user(UserRef::Id(user_id(number))).await.unwrap());
    }
    let groups = store.groups(GroupQuery { limit: 100, ..GroupQuery::default() }).await.unwrap();
    for group in &groups.groups {
        whole += &format!("{:?}\n", store.members(group.id, None, 100).await.unwrap());
    }
    let entries = store.audit(AuditQuery { limit: 10_000, ..AuditQuery::default() }).await.unwrap().entries;
    for mut entry in entries {
        // A database may leave numbers out.
        entry.number = 0;
        whole += &format!("{entry:?}\n");
    }
    let changes = patiently(|| store.changes(0, 1000)).await;
    whole + format!("{groups:?}\n{changes:?}").as_str()
}

pub(crate) async fn a_random_story_ends_as_in_memory(stage: &impl DirectoryUnderTest) {
    let (store, model) = (stage.open_replica().await, MemoryDirectory::new());
    let mut runner = TestRunner::new(Config::default());
    let steps = prop::collection::vec(any_step(), 150).new_tree(&mut runner).unwrap().current();
    for (number, step) in steps.iter().enumerate() {
        let now = 20 + number as i64 / 4;
        let (told, expected) = (take(store.as_ref(), step, now).await, take(&model, step, now).await);
        assert_eq!(told, expected, "step {number} of {steps:#?}");
    }
    assert_eq!(whole(store.as_ref()).await, whole(&model).await, "{steps:#?}");
}
