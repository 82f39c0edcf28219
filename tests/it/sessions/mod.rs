//! Sessions in the running service, as load, outages and replicas meet them.

mod floods;
mod keys;
mod oauth2_proxy;
mod outage;
mod refresh;
mod replicas;
mod secrets;
mod seed;
mod stage;
mod stopping;
