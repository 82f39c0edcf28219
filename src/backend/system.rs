//! The real clocks and the real randomness.

#![expect(clippy::disallowed_methods, reason = "this module is the real clock")]

use std::cell::RefCell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zeroize::Zeroize as _;

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

/// The same generator, asked for many bytes at a time: for the ids of decisions,
/// of which each check draws one. A byte is given once, and wiped where it stood.
/// Ids that open something are drawn from [`SystemRandom`].
#[derive(Debug, Clone, Copy, Default)]
pub struct PooledRandom;

const POOL_BYTES: usize = 512;

struct Pool {
    bytes: [u8; POOL_BYTES],
    given: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], given: POOL_BYTES }) };
}

impl Random for PooledRandom {
    fn fill(&self, out: &mut [u8]) {
        // A thread that is ending has no pool any more.
        let is_filled = POOL.try_with(|pool| pool.try_borrow_mut().is_ok_and(|mut pool| pool.give(out)));
        if !matches!(is_filled, Ok(true)) {
            SystemRandom.fill(out);
        }
    }
}

impl Pool {
    /// Fills `out`, unless it is longer than the pool.
    fn give(&mut self, out: &mut [u8]) -> bool {
        if out.len() > POOL_BYTES {
            return false;
        }
        if POOL_BYTES.saturating_sub(self.given) < out.len() {
            SystemRandom.fill(&mut self.bytes);
            self.given = 0;
        }
        let end = self.given.saturating_add(out.len());
        let Some(fresh) = self.bytes.get_mut(self.given..end) else { return false };
        out.copy_from_slice(fresh);
        fresh.zeroize();
        self.given = end;
        true
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
    use std::collections::HashSet;
    use std::time::Duration;

    use super::{POOL_BYTES, PooledRandom, SystemClock, SystemRandom, jitter};
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
    fn no_byte_of_the_pool_is_given_twice() {
        let draw = || {
            let mut drawn = Vec::new();
            for round in 0..2000usize {
                // Lengths that end within the pool, at its end and beyond it.
                let mut id = vec![0; [16, 16, 24, 16, POOL_BYTES, POOL_BYTES + 8][round % 6]];
                PooledRandom.fill(&mut id);
                drawn.extend(id.chunks_exact(8).map(<[u8]>::to_vec));
            }
            drawn
        };
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let all: Vec<Vec<u8>> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
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
