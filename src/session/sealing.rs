//! How records are sealed: AES-256-GCM (NIST SP 800-38D) under a key that
//! HKDF-SHA256 (RFC 5869) makes of a secret of the service and of the id that
//! only the browser holds.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::id::{OpaqueId, sha256};
use super::index::IndexKey;
use crate::types::{Random, Secret};

/// The format of what is sealed; a record of another one is not opened.
const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_LEN;

/// The secrets of the service: the first one seals, every one opens.
#[derive(Debug, Clone)]
pub struct Seals(Vec<ServiceKey>);

#[derive(Clone)]
struct ServiceKey {
    /// Says which secret sealed; made of it, and tells nothing of it.
    id: [u8; KEY_ID_BYTES],
    secret: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why something cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// It was sealed with a secret that is not one of ours. Another instance,
    /// of an older or newer config, may know it.
    #[error("the record was sealed with a secret that is not known here")]
    UnknownSecret,
    /// It was sealed with another id, for another purpose or place, or is broken.
    #[error("the record was not sealed with this id, or is broken")]
    Unfit,
}

impl Seals {
    /// Seals with the first of `secrets`; `None` when there is none.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Option<Self> {
        let keys: Vec<ServiceKey> = secrets.iter().map(ServiceKey::new).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Seals `plain` so that only `id` opens it again, for the same `purpose`
    /// and in the same place: `place` is what the store knows it by.
    #[must_use]
    pub fn seal(&self, plain: &[u8], id: &OpaqueId, purpose: &str, place: &[u8], random: &dyn Random) -> Vec<u8> {
        self.seal_with(plain, id.bits(), purpose, place, random)
    }

    /// Opens what [`Self::seal`] sealed.
    ///
    /// # Errors
    /// When id, purpose or place are others, or no secret fits.
    pub fn open(
        &self,
        sealed: &[u8],
        id: &OpaqueId,
        purpose: &str,
        place: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        self.open_with(sealed, id.bits(), purpose, place)
    }

    /// Seals for the service itself: no id is needed to open it.
    #[must_use]
    pub fn seal_for_service(&self, plain: &[u8], purpose: &str, place: &[u8], random: &dyn Random) -> Vec<u8> {
        self.seal_with(plain, &[], purpose, place, random)
    }

    /// Opens what [`Self::seal_for_service`] sealed.
    ///
    /// # Errors
    /// When purpose or place are others, or no secret fits.
    pub fn open_for_service(
        &self,
        sealed: &[u8],
        purpose: &str,
        place: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        self.open_with(sealed, &[], purpose, place)
    }

    /// The index key of `parts`: the first one to write with, every one to look
    /// up with, for a record may have been written under an older secret.
    #[must_use]
    pub fn index(&self, purpose: &str, parts: &[&str]) -> Vec<IndexKey> {
        let mut input = Vec::new();
        for part in [&[purpose], parts].concat() {
            // With its length before it, no two lists of parts read alike.
            input.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            input.extend_from_slice(part.as_bytes());
        }
        self.0.iter().map(|key| key.index(&input)).collect()
    }

    fn seal_with(&self, plain: &[u8], id: &[u8], purpose: &str, place: &[u8], random: &dyn Random) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_LEN];
        random.fill(&mut nonce);
        let sealed = self.0.first().and_then(|key| {
            let mut out = Vec::with_capacity(HEADER_BYTES.saturating_add(plain.len()).saturating_add(16));
            out.push(FORMAT);
            out.extend_from_slice(&key.id);
            out.extend_from_slice(&nonce);
            let mut body = Zeroizing::new(plain.to_vec());
            let aead = key.aead(id, purpose)?;
            let tag = aead
                .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad(&key.id, place), &mut body)
                .ok()?;
            out.extend_from_slice(&body);
            out.extend_from_slice(tag.as_ref());
            Some(out)
        });
        // Only a record longer than 64 GiB cannot be sealed; nothing opens an empty one.
        sealed.unwrap_or_default()
    }

    fn open_with(
        &self,
        sealed: &[u8],
        id: &[u8],
        purpose: &str,
        place: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let (header, body) = sealed.split_at_checked(HEADER_BYTES).ok_or(Unsealable::Unfit)?;
        let (format, header) = header.split_first().ok_or(Unsealable::Unfit)?;
        let (key_id, nonce) = header.split_at_checked(KEY_ID_BYTES).ok_or(Unsealable::Unfit)?;
        if *format != FORMAT {
            return Err(Unsealable::Unfit);
        }
        let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| Unsealable::Unfit)?;
        let key = self.0.iter().find(|key| key.id == key_id).ok_or(Unsealable::UnknownSecret)?;
        let aead = key.aead(id, purpose).ok_or(Unsealable::Unfit)?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = aead
            .open_in_place(Nonce::assume_unique_for_key(nonce), aad(&key.id, place), &mut body)
            .map_err(|_| Unsealable::Unfit)?
            .len();
        body.truncate(plain);
        Ok(body)
    }
}

