//! When personal access tokens were used, noted beside the way of a check.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::access_token::AccessTokenId;
use crate::types::UnixTime;

/// How often the use of one token is written.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// Tokens that are remembered at once; of more, some uses go unnoted.
const MAX: usize = 10_000;

/// The uses that are to be written, and when each token's was noted last.
#[derive(Default)]
pub struct TokenUses(Mutex<HashMap<AccessTokenId, Use>>);

struct Use {
    at: UnixTime,
    is_written: bool,
}

impl TokenUses {
    /// Notes that a token was used at `now`, unless that was noted shortly before.
    pub fn note(&self, token: AccessTokenId, now: UnixTime) {
        let mut uses = self.lock();
        if uses.get(&token).is_some_and(|last| now.since(last.at) < EVERY && last.at <= now) {
            return;
        }
        if uses.len() >= MAX {
            uses.retain(|_, last| !last.is_written || now.since(last.at) < EVERY);
        }
        if uses.len() < MAX || uses.contains_key(&token) {
            uses.insert(token, Use { at: now, is_written: false });
        }
    }

    /// What was noted since it was asked last.
    #[must_use]
    pub fn take(&self) -> Vec<(AccessTokenId, UnixTime)> {
        let mut uses = self.lock();
        let unwritten = uses.iter_mut().filter(|(_, last)| !last.is_written);
        unwritten
            .map(|(token, last)| {
                last.is_written = true;
                (*token, last.at)
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccessTokenId, Use>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_secs(1_800_000_000 + seconds)
    }

    fn id(number: u128) -> AccessTokenId {
        AccessTokenId::from_bytes(number.to_be_bytes())
    }

    #[test]
    fn each_token_is_noted_at_most_every_few_minutes() {
        let uses = TokenUses::default();
        for second in 0..299 {
            uses.note(id(1), at(second));
        }
        assert_eq!(uses.take(), [(id(1), at(0))]);
        uses.note(id(1), at(299));
        assert_eq!(uses.take(), []);
        uses.note(id(1), at(300));
        uses.note(id(2), at(300));
        let mut taken = uses.take();
        taken.sort_by_key(|(token, _)| token.to_string());
        assert_eq!(taken, [(id(1), at(300)), (id(2), at(300))]);
        // A clock that was set back notes anew.
        uses.note(id(1), at(10));
        assert_eq!(uses.take(), [(id(1), at(10))]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let uses = TokenUses::default();
        for number in 0..20_000 {
            uses.note(id(number), at(0));
        }
        assert_eq!(uses.take().len(), MAX);
        uses.note(id(20_001), at(1));
        assert_eq!(uses.take(), []);
        uses.note(id(20_001), at(300));
        assert_eq!(uses.take(), [(id(20_001), at(300))]);
    }
}
