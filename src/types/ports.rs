//! What the core asks of the world: time and randomness, as parameters.

use super::time::{Monotonic, UnixTime};

/// The two clocks of the service.
///
/// Security contract: `now` judges what tokens say (`exp`, `nbf`, `iat`);
/// `monotonic` judges what the service itself times (key age, cooldowns), so
/// that a wall clock set back never prolongs trust.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> UnixTime;
    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Monotonic;
}

/// Security contract: every byte is unpredictable to somebody who has seen all
/// the earlier ones.
pub trait Random: Send + Sync {
    /// Fills `out` whole.
    fn fill(&self, out: &mut [u8]);
}
