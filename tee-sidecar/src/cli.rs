//! The command line: what can be asked for, and how the program ends.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Settings, environment};

pub mod archive;
pub mod check_config;
pub mod ledger;
pub mod migrate;
pub mod pages;
pub mod serve;
pub mod settle;
pub mod verify;

/// Signs, meters and attests the answers of a model server in a confidential VM.
#[derive(Debug, Parser)]
#[command(name = "tee-sidecar", version)]
pub struct Cli {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration, in YAML; without it the defaults. SIDECAR__… variables override keys.
    #[arg(long = "config", value_name = "FILE", global = true)]
    file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Subcommand)]
enum Command {
    /// Run the sidecar (the default command).
    #[default]
    Serve,
    /// Check the configuration and print what is in force, without secrets.
    CheckConfig,
    /// The operator's view of the money.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Prove a server's evidence, or an answer that it signed, trusting nobody.
    Verify(Box<verify::VerifyArgs>),
    /// Print the completions for a shell; for packages.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages into a folder; for packages.
    #[command(hide = true)]
    Manual {
        /// The folder.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum LedgerCommand {
    /// Print what each account holds, owes and has left.
    Status,
    /// Recompute the ledger from its entries and name the first wrong row; changes nothing.
    Audit {
        /// A saved attestation report: the ledger must go on from the end that it shows. Whether
        /// the report itself holds is for `verify report FILE` to say.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// Audit archives instead, in order and from the first one on; a folder stands for all
        /// that are in it. Needs no ledger; `--report` holds the archives to a report.
        #[arg(long, value_name = "FILE", num_args = 1..)]
        archive: Vec<PathBuf>,
    },
    /// Move a ledger in a file into an empty PostgreSQL database, and compare both sides. No
    /// sidecar may be running on either.
    Migrate(migrate::MigrateArgs),
    /// Write the ledger's journal into an archive (JSON Lines, zstd); the ledger stays as it is.
    Archive {
        /// The archive, which must not exist.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Begin behind this entry, the last of the archive before.
        #[arg(long, value_name = "ENTRY", default_value_t = 0)]
        behind: u64,
    },
    /// Copy a ledger in a file, as of one moment and while a sidecar runs, into a new file that a
    /// start can go on from. A PostgreSQL ledger is backed up by pg_dump.
    Backup {
        /// The copy, which must not exist.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Ask the running sidecar to collect what is owed, now.
    Settle {
        /// Print who is due and why, the gas and what is left of it; change and send nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Cli {
    /// Reads the command line. What clap answers itself (help, version, wrong usage) is printed
    /// here and is an end already.
    pub fn parse_from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, Exit> {
        Self::try_parse_from(args).map_err(|answer| {
            if answer.use_stderr() {
                let text = answer.to_string();
                eprint!("tee-sidecar: {}", text.strip_prefix("error: ").unwrap_or(&text));
                return Exit::Usage;
            }
            if answer.print().is_ok() { Exit::Done } else { Exit::Failed }
        })
    }

    /// Runs the command.
    pub fn run(&self) -> Exit {
        match &self.command {
            None | Some(Command::Serve) => {
                let file = self.config.file.clone();
                // Asked again on SIGHUP.
                let load = move || Settings::load(file.as_deref(), environment());
                self.with_settings(|settings| serve::run(settings, load))
            }
            Some(Command::CheckConfig) => self.with_settings(|known| check_config::run(&known)),
            Some(Command::Ledger(command)) => self.with_settings(|known| command.run(&known)),
            // An auditor has no sidecar, and needs none of its settings.
            Some(Command::Verify(args)) => verify::run(args),
            Some(Command::Completions { shell }) => pages::completions(*shell),
            Some(Command::Manual { to }) => pages::manual(to),
        }
    }

    /// Loads the configuration, and goes on with it.
    fn with_settings(&self, run: impl FnOnce(Settings) -> Exit) -> Exit {
        match Settings::load(self.config.file.as_deref(), environment()) {
            Ok(settings) => run(settings),
            Err(error) => {
                for problem in error.problems() {
                    eprintln!("tee-sidecar: {problem}");
                }
                Exit::Usage
            }
        }
    }
}

impl LedgerCommand {
    fn run(&self, settings: &Settings) -> Exit {
        match self {
            Self::Status => ledger::status(settings),
            Self::Audit { report, archive } => {
                let report = report.as_deref();
                if archive.is_empty() {
                    ledger::audit(settings, report)
                } else {
                    archive::audit(archive, report)
                }
            }
            Self::Migrate(args) => migrate::run(settings, args),
            Self::Archive { to, behind } => archive::export(settings, to, *behind),
            Self::Backup { to } => ledger::backup(settings, to),
            Self::Settle { dry_run: false } => settle::ask(settings),
            Self::Settle { dry_run: true } => settle::dry_run(settings),
        }
    }
}

/// How the program ends. The numbers are part of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or proved.
    Done = 0,
    /// Failed at run time.
    Failed = 1,
    /// What was presented is wrong.
    Refuted = 10,
    /// A required item is missing or cannot be reached.
    Missing = 20,
    /// The input is malformed.
    Malformed = 30,
    /// Wrong usage or configuration.
    Usage = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Cli {
        Cli::try_parse_from(args).unwrap()
    }

    #[test]
    fn serving_is_the_default_and_config_may_stand_on_either_side() {
        for (args, command, file) in [
            (vec!["tee-sidecar"], Command::Serve, None),
            (vec!["tee-sidecar", "--config", "a"], Command::Serve, Some("a")),
            (vec!["tee-sidecar", "serve", "--config", "a"], Command::Serve, Some("a")),
            (vec!["tee-sidecar", "--config=a", "serve"], Command::Serve, Some("a")),
            (vec!["tee-sidecar", "check-config", "--config", "a"], Command::CheckConfig, Some("a")),
            (
                vec!["tee-sidecar", "ledger", "audit", "--config", "a"],
                Command::Ledger(LedgerCommand::Audit { report: None, archive: Vec::new() }),
                Some("a"),
            ),
            (vec!["tee-sidecar", "ledger", "status"], Command::Ledger(LedgerCommand::Status), None),
            (
                vec!["tee-sidecar", "ledger", "settle", "--dry-run"],
                Command::Ledger(LedgerCommand::Settle { dry_run: true }),
                None,
            ),
        ] {
            let cli = parsed(&args);
            assert_eq!(cli.command.clone().unwrap_or_default(), command, "{args:?}");
            assert_eq!(cli.config.file, file.map(PathBuf::from), "{args:?}");
        }
    }

    #[test]
    fn the_exit_codes_are_those_of_the_contract() {
        let all = [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Refuted, 10),
            (Exit::Missing, 20),
            (Exit::Malformed, 30),
            (Exit::Usage, 64),
        ];
        for (exit, code) in all {
            assert_eq!(exit as u8, code);
            assert_eq!(ExitCode::from(exit), ExitCode::from(code));
        }
    }

    #[test]
    fn clap_finds_no_contradiction_in_the_command_line() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
