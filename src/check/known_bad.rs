//! Bad tokens that were looked at a moment ago, so that one that is sent again and
//! again is looked at once.
//!
//! A table of fixed size: another token in the same place takes it over. What is
//! kept is why a token was refused, by its SHA-256, and only as long as looking
//! again would come to the same: for the same settings and key set, for reasons
//! that no time changes, and for [`KEPT`] at most.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::token::{Grounds, Issuers, KeySource, Rejection};
use crate::types::{Monotonic, UnixTime};

const PLACES: usize = 1024;
const KEPT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct KnownBad(Box<[Mutex<Option<Refused>>]>);

#[derive(Debug)]
struct Refused {
    hash: [u8; 32],
    rejection: Rejection,
    grounds: Grounds,
    /// On both clocks.
    at: (UnixTime, Monotonic),
}

impl KnownBad {
    pub(super) fn new() -> Self {
        Self((0..PLACES).map(|_| Mutex::default()).collect())
    }

    /// Why the token with this hash was refused, where it would be again.
    pub(super) fn find(
        &self,
        hash: &[u8; 32],
        issuers: &Issuers,
        keys: &dyn KeySource,
        (wall, monotonic): (UnixTime, Monotonic),
    ) -> Option<Rejection> {
        let place = self.place(hash)?;
        let refused = place.as_ref().filter(|refused| refused.hash == *hash)?;
        let is_recent = refused.at.0 <= wall && monotonic.since(refused.at.1) < KEPT;
        (is_recent && refused.grounds.still_hold(issuers, keys)).then(|| refused.rejection.clone())
    }

    /// Keeps why a token was refused, where that is for good.
    pub(super) fn keep(&self, hash: [u8; 32], rejection: &Rejection, grounds: Grounds, at: (UnixTime, Monotonic)) {
        if is_final(rejection)
            && let Some(mut place) = self.place(&hash)
        {
            *place = Some(Refused { hash, rejection: rejection.clone(), grounds, at });
        }
    }

    fn place(&self, hash: &[u8; 32]) -> Option<MutexGuard<'_, Option<Refused>>> {
        let [first, second, ..] = *hash;
        let place = usize::from(u16::from_be_bytes([first, second])) % PLACES;
        Some(self.0.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a token that is refused for this will be refused for the very same as
/// time goes on. What is judged after the times may be an expiry later.
const fn is_final(rejection: &Rejection) -> bool {
    match rejection {
        Rejection::BadSignature | Rejection::WrongType | Rejection::Aud | Rejection::Sub | Rejection::Expired => true,
        Rejection::TooLarge
        | Rejection::Malformed(_)
        | Rejection::DuplicateMember(_)
        | Rejection::Crit
        | Rejection::AlgNotAllowed
        | Rejection::Iss
        | Rejection::KeysUnavailable { .. }
        | Rejection::KidMissing
        | Rejection::KidUnknown { .. }
        | Rejection::KeyAlgMismatch
        | Rejection::NotYetValid
        | Rejection::IatFuture
        | Rejection::Lifetime
        | Rejection::ClaimCharset(_)
        | Rejection::KeyRetired
        | Rejection::SettingsChanged => false,
    }
}
