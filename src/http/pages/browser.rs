//! What people call a browser, by how it names itself (`User-Agent`); a guess,
//! only to be shown.

use crate::ui::{Language, Text};

const BROWSERS: [(&str, &str); 8] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];
/// The longest name that is shown whole, in characters.
const MAX_SHOWN: usize = 80;

/// Such as `Firefox on Linux`; what is not known is shown as it is, cut.
pub(in crate::http) fn name(user_agent: &str, language: &Language) -> String {
    let known = |list: &[(&'static str, &'static str)]| {
        list.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    match (known(&BROWSERS), known(&SYSTEMS)) {
        (Some(browser), Some(system)) => {
            language.say(&Text::of("browser.on").with("browser", browser).with("system", system))
        }
        (Some(browser), None) => browser.to_owned(),
        (None, _) if user_agent.trim().is_empty() => language.say(&Text::of("browser.unnamed")),
        (None, _) => user_agent.chars().take(MAX_SHOWN).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Messages;

    #[test]
    fn browsers_are_called_as_people_call_them() {
        for (user_agent, called) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
            ("", "A browser without a name"),
        ] {
            assert_eq!(name(user_agent, Messages::default().choose(None)), called);
        }
        assert_eq!(name(&"é".repeat(300), Messages::default().choose(Some(b"ko"))).chars().count(), 80);
    }
}
