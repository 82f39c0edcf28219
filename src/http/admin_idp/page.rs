//! The page around an answer: which provider and path, and its JSON in order.

use serde_json::{Value, json};

use super::{ManagementPassage, Passage, Refused, Shown};
use crate::check::Page;
use crate::http::admin::pages::navigation;
use crate::http::pages::Visit;
use crate::types::CanonicalPath;
use crate::ui::{Form, PageView, Text};

/// The longest JSON that is shown, in bytes.
const MAX_SHOWN: usize = 1024 * 1024;

impl ManagementPassage {
    /// The page at `path`, where there is a passage, with what came of it.
    pub(super) fn page(
        &self,
        visit: &Visit<'_>,
        passage: Option<&Passage>,
        path: &str,
        shown: Option<&Result<Shown, Refused>>,
    ) -> Page {
        let chosen = visit.parameter("path").filter(|_| shown.is_none());
        if let Some(chosen) = &chosen
            && let Some(onward) = self.onward(chosen, visit.parameter("provider").as_deref())
        {
            return Page {
                status: 303,
                headers: vec![("location", onward), ("cache-control", "no-store".to_owned())],
                body: String::new(),
            };
        }
        let here = passage.or_else(|| self.passages.first()).map_or("", |passage| passage.api.provider().as_str());
        let query = std::str::from_utf8(visit.query()).unwrap_or_default();
        let written = match (&chosen, shown) {
            (Some(chosen), _) => chosen.clone(),
            (None, Some(_)) if !query.is_empty() => format!("{path}?{query}"),
            (None, Some(_)) => path.to_owned(),
            (None, None) => "/".to_owned(),
        };
        let one = |passage: &Passage| {
            let id = passage.api.provider().as_str();
            let paths: Vec<String> = passage.paths.iter().map(ToString::to_string).collect();
            json!({ "id": id, "chosen": id == here, "methods": passage.methods, "paths": paths })
        };
        let (status, answer, refused) = match shown {
            None => (200, None, None),
            // The page itself is there, whatever the API said.
            Some(Ok(shown)) => {
                (200, Some(json!({ "status": shown.status, "json": shown.json.as_deref().map(formatted) })), None)
            }
            Some(Err(refused)) => {
                (refused.status, None, Some(json!({ "title": refused.title, "detail": refused.detail })))
            }
        };
        let ui = std::sync::Arc::clone(&self.checker.snapshot().ui);
        let language = ui.language(visit.accept_language());
        let admin = self.base.strip_suffix("/idp").unwrap_or_default();
        let values = json!({
            "nav": navigation(language, admin, true, "/idp"),
            "notice": null,
            "base": self.base,
            "path": written,
            "providers": self.passages.iter().map(one).collect::<Vec<_>>(),
            "answer": answer,
            "refused": refused,
        });
        let rendered = ui.page(PageView {
            template: "idp.html",
            language,
            title: Text::of("passage.title"),
            sign: "",
            home: admin.strip_suffix("admin").unwrap_or_default(),
            reference: (status >= 400).then(|| visit.request_id()),
            values,
            form: Form::Own(&[]),
        });
        if let Some(error) = rendered.fault {
            tracing::error!(request_id = visit.request_id(), template = "idp.html", error = %error, "a template does not work");
        }
        let mut headers = vec![
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            ("x-frame-options", "DENY".to_owned()),
        ];
        headers.extend(rendered.headers);
        Page { status, headers, body: rendered.body }
    }

    /// Where the path that somebody wrote into the box is, on this origin.
    fn onward(&self, written: &str, provider: Option<&str>) -> Option<String> {
        let provider =
            self.passages.iter().map(|passage| passage.api.provider().as_str()).find(|id| Some(*id) == provider)?;
        let written = written.trim();
        let written = if written.starts_with('/') { written.to_owned() } else { format!("/{written}") };
        let path = CanonicalPath::parse(written.as_bytes()).ok().filter(|path| path.encoded().refusal().is_none())?;
        let query = written.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        let is_plain = |byte: u8| {
            byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'^' | b'\\')
        };
        let target = format!("{}{query}", path.as_str());
        let encoded = target
            .bytes()
            .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
        Some(format!("{}/~{provider}{}", self.base, encoded.collect::<String>()))
    }
}

/// JSON in order, cut where it is too long to read.
fn formatted(text: &str) -> String {
    let ordered = serde_json::from_str::<Value>(text).and_then(|value| serde_json::to_string_pretty(&value));
    let mut ordered = ordered.unwrap_or_else(|_| text.to_owned());
    if ordered.len() > MAX_SHOWN {
        let cut = (0..=MAX_SHOWN).rev().find(|place| ordered.is_char_boundary(*place)).unwrap_or(0);
        ordered.truncate(cut);
        ordered.push_str("\n…");
    }
    ordered
}
