use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;

use super::brand::{DARK, LIGHT};
use super::color::READABLE;
use super::messages::places;
use super::style::STYLE;
use super::*;

fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// Everything wrong with own templates, as one reads it.
fn told(own: &[(&str, &str)]) -> Vec<String> {
    let line = |fault: &TemplateFault| fault.line.map(|line| format!(":{line}")).unwrap_or_default();
    match Templates::with(&files(own)) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|fault| format!("{}{}: {}", fault.file, line(fault), fault.message)).collect(),
    }
}

fn page(ui: &Ui, accept_language: Option<&[u8]>, form: Form<'_>) -> (String, BTreeMap<&'static str, String>) {
    let rendered = ui.page(PageView {
        template: "message.html",
        language: ui.language(accept_language),
        title: Text::of("out.title"),
        sign: "done",
        home: "/_auth/",
        reference: None,
        values: json!({ "text": ["<b>"], "causes": [], "actions": [{ "label": "Go", "href": "/x" }] }),
        form,
    });
    assert!(rendered.fault.is_none(), "{:?}", rendered.fault);
    (rendered.body, rendered.headers.into_iter().collect())
}

#[test]
fn every_language_says_everything_and_fills_in_what_it_gets() {
    let tables: BTreeMap<&str, BTreeMap<String, String>> = messages::own_files()
        .into_iter()
        .map(|(tag, text)| (tag, Messages::read_file(tag, text).unwrap_or_else(|errors| panic!("{tag}: {errors:?}"))))
        .collect();
    let english = &tables["en"];
    for (tag, table) in &tables {
        let missing: Vec<&String> = english.keys().filter(|key| !table.contains_key(*key)).collect();
        assert!(missing.is_empty(), "{tag} does not say {missing:?}");
        for (key, message) in table {
            let sorted = |text| places(text).into_iter().collect::<BTreeSet<&str>>();
            assert_eq!(sorted(message), sorted(&english[key]), "{tag} {key}");
            assert!(!message.trim().is_empty() && message.trim() == message, "{tag} {key}");
            assert!(!message.contains(['<', '>', '\n']), "{tag} {key}");
        }
    }
}

/// Each message that the code names is there, and none is there for nothing.
#[test]
fn the_code_and_the_messages_name_each_other() {
    // Of the way through to the management API its page alone: the rest names lines of the audit alike.
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/admin_idp/page.rs");
    let mut source = std::fs::read_to_string(page).expect("text");
    for folder in ["src/ui/templates", "src/http/pages", "src/http/admin/pages", "src/check"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if entry.is_file() && !name.contains("tests") {
                source.push_str(&std::fs::read_to_string(&entry).expect("text"));
            }
        }
    }
    let known: BTreeSet<&str> = Messages::keys().collect();
    let sections: BTreeSet<&str> =
        known.iter().filter_map(|key| key.split_once('.').map(|(section, _)| section)).collect();
    let named: BTreeSet<&str> = source
        .split('"')
        .filter(|text| {
            let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.');
            let section = text.split_once('.').map(|(section, _)| section);
            text.bytes().all(word)
                && section.is_some_and(|section| sections.contains(section))
                && !text.ends_with(".html")
                && !text.ends_with('.')
        })
        .collect();
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "the code says {unknown:?}, which no language does");
    let unused: Vec<_> = known.difference(&named).collect();
    assert!(unused.is_empty(), "nothing says {unused:?}");
}

