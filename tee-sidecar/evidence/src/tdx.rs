//! Whether a TDX quote proves what it says: the one verifier, for our own start, for every quote we
//! serve, and for the auditor. It reads no clock and does no I/O.
//!
//! `dcap-qvl` decides. `tdx-quote` reads every version 4 quote a second time, and a difference
//! between the two refuses the quote: a mistake in one parser alone cannot pass a forged field.

use std::time::Duration;

use dcap_qvl::configs::RingConfig;
use dcap_qvl::quote::Quote;
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};

use crate::event_log::{Measurement, REGISTERS};

mod second_reading;
mod signatures;

pub use dcap_qvl::TcbStatus;

/// Verifies a quote against collateral, a root, a moment and a policy.
pub fn verify_quote(
    quote: &[u8],
    collateral: &QuoteCollateralV3,
    root: &TrustRoot,
    now_secs: u64,
    policy: &TcbPolicy,
) -> Result<VerifiedQuote, VerifyError> {
    let parsed = parse_tdx(quote)?;
    let mut collateral = collateral.clone();
    if parsed.inner_cert_type() == PEM_CHAIN {
        // The quote's own certificates count. Collateral is shared by all hosts of a family, and
        // the chain that came with it may be another host's.
        collateral.pck_certificate_chain = None;
    }
    let claims = root
        .verifier()
        .verify_with_policy(quote, collateral, now_secs, &policy.at(now_secs))
        .map_err(|e| VerifyError::Refused(format!("{e:#}")))?;
    let fields = QuoteFields::of(&parsed).ok_or(VerifyError::NotTdx(claims.tee_type))?;
    let cross_checked = cross_check(quote, &parsed, &fields, root)?;
    Ok(VerifiedQuote {
        fields,
        status: claims.tcb.status,
        advisory_ids: claims.tcb.advisory_ids,
        cross_checked,
    })
}

/// What a quote says, unproved.
pub fn read_quote(quote: &[u8]) -> Result<QuoteFields, VerifyError> {
    let parsed = parse_tdx(quote)?;
    QuoteFields::of(&parsed).ok_or(VerifyError::NotTdx(parsed.header.tee_type))
}

/// Checks a quote's own signatures and certificates up to the root, with both parsers. That is
/// **less than verification**: it asks for no collateral, so the platform may be out of date or
/// revoked. It is what a machine without a way out can prove of its own quotes.
pub fn inspect_quote(
    quote: &[u8],
    root: &TrustRoot,
    now_secs: u64,
) -> Result<InspectedQuote, VerifyError> {
    let parsed = parse_tdx(quote)?;
    let tee_type = parsed.header.tee_type;
    let fields = QuoteFields::of(&parsed).ok_or(VerifyError::NotTdx(tee_type))?;
    signatures::verify(quote, &parsed, root, now_secs)?;
    let cross_checked = cross_check(quote, &parsed, &fields, root)?;
    Ok(InspectedQuote { fields, cross_checked })
}

/// Where a quote's certificates must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustRoot {
    /// Intel's SGX root, built in.
    Intel,
    /// The root of a software platform, as DER. Quotes under it prove nothing about hardware.
    Test(Vec<u8>),
}

impl TrustRoot {
    fn verifier(&self) -> QuoteVerifier<RingConfig> {
        match self {
            Self::Intel => QuoteVerifier::new_prod().with_config(),
            Self::Test(der) => QuoteVerifier::new_with_config(der.clone()),
        }
    }
}

/// Which states of a platform are good enough. The default takes only `UpToDate`, and the three
/// properties that every multi-socket server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcbPolicy {
    /// Accepted beside `UpToDate`. `Revoked` is refused even when named.
    pub also_accepted: Vec<TcbStatus>,
    /// For how long after the date of its TCB an out-of-date platform is accepted, where
    /// `also_accepted` names that state at all.
    pub out_of_date_secs_max: u64,
    /// The lowest number of Intel's TCB data that is new enough.
    pub evaluation_data_number_min: u32,
    /// Accept platforms that can be extended with further packages.
    pub dynamic_platform: bool,
    /// Accept platforms whose root keys Intel's registration service holds.
    pub cached_keys: bool,
    /// Accept hyper-threading.
    pub smt: bool,
}