fn aad(key_id: &[u8], place: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([&[FORMAT], key_id, place].concat())
}

impl ServiceKey {
    fn new(secret: &Secret) -> Self {
        let mut named = Zeroizing::new(b"tiergate key id\0".to_vec());
        named.extend_from_slice(secret.expose().as_bytes());
        let [a, b, c, d, ..] = sha256(&named);
        Self { id: [a, b, c, d], secret: Zeroizing::new(secret.expose().as_bytes().to_vec()) }
    }

    fn aead(&self, id: &[u8], purpose: &str) -> Option<LessSafeKey> {
        struct KeyLength;
        impl KeyType for KeyLength {
            fn len(&self) -> usize {
                32
            }
        }
        let extracted = Salt::new(HKDF_SHA256, &self.secret).extract(id);
        let info = [b"tiergate".as_slice(), purpose.as_bytes()];
        let mut bytes = Zeroizing::new([0u8; 32]);
        extracted.expand(&info, KeyLength).ok()?.fill(bytes.as_mut_slice()).ok()?;
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.as_slice()).ok()?))
    }

    fn index(&self, input: &[u8]) -> IndexKey {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[b"tiergate index\0", self.secret.as_slice()].concat());
        let mut bytes = [0u8; 32];
        bytes.copy_from_slice(hmac::sign(&key, input).as_ref());
        IndexKey::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicU8);

    impl Random for Counter {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn with(secrets: &[&str]) -> Seals {
        Seals::new(&secrets.iter().map(|text| Secret::new((*text).to_owned())).collect::<Vec<_>>()).expect("seals")
    }

    #[test]
    fn only_the_same_id_purpose_and_place_open() {
        let random = Counter::default();
        let (seals, id, other) = (with(&["one"]), OpaqueId::draw(&random), OpaqueId::draw(&random));
        let sealed = seals.seal(b"plain", &id, "session", b"here", &random);
        assert!(!sealed.windows(5).any(|part| part == b"plain"));
        assert_eq!(seals.open(&sealed, &id, "session", b"here").expect("opens").as_slice(), b"plain");
        assert!(seals.open(&sealed, &other, "session", b"here").is_err());
        assert!(seals.open(&sealed, &id, "login attempt", b"here").is_err());
        assert!(seals.open(&sealed, &id, "session", b"there").is_err());
        assert!(seals.open_for_service(&sealed, "session", b"here").is_err());
    }

    #[test]
    fn no_byte_of_a_sealed_record_can_be_changed() {
        let random = Counter::default();
        let (seals, id) = (with(&["one"]), OpaqueId::draw(&random));
        let sealed = seals.seal(b"plain", &id, "session", b"here", &random);
        for position in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[position] ^= 1;
            assert!(seals.open(&broken, &id, "session", b"here").is_err(), "byte {position}");
        }
        for length in 0..sealed.len() {
            assert!(seals.open(&sealed[..length], &id, "session", b"here").is_err(), "length {length}");
        }
    }

    #[test]
    fn the_first_secret_seals_and_every_one_opens() {
        let random = Counter::default();
        let id = OpaqueId::draw(&random);
        let old = with(&["old"]).seal(b"plain", &id, "session", b"here", &random);
        let rotated = with(&["new", "old"]);
        assert!(rotated.open(&old, &id, "session", b"here").is_ok());
        let new = rotated.seal(b"plain", &id, "session", b"here", &random);
        assert!(with(&["new"]).open(&new, &id, "session", b"here").is_ok());
        assert!(with(&["old"]).open(&new, &id, "session", b"here").is_err());
        assert!(with(&["new"]).open(&old, &id, "session", b"here").is_err());
        assert!(Seals::new(&[]).is_none());
    }

    #[test]
    fn an_index_says_nothing_and_no_two_lists_share_one() {
        let seals = with(&["new", "old"]);
        let of = |parts: &[&str]| seals.index("subject", parts);
        assert_eq!(of(&["a", "b"]).len(), 2);
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["ab", ""]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), seals.index("sid", &["a", "b"]));
        assert_eq!(of(&["a"])[1], with(&["old"]).index("subject", &["a"])[0]);
    }
}
