use super::*;
use crate::directory::UserChange;

fn signed() -> SignedSecond {
    SignedSecond { start: UnixTime::from_millis(1_999_999_999_001), end: UnixTime::from_secs(2_000_000_000) }
}

#[test]
fn what_is_hostile_is_refused() {
    let deep = format!("{{\"event\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    for (message, fault) in [
        (&b""[..], EventFault::NotJson),
        (b"[]", EventFault::NotJson),
        (b"{} {}", EventFault::NotJson),
        (b"\xef\xbb\xbf{}", EventFault::NotJson),
        (b"{\"event\":\"\xff\"}", EventFault::NotJson),
        (deep.as_bytes(), EventFault::NotJson),
        (br#"{"event":"user.created","event":"user.deleted"}"#, EventFault::Duplicate),
        (br#"{"event":"user.created","user":{"subject":"a","\u0073ubject":"b"}}"#, EventFault::Duplicate),
        (b"{}", EventFault::Unknown),
        (br#"{"user":{"email":"a@b.c"}}"#, EventFault::Unknown),
        (br#"{"event":"user.created"}"#, ShapeFault::Missing("user").into()),
        (br#"{"event":"user.created","user":{}}"#, ShapeFault::Missing("subject").into()),
        (br#"{"event":"user.created","user":{"subject":""}}"#, ShapeFault::Form("subject").into()),
        (br#"{"event":"user.created","user":{"subject":"a\u0000"}}"#, ShapeFault::Form("subject").into()),
        (br#"{"event":"user.made","user":{"subject":"a"}}"#, ShapeFault::Form("event").into()),
        (br#"{"event":"user.created","user":{"subject":"a"},"admin":1}"#, ShapeFault::Unknown("admin".to_owned()).into()),
        (
            br#"{"event":"user.created","user":{"subject":"a","tiers":["admin"]}}"#,
            ShapeFault::Unknown("tiers".to_owned()).into(),
        ),
        (
            br#"{"event":"user.enabled","user":{"subject":"a","disabled":true}}"#,
            ShapeFault::Contradiction("event", "disabled").into(),
        ),
        (br#"{"event":"user.updated","user":{"subject":"a","groups":"x"}}"#, ShapeFault::Form("groups").into()),
        (br#"{"event":"user.updated","user":{"subject":"a","groups":[1]}}"#, ShapeFault::Form("groups").into()),
        (br#"{"event":"user.updated","user":{"subject":"a","email":{}}}"#, ShapeFault::Form("email").into()),
        (br#"{"event":"user.updated","time":"soon","user":{"subject":"a"}}"#, EventFault::Time("time")),
        (br#"{"event":"user.updated","time":-1,"user":{"subject":"a"}}"#, EventFault::Time("time")),
        (br#"{"operationType":"UPDATE","resourceType":"USER","resourcePath":"users/a"}"#, EventFault::Time("time")),
        (
            br#"{"time":1,"operationType":"UPDATE","resourceType":"USER","resourcePath":"users/a","representation":"{"}"#,
            ShapeFault::Form("representation").into(),
        ),
        (br#"{"time":1,"realmId":"dev","type":"REGISTER"}"#, ShapeFault::Missing("userId").into()),
        (br#"{"user":{"user_id":7}}"#, ShapeFault::Form("user_id").into()),
    ] {
        assert_eq!(read_event(message, signed()), Err(fault), "{}", String::from_utf8_lossy(message));
    }
}

#[test]
fn nothing_is_of_later_than_it_was_signed() {
    for (time, millis) in [
        ("\"2033-05-18T03:33:20.001Z\"", 2_000_000_000_000),
        ("\"2033-05-18T03:33:19.999Z\"", 1_999_999_999_999),
        ("99999999999", 2_000_000_000_000),
        ("1000000000", 1_000_000_000_000),
        ("null", 2_000_000_000_000),
    ] {
        let message = format!(r#"{{"event":"user.deleted","time":{time},"user":{{"subject":"a"}}}}"#);
        let Ok(Event::Told(told)) = read_event(message.as_bytes(), signed()) else { panic!("{message}") };
        assert_eq!(told.change, UserChange::Gone { as_of: UnixTime::from_millis(millis) }, "{time}");
    }
}

#[test]
fn without_a_time_who_is_let_in_is_so_since_the_second_began() {
    let (start, end) = (signed().start, signed().end);
    for (message, as_of) in [
        (r#"{"event":"user.enabled","user":{"subject":"a"}}"#, start),
        (r#"{"event":"user.updated","user":{"subject":"a","disabled":false}}"#, start),
        (r#"{"user":{"user_id":"a","blocked":false}}"#, start),
        (r#"{"event":"user.disabled","user":{"subject":"a"}}"#, end),
        (r#"{"event":"user.updated","user":{"subject":"a","disabled":true}}"#, end),
        (r#"{"event":"user.updated","user":{"subject":"a","name":"A"}}"#, end),
        (r#"{"event":"user.deleted","user":{"subject":"a"}}"#, end),
        (r#"{"user":{"user_id":"a","blocked":true}}"#, end),
        (r#"{"event":"user.enabled","time":1500000000,"user":{"subject":"a"}}"#, UnixTime::from_secs(1_500_000_000)),
    ] {
        let Ok(Event::Told(told)) = read_event(message.as_bytes(), signed()) else { panic!("{message}") };
        let told = match told.change {
            UserChange::Reported(report) => report.as_of,
            UserChange::Gone { as_of } => as_of,
            other => panic!("{other:?}"),
        };
        assert_eq!(told, as_of, "{message}");
    }
}
