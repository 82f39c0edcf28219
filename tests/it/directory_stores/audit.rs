//! Who changed what.

use serde_json::json;
use tiergate::backend::system::SystemRandom;
use tiergate::directory::{
    Actor, AuditQuery, GroupChange, GroupId, NewAuditEntry, NewGroup, Report, ReportRequest, Rights, ScimResource,
    SignedIn, UserChange, UserId,
};
use tiergate::types::UnixTime;

use super::stage::{
    DirectoryUnderTest, at, change, disable, entries, grant, in_groups, key, main, names, object, of, reported,
    request, sign_in, somebody,
};
use super::tokens::new_token;

pub(crate) async fn every_change_leaves_one_line(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let rights = Rights { scopes: ["a"].into_iter().collect(), ..Rights::default() };
    let told = |name: Option<&str>| {
        let name = name.map(str::to_owned);
        UserChange::SignedIn(SignedIn { as_of: at(9), rights: rights.clone(), email: None, name, picture: None })
    };
    let steps = [
        (sign_in(1), Some(("user.sign_in", "provider"))),
        // When somebody was seen, and what their tokens grant, is no news.
        (sign_in(2), None),
        (told(None), None),
        (told(Some("Joe")), Some(("user.sign_in", "name"))),
        (in_groups(10, &["ops"]), Some(("user.report", "groups"))),
        (in_groups(11, &["ops"]), None),
        (disable(), Some(("user.disable", "disabled_here"))),
        (UserChange::Enable, Some(("user.enable", "disabled_here"))),
        (grant("devel", Some(99)), Some(("user.grant", "grants"))),
        (UserChange::Revoke { tier: "devel".to_owned() }, Some(("user.revoke", "grants"))),
        (UserChange::SetGroups(names(&["dev"])), Some(("user.groups", "groups"))),
        (UserChange::SetAttributes(object(json!({ "plan": 1 }))), Some(("user.attributes", "attributes"))),
        (UserChange::SignOut, Some(("user.sign_out", "valid_from"))),
        (UserChange::Gone { as_of: at(900) }, Some(("user.gone", "deleted_at"))),
    ];
    let mut written = 0;
    for ((step, expected), now) in steps.into_iter().zip(100..) {
        let mut request = request(of("joe"), step.clone(), now);
        (request.actor, request.request_id) = (Actor::Person(key("admin")), Some(format!("r{now}")));
        let changed = store.change(request).await.unwrap();
        let all = entries(store.as_ref()).await;
        let Some((action, field)) = expected else {
            assert_eq!(all.len(), written, "{step:?}");
            continue;
        };
        written += 1;
        assert_eq!(all.len(), written, "{step:?}");
        let last = all.last().unwrap();
        assert_eq!((last.action.as_str(), last.actor.as_str(), last.at), (action, "main/admin", at(now)));
        assert_eq!(
            (last.user, last.request_id.as_deref()),
            (changed.after.map(|user| user.id), Some(format!("r{now}").as_str()))
        );
        assert_eq!(last.target, "joe");
        let after = last.after.as_ref().unwrap();
        assert!(after.get(field).is_some(), "{after}");
        assert_eq!(last.before.is_some(), changed.before.is_some(), "{action}");
        if let Some(before) = &last.before {
            assert_ne!(before.get(field), after.get(field), "{action}");
            assert_eq!(before.get("provider"), None, "only what differs is told: {before}");
        }
    }
}

pub(crate) async fn old_lines_are_swept(stage: &impl DirectoryUnderTest) {
    const MANY: usize = 1203;
    let store = stage.open_replica().await;
    let report = |number: usize| ReportRequest {
        key: key(&format!("user-{number}")),
        report: Report { as_of: at(5), name: Some(Some("Joe".to_owned())), ..Report::default() },
        new_id: UserId::draw(&SystemRandom),
    };
    let many = (0..MANY).map(report).collect();
    store.report(many, Actor::Sync(main()), false, at(10)).await.unwrap();
    change(store.as_ref(), "user-0", disable(), 20).await;
    change(store.as_ref(), "user-0", UserChange::Enable, 21).await;
    // What is of that very moment stays.
    store.sweep(at(30), at(10)).await.unwrap();
    let lines = async |before| {
        let query = AuditQuery { before, limit: 1000, ..AuditQuery::default() };
        store.audit(query).await.unwrap().entries
    };
    assert_eq!(lines(Some(u64::try_from(MANY).unwrap())).await.len(), 1000);
    store.sweep(at(30), at(11)).await.unwrap();
    let left = lines(None).await;
    let actions: Vec<(&str, UnixTime)> = left.iter().map(|line| (line.action.as_str(), line.at)).collect();
    assert_eq!(actions, [("user.enable", at(21)), ("user.disable", at(20))]);
    // Numbers go on, whatever was swept.
    store.sweep(at(30), at(25)).await.unwrap();
    assert!(lines(None).await.is_empty());
    change(store.as_ref(), "user-0", disable(), 40).await;
    assert!(lines(None).await[0].number > left[0].number);
    assert!(store.user(of("user-1")).await.unwrap().is_some(), "nothing else is swept");
}

