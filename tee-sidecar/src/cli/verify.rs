//! `verify`: the auditor.

use std::path::PathBuf;

use broker_core::Address;
use clap::{Args, Subcommand};

use super::Exit;
use crate::auditor::{
    AnswerFiles, Failure, Options, Served, audit_answer, audit_file, audit_served, print,
};
use crate::evidence::Nonce32;

mod receipts;

/// What to verify, and what to hold it to.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct VerifyArgs {
    /// A server's address: its report is fetched with a fresh nonce.
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// Ask the server to bind GPU evidence and quote (URL only).
    #[arg(long, value_name = "V", value_parser = ["v2"], requires = "url")]
    binding: Option<String>,
    /// Ask the server to bind its TLS key, and compare it with the connection's (URL only).
    #[arg(long, requires = "url")]
    tls: bool,
    /// A file with a bearer token for the server (URL only).
    #[arg(long, value_name = "FILE", requires = "url")]
    bearer_file: Option<PathBuf>,
    /// Keep the report as it came; the file must not exist (URL only).
    #[arg(long, value_name = "FILE", requires = "url")]
    save: Option<PathBuf>,
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    shared: SharedArgs,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum What {
    /// A saved attestation report.
    Report {
        /// The report, ours or any provider's of the same shape.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// An answer's bytes against its signature and the attested key.
    Response {
        /// The request's body, to the byte.
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        /// The response's body, to the byte.
        #[arg(long, value_name = "FILE")]
        response: PathBuf,
        /// What /signature/{id} answered.
        #[arg(long, value_name = "FILE")]
        signature: PathBuf,
        /// The attestation report of the key.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// The key's address, where you trust it from elsewhere.
        #[arg(long, value_name = "ADDRESS", value_parser = address)]
        address: Option<Address>,
    },
    /// A receipt: who signed it, the exchange's bytes, the fee, and its place in the log.
    Receipt(receipts::ReceiptArgs),
    /// Two heads of the receipt log: nothing was taken out, moved or forked between them.
    Log(receipts::LogArgs),
    /// A bill, worked out again from its receipts, and the settlements that paid it.
    Invoice(Box<receipts::InvoiceArgs>),
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
struct SharedArgs {
    /// Print one JSON object instead of lines.
    #[arg(long, global = true)]
    json: bool,
    /// What to ask of evidence, in YAML; without it the strict default.
    #[arg(long, value_name = "FILE", global = true)]
    policy: Option<PathBuf>,
    /// Judge as of this moment instead of now.
    #[arg(long, value_name = "UNIX_SECONDS", global = true)]
    at: Option<u64>,
    /// The nonce that the report has to answer: 64 hex digits, or auto for a fresh one (URL only).
    #[arg(long, value_name = "HEX", global = true)]
    nonce: Option<String>,
    /// Intel's collateral (QuoteCollateralV3 in JSON).
    #[arg(long, value_name = "FILE", global = true)]
    collateral: Option<PathBuf>,
    /// Where to fetch collateral that no file holds. Saved reports are judged offline without it.
    #[arg(long, value_name = "URL", global = true)]
    pccs: Option<String>,
    /// Keep the collateral that was fetched, for --collateral in later years.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "collateral")]
    save_collateral: Option<PathBuf>,
    /// NVIDIA's reference measurements (RIM) of driver and VBIOS.
    #[arg(long, value_name = "FILE", num_args = 1.., global = true)]
    rim: Vec<PathBuf>,
    /// NVIDIA's OCSP answers for the certificates, DER or base64.
    #[arg(long, value_name = "FILE", num_args = 1.., global = true)]
    ocsp: Vec<PathBuf>,
    /// NVIDIA's attestation result (NRAS), with --jwks.
    #[arg(long, value_name = "FILE", global = true)]
    nras: Option<PathBuf>,
    /// The keys that NVIDIA's attestation service signs with.
    #[arg(long, value_name = "FILE", global = true)]
    jwks: Option<PathBuf>,
}

/// Runs the audit and prints what it found.
pub fn run(args: &VerifyArgs) -> Exit {
    let audited = options(args).and_then(|options| match (&args.url, &args.what) {
        (Some(url), None) => {
            let served = Served {
                url: url.clone(),
                binding_v2: args.binding.is_some(),
                tls: args.tls,
                bearer: args.bearer_file.clone(),
                save: args.save.clone(),
            };
            audit_served(&served, &options)
        }
        (None, Some(What::Report { file })) => audit_file(file, &options),
        (None, Some(What::Response { request, response, signature, report, address })) => {
            let files = AnswerFiles {
                request: request.clone(),
                response: response.clone(),
                signature: signature.clone(),
                report: report.clone(),
                address: *address,
            };
            audit_answer(&files, &options)
        }
        (None, Some(What::Receipt(args))) => args.audit(&options),
        (None, Some(What::Log(args))) => args.audit(&options),
        (None, Some(What::Invoice(args))) => args.audit(&options),
        _ => Err(Failure::Usage(
            "verify needs one of: a URL, `report`, `response`, `receipt`, `log`, `invoice`; see \
             --help"
                .to_owned(),
        )),
    });
    print(&audited, args.shared.json)
}

fn options(args: &VerifyArgs) -> Result<Options, Failure> {
    let shared = &args.shared;
    let usage = |why: &str| Failure::Usage(why.to_owned());
    let nonce = match shared.nonce.as_deref() {
        None => None,
        Some("auto") if args.url.is_some() => None,
        Some("auto") => return Err(usage("--nonce auto needs a URL: a saved report has its own")),
        Some(text) => Some(Nonce32::parse(text).map_err(|e| usage(&format!("--nonce: {e}")))?),
    };
    let nras = match (&shared.nras, &shared.jwks) {
        (Some(answer), Some(keys)) => Some((answer.clone(), keys.clone())),
        (None, None) => None,
        _ => return Err(usage("--nras and --jwks are used together")),
    };
    if shared.save_collateral.is_some() && shared.pccs.is_none() && args.url.is_none() {
        return Err(usage("--save-collateral needs --pccs URL: a saved report is judged offline"));
    }
    Ok(Options {
        policy: shared.policy.clone(),
        at: shared.at,
        nonce,
        collateral: shared.collateral.clone(),
        pccs: shared.pccs.clone(),
        save_collateral: shared.save_collateral.clone(),
        rims: shared.rim.clone(),
        ocsp: shared.ocsp.clone(),
        nras,
    })
}

fn address(text: &str) -> Result<Address, String> {
    let mut bytes = [0; 20];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| "an address is 0x and 40 hex digits")?;
    Ok(Address(bytes))
}
