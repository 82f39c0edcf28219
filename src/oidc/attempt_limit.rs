//! How many sign-ins may begin, so that a flood of them fills no store: each is
//! a record there for ten minutes, whoever asked for it.
//!
//! A flood from many addresses must neither use up memory nor get anybody's
//! count forgotten. So the table of addresses has a fixed size, and an address
//! that gets the place of another one takes its count over as well (space-saving,
//! Metwally et al. 2005): a count may be too high, and is never too low. As long
//! as no more begin than [`MAX_OF_ALL`], the counts that are taken over are small.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::Duration;

use crate::types::Monotonic;

/// Sign-ins that may begin in this process within ten minutes.
const MAX_OF_ALL: u32 = 100_000;
/// Sign-ins that may begin from one address within a minute: a whole company may
/// come from one, and all at nine in the morning.
const MAX_OF_CLIENT: u32 = 3_000;

/// The steps in which a window moves.
const STEP: Duration = Duration::from_secs(10);
/// Addresses that are counted apart: so many sets of so many.
const SETS: u64 = 1024;
const WAYS: usize = 8;

/// Why a sign-in does not begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// Whether it is this client that begins too many, and not all together.
    pub of_client: bool,
    /// When it is worth trying again.
    pub retry_after: Duration,
}

/// Counts the sign-ins that begin.
pub(super) struct AttemptLimit {
    /// Nobody outside knows which addresses share a set.
    secret: [u8; 16],
    all: Window<61>,
    /// `SETS` times `WAYS`, each set in a row.
    clients: Vec<Option<(Client, Window<7>)>>,
}

/// Who counts as one: an IPv4 address, or the /48 that a site is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    V6(u64),
}

impl AttemptLimit {
    /// With nothing counted; `secret` is drawn at random.
    pub(super) fn new(secret: [u8; 16]) -> Self {
        Self { secret, all: Window::EMPTY, clients: Vec::new() }
    }

    /// Counts one more, unless there are too many; what is refused counts nowhere.
    pub(super) fn admit(&mut self, client: Option<IpAddr>, now: Monotonic) -> Result<(), Busy> {
        let step = step_of(now);
        let busy = |of_client, steps: u64| {
            let retry_after = STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX));
            Err(Busy { of_client, retry_after })
        };
        self.all.advance(step);
        let Some(client) = client.map(Client::of) else {
            return match self.all.full_for(MAX_OF_ALL) {
                Some(steps) => busy(false, steps),
                None => {
                    self.all.add();
                    Ok(())
                }
            };
        };
        let full_for_all = self.all.full_for(MAX_OF_ALL);
        let Some(place) = self.place(client, step) else { return busy(false, 1) };
        let mut window = place.as_ref().map_or(Window::EMPTY, |(_, window)| *window);
        window.advance(step);
        if let Some(steps) = window.full_for(MAX_OF_CLIENT) {
            return busy(true, steps);
        }
        if let Some(steps) = full_for_all {
            return busy(false, steps);
        }
        window.add();
        *place = Some((client, window));
        self.all.add();
        Ok(())
    }

    fn set_of(&self, client: Client) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.secret, client).hash(&mut hasher);
        hasher.finish() % SETS
    }

    /// Where `client` is counted: its own place, a free one, or that of whoever
    /// of its set has begun least.
    fn place(&mut self, client: Client, step: u64) -> Option<&mut Option<(Client, Window<7>)>> {
        let set = usize::try_from(self.set_of(client)).ok()?;
        if self.clients.is_empty() {
            let places = usize::try_from(SETS).ok()?.checked_mul(WAYS)?;
            self.clients = vec![None; places];
        }
        let set = self.clients.chunks_exact_mut(WAYS).nth(set)?;
        let rank = |place: &Option<(Client, Window<7>)>| match place {
            Some((held, _)) if *held == client => (0, 0),
            None => (1, 0),
            Some((_, window)) => (2, window.sum_at(step)),
        };
        set.iter_mut().min_by_key(|place| rank(place))
    }
}

impl Client {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(u64::try_from(address.to_bits() >> 80).unwrap_or_default()),
        }
    }
}

/// What began within the last `N - 1` whole steps and the current one: every
/// stretch of `N - 1` steps, wherever it begins, lies within such a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window<const N: usize> {
    /// The current step.
    newest: u64,
    /// The count of each step, the current one first.
    counts: [u32; N],
}

impl<const N: usize> Window<N> {
    const EMPTY: Self = Self { newest: 0, counts: [0; N] };

    /// Moves on to `step`, and forgets what is too old.
    fn advance(&mut self, step: u64) {
        let passed = usize::try_from(step.saturating_sub(self.newest)).unwrap_or(N).min(N);
        self.newest = self.newest.max(step);
        self.counts.rotate_right(passed);
        self.counts.iter_mut().take(passed).for_each(|count| *count = 0);
    }

    fn add(&mut self) {
        if let Some(count) = self.counts.first_mut() {
            *count = count.saturating_add(1);
        }
    }

    fn sum(&self) -> u32 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn sum_at(mut self, step: u64) -> u32 {
        self.advance(step);
        self.sum()
    }

    /// In how many steps there is room again under `limit`; `None` when there is
    /// room now.
    fn full_for(&self, limit: u32) -> Option<u64> {
        let mut left = self.sum();
        if left < limit {
            return None;
        }
        for (steps, count) in (1..).zip(self.counts.iter().rev()) {
            left = left.saturating_sub(*count);
            if left < limit {
                return Some(steps);
            }
        }
        Some(1)
    }
}

fn step_of(now: Monotonic) -> u64 {
    now.since(Monotonic::from_start(Duration::ZERO)).as_secs() / STEP.as_secs()
}

#[cfg(test)]
#[path = "attempt_limit_tests.rs"]
mod tests;
