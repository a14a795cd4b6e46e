//! The house style, as far as a machine can check it, for every Rust file of the workspace.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

const FOLDERS: [&str; 3] = ["broker-core", "tee-sidecar", "examples"];
const FILE_LINES_MAX: usize = 400;
const LINE_COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn every_file_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files: Vec<_> = FOLDERS.iter().flat_map(|folder| rust_files(&root.join(folder))).collect();
    assert!(files.len() > 10, "the sources were not found");
    let mut faults = Vec::new();
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(root).unwrap_or(path).display();
        faults.extend(faults_of(path, &text).into_iter().map(|fault| format!("{name}{fault}")));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn an_untidy_file_is_noticed() {
    let long_function = format!("fn long() {{\n{}}}\n", "    work();\n".repeat(70));
    let long_line = "x".repeat(101);
    let long_file = "\n".repeat(401);
    for (name, text) in [
        ("a.rs", long_function.as_str()),
        ("a.rs", long_line.as_str()),
        ("a.rs", long_file.as_str()),
        ("mod.rs", ""),
    ] {
        assert_eq!(faults_of(Path::new(name), text).len(), 1, "{name} {:?}", text.lines().next());
    }
    let fine = format!("fn fine() {{\n{}}}\n", "    work();\n".repeat(68));
    assert_eq!(faults_of(Path::new("a.rs"), &fine), Vec::<String>::new());
}

fn faults_of(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        faults.push(": name the file after its module (`foo.rs` beside `foo/`)".to_owned());
    }
    if lines.len() > FILE_LINES_MAX {
        let count = lines.len();
        faults.push(format!(": {count} lines; split the file below {FILE_LINES_MAX}"));
    }
    for (number, line) in (1..).zip(&lines) {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            faults.push(format!(":{number}: {columns} columns; wrap at {LINE_COLUMNS_MAX}"));
        }
    }
    for (number, length) in long_functions(&lines) {
        faults.push(format!(
            ":{number}: a function of {length} lines; name its parts and split it below \
             {FUNCTION_LINES_MAX}"
        ));
    }
    faults
}

/// Where functions above the limit begin, and their lengths. rustfmt closes a function with a brace
/// at the column of the line it began on, so no parser is needed.
fn long_functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        if !begins_function(code) {
            continue;
        }
        let indent = line.len().saturating_sub(code.len());
        let closing = format!("{}}}", " ".repeat(indent));
        let declared = format!("{})", " ".repeat(indent));
        let is_last = |line: &&&str| {
            line.starts_with(&closing) || line.starts_with(&declared) && line.ends_with(';')
        };
        let end = lines.iter().skip(start).take_while(|line| !is_last(line));
        let length = end.count().saturating_add(1);
        let in_one_line = code.ends_with('}') || code.ends_with(';');
        if !in_one_line && length > FUNCTION_LINES_MAX {
            found.push((start.saturating_add(1), length));
        }
    }
    found
}

fn begins_function(code: &str) -> bool {
    let mut words = code.split_whitespace().take_while(|word| !word.starts_with("//"));
    let qualifiers = ["const", "async", "unsafe", "extern", "default"];
    words.find(|word| !word.starts_with("pub") && !qualifiers.contains(word)) == Some("fn")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
