//! The loop breaker: sign-ins that succeed at the provider and lead to no
//! session here must end with a page that says why, and not go round for ever.
//!
//! Each sign-in that ends well is counted in a cookie; a session that comes
//! back, or signing out, clears the count. Whoever comes to sign in with three
//! such sign-ins in the last minute, and no session, has gone round.
//!
//! There is a second way to go round: the session counts here, and the check
//! does not see its cookie. So each time that a browser with a session is sent
//! on to the same place, that is counted in the same cookie, apart from the rest.

/// Rounds that lead to the page.
pub(super) const LIMIT: u32 = 3;
/// For how long they count, in seconds.
const WINDOW: u64 = 60;

/// Times that a browser with a session is sent on to one place, before the page.
/// Browsers themselves give up after some 20 redirects, two of which are a round.
pub(super) const PASSES: u32 = 5;
/// For how long they count, in seconds: a proxy that drops a cookie goes round
/// at once.
const PASSES_WINDOW: u64 = 10;
/// Marks a count as one of passes; the other bits are 23 of the place and 8 of the count.
const PASS: u32 = 1 << 31;

/// What the cookie says once a browser with a session is sent on to `place`.
pub(super) fn after_pass(rounds: Option<(u32, u64)>, place: &str, now: u64) -> (u32, u64) {
    match passes(rounds, place, now) {
        0 => (PASS | hash(place) | 1, now),
        count => (PASS | hash(place) | count.saturating_add(1).min(0xff), rounds.map_or(now, |(_, first)| first)),
    }
}

/// How often the browser was sent on to `place` just now.
pub(super) fn passes(rounds: Option<(u32, u64)>, place: &str, now: u64) -> u32 {
    let of_place = |count: u32| count & !0xff == PASS | hash(place);
    let recent = rounds.filter(|(_, first)| now.checked_sub(*first).is_some_and(|age| age < PASSES_WINDOW));
    recent.map(|(count, _)| count).filter(|count| of_place(*count)).map_or(0, |count| count & 0xff)
}

/// 23 bits of the place, where they stand in a count. Who makes two places alike
/// only sees the page too early, and only on purpose.
fn hash(place: &str) -> u32 {
    let mixed = place.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    mixed << 8 & !PASS
}

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
    let rounds = rounds.filter(|(count, _)| count & PASS == 0);
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
    fn going_to_one_place_again_and_again_is_a_round_and_to_ten_places_is_none() {
        let mut rounds = None;
        for (at, found) in [(0, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5)] {
            assert_eq!(passes(rounds, "/x", 1000 + at), found, "{at}");
            rounds = Some(after_pass(rounds, "/x", 1000 + at));
        }
        assert_eq!((passes(rounds, "/y", 1004), failed(rounds, 1004)), (0, 0));
        assert_eq!((passes(rounds, "/x", 1009), passes(rounds, "/x", 1010), passes(rounds, "/x", 999)), (6, 0, 0));
        assert_eq!(after_sign_in(rounds, false, 1005), (1, 1005));
        for tab in 0..10 {
            rounds = Some(after_pass(rounds, &format!("/tab/{tab}"), 1005));
            assert_eq!(passes(rounds, &format!("/tab/{tab}"), 1005), 1);
        }
        for _ in 0..300 {
            rounds = Some(after_pass(rounds, "/x", 1006));
        }
        assert_eq!(passes(rounds, "/x", 1006), 255);
        assert_eq!(passes(Some((2, 1000)), "/x", 1000), 0);
    }

    #[test]
    fn a_count_from_the_future_is_none() {
        assert_eq!(failed(Some((9, 1001)), 1000), 0);
        let most = PASS - 1;
        assert_eq!(failed(Some(after_sign_in(Some((most, 1000)), false, 1001)), 1001), 0);
        assert_eq!(after_sign_in(Some((9, 1001)), false, 1000), (1, 1000));
    }
}
