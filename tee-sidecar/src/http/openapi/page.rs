//! The document for people: one page, no scripts, nothing from elsewhere.

use std::fmt::{Display, Formatter, Result};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker_core::Digest32;
use serde_json::{Map, Value};

/// What the page may load: nothing but its own style, told by its hash.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Digest32::sha256(STYLE.as_bytes()).0);
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// The page of a document.
pub(super) fn html(document: &Value) -> String {
    Page(document).to_string()
}

struct Page<'a>(&'a Value);

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let info = &self.0["info"];
        let (title, version) = (Text(&info["title"]), Text(&info["version"]));
        write!(f, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")?;
        write!(f, "<meta name=\"viewport\" content=\"width=device-width\">")?;
        write!(f, "<title>{title} {version}</title><style>{STYLE}</style></head><body>")?;
        write!(f, "<h1>{title} {version}</h1><p>{}</p>", Text(&info["summary"]))?;
        write!(f, "<p>{}</p>", Text(&info["description"]))?;
        write!(f, "<p>For programs: <a href=\"/openapi.json\">/openapi.json</a></p>")?;
        for tag in list(&self.0["tags"]) {
            let name = &tag["name"];
            write!(f, "<h2>{}</h2><p>{}</p>", Text(name), Text(&tag["description"]))?;
            for (path, methods) in members(&self.0["paths"]) {
                for (method, operation) in members(methods) {
                    if at(operation, "/tags/0") == name {
                        write_operation(f, self.0, method, path, operation)?;
                    }
                }
            }
        }
        write!(f, "<h2>Who may ask</h2><dl>")?;
        for (name, scheme) in members(at(self.0, "/components/securitySchemes")) {
            write!(f, "<dt>{}</dt><dd>{}</dd>", Raw(name), Text(&scheme["description"]))?;
        }
        write!(f, "</dl><h2>Headers of answers</h2><dl>")?;
        for (name, header) in members(at(self.0, "/components/headers")) {
            write!(f, "<dt>{}</dt><dd>{}</dd>", Raw(name), Text(&header["description"]))?;
        }
        write!(f, "</dl><h2>Shapes</h2>")?;
        for (name, schema) in members(at(self.0, "/components/schemas")) {
            write!(f, "<details id=\"shape-{0}\"><summary>{0}</summary>", Raw(name))?;
            write!(f, "<pre>{}</pre></details>", Raw(&format!("{schema:#}")))?;
        }
        writeln!(f, "</body></html>")
    }
}

fn write_operation(
    f: &mut Formatter<'_>,
    document: &Value,
    method: &str,
    path: &str,
    told: &Value,
) -> Result {
    let method = method.to_ascii_uppercase();
    write!(f, "<details><summary><code>{method} {}</code> ", Raw(path))?;
    write!(f, "{}</summary><p>{}</p>", Text(&told["summary"]), Text(&told["description"]))?;
    let schemes = list(&told["security"]).iter().flat_map(members).map(|(name, _)| name.as_str());
    let schemes: Vec<_> = schemes.collect();
    if !schemes.is_empty() {
        write!(f, "<p>Who asks: {}</p>", Raw(&schemes.join(" or ")))?;
    }
    let parameters = list(&told["parameters"]);
    if !parameters.is_empty() {
        write!(f, "<table><tr><th>parameter<th>in<th></tr>")?;
        for one in parameters {
            let (name, place) = (Text(&one["name"]), Text(&one["in"]));
            write!(f, "<tr><td>{name}<td>{place}<td>{}</tr>", Text(&one["description"]))?;
        }
        write!(f, "</table>")?;
    }
    for (media, body) in members(at(told, "/requestBody/content")) {
        let schema = Raw(&format!("{:#}", body["schema"])).to_string();
        write!(f, "<p>Takes {}</p><pre>{schema}</pre>", Raw(media))?;
    }
    write!(f, "<table><tr><th>status<th>body<th></tr>")?;
    for (status, answer) in members(&told["responses"]) {
        let shared = answer["$ref"].as_str().and_then(|at| document.pointer(at.get(1..)?));
        let answer = shared.unwrap_or(answer);
        write!(f, "<tr><td>{}<td>", Raw(status))?;
        for (media, body) in members(&answer["content"]) {
            write!(f, "{} ", Raw(media))?;
            let name = at(body, "/schema/$ref").as_str().and_then(|at| at.rsplit('/').next());
            if let Some(name) = name {
                write!(f, "<a href=\"#shape-{0}\">{0}</a> ", Raw(name))?;
            }
        }
        write!(f, "<td>{}</tr>", Text(&answer["description"]))?;
    }
    write!(f, "</table></details>")
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// A text of the document.
struct Text<'a>(&'a Value);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Raw(self.0.as_str().unwrap_or_default()).fmt(f)
    }
}

/// A text that may hold signs of HTML's.
struct Raw<'a>(&'a str);

impl Display for Raw<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for sign in self.0.chars() {
            match sign {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;\
padding:0 1rem;color:#222;background:#fff}code,pre{font:14px/1.4 ui-monospace,monospace}\
pre{overflow:auto;background:#f4f4f4;padding:.5rem}details{border-top:1px solid #ddd;\
padding:.3rem 0}summary{cursor:pointer}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;vertical-align:top;border-top:1px solid #eee;padding:.2rem .5rem .2rem 0;\
overflow-wrap:anywhere}dt{font-weight:bold}";
