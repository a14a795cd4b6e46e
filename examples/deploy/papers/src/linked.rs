//! The packages of a program, from what cargo tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Bundled;

/// The packages that are linked into a program.
pub struct Linked {
    /// The program's own package.
    pub program: Package,
    /// All others, by name and version.
    pub packages: Vec<Package>,
    needs: BTreeMap<String, BTreeSet<String>>,
    checksums: BTreeMap<(String, String), String>,
}

/// A package, as `cargo metadata` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, with what stands behind a `+`.
    pub version: String,
    /// What a line in the sources says of it.
    pub description: Option<String>,
    /// Who wrote it, as far as it says so.
    #[serde(default)]
    pub authors: Vec<String>,
    /// Where its history is.
    pub repository: Option<String>,
    license: Option<String>,
    license_file: Option<String>,
    source: Option<String>,
    links: Option<String>,
    id: String,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

impl Linked {
    /// From `cargo metadata`, the lines `name vVERSION …` of `cargo tree`, the program's first, and
    /// the lock file.
    ///
    /// # Errors
    /// What does not fit together; or a package with native code of which nothing is known here.
    pub fn new(metadata: &str, tree: &str, lock: &str) -> Result<Self, String> {
        let metadata: Metadata =
            serde_json::from_str(metadata).map_err(|error| format!("cargo metadata: {error}"))?;
        let known: BTreeMap<_, _> = metadata
            .packages
            .into_iter()
            .map(|package| ((package.name.clone(), package.version.clone()), package))
            .collect();
        let named = |line: &str| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap_or_default();
            let version = words.next().and_then(|word| word.strip_prefix('v')).unwrap_or_default();
            let found = known.get(&(name.to_owned(), version.to_owned())).cloned();
            found.ok_or_else(|| format!("cargo tree names {line:?}, which cargo metadata lacks"))
        };
        let mut lines = tree.lines().filter(|line| !line.trim().is_empty());
        let program = named(lines.next().ok_or("cargo tree names no package")?)?;
        let lines: BTreeSet<&str> = lines.collect();
        let found = lines.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
        let packages: BTreeMap<_, _> = found
            .into_iter()
            .filter(|package| package.id != program.id)
            .map(|package| ((package.name.clone(), package.version.clone()), package))
            .collect();
        let nodes = metadata.resolve.nodes.into_iter();
        let needs = nodes.map(|node| (node.id, node.dependencies.into_iter().collect())).collect();
        let checksums = checksums(lock);
        let linked = Self { program, packages: packages.into_values().collect(), needs, checksums };
        linked.packages.iter().try_for_each(|package| Bundled::of(package).map(drop))?;
        Ok(linked)
    }

    /// What a package needs of those that are linked in.
    pub fn needs_of(&self, package: &Package) -> Vec<&Package> {
        let Some(needs) = self.needs.get(&package.id) else { return Vec::new() };
        self.packages.iter().filter(|other| needs.contains(&other.id)).collect()
    }

    /// SHA-256 of the archive that a package came in, in hex; `None` for the workspace's own.
    pub fn checksum(&self, package: &Package) -> Option<&str> {
        let key = (package.name.clone(), package.version.clone());
        self.checksums.get(&key).map(String::as_str)
    }
}

impl Package {
    /// Whether it comes from a registry, and is not of this workspace.
    pub const fn is_foreign(&self) -> bool {
        self.source.is_some()
    }

    /// Its licence as an SPDX expression.
    ///
    /// # Errors
    /// It names none.
    pub fn licence(&self) -> Result<String, String> {
        let given = self.license.as_deref().ok_or_else(|| {
            let file = self.license_file.as_deref().unwrap_or("none");
            format!("{} {} names no licence (its file: {file})", self.name, self.version)
        })?;
        // An old way to write `OR`.
        Ok(given.split('/').map(str::trim).collect::<Vec<_>>().join(" OR "))
    }

    /// The native library that it says it links.
    pub fn links(&self) -> Option<&str> {
        self.links.as_deref()
    }

    /// The folder with its sources.
    pub fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new(""))
    }
}

/// The checksums of a lock file, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.strip_prefix(" = ")?.trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) =
            (field("name"), field("version"), field("checksum"))
        {
            found.insert((name, version), sum);
        }
    }
    found
}
