//! An answer's bytes against its signature and the attested key.

use std::path::PathBuf;

use broker_core::Address;

use super::{Auditor, Connection, Failure, Options, files};
use crate::evidence::answer::{AnswerError, SignatureAnswer, SignedBy, verify_answer};
use crate::evidence::audit::Audit;
use crate::evidence::policy::Simulated;
use crate::evidence::saved::SigningKey;

/// Where an exchange and its proof are.
#[derive(Clone, Debug)]
pub struct AnswerFiles {
    /// The request's body, to the byte.
    pub request: PathBuf,
    /// The response's body, to the byte.
    pub response: PathBuf,
    /// What `/signature/{id}` answered.
    pub signature: PathBuf,
    /// The attestation report of the key.
    pub report: Option<PathBuf>,
    /// The key's address, where it is known to be good from elsewhere.
    pub address: Option<Address>,
}

/// Judges an answer: its bytes, its signature, and the key that made it.
pub fn audit_answer(paths: &AnswerFiles, options: &Options) -> Result<Audit, Failure> {
    let auditor = Auditor::new(options)?;
    let named =
        |error: AnswerError| Failure::Malformed(format!("{}: {error}", paths.signature.display()));
    let signature = SignatureAnswer::parse(&files::read(&paths.signature)?).map_err(named)?;
    let (request, response) = (files::read(&paths.request)?, files::read(&paths.response)?);
    let mut audit = Audit::default();
    if signature.simulated {
        let allowed = auditor.policy.simulated == Simulated::Accept;
        audit.simulated("answer.simulated", allowed);
    }
    let signer = match verify_answer(&request, &response, &signature) {
        Ok(SignedBy(signer)) => {
            let what = format_args!("request and response are those that {signer} signed");
            audit.proved("answer", what);
            signer
        }
        Err(error @ AnswerError::Text) => return Err(named(error)),
        Err(error) => {
            audit.refuted("answer", error);
            return Ok(audit);
        }
    };
    if let Some(outcome) = &signature.outcome {
        let what = format_args!("stated as {outcome}, which this signature does not cover");
        audit.not_checked("answer.outcome", what);
    }
    if let Some(expected) = paths.address {
        if expected == signer {
            audit.proved("answer.signer", "it is the address that you gave");
        } else {
            let why = format_args!("{signer} signed it, you gave {expected}");
            audit.refuted("answer.signer", why);
        }
    }
    match &paths.report {
        Some(report) => attested(&auditor, &mut audit, &files::read(report)?, signer)?,
        None if paths.address.is_none() => {
            let why = "nothing says whose key this is: give --report FILE or --address 0x…";
            audit.missing("answer.signer", why);
        }
        None => {}
    }
    Ok(audit)
}

/// A report of this signer's key has to be in the document, and all of them have to hold.
fn attested(
    auditor: &Auditor<'_>,
    audit: &mut Audit,
    document: &[u8],
    signer: Address,
) -> Result<(), Failure> {
    let (mut named, mut of_keysets) = (false, true);
    for report in auditor.reports(document)? {
        let findings = auditor.report(&report, Connection::default())?;
        of_keysets &= report.aci.is_some();
        named |= findings.signer == Some(SigningKey::Ecdsa(signer));
        audit.append(findings);
    }
    if named {
        audit.proved("answer.signer", "the report is about the key that signed");
    } else if of_keysets {
        let why = "this report attests the keys of receipts only: give one of /attestation/report";
        audit.missing("answer.signer", why);
    } else {
        audit.refuted("answer.signer", format_args!("no report here is about {signer}"));
    }
    Ok(())
}
