//! The real clocks and the real randomness.

#![expect(clippy::disallowed_methods, reason = "this module is the real clock")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::types::{Clock, Monotonic, Random, UnixTime};

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Monotonic time counts from here.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let epoch = UnixTime::from_secs(0);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => epoch.plus(after),
            Err(before) => epoch.minus(before.duration()),
        }
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_start(self.start.elapsed())
    }
}

/// The random generator of AWS-LC, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) {
        if aws_lc_rs::rand::fill(out).is_err() {
            // Session ids and login states that can be guessed are worse than
            // no service; there is nothing to fall back to.
            std::process::abort();
        }
    }
}

/// A random part of `bound`, to keep retries apart.
pub(super) fn jitter(random: &dyn Random, bound: Duration) -> Duration {
    let mut bytes = [0; 2];
    random.fill(&mut bytes);
    bound.mul_f64(f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{SystemClock, SystemRandom, jitter};
    use crate::types::{Clock as _, Random as _, UnixTime};

    #[test]
    fn the_clocks_run() {
        let clock = SystemClock::new();
        let (wall, monotonic) = (clock.now(), clock.monotonic());
        assert!(wall > UnixTime::from_secs(1_700_000_000));
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.monotonic().since(monotonic) >= Duration::from_millis(2));
    }

    #[test]
    fn random_bytes_differ_and_jitter_is_bounded() {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        SystemRandom.fill(&mut first);
        SystemRandom.fill(&mut second);
        assert_ne!(first, second);
        for _ in 0..100 {
            assert!(jitter(&SystemRandom, Duration::from_secs(1)) <= Duration::from_secs(1));
        }
    }
}
