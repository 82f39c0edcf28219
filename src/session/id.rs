//! The ids of sessions: what the browser holds, and what the store knows of it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::types::{Random, Secret};

/// 256 random bits that only their holder and this process know for a moment:
/// a session id, a `state`, the secret of a login cookie.
#[derive(Clone)]
pub struct OpaqueId(Zeroizing<[u8; 32]>);

/// The id of a session, as its cookie carries it.
pub type SessionId = OpaqueId;

impl OpaqueId {
    /// The length of the written form: 32 bytes as unpadded base64url.
    pub const WRITTEN: usize = 43;

    /// Draws a new one.
    #[must_use]
    pub fn draw(random: &dyn Random) -> Self {
        let mut bits = Zeroizing::new([0u8; 32]);
        random.fill(bits.as_mut_slice());
        Self(bits)
    }

    /// Reads the written form; there is one for each id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::WRITTEN {
            return None;
        }
        let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let mut bits = Zeroizing::new([0u8; 32]);
        if decoded.len() != bits.len() {
            return None;
        }
        bits.copy_from_slice(&decoded);
        Some(Self(bits))
    }

    /// The written form, for the cookie or the URL that carries it.
    #[must_use]
    pub fn written(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// An id from its bits, as a sealed record keeps them.
    pub(super) fn from_bits(bits: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bits.try_into().ok()?)))
    }

    /// The bits, to make a key of.
    pub(super) fn bits(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256 of the bits with a word before them that says what for.
    pub(super) fn hash(&self, purpose: &str) -> [u8; 32] {
        let mut input = Zeroizing::new(Vec::with_capacity(purpose.len().saturating_add(33)));
        input.extend_from_slice(purpose.as_bytes());
        input.push(0);
        input.extend_from_slice(self.0.as_slice());
        sha256(&input)
    }
}

impl PartialEq for OpaqueId {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for OpaqueId {}

impl fmt::Debug for OpaqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[id]")
    }
}

/// What the store knows a session by: SHA-256 of its id. Who reads it learns
/// nothing that opens a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// The key of the session `id`.
    #[must_use]
    pub fn of(id: &SessionId) -> Self {
        Self(sha256(id.bits()))
    }

    /// A key as a store keeps it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes for the store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the hexadecimal form that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}…")
    }
}

pub(super) fn sha256(input: &[u8]) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest(&SHA256, input).as_ref());
    hash
}

pub(super) fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

pub(super) fn parse_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0u8; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Random for Counting {
        fn fill(&self, out: &mut [u8]) {
            for (byte, number) in out.iter_mut().zip(0u8..) {
                *byte = number;
            }
        }
    }

    #[test]
    fn an_id_has_one_written_form() {
        let id = OpaqueId::draw(&Counting);
        let text = id.written().expose().to_owned();
        assert_eq!(text.len(), OpaqueId::WRITTEN);
        assert!(OpaqueId::parse(&text) == Some(id));
        // The last character holds two bits that mean nothing and must be zero.
        let twin = format!("{}9", &text[..42]);
        assert_ne!(twin, text);
        for broken in
            [twin.as_str(), "", &text[..42], &format!("{text}A"), &text.replace('A', "+"), &format!("{text}=")]
        {
            assert!(OpaqueId::parse(broken).is_none(), "{broken}");
        }
        assert_eq!(format!("{:?}", OpaqueId::draw(&Counting)), "[id]");
    }

    #[test]
    fn a_key_is_the_hash_of_the_id_and_reads_back() {
        let key = SessionKey::of(&OpaqueId::draw(&Counting));
        assert_eq!(key.to_string(), "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd");
        assert_eq!(SessionKey::parse(&key.to_string()), Some(key));
        assert_eq!(SessionKey::parse(&key.to_string().to_uppercase()), None);
        assert_eq!(format!("{key:?}"), "630dcd29…");
    }
}
