//! How calls reach the database, and end in time.

use std::time::Duration;

use super::lane::{Lane, Lent};
use super::link::{Again, Link, again};
use super::statement::{Dialect, Row, Statement};
use super::writing::{Failure, Work, Writing};
use crate::directory::DirectoryError;

/// Between two tries, while another process writes.
const PAUSE: Duration = Duration::from_millis(3);
/// How often a transaction is begun anew that others were in the way of.
const TRIES: u32 = 5;

pub(super) fn unavailable(error: sqlx::Error) -> DirectoryError {
    DirectoryError::Unavailable(Box::new(error))
}

/// A connection; while another process has a file for itself, there is none.
async fn lend(lane: &Lane) -> Result<Lent<'_>, DirectoryError> {
    loop {
        match lane.lend().await {
            Err(error) if again(&error) == Again::Soon => tokio::time::sleep(PAUSE).await,
            lent => return lent.map_err(unavailable),
        }
    }
}

/// The rows of a statement that changes nothing.
pub(super) async fn read(lane: &Lane, statement: &Statement) -> Result<Vec<Row>, DirectoryError> {
    loop {
        let mut lent = lend(lane).await?;
        let error = match lent.link.rows(statement.clone()).await {
            Ok(rows) => {
                lent.bring_back();
                return Ok(rows);
            }
            Err(error) => error,
        };
        match again(&error) {
            // The server ended it while nobody used it; another one tells more.
            Again::Anew if lent.is_used => lane.drop_idle(),
            Again::Soon => {
                lent.bring_back();
                tokio::time::sleep(PAUSE).await;
            }
            Again::Anew | Again::No => return Err(unavailable(error)),
        }
    }
}

/// Does `work` in a transaction.
pub(super) async fn write<W: Work>(lane: &Lane, dialect: Dialect, work: &W) -> Result<W::Output, DirectoryError> {
    let mut tries = TRIES;
    loop {
        let mut lent = lend(lane).await?;
        let done = attempt(&mut lent.link, dialect, work).await;
        let error = match done {
            Ok((output, commit)) => match lent.link.command(&commit).await {
                Ok(()) => {
                    lent.bring_back();
                    return Ok(output);
                }
                // Whether it was done cannot be told: it is not tried again.
                Err(error) => return Err(unavailable(error)),
            },
            Err(failure) => {
                if lent.link.command("ROLLBACK").await.is_ok() {
                    lent.bring_back();
                } else {
                    lane.drop_idle();
                }
                match failure {
                    Failure::Refused(error) => return Err(error),
                    Failure::Sql(error) => error,
                }
            }
        };
        match again(&error) {
            // Another process that writes the same file is done soon; the time of the call is the limit.
            Again::Soon if dialect == Dialect::Sqlite => {}
            Again::Soon | Again::Anew if tries > 0 => tries = tries.saturating_sub(1),
            Again::Soon | Again::Anew | Again::No => return Err(unavailable(error)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What comes of it, and the commands that commit it.
async fn attempt<W: Work>(link: &mut Link, dialect: Dialect, work: &W) -> Result<(W::Output, String), Failure> {
    let mut writing = Writing::begin(link, dialect).await?;
    let output = work.run(&mut writing).await?;
    Ok((output, writing.commit()))
}