pub(crate) async fn the_audit_holds_no_secret(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let resource = object(json!({ "password": "hunter2-secret", "Password": "hunter3-secret", "title": "Dr" }));
    let scim = Some(ScimResource { external_id: None, resource });
    change(store.as_ref(), "joe", reported(Report { as_of: at(1), scim, ..Report::default() }), 1).await;
    let joe = somebody(store.as_ref(), "joe").await;
    let token = new_token(joe.id, 100);
    store.create_access_token(token.clone(), 5, Actor::Shell, at(2)).await.unwrap();
    store.revoke_access_token(joe.id, token.id, Actor::Shell, at(3)).await.unwrap();
    let all = entries(store.as_ref()).await;
    let text = format!("{all:?}");
    let hash: String = token.hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!text.contains("secret") && !text.contains(&hash) && text.contains("Dr"), "{text}");
    let actions: Vec<&str> = all.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["user.report", "token.create", "token.revoke"]);
    assert_eq!((all[1].target.as_str(), all[1].user), ("on the train 🚆", Some(joe.id)));
}

pub(crate) async fn the_audit_is_filtered_and_paged(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let joe = somebody(store.as_ref(), "joe").await;
    let group =
        NewGroup { id: GroupId::draw(&SystemRandom), name: "ops".to_owned(), external_id: None, members: vec![joe.id] };
    let ops = store.create_group(group, Actor::Sync(main()), at(2)).await.unwrap();
    let rename = GroupChange { name: Some("dev".to_owned()), ..GroupChange::default() };
    store.change_group(ops.id, rename, None, Actor::Sync(main()), at(3)).await.unwrap();
    store.delete_group(ops.id, None, Actor::Hook(main()), at(4)).await.unwrap();
    let told = NewAuditEntry {
        actor: Actor::Shell,
        action: "idp.get",
        target: "/users/1".to_owned(),
        user: None,
        before: None,
        after: Some(json!({ "status": 200 })),
        request_id: Some("r".to_owned()),
    };
    store.note(told.clone(), at(5)).await.unwrap();
    let all = entries(store.as_ref()).await;
    let actions: Vec<&str> = all.iter().map(|entry| entry.action.as_str()).collect();
    let expected = [
        "user.sign_in",
        "group.create",
        "user.groups",
        "group.change",
        "user.groups",
        "group.delete",
        "user.groups",
        "idp.get",
    ];
    assert_eq!(actions, expected);
    assert!(all.is_sorted_by(|one, other| one.number < other.number));
    assert_eq!((all[7].after.clone(), all[7].request_id.clone(), all[7].user), (told.after, told.request_id, None));
    assert_eq!((all[3].before.as_ref().unwrap()["name"].as_str(), all[3].target.as_str()), (Some("ops"), "ops"));

    let any = AuditQuery { limit: 100, ..AuditQuery::default() };
    let text = |text: &str| Some(text.to_owned());
    for (query, count, more) in [
        (any.clone(), 8, false),
        (AuditQuery { user: Some(joe.id), ..any.clone() }, 4, false),
        (AuditQuery { actor: text("sync:main"), ..any.clone() }, 4, false),
        (AuditQuery { actor: text("SCIM:main"), ..any.clone() }, 0, false),
        (AuditQuery { action: text("group."), ..any.clone() }, 3, false),
        (AuditQuery { action: text("roup."), ..any.clone() }, 0, false),
        (AuditQuery { action: text("%"), ..any.clone() }, 0, false),
        (AuditQuery { action: text(""), ..any.clone() }, 8, false),
        (AuditQuery { limit: 3, ..any.clone() }, 3, true),
        (AuditQuery { before: Some(all[1].number), ..any.clone() }, 1, false),
        (AuditQuery { limit: 8, ..any.clone() }, 8, false),
    ] {
        let page = store.audit(query.clone()).await.unwrap();
        assert_eq!((page.entries.len(), page.more), (count, more), "{query:?}");
        assert!(page.entries.is_sorted_by(|one, other| one.number > other.number), "{query:?}");
    }
}
