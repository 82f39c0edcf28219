//! How much of the machine tokens may take that come to nothing.
//!
//! To make up a token costs nothing, and to look at its signature takes more than
//! the rest of a check. So what was refused is charged at what it took, and may
//! take [`SHARE`] of the cores in the long run. Once more than that is spent,
//! tokens that are not known from before are refused unseen until it is made
//! good; tokens that are known cost nothing here, and neither do new good ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::types::Monotonic;

/// One part in this many of each core.
const SHARE: u64 = 8;
/// What may be spent at once, after a while without bad tokens: some ten thousand
/// people whose tokens ended while they slept.
const BURST: Duration = Duration::from_millis(250);

/// A debt that time pays off.
#[derive(Debug)]
pub(super) struct MissBudget {
    /// When all that was spent is made good, in nanoseconds on the monotonic clock.
    paid_by: AtomicU64,
    cores: u64,
}

impl MissBudget {
    /// A share of so many cores.
    pub(super) fn new(cores: usize) -> Self {
        Self { paid_by: AtomicU64::new(0), cores: u64::try_from(cores).unwrap_or(u64::MAX).max(1) }
    }

    /// Whether nothing more may be spent.
    pub(super) fn is_spent(&self, now: Monotonic) -> bool {
        self.paid_by.load(Ordering::Relaxed).saturating_sub(nanos(now)) >= self.paid_off_in(BURST)
    }

    /// Something that took `cost` of a core came to nothing.
    pub(super) fn charge(&self, cost: Duration, now: Monotonic) {
        let (now, cost) = (nanos(now), self.paid_off_in(cost));
        let add = |paid_by: u64| Some(paid_by.max(now).saturating_add(cost));
        // It only ever gives a value, so it cannot fail.
        let _ = self.paid_by.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn paid_off_in(&self, cost: Duration) -> u64 {
        let cost = u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX);
        cost.saturating_mul(SHARE) / self.cores
    }
}

fn nanos(at: Monotonic) -> u64 {
    u64::try_from(at.since(Monotonic::default()).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    const COST: Duration = Duration::from_micros(25);

    /// How many of a flood are looked at.
    fn looked_at(budget: &MissBudget, from: u64, to: u64) -> u64 {
        let mut looked_at = 0;
        for millis in from..to {
            for _ in 0..100 {
                if !budget.is_spent(at(millis)) {
                    budget.charge(COST, at(millis));
                    looked_at += 1;
                }
            }
        }
        looked_at
    }

    #[test]
    fn a_flood_takes_its_burst_and_then_its_share() {
        for cores in [1, 2, 3, 16] {
            let budget = MissBudget::new(cores);
            let first = looked_at(&budget, 0, 10_000);
            let burst = 10_000;
            let share = 10_000 * 1000 * cores as u64 / SHARE / 25;
            let expected = (burst + share).min(1_000_000);
            assert!(first.abs_diff(expected) <= expected / 500 + 2, "{cores}: {first}, not {expected}");
        }
    }

    #[test]
    fn what_is_not_used_is_kept_up_to_the_burst() {
        let budget = MissBudget::new(2);
        looked_at(&budget, 0, 5000);
        assert!(budget.is_spent(at(4999)));
        let left = |now| {
            let mut left = 0u64;
            while !budget.is_spent(at(now)) {
                budget.charge(COST, at(now));
                left += 1;
            }
            left
        };
        // Half of the burst is made good, then all, and never more.
        assert!(left(5499).abs_diff(5000) <= 1);
        assert_eq!(left(3_600_000), 10_000);
    }

    proptest! {
        /// Whatever comes when: never more than the burst, the share, and the one that went over.
        #[test]
        fn no_order_of_events_takes_more(
            steps in prop::collection::vec((0u64..50, 0u64..5000), 1..200),
            cores in 1usize..9,
        ) {
            let budget = MissBudget::new(cores);
            let (mut now, mut spent) = (0, Duration::ZERO);
            for (pause, micros) in steps {
                now += pause;
                let cost = Duration::from_micros(micros);
                if !budget.is_spent(at(now)) {
                    budget.charge(cost, at(now));
                    spent += cost;
                }
                let share = Duration::from_millis(now) * u32::try_from(cores).unwrap() / 8;
                prop_assert!(spent <= BURST + share + Duration::from_micros(5001));
            }
        }
    }
}
