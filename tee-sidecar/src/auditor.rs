//! The auditor's hands: files, the network, the clock and the output. What anything proves is
//! decided in [`crate::evidence`].

use std::path::PathBuf;

use broker_core::{Clock as _, Digest32, SystemClock};
use dcap_qvl::QuoteCollateralV3;

use crate::evidence::Nonce32;
use crate::evidence::audit::{Asked, Audit, Materials, audit_report};
use crate::evidence::nras::{Jwks, NrasAnswer};
use crate::evidence::nvidia::ocsp::OcspAnswer;
use crate::evidence::nvidia::rim::Rim;
use crate::evidence::policy::Policy;
use crate::evidence::saved::{SavedReport, parse_reports};

mod answer;
mod collateral;
mod fetch;
mod files;
mod invoice;
mod keysets;
mod log;
mod output;
mod pinned;
mod receipt;

pub use answer::{AnswerFiles, audit_answer};
pub use collateral::INTEL_PCS_URL;
pub use invoice::{InvoiceFiles, audit_invoice};
pub use keysets::KeyFiles;
pub use log::{LogFiles, audit_log};
use output::noted;
pub use output::{Failure, exit_of, print};
pub use pinned::pinned;
pub use receipt::{ReceiptFiles, audit_part, audit_receipt};

/// What the command line gives to every kind of audit.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The policy; without it the strict default.
    pub policy: Option<PathBuf>,
    /// The moment, in Unix seconds; without it now.
    pub at: Option<u64>,
    /// The nonce that the report has to answer.
    pub nonce: Option<Nonce32>,
    /// Intel's collateral.
    pub collateral: Option<PathBuf>,
    /// Where to fetch collateral that no file holds.
    pub pccs: Option<String>,
    /// Where to keep the collateral that was fetched.
    pub save_collateral: Option<PathBuf>,
    /// NVIDIA's reference measurements.
    pub rims: Vec<PathBuf>,
    /// NVIDIA's answers about revocations.
    pub ocsp: Vec<PathBuf>,
    /// NVIDIA's verdict, and its keys.
    pub nras: Option<(PathBuf, PathBuf)>,
}

/// The served report that is fetched.
#[derive(Clone, Debug)]
pub struct Served {
    /// The server's address, or the report's.
    pub url: String,
    /// Ask for the binding of GPU evidence and quote.
    pub binding_v2: bool,
    /// Ask for the binding of the TLS key, and compare it with the connection's.
    pub tls: bool,
    /// A file with a bearer token, where the server wants one.
    pub bearer: Option<PathBuf>,
    /// Where to keep the report as it came.
    pub save: Option<PathBuf>,
}

/// Fetches a report with a fresh nonce and judges it.
pub fn audit_served(served: &Served, options: &Options) -> Result<Audit, Failure> {
    let nonce = match options.nonce {
        Some(nonce) => nonce,
        None => crate::attest::random_nonce().map_err(|e| Failure::Failed(e.to_string()))?,
    };
    let fetched = fetch::report(served, &nonce)?;
    if let Some(path) = &served.save {
        files::write(path, &fetched.body)?;
    }
    let pccs = options.pccs.clone().unwrap_or_else(|| INTEL_PCS_URL.to_owned());
    let options = Options { nonce: Some(nonce), pccs: Some(pccs), ..options.clone() };
    let connection = Connection {
        peer: fetched.tls_peer,
        asked: Asked { binding_v2: served.binding_v2, tls: served.tls },
    };
    Auditor::new(&options)?.document(&fetched.body, connection)
}

/// Judges a saved report.
pub fn audit_file(report: &std::path::Path, options: &Options) -> Result<Audit, Failure> {
    let document = files::read(report)?;
    Auditor::new(options)?.document(&document, Connection::default())
}

/// Where a report came from, when it was fetched just now.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    peer: Option<Digest32>,
    asked: Asked,
}

/// Everything that was brought along, read.
struct Auditor<'a> {
    options: &'a Options,
    policy: Policy,
    now_secs: u64,
    collateral: Option<QuoteCollateralV3>,
    rims: Vec<Rim>,
    ocsp: Vec<OcspAnswer>,
    nras: Option<(NrasAnswer, Jwks)>,
}

impl<'a> Auditor<'a> {
    fn new(options: &'a Options) -> Result<Self, Failure> {
        let policy = options.policy.as_deref().map(files::policy).transpose()?;
        Ok(Self {
            options,
            policy: policy.unwrap_or_default(),
            now_secs: options.at.unwrap_or_else(|| SystemClock.now().as_secs()),
            collateral: options.collateral.as_deref().map(files::collateral).transpose()?,
            rims: options.rims.iter().map(|path| files::rim(path)).collect::<Result<_, _>>()?,
            ocsp: options.ocsp.iter().map(|path| files::ocsp(path)).collect::<Result<_, _>>()?,
            nras: options.nras.as_ref().map(|(a, k)| files::nras(a, k)).transpose()?,
        })
    }

    fn document(&self, document: &[u8], connection: Connection) -> Result<Audit, Failure> {
        let mut audit = Audit::default();
        for report in self.reports(document)? {
            audit.append(self.report(&report, connection)?);
        }
        if names_gateway(document) {
            let why = "a gateway's own report, which is not judged; those of its models are";
            audit.not_checked("gateway_attestation", why);
        }
        Ok(audit)
    }

    fn reports(&self, document: &[u8]) -> Result<Vec<SavedReport>, Failure> {
        parse_reports(document).map_err(|e| Failure::Malformed(e.to_string()))
    }

    fn report(&self, report: &SavedReport, connection: Connection) -> Result<Audit, Failure> {
        let fetched = self.fetched_collateral(report);
        let materials = Materials {
            now_secs: self.now_secs,
            nonce: self.options.nonce,
            collateral: self.collateral.as_ref().or(fetched.as_ref().ok().and_then(Option::as_ref)),
            rims: &self.rims,
            ocsp: &self.ocsp,
            nras: self.nras.as_ref().map(|(answer, keys)| (answer, keys)),
            tls_peer: connection.peer,
            asked: connection.asked,
        };
        let mut audit = audit_report(report, &materials, &self.policy);
        match fetched {
            Ok(_) => Ok(audit),
            // The rest is worth knowing all the same.
            Err(Failure::Unreachable(why)) => {
                audit.missing("collateral", why);
                Ok(audit)
            }
            Err(Failure::Malformed(why)) => {
                audit.malformed("collateral", why);
                Ok(audit)
            }
            Err(other) => Err(other),
        }
    }

    /// Collateral from the network, where no file holds it and a source was named. Nobody
    /// publishes the software platform's, so for simulated evidence nobody is asked, whether the
    /// policy accepts it or refuses it: a refusal must not hang on Intel's being reachable.
    fn fetched_collateral(
        &self,
        report: &SavedReport,
    ) -> Result<Option<QuoteCollateralV3>, Failure> {
        match (&self.options.pccs, &report.quote) {
            (Some(base), Some(quote)) if self.collateral.is_none() && !report.simulated => {
                let fetched = collateral::fetch(base, quote)?;
                if let (Some(path), Some(fetched)) = (&self.options.save_collateral, &fetched) {
                    files::keep_collateral(path, fetched)?;
                }
                Ok(fetched)
            }
            _ => Ok(None),
        }
    }
}

/// A gateway's document holds a report of the gateway's own, which is of another shape.
fn names_gateway(document: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(document)
        .is_ok_and(|document| document.get("gateway_attestation").is_some())
}
