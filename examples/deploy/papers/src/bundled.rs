//! Native code that packages bring along and compile in. A scanner that knows cargo's packages only
//! would not see it.

use std::fs;
use std::path::PathBuf;

use crate::Package;

/// A native library inside a package.
pub struct Bundled {
    /// What it is called.
    pub name: &'static str,
    /// Its version, or the commit it was taken from.
    pub version: String,
    /// Its licence, as an SPDX expression.
    pub licence: &'static str,
    /// The text of its licence; public domain has none.
    pub licence_file: Option<PathBuf>,
}

impl Bundled {
    /// What a package brings along, if anything.
    ///
    /// # Errors
    /// The package links something that is not known here, or is not laid out as it was.
    pub fn of(package: &Package) -> Result<Option<Self>, String> {
        let Some(links) = package.links() else { return Ok(None) };
        let folder = package.folder();
        let read = |path: &str| {
            let path = folder.join(path);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let bundled = match package.name.as_str() {
            "libsqlite3-sys" => {
                let header = read("sqlite3/sqlite3.h")?;
                let line = header.lines().find_map(|line| {
                    line.strip_prefix("#define SQLITE_VERSION ").map(|rest| rest.trim())
                });
                let version = line.map(|version| version.trim_matches('"').to_owned());
                let version = version.ok_or("SQLite's header names no version")?;
                let licence = "blessing";
                Self { name: "sqlite", version, licence, licence_file: None }
            }
            "zstd-sys" => {
                let version = package.version.split_once("+zstd.").map(|(_, zstd)| zstd.to_owned());
                let version = version.ok_or("zstd-sys names no version of zstd")?;
                let file = Some(folder.join("zstd/LICENSE"));
                Self { name: "zstd", version, licence: "BSD-3-Clause", licence_file: file }
            }
            "secp256k1-sys" => {
                let commit = read("depend/secp256k1-HEAD-revision.txt")?;
                let version = commit
                    .lines()
                    .map(str::trim)
                    .find(|line| line.len() >= 40 && line.bytes().all(|b| b.is_ascii_hexdigit()));
                let version = version.ok_or("secp256k1-sys names no commit")?.to_owned();
                let file = Some(folder.join("depend/secp256k1/COPYING"));
                Self { name: "libsecp256k1", version, licence: "MIT", licence_file: file }
            }
            "libmimalloc-sys" => {
                // Two are in the package; tee-sidecar's manifest chooses the second version.
                let header = read("c_src/mimalloc/v2/include/mimalloc.h")?;
                let number = header.lines().find_map(|line| {
                    let rest = line.strip_prefix("#define MI_MALLOC_VERSION ")?;
                    rest.split_whitespace().next()?.parse::<u32>().ok()
                });
                // The major number, and two digits each of the others.
                let number = number.ok_or("mimalloc's header names no version")?;
                let (major, minor, patch) = (number / 10_000, number / 100 % 100, number % 100);
                let version = format!("{major}.{minor}.{patch}");
                let file = Some(folder.join("c_src/mimalloc/v2/LICENSE"));
                Self { name: "libmimalloc", version, licence: "MIT", licence_file: file }
            }
            // Its own code and BoringSSL's, under the licences that the package itself names; a
            // mere lock against two versions; and nothing native at all.
            "ring" | "rayon-core" | "prettyplease" => return Ok(None),
            name => {
                return Err(format!(
                    "{name} links native code ({links}): say in papers/src/bundled.rs what it is"
                ));
            }
        };
        Ok(Some(bundled))
    }
}
