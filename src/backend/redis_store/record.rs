//! A session as the fields of a Redis hash, and back.

use std::time::Duration;

use redis::Value;

use crate::session::{IndexKey, SessionKey, StoreError, StoredSession};
use crate::types::UnixTime;

/// How long Redis keeps what is over: longer than clocks of replicas differ.
pub(super) const SLACK: Duration = Duration::from_secs(60);
/// The fields, in the order that [`decode`] reads them.
pub(super) const FIELDS: [&str; 7] = ["d", "c", "v", "i", "e", "s", "p"];

/// One argument of a script.
pub(super) type Argument = Vec<u8>;

/// The arguments that the scripts for insertion and replacement take.
pub(super) fn encode(session: &StoredSession, version: u64, now: UnixTime) -> Vec<Argument> {
    let over = session.idle_until.min(session.ends_at);
    vec![
        time(now),
        ttl(over, now),
        session.sealed.clone(),
        session.card.clone(),
        version.to_string().into_bytes(),
        time(session.idle_until),
        time(session.ends_at),
        session.subject.as_bytes().to_vec(),
        session.sid.map(|sid| sid.as_bytes().to_vec()).unwrap_or_default(),
    ]
}

pub(super) fn time(moment: UnixTime) -> Argument {
    moment.as_millis().to_string().into_bytes()
}

/// How long Redis keeps something that is over at `over`.
pub(super) fn ttl(over: UnixTime, now: UnixTime) -> Argument {
    over.since(now).saturating_add(SLACK).as_millis().to_string().into_bytes()
}

/// The session in the answer to a HMGET of [`FIELDS`].
pub(super) fn decode(answer: Value) -> Result<Option<StoredSession>, StoreError> {
    let Value::Array(fields) = answer else { return Err(StoreError::Corrupt) };
    if fields.iter().all(|field| *field == Value::Nil) {
        return Ok(None);
    }
    let fields: [Value; 7] = fields.try_into().map_err(|_| StoreError::Corrupt)?;
    let [sealed, card, version, idle_until, ends_at, subject, sid] = fields;
    Ok(Some(StoredSession {
        sealed: bytes(sealed)?,
        card: bytes(card)?,
        version: number(version)?,
        idle_until: moment(idle_until)?,
        ends_at: moment(ends_at)?,
        subject: index(&bytes(subject)?)?,
        sid: if sid == Value::Nil { None } else { Some(index(&bytes(sid)?)?) },
    }))
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    if let Value::BulkString(bytes) = value { Ok(bytes) } else { Err(StoreError::Corrupt) }
}

pub(super) fn number<T: std::str::FromStr>(value: Value) -> Result<T, StoreError> {
    let bytes = bytes(value)?;
    std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).ok_or(StoreError::Corrupt)
}

pub(super) fn moment(value: Value) -> Result<UnixTime, StoreError> {
    number(value).map(UnixTime::from_millis)
}

pub(super) fn index(bytes: &[u8]) -> Result<IndexKey, StoreError> {
    bytes.try_into().map(IndexKey::from_bytes).map_err(|_| StoreError::Corrupt)
}

/// The members of a set that are session keys.
pub(super) fn members(answer: Value) -> Result<Vec<SessionKey>, StoreError> {
    let Value::Array(members) = answer else { return Err(StoreError::Corrupt) };
    let member = |value| bytes(value)?.try_into().map(SessionKey::from_bytes).map_err(|_| StoreError::Corrupt);
    members.into_iter().map(member).collect()
}

/// Whether a script that answers 0 or 1 answered 1.
pub(super) fn yes(answer: &Value) -> Result<bool, StoreError> {
    let Value::Int(number @ (0 | 1)) = answer else { return Err(StoreError::Corrupt) };
    Ok(*number == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredSession {
        StoredSession {
            sealed: vec![0, 255],
            card: vec![1],
            version: 7,
            idle_until: UnixTime::from_millis(1_800_000_000_123),
            ends_at: UnixTime::from_millis(1_800_000_900_000),
            subject: IndexKey::from_bytes([1; 32]),
            sid: Some(IndexKey::from_bytes([2; 32])),
        }
    }

    /// What HMGET answers after the script has written the arguments.
    fn answer(session: &StoredSession) -> Vec<Value> {
        let mut arguments = encode(session, session.version, UnixTime::from_millis(1_800_000_000_000)).split_off(2);
        let sid = arguments.pop().filter(|sid| !sid.is_empty());
        let fields = arguments.into_iter().map(Value::BulkString);
        fields.chain([sid.map_or(Value::Nil, Value::BulkString)]).collect()
    }

    #[test]
    fn a_session_comes_back_as_it_was() {
        for session in [stored(), StoredSession { sid: None, ..stored() }] {
            assert!(decode(Value::Array(answer(&session))).unwrap() == Some(session));
        }
        assert!(decode(Value::Array(vec![Value::Nil; 7])).unwrap().is_none());
        let arguments = encode(&stored(), 1, UnixTime::from_millis(1_800_000_000_000));
        assert_eq!(arguments[1], b"60123", "Redis keeps it a minute longer");
    }

    #[test]
    fn a_broken_answer_is_no_missing_session() {
        for position in 0..6 {
            for broken in [Value::Nil, Value::Int(1), Value::BulkString(b"x".to_vec())] {
                if position < 2 && matches!(broken, Value::BulkString(_)) {
                    continue;
                }
                let mut fields = answer(&stored());
                fields[position] = broken;
                assert!(matches!(decode(Value::Array(fields)), Err(StoreError::Corrupt)), "{position}");
            }
        }
        assert!(decode(Value::Nil).is_err());
        assert!(decode(Value::Array(vec![Value::BulkString(vec![])])).is_err());
    }
}
