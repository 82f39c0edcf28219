//! A Dockerfile, as far as its steps name files and stages.

/// One step: its word and what follows, on one line.
pub(super) struct Step {
    pub(super) word: String,
    pub(super) rest: String,
    /// The name of the stage that it belongs to.
    pub(super) stage: String,
}

pub(super) fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut stage = String::new();
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    for line in code.join("\n").replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()) {
        let (word, rest) = line.trim().split_once(' ').expect("a step has arguments");
        if word == "FROM" {
            stage = rest.split_once(" AS ").expect("every stage has a name").1.trim().to_owned();
        }
        steps.push(Step { word: word.to_owned(), rest: rest.trim().to_owned(), stage: stage.clone() });
    }
    steps
}

impl Step {
    /// The values of an option, such as those of `--mount`.
    pub(super) fn options(&self, name: &str) -> Vec<&str> {
        let start = format!("--{name}=");
        self.rest.split_whitespace().filter_map(|word| word.strip_prefix(start.as_str())).collect()
    }

    /// The files and folders of the build context that it reads.
    pub(super) fn sources(&self) -> Vec<&str> {
        match self.word.as_str() {
            "COPY" | "ADD" if self.options("from").is_empty() => {
                let words: Vec<&str> = self.rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
                words[..words.len() - 1].to_vec()
            }
            "RUN" => {
                let is_bind = |mount: &&str| mount.contains("type=bind") && !mount.contains("from=");
                let mounts = self.options("mount").into_iter().filter(is_bind);
                mounts.filter_map(|mount| mount.split(',').find_map(|part| part.strip_prefix("source="))).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Whether `.dockerignore` keeps a path out of the build context: the last line that matches it or a folder above it counts.
pub(super) fn is_ignored(ignore: &str, path: &str) -> bool {
    let mut ignored = false;
    for line in ignore.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (pattern, keeps) = line.strip_prefix('!').map_or((line, false), |pattern| (pattern, true));
        let above = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
        if above.into_iter().any(|part| matches(pattern, part)) {
            ignored = !keeps;
        }
    }
    ignored
}

/// The patterns that our file has: `*`, a path, `**/name`.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_prefix("**/") {
        Some(name) => path == name || path.ends_with(&format!("/{name}")),
        None if pattern == "*" => !path.contains('/'),
        None => {
            assert!(!pattern.contains('*'), "`{pattern}`: a kind of pattern that this test does not know");
            path == pattern.trim_end_matches('/')
        }
    }
}

#[test]
fn the_last_line_that_matches_counts() {
    let ignore = "*\n!src\n!a/b\n**/.env\n";
    for kept in ["src", "src/main.rs", "a/b", "a/b/c"] {
        assert!(!is_ignored(ignore, kept), "{kept}");
    }
    for ignored in ["docs", "docs/x.md", "a", "a/c", "src/.env", ".env"] {
        assert!(is_ignored(ignore, ignored), "{ignored}");
    }
}
