//! What the core asks of the world: time, randomness and work on the side, as
//! parameters.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

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

/// Work that nobody waits for, and waiting itself.
///
/// Contract: what is spawned runs to its end, also when the service is told to
/// stop meanwhile, unless it takes longer than the time to stop; a panic in it
/// is written down and ends nothing else.
pub trait Tasks: Send + Sync {
    /// Runs `work` in the background.
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>);
    /// Ends after `time`.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}
