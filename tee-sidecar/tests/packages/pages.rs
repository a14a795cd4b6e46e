//! The manual and the completions, read by the programs that they are for.

use std::fs;
use std::process::Command;

use super::support::{has, shown};
use super::tarball::unpacked;

#[test]
fn man_formats_every_page_without_a_warning() {
    let Some(folder) = unpacked() else { return };
    if !has(&["man", "groff"]) {
        return;
    }
    let pages = fs::read_dir(folder.path().join("provider-broker/man")).unwrap();
    let pages: Vec<_> = pages.map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 10, "{pages:?}");
    for page in pages {
        let man = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-P", "cat", "-l"])
            .arg(&page)
            .envs([("MANWIDTH", "100"), ("LC_ALL", "C.UTF-8"), ("MANROFFSEQ", "")])
            .output()
            .unwrap();
        assert!(man.status.success() && man.stderr.is_empty(), "{}", shown(&man));
        assert!(man.stdout.len() > 200, "{}", page.display());
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let Some(folder) = unpacked() else { return };
    let file = folder.path().join("provider-broker/completions/tee-sidecar.bash");
    for (words, wanted) in [
        (vec!["tee-sidecar", "che"], "check-config"),
        (vec!["tee-sidecar", "ledger", "au"], "audit"),
        (vec!["tee-sidecar", "ledger", "audit", "--re"], "--report"),
    ] {
        let last = words.len() - 1;
        let script = format!(
            "source \"$0\"; COMP_WORDS=({}); COMP_CWORD={last}; \
             $(complete -p tee-sidecar | grep -o -- '-F [^ ]*' | cut -d ' ' -f 2) tee-sidecar \
             \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{}]}}\"; echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            last - 1
        );
        let bash = Command::new("bash").args(["-c", &script]).arg(&file).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), wanted, "{}", shown(&bash));
    }
}
