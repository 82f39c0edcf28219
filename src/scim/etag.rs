//! Versions of resources (RFC 7644 section 3.14): weak tags, which say as much
//! as a strong one here.

/// The tag of a version.
#[must_use]
pub fn weak(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// What `If-Match` or `If-None-Match` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    any: bool,
    versions: Vec<u64>,
}

impl Tags {
    /// The tags of a header. What is no tag of ours fits no version.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        let version = |tag: &str| {
            let tag = tag.trim().trim_start_matches("W/").trim_start_matches("w/");
            let digits = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'))?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        Self { any: header.trim() == "*", versions: header.split(',').filter_map(version).collect() }
    }

    /// Whether one of them is this version's.
    #[must_use]
    pub fn name(&self, version: u64) -> bool {
        self.any || self.versions.contains(&version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_versions() {
        for (header, names) in [
            ("W/\"7\"", true),
            ("\"7\"", true),
            ("w/\"7\"", true),
            ("*", true),
            (" W/\"6\" , W/\"7\"", true),
            ("W/\"77\"", false),
            ("W/7", false),
            ("7", false),
            ("W/\"7", false),
            ("W/\"+7\"", false),
            ("W/\"99999999999999999999999\"", false),
            ("", false),
        ] {
            assert_eq!(Tags::parse(header).name(7), names, "{header}");
        }
        assert_eq!(weak(7), "W/\"7\"");
    }
}
