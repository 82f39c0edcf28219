//! Sessions in the running service, as load, outages and replicas meet them.

mod floods;
mod keys;
mod oauth2_proxy;
mod outage;
mod records;
mod refresh;
mod replicas;
mod secrets;
mod seed;
mod stage;
mod stopping;

// Cases of the attack corpus, which runs them.
pub(crate) use outage::a_store_that_is_down_is_told_apart_from_a_session_that_is_over;
pub(crate) use records::a_record_that_was_changed_is_no_session_and_is_removed;
pub(crate) use refresh::two_tabs_refresh_a_session_once;
