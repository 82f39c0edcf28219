//! The names of what Redis keeps. All that stands in them is hexadecimal and
//! made of hashes; what must change together shares a hash tag, and by that a
//! slot of the Cluster.
//!
//! ```text
//! tiergate:{<session>}:s   hash        the session
//! tiergate:{<session>}:l   hash        who refreshes it, and until when
//! tiergate:{<once>}:o      hash        what counts once
//! tiergate:{<index>}:x     sorted set  sessions of a person, by when they were added
//! tiergate:{live-<n>}:a    sorted set  all sessions, by when they are over
//! tiergate:{<any>}:f       string      written ahead of a WAIT
//! ```

use crate::session::{IndexKey, OnceKey, SessionKey};

/// How many slots a Cluster has.
pub(super) const SLOTS: u16 = 16_384;
/// Over how many sets the list of all sessions is spread.
pub(super) const SHARDS: u8 = 16;

const PREFIX: &str = "tiergate:{";
const SESSION_END: &str = "}:s";

/// The name of one thing in Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) name: String,
    /// Where a Cluster keeps it.
    pub(super) slot: u16,
}

impl Key {
    fn new(tag: &str, end: &str) -> Self {
        Self { name: format!("{PREFIX}{tag}}}:{end}"), slot: slot_of(tag) }
    }

    pub(super) fn session(key: SessionKey) -> Self {
        Self::new(&key.to_string(), "s")
    }

    pub(super) fn lease(key: SessionKey) -> Self {
        Self::new(&key.to_string(), "l")
    }

    pub(super) fn once(key: OnceKey) -> Self {
        // The same hexadecimal form; a session can not be taken for it, for the end differs.
        Self::new(&SessionKey::from_bytes(key.0).to_string(), "o")
    }

    pub(super) fn index(key: IndexKey) -> Self {
        Self::new(&key.to_string(), "x")
    }

    /// The set that lists this session among all.
    pub(super) fn shard_of(key: SessionKey) -> Self {
        let [first, ..] = key.as_bytes();
        Self::shard(first % SHARDS)
    }

    pub(super) fn shard(number: u8) -> Self {
        Self::new(&format!("live-{number}"), "a")
    }

    /// Something in the same slot that means nothing.
    pub(super) fn fence(&self) -> Self {
        let tag = self.name.strip_prefix(PREFIX).and_then(|rest| rest.split('}').next()).unwrap_or_default();
        Self::new(tag, "f")
    }

    /// Something of the store's own that is in this slot range, to try it out.
    pub(super) fn probe(within: impl Fn(u16) -> bool, drawn: u64) -> Option<Self> {
        let mut keys = (0..100_000u32).map(|number| Self::new(&format!("probe-{number}-{drawn:x}"), "p"));
        keys.find(|key| within(key.slot))
    }
}

/// The session that a name stands for, as an invalidation tells it.
pub(super) fn session_of(name: &[u8]) -> Option<SessionKey> {
    let name = std::str::from_utf8(name).ok()?;
    SessionKey::parse(name.strip_prefix(PREFIX)?.strip_suffix(SESSION_END)?)
}

/// CRC16 (XMODEM) of the hash tag: the Redis Cluster specification, "Hash tags".
pub(super) fn slot_of(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0u16, |crc, byte| {
        let crc = crc ^ (u16::from(byte) << 8);
        (0..8).fold(crc, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // The check value of CRC16-XMODEM, and what CLUSTER KEYSLOT answers.
        assert_eq!(slot_of("123456789"), 0x31C3);
        assert_eq!(slot_of("foo"), 12_182);
        assert_eq!(slot_of(""), 0);
    }

    #[test]
    fn what_belongs_to_a_session_shares_its_slot() {
        let key = SessionKey::from_bytes([0xAB; 32]);
        let (session, lease) = (Key::session(key), Key::lease(key));
        assert_eq!((session.slot, session.slot), (lease.slot, lease.fence().slot));
        assert_eq!(session.name, format!("tiergate:{{{key}}}:s"));
        assert_eq!(session_of(session.name.as_bytes()), Some(key));
        for other in [lease.name.as_str(), "tiergate:{}:s", "{}:s", ""] {
            assert_eq!(session_of(other.as_bytes()), None, "{other}");
        }
        assert!(Key::probe(|slot| slot < 100, 7).is_some_and(|key| key.slot < 100));
    }
}
