//! The document against the golden file, and against what it was made of.

use std::path::PathBuf;

use super::*;

/// `RENEW=1` writes the file anew: `make openapi`.
#[test]
fn the_document_in_the_tree_is_the_one_of_the_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/openapi.json");
    let text = format!("{:#}\n", View::all().document());
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "fixtures/openapi.json is not what the code says: run `make openapi`");
}
