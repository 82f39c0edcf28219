use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn limit() -> AttemptLimit {
    AttemptLimit::new(*b"sixteen bytes ok")
}

fn at(secs: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_secs(secs))
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

/// The `n`th of many addresses, none of which shares its /64.
fn nth(n: u32) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)))
}

fn busy(of_client: bool, secs: u64) -> Result<(), Busy> {
    Err(Busy { of_client, retry_after: Duration::from_secs(secs) })
}

/// How many in a row are admitted.
fn admitted(limit: &mut AttemptLimit, client: Option<IpAddr>, secs: u64) -> u32 {
    (0..).find(|_| limit.admit(client, at(secs)).is_err()).unwrap()
}

#[test]
fn one_address_begins_three_thousand_in_a_minute() {
    let mut limit = limit();
    let one = address("192.0.2.1");
    assert_eq!(admitted(&mut limit, one, 5), MAX_OF_CLIENT);
    assert_eq!(limit.admit(one, at(5)), busy(true, 70));
    assert_eq!(limit.admit(one, at(69)), busy(true, 10));
    // Nobody else is concerned, and who is not known by an address is not either.
    assert_eq!(limit.admit(address("192.0.2.2"), at(5)), Ok(()));
    assert_eq!(limit.admit(None, at(5)), Ok(()));
    assert_eq!(admitted(&mut limit, one, 70), MAX_OF_CLIENT);
}

#[test]
fn a_network_of_ipv6_is_one_client_and_so_is_an_address_in_both_spellings() {
    for (first, second, together) in [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::", true),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", true),
        ("2001:db8:1::1", "2001:db8:2::1", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("::c000:201", "192.0.2.1", false),
    ] {
        let mut limit = limit();
        admitted(&mut limit, address(first), 0);
        assert_eq!(limit.admit(address(second), at(0)).is_err(), together, "{first} {second}");
    }
}

#[test]
fn all_together_begin_no_more_than_the_cap_whoever_they_are() {
    let mut limit = limit();
    for n in 0..MAX_OF_ALL - 10 {
        assert_eq!(limit.admit(nth(n), at(3)), Ok(()), "{n}");
    }
    assert_eq!(admitted(&mut limit, None, 100), 10);
    assert_eq!(limit.admit(None, at(100)), busy(false, 510));
    assert_eq!(limit.admit(nth(60_000), at(100)), busy(false, 510));
    assert_eq!(limit.admit(nth(60_000), at(609)), busy(false, 10));
    assert_eq!(admitted(&mut limit, None, 610), MAX_OF_ALL - 10);
}

#[test]
fn what_is_refused_counts_nowhere() {
    let mut limit = limit();
    let one = address("192.0.2.1");
    admitted(&mut limit, one, 0);
    for _ in 0..2 * MAX_OF_ALL {
        assert!(limit.admit(one, at(0)).is_err());
    }
    assert_eq!(limit.all.sum(), MAX_OF_CLIENT);
}

#[test]
fn a_flood_of_addresses_makes_nobody_forgotten_and_takes_no_more_memory() {
    let mut limit = limit();
    let one = address("192.0.2.1");
    admitted(&mut limit, one, 0);
    let places = limit.clients.len();
    let mut refused = 0;
    for n in 0..MAX_OF_ALL - MAX_OF_CLIENT {
        refused += u32::from(limit.admit(nth(n), at(1)).is_err());
    }
    assert_eq!((refused, limit.clients.len()), (0, places));
    assert_eq!(limit.admit(one, at(1)), busy(true, 70));
    // Somebody who comes in the middle of it may begin as often as people do.
    let mut limit = self::limit();
    for n in 0..40_000 {
        limit.admit(nth(n), at(1)).unwrap();
    }
    assert!(admitted(&mut limit, address("2001:db8::1"), 1) > MAX_OF_CLIENT - 50);
}

#[test]
fn addresses_that_share_a_set_do_not_get_one_another_forgotten() {
    let mut limit = limit();
    let set = |n: &Option<IpAddr>| limit.set_of(Client::of(n.unwrap()));
    let shared: Vec<_> = (0..100_000).map(nth).filter(|address| set(address) == 7).take(3 * WAYS).collect();
    let mut begun = vec![0; shared.len()];
    for _ in 0..2 * MAX_OF_CLIENT {
        for (address, begun) in shared.iter().zip(&mut begun) {
            *begun += u32::from(limit.admit(*address, at(0)).is_ok());
        }
    }
    assert!(begun.iter().all(|begun| *begun <= MAX_OF_CLIENT), "{begun:?}");
    assert_eq!(begun.iter().sum::<u32>(), MAX_OF_CLIENT * u32::try_from(WAYS).unwrap());
}

#[test]
fn a_clock_that_stands_still_or_leaps_is_no_way_around() {
    let mut limit = limit();
    let one = address("192.0.2.1");
    admitted(&mut limit, one, 1000);
    assert!(limit.admit(one, at(0)).is_err());
    assert!(limit.admit(one, at(u64::MAX)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever asks when, no address begins more than its cap in any minute: not
    /// even when the addresses are many more than are counted apart.
    #[test]
    fn no_minute_holds_more_than_the_cap(
        asks in prop::collection::vec((0u32..40, 0u64..30, 1u32..250), 1..120),
        strangers in 0u32..200,
    ) {
        let (mut limit, mut now, mut stranger) = (limit(), 0, 1000);
        let mut begun: BTreeMap<u32, VecDeque<u64>> = BTreeMap::new();
        for (client, pause, times) in asks {
            now += pause;
            for _ in 0..strangers {
                stranger += 1;
                let _ = limit.admit(nth(stranger), at(now));
            }
            for _ in 0..times {
                if limit.admit(nth(client), at(now)).is_ok() {
                    let begun = begun.entry(client).or_default();
                    begun.push_back(now);
                    begun.retain(|moment| now - moment < 60);
                    prop_assert!(begun.len() <= MAX_OF_CLIENT as usize);
                }
            }
        }
    }

    /// A count is never lower than what began in any stretch of its length, and
    /// where it says how long it is full, that is when there is room.
    #[test]
    fn a_window_never_lets_more_through(pauses in prop::collection::vec(0u64..9, 1..400), limit in 1u32..20) {
        let (mut window, mut step, mut begun) = (Window::<7>::EMPTY, 0, Vec::new());
        for pause in pauses {
            step += pause / 3;
            window.advance(step);
            match window.full_for(limit) {
                None => {
                    window.add();
                    begun.push(step);
                }
                Some(steps) => {
                    prop_assert!(window.sum_at(step + steps) < limit);
                    prop_assert!(window.sum_at(step + steps - 1) >= limit);
                }
            }
            let recent = begun.iter().filter(|moment| step - **moment < 7).count();
            prop_assert!(recent <= limit as usize && window.sum() as usize == recent);
        }
    }

    #[test]
    fn an_address_is_its_network(high: u64, low: u64) {
        let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        if address.to_ipv4_mapped().is_none() {
            prop_assert_eq!(Client::of(IpAddr::V6(address)), Client::V6(high >> 16));
        }
    }
}
