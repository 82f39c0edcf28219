//! Statements and rows, before they are those of some database.

use std::fmt::Write as _;

use crate::directory::DirectoryError;
use crate::types::UnixTime;

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Mysql,
    Postgres,
}

impl Dialect {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
        }
    }

    /// `sql` with the places of its values as this dialect writes them. No text
    /// of a statement holds a `?` of its own.
    pub(super) fn placed(self, sql: String) -> String {
        if self != Self::Postgres {
            return sql;
        }
        let mut placed = String::with_capacity(sql.len().saturating_add(32));
        for (number, part) in sql.split('?').enumerate() {
            if number > 0 {
                // A `String` takes whatever is written to it.
                let _ = write!(placed, "${number}");
            }
            placed.push_str(part);
        }
        placed
    }

    /// Whether the bytes of a column hold those of one value.
    pub(super) const fn holds(self) -> &'static str {
        match self {
            Self::Sqlite => "instr(search, ?) > 0",
            Self::Mysql => "LOCATE(?, search) > 0",
            Self::Postgres => "position(? in search) > 0",
        }
    }

    /// The end of an `INSERT` by which a row with the same `key` takes the new
    /// values of `columns`.
    pub(super) fn on_conflict(self, key: &str, columns: &[&str]) -> String {
        let mut sql = match self {
            Self::Sqlite | Self::Postgres => format!(" ON CONFLICT ({key}) DO UPDATE SET "),
            Self::Mysql => " ON DUPLICATE KEY UPDATE ".to_owned(),
        };
        for (number, column) in columns.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            let _ = write!(sql, "{comma}{column} = {}", self.inserted(column));
        }
        sql
    }

    /// In [`Self::on_conflict`], the value that was to be inserted.
    pub(super) fn inserted(self, column: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!("excluded.{column}"),
            Self::Mysql => format!("VALUES({column})"),
        }
    }
}

/// A value of a statement; with its type, also where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

impl Value {
    /// Letters that it takes where it is written out, about.
    fn len(&self) -> usize {
        match self {
            Self::Int(_) => 20,
            Self::Bytes(bytes) => bytes.as_ref().map_or(4, |bytes| bytes.len().saturating_mul(2).saturating_add(3)),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Int(Some(i64::from(yes)))
    }
}

impl From<UnixTime> for Value {
    fn from(time: UnixTime) -> Self {
        Self::Int(Some(time.as_millis()))
    }
}

impl From<Option<UnixTime>> for Value {
    fn from(time: Option<UnixTime>) -> Self {
        Self::Int(time.map(UnixTime::as_millis))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Bytes(Some(text.into_bytes()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Bytes(text.map(|text| text.as_bytes().to_vec()))
    }
}

impl From<Option<[u8; 32]>> for Value {
    fn from(digest: Option<[u8; 32]>) -> Self {
        Self::Bytes(digest.map(|digest| digest.to_vec()))
    }
}

/// SQL and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
    /// Whether the connection keeps it prepared.
    pub(super) is_kept: bool,
}

impl Statement {
    pub(super) fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), values: Vec::new(), is_kept: true }
    }

    /// Adds a value.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds SQL.
    pub(super) fn sql(mut self, sql: &str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds SQL with one value, where there is one.
    pub(super) fn given(self, sql: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.sql(sql).bind(value),
            None => self,
        }
    }

    /// Adds `(?, ?, …)` with as many values as there are, at least one. Only with
    /// one is the statement kept: there are too many forms of the others.
    pub(super) fn list(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        let before = self.values.len();
        self.values.extend(values);
        let count = self.values.len().saturating_sub(before);
        self.sql.push_str(&group(count));
        self.is_kept &= count == 1;
        self
    }

    /// Adds `(…), (…)`: a row of values each. Kept with one row only, as above.
    pub(super) fn table(mut self, rows: impl IntoIterator<Item = Vec<Value>>) -> Self {
        for (number, row) in rows.into_iter().enumerate() {
            self.sql.push_str(if number == 0 { "" } else { ", " });
            self.sql.push_str(&group(row.len()));
            self.values.extend(row);
            self.is_kept &= number == 0;
        }
        self
    }
}

