//! One run under callgrind.

use std::path::Path;
use std::process::Command;

/// The instructions of a whole run of `program run PART TIMES`. Callgrind's file of it stays in the
/// folder, for `callgrind_annotate`.
///
/// # Errors
/// There is no valgrind, the run fails, or its file tells no total.
pub(crate) fn instructions(
    program: &Path,
    part: &str,
    times: u32,
    folder: &Path,
) -> Result<u64, String> {
    let path = folder.join(format!("{part}.{times}.callgrind"));
    let ran = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", path.display()))
        .arg(program)
        .args(["run", part, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be started: {error}"))?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        return Err(format!("{part} failed under valgrind ({}):\n{said}", ran.status));
    }
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    total(&text).ok_or_else(|| format!("{} tells no total", path.display()))
}

/// What a file of callgrind's says of the whole run.
fn total(text: &str) -> Option<u64> {
    let mut lines = text.lines().rev();
    lines.find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_total_is_read_and_nothing_else_is() {
        let file = "version: 1\nevents: Ir\nsummary: 17\n\nfn=(1) main\n1 5\n\ntotals: 18\n";
        assert_eq!(total(file), Some(18));
        for broken in ["", "summary: 17\n", "totals: \n", "totals: 5 6\n"] {
            assert_eq!(total(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_part_that_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let failed = instructions(Path::new("false"), "none", 1, folder.path());
        // With valgrind the program fails, without it nothing starts.
        assert!(failed.is_err(), "{failed:?}");
    }
}
