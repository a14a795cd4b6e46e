//! The notices of third parties: who wrote what is in a program, and under which words.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Bundled, Linked};

/// All packages with their licences, then each licence text once, with those it is of.
///
/// # Errors
/// A package has no licence, or a file of it cannot be read.
pub fn text(linked: &Linked) -> Result<String, String> {
    let mut list = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked.packages.iter().filter(|package| package.is_foreign()) {
        let name = format!("{} {}", package.name, package.version);
        let mut files = licence_files(package.folder())?;
        list.push_str(&format!("{name}: {}", package.licence()?));
        if let Some(repository) = &package.repository {
            list.push_str(&format!(", {repository}"));
        }
        if files.is_empty() {
            let authors = package.authors.join(", ");
            list.push_str(&format!(" (brings no text along; by {authors})"));
        }
        list.push('\n');
        if let Some(bundled) = Bundled::of(package)? {
            let Bundled { name, version, licence, licence_file } = bundled;
            list.push_str(&format!("  in it {name} {version}: {licence}\n"));
            files.extend(licence_file);
        }
        for file in files {
            let text = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let text = String::from_utf8_lossy(&text).replace("\r\n", "\n");
            let of = texts.entry(text.trim().to_owned()).or_default();
            if !of.contains(&name) {
                of.push(name.clone());
            }
        }
    }
    let program = format!("{} {}", linked.program.name, linked.program.version);
    let mut notices = format!(
        "Notices of third parties\n\n{program} contains these packages; their sources are on \
         crates.io.\n\n{list}"
    );
    for (text, of) in texts {
        notices.push_str(&format!("\n{}\n{}\n\n{text}\n", "=".repeat(79), of.join(", ")));
    }
    Ok(notices)
}

/// The files at a package's top that hold a licence or a notice, by name.
fn licence_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(told)? {
        let entry = entry.map_err(told)?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let is_text = BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
        if is_text && entry.path().is_file() && !name.ends_with(".rs") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

const BEGINNINGS: [&str; 6] = ["license", "licence", "copying", "copyright", "notice", "unlicense"];