impl Statement {
    /// The SQL with its values in it, for MySQL and what is asked once: to
    /// prepare and close it would cost two ways more, and the next statement
    /// waits until the server has acknowledged the close, 40 ms with Nagle's
    /// algorithm. Numbers and hexadecimal digits are all that a value becomes.
    pub(super) fn spelled_out(self) -> String {
        let bytes: usize = self.values.iter().map(Value::len).sum();
        let mut sql = String::with_capacity(self.sql.len().saturating_add(bytes));
        let mut values = self.values.iter();
        for (number, part) in self.sql.split('?').enumerate() {
            if number > 0 {
                spell(values.next(), &mut sql);
            }
            sql.push_str(part);
        }
        sql
    }
}

fn spell(value: Option<&Value>, sql: &mut String) {
    // A `String` takes whatever is written to it.
    match value {
        Some(Value::Int(Some(number))) => drop(write!(sql, "{number}")),
        Some(Value::Bytes(Some(bytes))) => {
            sql.push_str("x'");
            for byte in bytes {
                for digit in [byte >> 4, byte & 0xf] {
                    sql.extend(char::from_digit(u32::from(digit), 16));
                }
            }
            sql.push('\'');
        }
        Some(Value::Int(None) | Value::Bytes(None)) | None => sql.push_str("NULL"),
    }
}

fn group(count: usize) -> String {
    format!("({})", vec!["?"; count].join(", "))
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Bytes(Vec<u8>),
}

/// A row, read from the left to the right. What is not as it was written is
/// [`DirectoryError::Corrupt`].
#[derive(Debug)]
pub(super) struct Row {
    cells: std::vec::IntoIter<Cell>,
}

impl Row {
    pub(super) fn new(cells: Vec<Cell>) -> Self {
        Self { cells: cells.into_iter() }
    }

    fn next(&mut self) -> Result<Cell, DirectoryError> {
        self.cells.next().ok_or(DirectoryError::Corrupt)
    }

    pub(super) fn maybe_int(&mut self) -> Result<Option<i64>, DirectoryError> {
        match self.next()? {
            Cell::Null => Ok(None),
            Cell::Int(number) => Ok(Some(number)),
            Cell::Bytes(_) => Err(DirectoryError::Corrupt),
        }
    }

    pub(super) fn int(&mut self) -> Result<i64, DirectoryError> {
        self.maybe_int()?.ok_or(DirectoryError::Corrupt)
    }

    pub(super) fn count(&mut self) -> Result<u64, DirectoryError> {
        u64::try_from(self.int()?).map_err(|_| DirectoryError::Corrupt)
    }

    pub(super) fn flag(&mut self) -> Result<bool, DirectoryError> {
        Ok(self.int()? != 0)
    }

    pub(super) fn time(&mut self) -> Result<UnixTime, DirectoryError> {
        self.int().map(UnixTime::from_millis)
    }

    pub(super) fn maybe_time(&mut self) -> Result<Option<UnixTime>, DirectoryError> {
        Ok(self.maybe_int()?.map(UnixTime::from_millis))
    }

    pub(super) fn maybe_bytes(&mut self) -> Result<Option<Vec<u8>>, DirectoryError> {
        match self.next()? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes)),
            Cell::Int(_) => Err(DirectoryError::Corrupt),
        }
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], DirectoryError> {
        let bytes = self.maybe_bytes()?.ok_or(DirectoryError::Corrupt)?;
        bytes.try_into().map_err(|_| DirectoryError::Corrupt)
    }

    pub(super) fn maybe_id(&mut self) -> Result<Option<[u8; 16]>, DirectoryError> {
        let bytes = self.maybe_bytes()?.map(<[u8; 16]>::try_from).transpose();
        bytes.map_err(|_| DirectoryError::Corrupt)
    }

    pub(super) fn maybe_text(&mut self) -> Result<Option<String>, DirectoryError> {
        self.maybe_bytes()?.map(String::from_utf8).transpose().map_err(|_| DirectoryError::Corrupt)
    }

    pub(super) fn text(&mut self) -> Result<String, DirectoryError> {
        self.maybe_text()?.ok_or(DirectoryError::Corrupt)
    }
}
