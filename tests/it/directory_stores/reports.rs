//! Many reports at once, and following what changes.

use tiergate::directory::{Actor, Outcome, Report, ReportRequest, UserDirectory, UserRef};

use super::stage::{
    DirectoryUnderTest, at, change, disable, entries, key, main, names, new_id, patiently, sign_in, somebody, user,
};

fn told(subject: &str, secs: i64, groups: &[&str]) -> ReportRequest {
    let report = Report { as_of: at(secs), groups: Some(names(groups)), ..Report::default() };
    ReportRequest { key: key(subject), report, new_id: new_id() }
}

async fn report(
    store: &dyn UserDirectory,
    reports: &[ReportRequest],
    dry_run: bool,
) -> Vec<tiergate::directory::Changed> {
    store.report(reports.to_vec(), Actor::Sync(main()), dry_run, at(50)).await.unwrap()
}

/// More than one transaction takes, with one user in more than one of them.
fn many() -> Vec<ReportRequest> {
    let mut many: Vec<ReportRequest> = (0..250).map(|number| told(&format!("user-{number}"), 10, &["all"])).collect();
    many.push(told("user-249", 11, &["all", "ops"]));
    many.push(told("user-3", 9, &["late"]));
    many.push(told("joe", 1, &["ops"]));
    many.push(told("user-0", 12, &[]));
    many
}

pub(crate) async fn many_reports_are_taken_in_their_order(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    somebody(store.as_ref(), "joe").await;
    change(store.as_ref(), "joe", disable(), 2).await;
    let changed = report(store.as_ref(), &many(), false).await;
    let outcomes: Vec<Outcome> = changed.iter().map(|changed| changed.outcome).collect();
    assert!(outcomes[..250].iter().all(|outcome| *outcome == Outcome::Created));
    assert_eq!(outcomes[250..], [Outcome::Updated, Outcome::Unchanged, Outcome::Updated, Outcome::Updated]);
    let sequences: Vec<u64> = changed
        .iter()
        .filter(|one| one.outcome != Outcome::Unchanged)
        .filter_map(|one| Some(one.after.as_ref()?.sequence))
        .collect();
    assert_eq!(sequences, (3..256).collect::<Vec<u64>>());
    assert_eq!(patiently(|| store.sequence()).await, 255);
    for (subject, version, groups) in
        [("user-249", 2, names(&["all", "ops"])), ("user-3", 1, names(&["all"])), ("user-0", 2, names(&[]))]
    {
        let found = user(store.as_ref(), subject).await.unwrap();
        assert_eq!((found.version, found.groups), (version, groups), "{subject}");
    }
    let joe = user(store.as_ref(), "joe").await.unwrap();
    assert!(joe.disabled_here && joe.groups == names(&["ops"]));
    let written = entries(store.as_ref()).await;
    assert_eq!(written.len(), 255);
    assert!(written[2..].iter().all(|entry| entry.action == "user.report" && entry.actor == "sync:main"));
    assert!(report(store.as_ref(), &[], false).await.is_empty());
}

pub(crate) async fn a_rehearsal_writes_nothing_and_says_the_same(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    somebody(store.as_ref(), "joe").await;
    let reports = many();
    let rehearsed = report(store.as_ref(), &reports, true).await;
    assert_eq!((patiently(|| store.sequence()).await, entries(store.as_ref()).await.len()), (1, 1));
    assert_eq!(store.users(super::stage::query()).await.unwrap().total, 1);
    assert_eq!(report(store.as_ref(), &reports, false).await, rehearsed);
}

pub(crate) async fn changes_come_page_by_page(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let empty = patiently(|| store.changes(0, 10)).await;
    assert_eq!((empty.users.len(), empty.through), (0, 0));
    report(store.as_ref(), &many(), false).await;
    change(store.as_ref(), "user-7", sign_in(99), 99).await;
    let last = patiently(|| store.sequence()).await;
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let changes = patiently(|| store.changes(after, 40)).await;
        assert!(changes.users.len() <= 40);
        assert!(changes.users.is_sorted_by_key(|(_, standing)| standing.sequence));
        let ends = changes.users.last().map(|(_, standing)| standing.sequence);
        if changes.users.len() < 40 {
            assert_eq!(changes.through, last);
        } else {
            assert_eq!(Some(changes.through), ends);
        }
        seen.extend(changes.users.into_iter().map(|(key, _)| key));
        if changes.through == last {
            break;
        }
        after = changes.through;
    }
    assert_eq!(seen.len(), 251);
    assert_eq!(seen.last(), Some(&key("user-7")));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 251, "each of them once");
    for subject in &seen {
        assert!(store.user(UserRef::Key(subject.clone())).await.unwrap().is_some());
    }
}