#[test]
fn a_language_of_the_operators_is_added_and_falls_back() {
    let read = |tag: &str, text: &str| Messages::read_file(tag, text);
    let arabic = read("ar", "out.title: \u{62a}\u{645}\n").expect("messages");
    let english = read("en", "out.title: Goodbye\n").expect("messages");
    let more = BTreeMap::from([("ar".to_owned(), arabic), ("en".to_owned(), english)]);
    let ui = Ui::new(Brand::default(), Messages::with(&more), Templates::default());
    let (body, headers) = page(&ui, Some(b"ar-EG, en;q=0.5"), Form::None);
    assert!(body.contains("<html lang=\"ar\" dir=\"rtl\">") && body.contains("\u{62a}\u{645}</h1>"), "{body}");
    assert!(body.contains("Skip to the content"), "no fallback: {body}");
    assert_eq!((headers["content-language"].as_str(), headers["vary"].as_str()), ("ar", "Accept-Language"));
    let (body, _) = page(&ui, Some(b"fr"), Form::None);
    assert!(body.contains("<html lang=\"en\" dir=\"ltr\">") && body.contains("Goodbye</h1>"), "{body}");
    // Programs are told the same as ever.
    assert_eq!(Messages::for_programs(&Text::of("out.title")), "You are signed out");
    for (tag, text, error) in [
        ("french", "", "`french` is not a language tag such as `fr` or `zh-Hant`"),
        ("fr", "out.titel: x", "there is no message `out.titel`"),
        (
            "fr",
            "portal.version: 'V {number}'",
            "the message `portal.version` asks for `{number}`, which it does not get",
        ),
    ] {
        let errors = read(tag, text).expect_err("an error");
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [error], "{text}");
    }
    assert!(matches!(read("fr", "a: [x").expect_err("an error").as_slice(), [MessageError::Form(_)]));
    assert!(read("fr", "# nothing\n").expect("messages").is_empty());
}

#[test]
fn the_colours_of_the_style_sheet_can_be_read() {
    let colors = |line: &str| -> BTreeMap<String, Color> {
        let pairs = line
            .split(';')
            .filter_map(|pair| pair.rsplit_once("--").map(|(_, pair)| pair).and_then(|pair| pair.split_once(": ")));
        pairs.filter_map(|(name, value)| Some((name.to_owned(), Color::parse(value.trim()).ok()?))).collect()
    };
    let line = |start: &str| STYLE.lines().find(|line| line.starts_with(start)).expect("a line");
    let light = colors(line(":root { color-scheme"));
    let dark = colors(line("@media (prefers-color-scheme: dark)"));
    for (colors, backs, accent) in
        [(light, LIGHT, Colors::default().accent), (dark, DARK, Colors::default().accent_dark)]
    {
        assert_eq!([colors["back"], colors["card"]], backs);
        for name in ["ink", "soft", "bad"] {
            for back in backs {
                assert!(colors[name].contrast(back) >= READABLE, "{name} {} on {back}", colors[name]);
            }
        }
        for back in backs {
            // A dot has to be seen, not read (WCAG 2.2 success criterion 1.4.11).
            assert!(colors["good"].contrast(back) >= 300, "{back}");
            assert!(accent.contrast(back) >= READABLE, "{accent} on {back}");
        }
        assert!(accent.contrast(accent.text_on()) >= READABLE);
    }
    assert_eq!(
        Colors::too_faint_on_light(Color::parse("#ffd400").expect("a colour")).map(|(least, _)| least < 200),
        Some(true)
    );
    assert_eq!(Colors::too_faint_on_dark(Color::parse("#ffd400").expect("a colour")), None);
    let made = Colors::dark_for(Color::parse("#0b57b0").expect("a colour"));
    assert_eq!(Colors::too_faint_on_dark(made), None);
}

