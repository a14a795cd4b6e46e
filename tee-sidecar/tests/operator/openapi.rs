//! The OpenAPI document against the server, in both directions.

use serde_json::Value;
use tee_sidecar::http::openapi::View;
use tee_sidecar::route::Route;

use super::support::{Response, Sidecar, ask, chain, engine};

/// A sidecar on the network that serves every route.
fn sidecar(folder: &std::path::Path) -> Sidecar {
    Sidecar::start(folder, &chain(), engine("e", "tiny"), |settings| {
        settings.service.routes = Route::ALL.to_vec();
    })
}

fn get(addr: std::net::SocketAddr, path: &str) -> Response {
    ask(addr, "GET", path, &[], "")
}

/// Each method at each path, with parameters that name nothing.
fn operations(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let filled = path.split('/').map(|s| if s.starts_with('{') { "x" } else { s });
        let path = filled.collect::<Vec<_>>().join("/");
        methods.as_object().unwrap().keys().map(move |m| (m.to_ascii_uppercase(), path.clone()))
    });
    operations.collect()
}

/// Nothing is there: the router's answer, on both listeners, in either shape.
fn is_unknown(answer: &Response) -> bool {
    ["there is no such route", "endpoint not supported"].iter().any(|t| answer.body.contains(t))
}

#[test]
fn what_is_documented_is_served_and_what_is_not_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(folder.path());
    let mut counts = Vec::new();
    for addr in [sidecar.public, sidecar.admin] {
        let document = get(addr, "/openapi.json").json();
        let operations = operations(&document);
        for (method, path) in &operations {
            let answer = ask(addr, method, path, &[], "");
            assert!(!is_unknown(&answer) && answer.status != 405, "{method} {path}: {answer:?}");
        }
        // What one path takes, another method is told of.
        for (_, path) in &operations {
            let answer = ask(addr, "PATCH", path, &[], "");
            assert_eq!(answer.status, 405, "{path}: {answer:?}");
        }
        counts.push(operations.len());
    }
    assert!(counts[0] > 40 && counts[1] > counts[0] + 10, "{counts:?}");
}

#[test]
fn the_document_tells_of_what_is_served_here_and_of_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let whole = View::all().document();
    let everything = sidecar(folder.path());
    assert_eq!(get(everything.admin, "/openapi.json").json(), whole);
    let public = get(everything.public, "/openapi.json").json();
    for operators in ["/v1/service", "/v1/settle", "/metrics"] {
        assert!(whole["paths"].get(operators).is_some(), "{operators}");
        assert_eq!(public["paths"].get(operators), None, "{operators}");
    }
    drop(everything);
    let folder = tempfile::tempdir().unwrap();
    let few = Sidecar::start(folder.path(), &chain(), engine("e", "tiny"), |_| {});
    let document = get(few.public, "/openapi.json").json();
    for route in Route::ALL {
        let is_told = document["paths"].get(route.path()).is_some();
        assert_eq!(is_told, route == Route::Chat, "{route:?}");
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_names_every_path() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(folder.path());
    let page = get(sidecar.admin, "/docs");
    assert_eq!(page.status, 200);
    let head = page.head.to_ascii_lowercase();
    assert!(head.contains("content-type: text/html; charset=utf-8"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"));
    for foreign in ["<script", "src=", "http://", "https://", "onclick", "@import", "url("] {
        assert!(!page.body.contains(foreign), "{foreign}");
    }
    for path in View::all().document()["paths"].as_object().unwrap().keys() {
        assert!(page.body.contains(&format!(" {path}</code>")), "{path}");
    }
}

// A route beside the tables would be served and not told of.
#[test]
fn routes_are_registered_from_tables_only() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut found = Vec::new();
    let mut folders = vec![folder.clone()];
    let mut files = vec![folder.with_extension("rs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        for way in ["web::resource(", "web::scope(", "config.service(", "#[get", "#[post"] {
            let times = text.matches(way).count();
            if times > 0 {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                found.push((name, way, times));
            }
        }
    }
    found.sort_unstable();
    // The inference routes' own loop, and the two that go over the tables.
    let known = [
        ("http.rs", "config.service(", 2),
        ("http.rs", "web::resource(", 1),
        ("operator.rs", "config.service(", 1),
        ("table.rs", "web::resource(", 1),
    ];
    assert_eq!(found, known.map(|(name, way, times)| (name.to_owned(), way, times)));
}
