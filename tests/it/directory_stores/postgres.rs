//! The directory in PostgreSQL.

use std::sync::OnceLock;

use sqlx::Connection as _;
use tiergate::backend::sql_directory::SqlAddress;
use tiergate::types::Secret;
use tiergate_testbed::Postgres;

use super::far;
use super::outage;
use super::servers::{self, Database, Fragile, Server};
use crate::stores::run;

impl Server for Postgres {
    fn pause(&self) {
        Postgres::pause(self);
    }

    fn resume(&self) {
        Postgres::resume(self);
    }

    fn kill(&self) {
        Postgres::kill(self);
    }

    fn restart(&self) {
        Postgres::restart(self).unwrap();
    }

    fn password(&self) -> &'static str {
        Postgres::password(self)
    }
}

fn address(server: &Postgres) -> SqlAddress {
    SqlAddress::Postgres(Secret::new(server.database().unwrap()))
}

async fn start() -> Database {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    Database { address: address(SERVER.get_or_init(|| Postgres::start().unwrap())) }
}

fn own(freezes: bool) -> Fragile {
    let server = Postgres::start().unwrap();
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
        let SqlAddress::Postgres(url) = &address else { panic!("another kind of address") };
        let mut other = sqlx::PgConnection::connect(url.expose()).await.unwrap();
        sqlx::query("SELECT pg_advisory_lock(7310591274501143)").execute(&mut other).await.unwrap();
        let hung = async { other.close().await.unwrap() };
        servers::a_start_that_hangs_holds_up_others_for_a_while_only(&address, hung).await;
    });
}

#[test]
fn a_table_that_somebody_holds_holds_up_a_start_for_a_while_only() {
    run(async {
        let Database { address } = start().await;
        let SqlAddress::Postgres(url) = &address else { panic!("another kind of address") };
        let mut other = sqlx::PgConnection::connect(url.expose()).await.unwrap();
        for statement in ["BEGIN", "CREATE TABLE tiergate_schema (part TEXT)"] {
            sqlx::raw_sql(statement).execute(&mut other).await.unwrap();
        }
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
        let SqlAddress::Postgres(url) = start().await.address else { panic!("another kind of address") };
        far::short_calls_reach_it_again(url.expose(), SqlAddress::Postgres).await;
    });
}