impl TcbPolicy {
    fn at(&self, now_secs: u64) -> QuotePolicy {
        let grace = Duration::from_secs(self.out_of_date_secs_max);
        let policy = QuotePolicy::strict(now_secs)
            .platform_grace_period(grace)
            .qe_grace_period(grace)
            .min_tcb_eval_data_number(self.evaluation_data_number_min)
            .allow_dynamic_platform(self.dynamic_platform)
            .allow_cached_keys(self.cached_keys)
            .allow_smt(self.smt);
        self.also_accepted.iter().fold(policy, |policy, status| policy.allow_status(*status))
    }
}

impl Default for TcbPolicy {
    fn default() -> Self {
        Self {
            also_accepted: Vec::new(),
            out_of_date_secs_max: u64::MAX,
            evaluation_data_number_min: 0,
            dynamic_platform: true,
            cached_keys: true,
            smt: true,
        }
    }
}

/// A quote that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedQuote {
    /// What it says.
    pub fields: QuoteFields,
    /// The platform's state, merged over hardware, module and quoting enclave.
    pub status: TcbStatus,
    /// Intel's advisories that apply.
    pub advisory_ids: Vec<String>,
    /// Whether the second parser read the quote too; it reads version 4 only.
    pub cross_checked: bool,
}

/// A quote whose own signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedQuote {
    /// What it says.
    pub fields: QuoteFields,
    /// Whether the second parser read it too.
    pub cross_checked: bool,
}

/// What a quote says of the TD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteFields {
    /// What the guest asked to be bound.
    pub report_data: [u8; 64],
    /// The measurement of the TD as built.
    pub mrtd: Measurement,
    /// The run-time registers RTMR0 to RTMR3.
    pub rtmrs: [Measurement; REGISTERS],
    /// What the host gave as the TD's configuration; dstack: 01 and the composition's hash.
    pub mr_config_id: Measurement,
    /// Whether the host may look into the TD.
    pub debug: bool,
    /// The quote format's version.
    pub version: u16,
}

impl QuoteFields {
    /// Every TDX body begins with the TD 1.0 report; an SGX body has none of this.
    fn of(quote: &Quote) -> Option<Self> {
        let td = quote.report.as_td10()?;
        Some(Self {
            mr_config_id: td.mr_config_id,
            debug: td.td_attributes.first().is_none_or(|bits| bits & ATTRIBUTE_DEBUG != 0),
            version: quote.header.version,
            report_data: td.report_data,
            mrtd: td.mr_td,
            rtmrs: [td.rt_mr0, td.rt_mr1, td.rt_mr2, td.rt_mr3],
        })
    }
}

/// Why a quote proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Not a quote, or a part of one.
    #[error("not a TDX quote: {0}")]
    Malformed(String),
    /// A quote of another kind of TEE.
    #[error("the quote is of TEE type {0:#x}, not TDX (0x81)")]
    NotTdx(u32),
    /// One of the quote's own signatures is wrong.
    #[error("the quote is forged or damaged: {0}")]
    Forged(String),
    /// The platform's certificates do not lead to the root.
    #[error("the quote's certificates: {0}")]
    Chain(String),
    /// The quote, the collateral or the platform's state is not acceptable.
    #[error("the quote is refused: {0}")]
    Refused(String),
    /// The second parser refuses the quote.
    #[error("the cross-check refuses the quote: {0}")]
    CrossCheck(String),
    /// The two parsers read different values.
    #[error("two readings of the quote disagree on {0}")]
    Disagreement(&'static str),
}

fn parse_tdx(bytes: &[u8]) -> Result<Quote, VerifyError> {
    let quote = Quote::parse(bytes).map_err(|e| VerifyError::Malformed(format!("{e:#}")))?;
    if quote.header.tee_type != TEE_TYPE_TDX {
        return Err(VerifyError::NotTdx(quote.header.tee_type));
    }
    Ok(quote)
}

/// True when the second parser agrees, false when it cannot read this version at all.
fn cross_check(
    bytes: &[u8],
    parsed: &Quote,
    fields: &QuoteFields,
    root: &TrustRoot,
) -> Result<bool, VerifyError> {
    if parsed.header.version != second_reading::VERSION {
        tracing::debug!(version = parsed.header.version, "the cross-check does not apply");
        return Ok(false);
    }
    second_reading::compare(bytes, parsed, fields, root).map(|()| true)
}

const TEE_TYPE_TDX: u32 = 0x81;

/// In the first byte of the TD's attributes: off in any TD that keeps secrets from its host.
const ATTRIBUTE_DEBUG: u8 = 1;

/// The kind of certification data that is a chain of certificates.
const PEM_CHAIN: u16 = 5;
