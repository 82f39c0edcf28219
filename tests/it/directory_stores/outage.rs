//! The database goes away and comes back.

use std::time::{Duration, Instant};

use tiergate::directory::{Actor, TokenHash, UserRef};

use super::stage::{Breakable, at, change, disable, in_groups, is_unavailable, key, of, request, sign_in, user};

/// What a busy machine may add to the time of a call.
const LATE: Duration = Duration::from_millis(600);

pub(crate) async fn an_outage_is_told_as_an_outage_and_in_time(stage: &impl Breakable) {
    let store = stage.open_replica().await;
    change(store.as_ref(), "joe", sign_in(1), 1).await;
    store.standing(key("joe")).await.unwrap();
    stage.break_it().await;
    for _ in 0..6 {
        let since = Instant::now();
        assert!(is_unavailable(&store.standing(key("joe")).await));
        assert!(is_unavailable(&store.access_token(TokenHash([1; 32])).await));
        assert!(is_unavailable(&store.changes(0, 10).await));
        assert!(is_unavailable(&store.sequence().await));
        assert!(since.elapsed() < Duration::from_millis(150) * 4 + LATE, "{:?}", since.elapsed());
    }
    let since = Instant::now();
    let (read, written) = tokio::join!(store.user(of("joe")), store.change(request(of("joe"), disable(), 2)));
    assert!(is_unavailable(&read) && is_unavailable(&written), "{read:?} {written:?}");
    assert!(since.elapsed() < Duration::from_secs(5) + LATE, "{:?}", since.elapsed());
    stage.mend().await;
}

pub(crate) async fn after_an_outage_calls_work_again(stage: &impl Breakable) {
    let store = stage.open_replica().await;
    change(store.as_ref(), "joe", in_groups(1, &["ops"]), 1).await;
    let joe = user(store.as_ref(), "joe").await.unwrap();
    stage.break_it().await;
    assert!(is_unavailable(&store.standing(key("joe")).await));
    let failed = store.create_group(
        tiergate::directory::NewGroup {
            id: tiergate::directory::GroupId::from_bytes([1; 16]),
            name: "ops".to_owned(),
            external_id: None,
            members: vec![joe.id],
        },
        Actor::Shell,
        at(2),
    );
    assert!(is_unavailable(&failed.await));
    stage.mend().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.standing(key("joe")).await.is_err() {
        assert!(Instant::now() < deadline, "the directory does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.user(UserRef::Id(joe.id)).await.unwrap(), Some(joe));
    change(store.as_ref(), "joe", disable(), 3).await;
    store.probe(at(4)).await.unwrap();
    assert!(store.standing(key("joe")).await.unwrap().unwrap().is_disabled);
}
