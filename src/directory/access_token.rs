//! Personal access tokens: what scripts show in place of a person.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::user::{UserId, UserKey, parse_hex};
use crate::types::{Random, Secret, UnixTime};

/// What every token begins with, so that people and scanners know one.
const PREFIX: &str = "tgp_";
/// The letters of a token; 64 of them, 6 bits each, none of which needs quoting anywhere.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// 43 letters carry 256 bits.
const LENGTH: usize = 43;

/// How long a token that ended stays in the list of its owner.
pub const KEPT_AFTER_END: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why a token is not kept: its owner has as many as they may have.
pub const TOO_MANY_TOKENS: &str = "tokens";
/// Why a token is not kept: its owner has made [`made_in_a_day`] of them in [`TOKEN_DAY`].
pub const TOO_MANY_NEW_TOKENS: &str = "new tokens";
/// The time in which the tokens that somebody makes are counted, revoked ones too.
pub const TOKEN_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many tokens somebody who may have `limit` makes in [`TOKEN_DAY`]. Each one
/// is a row for [`KEPT_AFTER_END`] and a line of the audit, whatever becomes of it.
#[must_use]
pub const fn made_in_a_day(limit: usize) -> usize {
    let usual = if limit < 10 { 10 } else { limit };
    usual.saturating_mul(3)
}

/// The SHA-256 of a token: all that is kept of it. Tokens are 256 random bits,
/// so nothing slower would protect them better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// A token as its owner holds it: shown once, kept nowhere.
#[derive(Clone)]
pub struct AccessTokenSecret(Secret);

impl AccessTokenSecret {
    /// A new one.
    #[must_use]
    pub fn draw(random: &dyn Random) -> Self {
        let mut bits = zeroize::Zeroizing::new([0u8; LENGTH]);
        random.fill(bits.as_mut_slice());
        let letter = |bits: &u8| LETTERS.get(usize::from(bits & 0x3f)).copied().map_or('A', char::from);
        let text: String = PREFIX.chars().chain(bits.iter().map(letter)).collect();
        Self(Secret::new(text))
    }

    /// Whether `text` has the form of a token. Whatever has it is no JWT.
    #[must_use]
    pub fn has_form(text: &str) -> bool {
        text.strip_prefix(PREFIX)
            .is_some_and(|letters| letters.len() == LENGTH && letters.bytes().all(|byte| LETTERS.contains(&byte)))
    }

    /// What is kept of the token `text`, where it has the form of one.
    #[must_use]
    pub fn hash_of(text: &str) -> Option<TokenHash> {
        Self::has_form(text).then(|| {
            let mut hash = [0u8; 32];
            hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
            TokenHash(hash)
        })
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        let mut hash = [0u8; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.expose().as_bytes()).as_ref());
        TokenHash(hash)
    }

    /// The token itself, for its owner.
    #[must_use]
    pub fn written(&self) -> &Secret {
        &self.0
    }
}

/// The directory's own name for a token; no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccessTokenId([u8; 16]);

impl AccessTokenId {
    /// A new one.
    #[must_use]
    pub fn draw(random: &dyn Random) -> Self {
        let mut id = [0u8; 16];
        random.fill(&mut id);
        Self(id)
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id that [`fmt::Display`] wrote; nothing else is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for AccessTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccessToken {
    /// The name that it gets.
    pub id: AccessTokenId,
    /// What is kept of it.
    pub hash: TokenHash,
    /// Whose it is.
    pub owner: UserId,
    /// What its owner calls it.
    pub name: String,
    /// The tiers that it is for.
    pub tiers: Vec<String>,
    /// When it ends.
    pub expires_at: UnixTime,
}

impl NewAccessToken {
    /// What is kept of it from `now` on.
    #[must_use]
    pub fn begun(self, now: UnixTime) -> (TokenHash, AccessToken) {
        let Self { id, hash, owner, name, tiers, expires_at } = self;
        let (created_at, revoked_at, last_used_at) = (now, None, None);
        (hash, AccessToken { id, owner, name, tiers, created_at, expires_at, revoked_at, last_used_at })
    }
}

impl AccessToken {
    /// When it ends or has ended; it counts before.
    #[must_use]
    pub fn ended_at(&self) -> UnixTime {
        self.revoked_at.map_or(self.expires_at, |revoked_at| revoked_at.min(self.expires_at))
    }

    /// Whether it counts at `now`, where tokens of its owner count from `valid_from` on.
    #[must_use]
    pub fn counts(&self, valid_from: Option<UnixTime>, now: UnixTime) -> bool {
        now < self.ended_at() && valid_from.is_none_or(|valid_from| self.created_at >= valid_from)
    }
}

/// A token as its owner and administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The directory's own name for it.
    pub id: AccessTokenId,
    /// Whose it is.
    pub owner: UserId,
    /// What its owner calls it.
    pub name: String,
    /// The tiers that it is for.
    pub tiers: Vec<String>,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends.
    pub expires_at: UnixTime,
    /// When it was revoked.
    pub revoked_at: Option<UnixTime>,
    /// When it was used last, give or take some minutes.
    pub last_used_at: Option<UnixTime>,
}

/// A token as a check asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAccessToken {
    /// The token; it may be over or revoked.
    pub token: AccessToken,
    /// Whose it is.
    pub owner: UserKey,
    /// The `sequence` of its owner when this was read. Every change of a token
    /// is one of its owner's record, so while that stands this does.
    pub sequence: u64,
}
