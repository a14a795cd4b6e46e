//! Quotes of a bare TDX guest: the kernel's report interface in configfs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dcap_qvl::QuoteCollateralV3;

use super::worker::{Limits, Refusal, Worker};
use super::{AttestError, AttestFuture, Attester, Platform};
use crate::evidence::tdx::TrustRoot;
use crate::evidence::{Quote, ReportData};

mod entry;
mod files;
mod names;

use entry::Entry;
use files::Configfs;
use names::Names;

/// Asks the kernel for quotes.
///
/// The kernel blocks while the host makes the quote, for half a minute when the host is silent. So
/// one thread does that work, one quote at a time: what hangs there holds up neither the server's
/// threads nor the end of the process, and callers of a hanging kernel are refused at once.
pub struct TsmAttester {
    names: Arc<Names>,
    kernel: Worker<()>,
}

impl TsmAttester {
    /// The report interface in the folder `base`. Nothing is asked of the kernel yet.
    ///
    /// # Errors
    /// The folder is not there, or no thread can be started.
    pub fn new(base: PathBuf) -> Result<Self, AttestError> {
        Self::with_patience(base, Duration::from_secs(TSM_ANSWER_SECS_MAX))
    }

    /// [`TsmAttester::new`] with another time that a caller waits for the kernel.
    ///
    /// # Errors
    /// As there.
    pub fn with_patience(base: PathBuf, patience: Duration) -> Result<Self, AttestError> {
        if !base.is_dir() {
            return Err(AttestError::TsmMissing(base));
        }
        // A call hangs a little before its caller's time is up, so that the caller is told.
        let limits = Limits { call: patience.saturating_sub(patience / 9), request: patience };
        let kernel = Worker::start("tsm", limits, |_| Ok::<_, AttestError>(()))?;
        Ok(Self { names: Arc::new(Names::new(base)?), kernel })
    }

    /// Shows that the kernel makes entries here and that they are TDX's, and removes what a process
    /// that was killed in the middle of a quote has left behind.
    ///
    /// # Errors
    /// The kernel refuses, or belongs to another kind of TEE.
    pub async fn check(&self) -> Result<(), AttestError> {
        let names = self.names.clone();
        let work = move || {
            let path = names.next();
            let entry = Entry::make(&Configfs, path.clone())?;
            entry.check_provider()?;
            names.remove_stale(&path);
            Ok(())
        };
        self.kernel.ask(move |_, _| work()).await
    }
}

impl Attester for TsmAttester {
    fn platform(&self) -> Platform {
        Platform::Tdx
    }

    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote> {
        let (names, report_data) = (self.names.clone(), report_data.clone());
        let work = move || Entry::make(&Configfs, names.next())?.quote(&report_data);
        Box::pin(async move {
            let bytes = self.kernel.ask(move |_, _| work()).await?;
            // The kernel keeps no log and tells no configuration.
            Ok(Quote { bytes, event_log: "[]".to_owned(), vm_config: String::new() })
        })
    }

    fn info(&self) -> serde_json::Value {
        serde_json::json!({ "tcb_info": {}, "vm_config": "" })
    }

    fn trust_root(&self) -> TrustRoot {
        TrustRoot::Intel
    }

    fn collateral(&self) -> Option<QuoteCollateralV3> {
        None
    }
}

impl AttestError {
    /// The operating system's answer about `path`, with what an operator can do about it.
    fn tsm(operation: &'static str, path: &Path, cause: &std::io::Error) -> Self {
        let advice = match cause.raw_os_error() {
            Some(EIO) => "; the host's quote service failed: look at its log",
            Some(ENXIO) => "; no TEE driver is loaded: load tdx_guest",
            Some(EBUSY) => "; an earlier quote is not finished: ask again",
            Some(ETIMEDOUT) => "; the host's quote service does not answer: look at the host",
            Some(EPERM | EACCES) => "; run as root, with configfs mounted into the container",
            Some(EROFS) => "; mount configfs writable into the container",
            _ => "",
        };
        Self::Tsm { operation, path: path.to_owned(), cause: format!("{cause}{advice}") }
    }
}

impl From<Refusal> for AttestError {
    fn from(refusal: Refusal) -> Self {
        let cause = match refusal {
            Refusal::Hangs(secs) => return Self::Hangs(secs),
            Refusal::NoTurn(secs) => {
                format!("other requests for a quote were first, for {secs} s; ask again later")
            }
            Refusal::Late(secs) => format!("the kernel gave none within {secs} s; ask again later"),
            Refusal::Busy(waiting) => {
                format!("{waiting} others wait for a quote; ask again later")
            }
            Refusal::Panicked => "the call to the kernel panicked".to_owned(),
            Refusal::NoThread(cause) => format!("no thread for the kernel's calls: {cause}"),
        };
        Self::NoQuote(cause)
    }
}

/// A caller waits this long for the kernel: less than the ten seconds that a report may take, so
/// that the report's error says what hangs. A quote takes well below a second when all is well.
pub const TSM_ANSWER_SECS_MAX: u64 = 9;

// Linux's numbers, the same on every architecture that has TDX.
const EPERM: i32 = 1;
const EIO: i32 = 5;
const ENXIO: i32 = 6;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const EROFS: i32 = 30;
const ETIMEDOUT: i32 = 110;
