//! `.env`: more variables, which the real environment overrules.

use std::collections::BTreeMap;

use super::fault::{ConfigErrors, Place};

/// Adds what the text of a `.env` file sets to `environment`, whose own
/// variables win.
///
/// # Errors
/// The first line that is none; its text is not repeated, it may hold a secret.
pub fn with_dotenv(
    name: &str,
    text: &str,
    environment: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConfigErrors> {
    let mut variables = BTreeMap::new();
    for line in dotenvy::from_read_iter(text.as_bytes()) {
        let (variable, value) = line.map_err(|error| refused(name, text, &error))?;
        variables.insert(variable, value);
    }
    variables.extend(environment);
    Ok(variables)
}

fn refused(name: &str, text: &str, error: &dotenvy::Error) -> ConfigErrors {
    let mut place = Place::Nowhere;
    if let dotenvy::Error::LineParse(line, position) = error {
        let number = text.lines().position(|written| written.trim() == line.trim());
        let column = u64::try_from(*position).unwrap_or(0).saturating_add(1);
        if let Some(line) = number.and_then(|number| u64::try_from(number).ok()) {
            place = Place::File { line: line.saturating_add(1), column };
        }
    }
    let hint = "a line is `NAME=value`; put a value with blanks, `$` or `#` into single quotes";
    ConfigErrors::single(name, place, "this line sets no variable".to_owned(), Some(hint.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_environment_wins() {
        let real = BTreeMap::from([("A".to_owned(), "real".to_owned())]);
        let text = "# comment\nA=file\nexport B='two words'\nC=\"x\"\n";
        let merged = with_dotenv(".env", text, real).unwrap();
        assert_eq!(merged.get("A").unwrap(), "real");
        assert_eq!(merged.get("B").unwrap(), "two words");
        assert_eq!(merged.get("C").unwrap(), "x");
    }

    #[test]
    fn a_broken_line_is_told_without_its_text() {
        let error = with_dotenv(".env", "A=1\nSECRET hunter2\n", BTreeMap::new()).unwrap_err().to_string();
        assert!(error.starts_with(".env:2:"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
