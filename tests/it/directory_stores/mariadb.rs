//! The directory in MariaDB, which speaks MySQL.

use std::sync::OnceLock;

use sqlx::Connection as _;
use tiergate::backend::sql_directory::SqlAddress;
use tiergate::types::Secret;
use tiergate_testbed::MariaDb;

use super::far;
use super::outage;
use super::servers::{self, Database, Fragile, Server};
use crate::stores::run;

impl Server for MariaDb {
    fn pause(&self) {
        MariaDb::pause(self);
    }

    fn resume(&self) {
        MariaDb::resume(self);
    }

    fn kill(&self) {
        MariaDb::kill(self);
    }

    fn restart(&self) {
        MariaDb::restart(self).unwrap();
    }

    fn password(&self) -> &'static str {
        MariaDb::password(self)
    }
}

fn address(server: &MariaDb) -> SqlAddress {
    SqlAddress::Mysql(Secret::new(server.database().unwrap()))
}

async fn start() -> Database {
    static SERVER: OnceLock<MariaDb> = OnceLock::new();
    Database { address: address(SERVER.get_or_init(|| MariaDb::start().unwrap())) }
}

fn own(freezes: bool) -> Fragile {
    let server = MariaDb::start().unwrap();
    Fragile { address: address(&server), server: Box::new(server), freezes }
}

directory_conformance!(start);

#[test]
fn replicas_that_start_at_once_agree_on_the_tables() {
    run(async { servers::replicas_that_start_at_once_agree_on_the_tables(&start().await).await });
}

#[test]
fn a_start_that_hangs_holds_up_others_for_a_while_only() {
    run(async {
        let Database { address } = start().await;
        let SqlAddress::Mysql(url) = &address else { panic!("another kind of address") };
        let mut other = sqlx::MySqlConnection::connect(url.expose()).await.unwrap();
        let lock = "SELECT GET_LOCK(CONCAT('tiergate.', SHA1(DATABASE())), 5)";
        sqlx::query(lock).execute(&mut other).await.unwrap();
        let hung = async { other.close().await.unwrap() };
        servers::a_start_that_hangs_holds_up_others_for_a_while_only(&address, hung).await;
    });
}

#[test]
fn a_frozen_server_is_told_in_time_and_comes_back() {
    run(async {
        let stage = own(true);
        outage::an_outage_is_told_as_an_outage_and_in_time(&stage).await;
        outage::after_an_outage_calls_work_again(&stage).await;
    });
}

#[test]
fn an_ended_server_is_told_in_time_and_comes_back() {
    run(async {
        let stage = own(false);
        outage::an_outage_is_told_as_an_outage_and_in_time(&stage).await;
        outage::after_an_outage_calls_work_again(&stage).await;
        servers::no_error_tells_the_password(&stage).await;
    });
}

#[test]
fn a_server_that_is_far_is_reached_by_short_calls() {
    run(async {
        let SqlAddress::Mysql(url) = start().await.address else { panic!("another kind of address") };
        far::short_calls_reach_it_again(url.expose(), SqlAddress::Mysql).await;
    });
}
