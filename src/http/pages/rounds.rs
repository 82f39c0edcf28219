//! The loop breaker: sign-ins that succeed at the provider and lead to no
//! session here must end with a page that says why, and not go round for ever.
//!
//! Each sign-in that ends well is counted in a cookie; a session that comes
//! back, or signing out, clears the count. Whoever comes to sign in with three
//! such sign-ins in the last minute, and no session, has gone round.

/// Rounds that lead to the page.
pub(super) const LIMIT: u32 = 3;
/// For how long they count, in seconds.
const WINDOW: u64 = 60;

/// What the cookie says once a sign-in has ended well: how many, and when the
/// first of them did (seconds since the epoch). With `was_signed_in` the
/// browser came with a live session, so its cookie comes back: ten tabs that
/// finish one after the other are no rounds.
pub(super) fn after_sign_in(rounds: Option<(u32, u64)>, was_signed_in: bool, now: u64) -> (u32, u64) {
    match current(rounds, now) {
        Some((count, first)) if !was_signed_in => (count.saturating_add(1), first),
        Some(_) | None => (1, now),
    }
}

/// How many sign-ins of the last minute led to nothing, as the browser, which
/// has no session, says.
pub(super) fn failed(rounds: Option<(u32, u64)>, now: u64) -> u32 {
    current(rounds, now).map_or(0, |(count, _)| count)
}

fn current(rounds: Option<(u32, u64)>, now: u64) -> Option<(u32, u64)> {
    rounds.filter(|(_, first)| now.checked_sub(*first).is_some_and(|age| age < WINDOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_round_of_a_minute_is_the_last() {
        let mut rounds = None;
        for (at, found) in [(0, 0), (10, 1), (20, 2), (30, 3)] {
            assert_eq!(failed(rounds, 1000 + at), found, "{at}");
            rounds = Some(after_sign_in(rounds, false, 1001 + at));
        }
        assert_eq!(rounds, Some((4, 1001)));
        assert_eq!((failed(rounds, 1060), failed(rounds, 1061)), (4, 0));
        assert_eq!(after_sign_in(rounds, false, 1061), (1, 1061));
    }

    #[test]
    fn ten_tabs_are_one_round() {
        let mut rounds = None;
        for tab in 0..10 {
            rounds = Some(after_sign_in(rounds, tab > 0, 1000 + tab));
        }
        assert_eq!(failed(rounds, 1010), 1);
    }

    #[test]
    fn a_count_from_the_future_is_none() {
        assert_eq!(failed(Some((9, 1001)), 1000), 0);
        assert_eq!(after_sign_in(Some((u32::MAX, 1000)), false, 1001), (u32::MAX, 1000));
        assert_eq!(after_sign_in(Some((9, 1001)), false, 1000), (1, 1000));
    }
}
