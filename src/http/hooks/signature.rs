//! Who sent a message, and when: an HMAC over both (RFC 2104, FIPS 198-1).

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;

use super::SignedSecond;
use crate::http::pages::Visit;
use crate::types::{ProviderId, Secret, UnixTime};

/// The longest id of an event, in bytes.
const MAX_EVENT_ID: usize = 200;

/// Whoever holds it may report the users of one provider.
#[derive(Debug)]
pub struct HookKey {
    provider: ProviderId,
    key: hmac::Key,
    window: Duration,
}

impl HookKey {
    /// The key of a hook; messages may be as old, and as far ahead, as `window`.
    #[must_use]
    pub fn new(provider: ProviderId, secret: &Secret, window: Duration) -> Self {
        Self { provider, key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()), window }
    }
}

/// All keys.
pub(super) struct HookKeys(Vec<HookKey>);

/// A message that was signed with a key of ours, in time.
pub(super) struct Signed {
    provider: ProviderId,
    at: UnixTime,
    window: Duration,
    event: [u8; 32],
}

impl HookKeys {
    pub(super) fn new(keys: Vec<HookKey>) -> Self {
        Self(keys)
    }

    /// The message with whoever signed it, where its time is within the window.
    pub(super) fn verify(&self, visit: &Visit<'_>, body: &[u8], now: UnixTime) -> Option<Signed> {
        let timestamp = visit.single("x-tiergate-timestamp")?;
        let at = read_timestamp(timestamp)?;
        let tag = read_signature(visit.single("x-tiergate-signature")?)?;
        let id = match visit.values("x-tiergate-event").next() {
            None => None,
            Some(_) => Some(visit.single("x-tiergate-event").filter(|id| is_event_id(id))?),
        };
        // The id is signed too: else a captured message could be sent again as another event.
        // It holds no point and no message begins like one, so that no two of them are signed alike.
        let signed = match id {
            None => [timestamp, b".", body].concat(),
            Some(id) => [timestamp, b".", id, b".", body].concat(),
        };
        // Every key is tried, so that the time tells nobody which one it was.
        let by = self.0.iter().filter(|held| hmac::verify(&held.key, &signed, &tag).is_ok()).collect::<Vec<_>>();
        let key = by.into_iter().next()?;
        let distance = now.since(at).max(at.since(now));
        if distance > key.window {
            return None;
        }
        let provider = key.provider.as_str().as_bytes();
        let event = match id {
            Some(id) => digest(&[b"event", provider, id]),
            None => digest(&[b"message", provider, timestamp, body]),
        };
        Some(Signed { provider: key.provider.clone(), at, window: key.window, event })
    }
}

impl Signed {
    pub(super) fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// What the event is known by when it comes again.
    pub(super) fn event(&self) -> [u8; 32] {
        self.event
    }

    /// The second in which it was signed, as far as it is over.
    pub(super) fn second(&self, now: UnixTime) -> SignedSecond {
        SignedSecond { start: self.at.min(now), end: self.at.plus(Duration::from_millis(999)).min(now) }
    }

    /// Until when it has to be known that it came.
    pub(super) fn kept_until(&self, now: UnixTime) -> UnixTime {
        now.plus(self.window.saturating_mul(2))
    }
}

/// Seconds of 1970, in digits.
fn read_timestamp(text: &[u8]) -> Option<UnixTime> {
    let is_number = (1..=12).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok().map(UnixTime::from_secs)
}

/// `sha256=` and 64 hex digits.
fn read_signature(text: &[u8]) -> Option<[u8; 32]> {
    let (pairs, rest) = text.strip_prefix(b"sha256=")?.as_chunks::<2>();
    let mut tag = [0u8; 32];
    if pairs.len() != tag.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in tag.iter_mut().zip(pairs) {
        *byte = hex(*high)? << 4 | hex(*low)?;
    }
    Some(tag)
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn is_event_id(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'|');
    (1..=MAX_EVENT_ID).contains(&id.len()) && id.iter().all(is_plain)
}

/// The SHA-256 of the parts, each after its length.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0u8; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
