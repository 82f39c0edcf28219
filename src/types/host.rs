//! The host of a request, in one spelling (RFC 9110 section 7.2).

use super::target_error::TargetError;

/// A host name or address in lower case, without a default port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    text: String,
    name_len: usize,
}

impl Host {
    /// Reads a raw authority: ASCII letters, digits, `-`, `_` and `.`, or a
    /// bracketed IPv6 address, then an optional port. The ports 80 and 443 are
    /// dropped.
    ///
    /// # Errors
    /// [`TargetError::BadHost`] for user information, a list, a trailing dot,
    /// an empty label, a bad port, and everything outside ASCII.
    pub fn parse(authority: &[u8]) -> Result<Self, TargetError> {
        let mut text = std::str::from_utf8(authority).map_err(|_| TargetError::BadHost)?.to_ascii_lowercase();
        let (name, port) = split_port(&text).ok_or(TargetError::BadHost)?;
        let address = bracketed_ipv6(name);
        if address.is_none() && !is_name(name) {
            return Err(TargetError::BadHost);
        }
        let port: Option<u16> = match port {
            None => None,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| TargetError::BadHost)?)
            }
            Some(_) => return Err(TargetError::BadHost),
        };
        match address {
            // One address has many spellings (RFC 5952).
            Some(address) => text = format!("[{address}]"),
            None => text.truncate(name.len()),
        }
        let name_len = text.len();
        match port {
            None | Some(80 | 443) => {}
            Some(0) => return Err(TargetError::BadHost),
            Some(port) => text.extend([":", &port.to_string()]),
        }
        Ok(Self { text, name_len })
    }

    /// Name and, where it is not a default one, port.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.get(..self.name_len).unwrap_or_default()
    }

    /// The port that is not a default one, or nothing.
    #[must_use]
    pub fn port(&self) -> &str {
        self.text.get(self.name_len.saturating_add(1)..).unwrap_or_default()
    }
}

fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let bracket = text.rfind(']');
    match text.rfind(':') {
        Some(colon) if bracket.is_none_or(|bracket| colon > bracket) => {
            Some((text.get(..colon)?, Some(text.get(colon.checked_add(1)?..)?)))
        }
        _ => Some((text, None)),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

fn bracketed_ipv6(name: &str) -> Option<std::net::Ipv6Addr> {
    name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}
