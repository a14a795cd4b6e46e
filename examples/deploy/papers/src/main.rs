//! `papers --metadata FILE --linked FILE --lock FILE --date TIME --to FOLDER`: writes
//! `sbom.cdx.json` and `THIRD-PARTY-NOTICES.txt`. `.ci/package` calls it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use papers::{Linked, notices, sbom};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("papers: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let given: BTreeMap<&str, &str> = given
        .chunks(2)
        .filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str())))
        .collect();
    let flag = |name: &str| given.get(name).copied().ok_or_else(|| format!("{name} is needed"));
    let read = |name: &str| {
        let path = flag(name)?;
        fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
    };
    let linked = Linked::new(&read("--metadata")?, &read("--linked")?, &read("--lock")?)?;
    let bill = sbom::bill(&linked, flag("--date")?)?;
    let folder = Path::new(flag("--to")?);
    write(folder, "sbom.cdx.json", &format!("{bill:#}\n"))?;
    write(folder, "THIRD-PARTY-NOTICES.txt", &notices::text(&linked)?)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}