#[test]
fn what_is_wrong_with_a_template_is_told_with_its_place() {
    for (own, faults) in [
        (&[("message.html", "{% extends 'base.html' %}\n{% block main %}{{ text }}{% endblock %}")][..], &[][..]),
        (&[("message.html", "no layout, {{ title }}")], &[]),
        (&[("style.css", "body { color: red }")], &[]),
        (&[("mesage.html", "")], &["mesage.html: no page is made by it"]),
        (&[("message.html", "a\n{% if x %}")], &["message.html:2: syntax error"]),
        (&[("message.html", "a\n{{ ttle }}")], &["message.html:2: the page gets no variable `ttle`"]),
        (&[("message.html", "{{ actions[0].lable }}")], &["message.html:1: undefined value"]),
        (
            &[("message.html", "{{ t('page.strat') }}")],
            &["message.html:1: invalid operation: there is no message `page.strat`"],
        ),
        (&[("message.html", "{{ text | safe }}")], &["message.html:1: unknown filter"]),
        (
            &[("message.html", "{% extends 'base.html' %}\n{% block mian %}x{% endblock %}")],
            &["message.html:2: `base.html` has no block `mian`, so it would not show"],
        ),
        (&[("message.html", "{% extends 'other.html' %}")], &["message.html:1: template not found"]),
        (
            &[("base.html", "<h1>{{ title }}</h1>")],
            &[
                "base.html: the block `kind` is missing",
                "base.html: the block `bar`",
                "base.html: the block `page`",
                "base.html: the block `main`",
            ],
        ),
        (&[("style.css", "a {}\n</STYLE><script>")], &["style.css:2: a style sheet holds no `</`"]),
        (
            &[("portal.html", "{% for group in groups %}{{ group.apps[9].title }}{% endfor %}")],
            &["portal.html:1: undefined value"],
        ),
    ] {
        let told = told(own);
        assert_eq!(told.len(), faults.len(), "{own:?}: {told:?}");
        for (told, fault) in told.iter().zip(faults) {
            assert!(told.starts_with(fault), "{own:?}: {told}");
        }
    }
}

#[test]
fn an_own_template_weakens_nothing() {
    let own = [
        (
            "message.html",
            "{% extends 'base.html' %}{% block main %}{% autoescape false %}{{ text }}{% for text in text %}{{ text }}{% endfor %}{% endautoescape %}<script>x</script>{% endblock %}",
        ),
        ("style.css", "body { color: red }"),
    ];
    let ui = Ui::new(Brand::default(), Messages::default(), Templates::with(&files(&own)).expect("templates"));
    let (body, headers) = page(&ui, None, Form::None);
    assert!(!body.contains("<b>") && body.contains("&lt;b&gt;"), "{body}");
    let policy = &headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.ends_with("; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("script-src"), "{policy}");
    let (_, plain) = page(&Ui::default(), None, Form::None);
    assert_ne!(policy, &plain["content-security-policy"], "the own style sheet is another one");
}

#[test]
fn a_template_that_fails_after_all_is_stood_in_for() {
    // It does not fail with the samples.
    let own = [("message.html", "{% if causes | length > 1 %}{{ text.nothing.at_all }}{% endif %}own")];
    let ui = Ui::new(Brand::default(), Messages::default(), Templates::with(&files(&own)).expect("templates"));
    let (language, causes) = (ui.language(None), json!(["a", "b"]));
    let rendered = ui.page(PageView {
        template: "message.html",
        language,
        title: Text::of("out.title"),
        sign: "done",
        home: "",
        reference: None,
        values: json!({ "text": [], "causes": causes, "actions": [] }),
        form: Form::None,
    });
    assert!(rendered.fault.is_some() && rendered.body.contains("What may be wrong"), "{}", rendered.body);
}

#[test]
fn a_brand_shows_on_every_page() {
    let logo = Logo::read(b"<svg xmlns='http://www.w3.org/2000/svg'/>").expect("a logo");
    let brand = Brand { name: "A <b> & Co".to_owned(), logo: Some(logo), ..Brand::default() };
    let ui = Ui::new(brand, Messages::default(), Templates::default());
    let (body, headers) = page(&ui, None, Form::None);
    assert!(
        body.contains("A &lt;b&gt; &amp; Co</span>") && body.contains("<img src=\"data:image/svg+xml;base64,"),
        "{body}"
    );
    assert!(headers["content-security-policy"].contains("; img-src data:; "), "{headers:?}");
    let (_, headers) = page(&ui, None, Form::Portal);
    assert!(headers["content-security-policy"].contains("; img-src 'self' data:; script-src 'sha256-"), "{headers:?}");
}
