//! The contract of `session::SessionStore`, held by every store there is.
//!
//! A store joins with two things: a type that implements
//! [`StoreUnderTest`](stage::StoreUnderTest), and `conformance!(its::start);` in a module of
//! its own. One that can be broken from outside is a [`Breakable`](stage::Breakable) too. What is special to one store is tested beside that line.

/// Makes a test of each story of the suite: `$start` is an `async fn() -> impl StoreUnderTest`
/// that gives a store without sessions (or with those of other tests out of its sight). The stories
/// of an outage are for stores that can be broken from outside: `conformance!(its::start, outages)`.
macro_rules! conformance {
    ($start:path) => {
        conformance!(@each $start:
            lifecycle: [
                a_session_is_found_as_it_was_kept,
                a_key_is_given_once,
                a_session_ends_at_its_very_moment,
                keys_are_bytes_and_nothing_else,
                a_touch_moves_the_end_forward_and_never_past_the_last,
                a_replacement_counts_its_versions,
                a_removed_session_is_gone,
                sessions_are_found_by_subject_and_by_sid,
                live_sessions_are_listed_and_counted,
                a_sweep_takes_what_is_over_and_nothing_else,
                the_probe_passes_and_leaves_nothing
            ]
            once: [
                what_is_put_once_is_taken_once,
                what_is_put_first_stays,
                values_are_bytes_of_any_size,
                what_expired_is_neither_taken_nor_in_the_way
            ]
            rivals: [
                of_a_hundred_replacers_one_wins,
                of_a_hundred_takers_one_gets_it,
                of_a_hundred_putters_one_wins,
                of_a_hundred_claims_of_a_refresh_one_wins,
                a_thousand_sessions_do_not_mix
            ]
            replicas: [
                what_one_replica_keeps_the_other_finds,
                a_removal_reaches_the_replica_in_time,
                a_replacement_reaches_the_replica_in_time,
                a_claim_is_held_against_the_replica_until_it_is_given_back,
                a_claim_ends_with_its_time,
                what_one_replica_took_the_other_does_not_get,
                a_restart_brings_nothing_back
            ]
        );
    };
    ($start:path, outages) => {
        conformance!($start);
        conformance!(@each $start:
            outage: [
                an_outage_is_told_as_an_outage,
                what_was_kept_outlives_an_outage
            ]
        );
    };
    (@each $start:path: $($story:ident: [$($name:ident),*])*) => {
        $($(
            #[test]
            fn $name() {
                $crate::stores::stage::run(async {
                    $crate::stores::$story::$name(&$start().await).await;
                });
            }
        )*)*
    };
}

mod crash;
mod lifecycle;
mod memory;
mod once;
mod outage;
mod redis;
mod redis_hot;
mod redis_outage;
mod replicas;
mod rivals;
mod sqlite;
mod stage;

pub(crate) use redis::connected as open_redis;
pub(crate) use stage::{at_once, quick_folder, run};
