//! Counts the instructions of each part of an exchange with callgrind and compares them with stored
//! figures. Started by `.ci/instructions`, which builds it as the figures need it.
//!
//! ```text
//! instructions check FIGURES FOLDER COMPILER…   compares; callgrind's files stay there
//! instructions renew FIGURES FOLDER COMPILER…   writes the figures anew
//! instructions run PART TIMES                   what callgrind looks at
//! ```
//!
//! It ends with 0, with 1 where a figure is not what is stored, with 2 where nothing was counted.
#![forbid(unsafe_code)]

mod counting;
mod figures;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use exchange_parts::{WORKS, Work};
use figures::Figures;

const USAGE: &str = "usage: instructions check|renew FIGURES FOLDER COMPILER…, or run PART TIMES";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["run", part, times] => run(part, times).map(|()| true),
        ["check", figures, folder, compilers @ ..] => check(figures, folder, compilers),
        ["renew", figures, folder, compilers @ ..] => renew(figures, folder, compilers),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(part: &str, times: &str) -> Result<(), String> {
    let work = Work::named(part).ok_or_else(|| format!("there is no part '{part}'"))?;
    let times = times.parse().map_err(|_| format!("'{times}' is no number of times"))?;
    work.run(times);
    Ok(())
}

/// Says how each part stands; false where one has moved.
fn check(path: &str, folder: &str, compilers: &[&str]) -> Result<bool, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let stored = Figures::parse(&text).map_err(|error| format!("{path}: {error}"))?;
    let counted = count(folder, compilers)?;
    let moved = stored.moved(&counted);
    print!("{}", stored.table(&counted));
    if moved.is_empty() {
        return Ok(true);
    }
    println!();
    moved.iter().for_each(|line| println!("{line}"));
    println!("{}", stored.advice(&counted, folder));
    Ok(false)
}

fn renew(path: &str, folder: &str, compilers: &[&str]) -> Result<bool, String> {
    let counted = count(folder, compilers)?;
    if let Ok(stored) = std::fs::read_to_string(path)
        .map_err(drop)
        .and_then(|text| Figures::parse(&text).map_err(drop))
    {
        print!("{}", stored.table(&counted));
    }
    let units = WORKS.iter().map(|work| (work.name, work.unit));
    std::fs::write(path, counted.text(units)).map_err(|error| format!("{path}: {error}"))?;
    println!("{path} is written; look at it before you commit it");
    Ok(true)
}

fn count(folder: &str, compilers: &[&str]) -> Result<Figures, String> {
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let of = |work: &Work| Ok((work.name.to_owned(), each(work, &program, &folder)?));
    let counts = WORKS.iter().map(of).collect::<Result<_, String>>()?;
    Ok(Figures { compilers: compilers.iter().map(|&one| one.to_owned()).collect(), counts })
}

/// Instructions of one unit: what a run of many needs beyond a run of one. The start, the making of
/// the input and the filling of caches are in both.
fn each(work: &Work, program: &Path, folder: &Path) -> Result<u64, String> {
    let one = counting::instructions(program, work.name, 0, folder)?;
    let many = counting::instructions(program, work.name, work.times, folder)?;
    match many.checked_sub(one) {
        Some(beyond) if beyond > 0 => Ok(beyond / u64::from(work.times)),
        _ => Err(format!("{}: more work took no more instructions: {many}, {one}", work.name)),
    }
}
