//! Which language somebody reads (RFC 9110 section 12.5.4), and which way it runs.

/// The longest header that is read, in bytes; browsers send some 50.
const MAX_HEADER: usize = 1024;
/// The most ranges that count.
const MAX_RANGES: usize = 24;

/// Languages that run from right to left, by their primary subtag.
const RIGHT_TO_LEFT: [&str; 12] = ["ar", "arc", "ckb", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi"];
/// Scripts that do, where a tag names its script.
const RIGHT_TO_LEFT_SCRIPTS: [&str; 5] = ["Arab", "Hebr", "Nkoo", "Syrc", "Thaa"];

/// Whether `tag` is written like a language tag (RFC 5646 section 2.1): a
/// language, then subtags.
pub(super) fn is_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let is_language = |text: &str| (2..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_subtag = |text: &str| (2..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    subtags.next().is_some_and(is_language) && subtags.all(is_subtag) && tag.len() <= 35
}

/// The `dir` of a page in this language.
pub(super) fn direction(tag: &str) -> &'static str {
    let mut subtags = tag.split('-');
    let primary = subtags.next().unwrap_or_default();
    let script = subtags.next().filter(|subtag| subtag.len() == 4);
    let runs_back = match script {
        Some(script) => RIGHT_TO_LEFT_SCRIPTS.iter().any(|back| back.eq_ignore_ascii_case(script)),
        None => RIGHT_TO_LEFT.contains(&primary),
    };
    if runs_back { "rtl" } else { "ltr" }
}

/// The language of `offered` that fits best: the most wanted range first, each
/// by lookup (RFC 4647 section 3.4), then by its primary subtag alone. `None`
/// when nothing fits, or nothing was said.
pub(super) fn choose<'o>(header: &[u8], offered: &[&'o str]) -> Option<&'o str> {
    let header = std::str::from_utf8(header).ok().filter(|header| header.len() <= MAX_HEADER)?;
    let mut ranges: Vec<(&str, u16)> = header.split(',').take(MAX_RANGES).filter_map(range).collect();
    // Stable: of equally wanted ones the first that was written counts.
    ranges.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    ranges.iter().filter(|(_, weight)| *weight > 0).find_map(|(range, _)| lookup(range, offered))
}

/// A range and its weight in thousandths.
fn range(written: &str) -> Option<(&str, u16)> {
    let mut parts = written.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let weight = match parts.next() {
        None => 1000,
        Some(weight) => thousandths(weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?)?,
    };
    Some((range, weight))
}

/// `0`, `0.5`, `1.000` (RFC 9110 section 12.4.2).
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let parts: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(parts),
        "1" if parts == 0 => Some(1000),
        _ => None,
    }
}

fn lookup<'o>(range: &str, offered: &[&'o str]) -> Option<&'o str> {
    if range == "*" {
        return offered.first().copied();
    }
    let mut wanted = range;
    loop {
        if let Some(found) = offered.iter().find(|tag| tag.eq_ignore_ascii_case(wanted)) {
            return Some(found);
        }
        let Some((shorter, _)) = wanted.rsplit_once('-') else { break };
        wanted = shorter;
    }
    let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    offered.iter().find(|tag| primary(tag) == primary(range)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_wanted_language_that_there_is_is_chosen() {
        for (header, chosen) in [
            ("ko", Some("ko")),
            ("KO-kr", Some("ko")),
            ("de-CH-1996, en;q=0.9", Some("de")),
            ("en;q=0.5, ko;q=0.8, de;q=0.7", Some("ko")),
            ("fr, it;q=0.9, de;q=0.1", Some("de")),
            ("fr", None),
            ("", None),
            ("*", Some("en")),
            ("fr, *;q=0.1", Some("en")),
            ("ko;q=0, de;q=0.001", Some("de")),
            ("ko;q=0", None),
            ("zh-CN", Some("zh-TW")),
            ("zh", Some("zh-TW")),
            ("ko;q=2, de", Some("de")),
            ("ko;q=0.1234, de;q=0.2", Some("de")),
            ("ko;level=1", None),
            (",,;q=1,,de", Some("de")),
            ("de;q=1.0,ko;q=1.000", Some("de")),
        ] {
            assert_eq!(choose(header.as_bytes(), &["en", "de", "ko", "zh-TW"]), chosen, "{header}");
        }
        assert_eq!(choose(b"\xffko", &["en", "ko"]), None);
        assert_eq!(choose(format!("ko{}", ", x".repeat(1000)).as_bytes(), &["en", "ko"]), None);
        assert_eq!(choose(format!("{}ko", "x,".repeat(24)).as_bytes(), &["en", "ko"]), None);
    }

    #[test]
    fn tags_are_tags_and_run_their_way() {
        for tag in ["en", "mi", "zh-Hant-TW", "de-1996", "sgn"] {
            assert!(is_tag(tag) && direction(tag) == "ltr", "{tag}");
        }
        for tag in ["ar", "he-IL", "fa", "uz-Arab"] {
            assert!(is_tag(tag) && direction(tag) == "rtl", "{tag}");
        }
        assert_eq!(direction("ku-Latn"), "ltr");
        for tag in
            ["", "e", "EN", "english", "en_US", "en-", "en-x", "../x", "en\"", "aa-bb-cc-dd-ee-ff-gg-hh-ii-jj-kk-ll-mm"]
        {
            assert!(!is_tag(tag), "{tag}");
        }
    }
}
