//! `completions` and `manual`: what a package ships beside the program, made from the command line
//! itself, so that neither can say anything else.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Exit};

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Exit {
    let text = completions_text(shell);
    ended(io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()))
}

fn completions_text(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut shown(), NAME, &mut text);
    // clap_complete 4.6 spells a program with a hyphen in two ways in its functions for bash, so
    // that commands within commands would be completed by nothing.
    String::from_utf8_lossy(&text).replace("tee__subcmd__sidecar", "tee__sidecar")
}

/// Writes a manual page for the program and one for each command into a folder, which is made when
/// it is not there.
pub fn manual(folder: &Path) -> Exit {
    ended(write_manual(folder))
}

fn write_manual(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut command = shown();
    command.build();
    clap_mangen::generate_to(command.clone(), folder)?;
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    page.extend_from_slice(REST_OF_THE_PAGE.as_bytes());
    fs::write(folder.join(format!("{NAME}.1")), page)
}

/// The command line without what only packaging asks for.
fn shown() -> Command {
    let whole = Cli::command();
    let shown = Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(whole.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .args(whole.get_arguments().cloned());
    shown.subcommands(whole.get_subcommands().filter(|one| !one.is_hide_set()).cloned())
}

fn ended(written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("tee-sidecar: it cannot be written: {error}");
            Exit::Failed
        }
    }
}

const NAME: &str = "tee-sidecar";

/// What the command line does not know of itself, in roff.
const REST_OF_THE_PAGE: &str = r#".SH "EXIT STATUS"
Of every command:
.TP
\fB0\fR
done, or proved
.TP
\fB1\fR
failed at run time
.TP
\fB10\fR
refuted: something that was presented is wrong, expired or forbidden
.TP
\fB20\fR
something required is missing or cannot be reached
.TP
\fB30\fR
the input is malformed, or the ledger is none or corrupt
.TP
\fB64\fR
wrong usage or configuration
.SH ENVIRONMENT
Every key of the configuration can be set as
.BR SIDECAR__ ,
then its path in upper case with two underscores between its parts:
.B SIDECAR__SERVER__LISTEN
is
.IR server.listen .
A value of the environment goes before one of the file.
.SH FILES
.TP
.I /etc/tee\-sidecar/config.yaml
the configuration of the Debian package; its comments say what each key means
.TP
.I /var/lib/tee\-sidecar/data/ledger.db
the ledger, where
.I ledger.url
says nothing else. It is what the host is owed: keep it.
.SH SIGNALS
.TP
SIGTERM, SIGINT
stop the sidecar: running answers have
.I server.drainSecs
to end, then they are closed with a receipt that says so. A second one ends the wait.
.TP
SIGHUP
reads the configuration anew. What can change while it runs does; the rest is named in the log and
waits for a restart, and a wrong configuration changes nothing.
"#;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_but_the_hidden_ones_has_a_page_and_only_it() {
        let folder = tempfile::tempdir().unwrap();
        write_manual(folder.path()).unwrap();
        let written = fs::read_dir(folder.path()).unwrap();
        let written: BTreeSet<_> =
            written.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut wanted = BTreeSet::new();
        pages_of(&Cli::command(), "tee-sidecar", &mut wanted);
        assert_eq!(written, wanted);
        assert!(wanted.contains("tee-sidecar-ledger-audit.1"), "{wanted:?}");
        assert!(!wanted.contains("tee-sidecar-manual.1"), "{wanted:?}");
    }

    fn pages_of(command: &Command, name: &str, pages: &mut BTreeSet<String>) {
        pages.insert(format!("{name}.1"));
        for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
            pages_of(one, &format!("{name}-{}", one.get_name()), pages);
        }
    }

    #[test]
    fn the_page_names_every_exit_code_and_ends_as_the_program_does() {
        for exit in
            [Exit::Done, Exit::Failed, Exit::Refuted, Exit::Missing, Exit::Malformed, Exit::Usage]
        {
            let line = format!("\n\\fB{}\\fR\n", exit as u8);
            assert_eq!(REST_OF_THE_PAGE.matches(&line).count(), 1, "{exit:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        write_manual(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("tee-sidecar.1")).unwrap();
        assert!(page.ends_with(REST_OF_THE_PAGE), "{page}");
        assert!(page.contains("check\\-config"), "{page}");
        assert!(!page.contains("completions"), "{page}");
    }

    #[test]
    fn completions_know_every_command_and_no_hidden_one() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = completions_text(shell);
            for word in ["serve", "check-config", "ledger", "audit", "migrate", "verify"] {
                assert!(text.contains(word), "{shell}: {word}");
            }
            for word in ["completions", "manual"] {
                assert!(!text.contains(word), "{shell}: {word}");
            }
        }
    }
}
