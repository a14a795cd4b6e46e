//! NVIDIA's reference integrity manifests (RIM): signed XML that says which measurements a driver
//! or a VBIOS gives.
//!
//! Only the signed bytes are ever read. A document is turned into its canonical form without the
//! signature, that form is digested, and the versions and measurements are read from it again, so
//! what surrounds or wraps the signed part has no way into the result.

use ring::digest::{SHA384, digest};

use crate::certificates::{Chain, ChainError};

mod canonical;
mod comparison;
mod content;
mod id;
mod signature;
mod xml;

use xml::DOCUMENT_BYTES_MAX;

pub use comparison::{CompareError, Comparison, Difference, Mismatch, compare};
pub use content::{Reference, References, VerifiedRim};
pub use id::{BadIdPart, RimId};

/// A manifest that was read but not verified: nothing in it counts yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rim {
    /// The canonical form of the document without its signature.
    content: String,
    signature: signature::Signature,
}

impl Rim {
    /// Reads a manifest and its signature. What no manifest of NVIDIA's has (document types, CDATA,
    /// entities, comments, processing instructions) is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, RimError> {
        let text = xml::checked_text(bytes)?;
        let document = xml::parse(text)?;
        let signature_element = signature::find(&document)?;
        Ok(Self {
            content: canonical::of_element(document.root_element(), Some(signature_element))?,
            signature: signature::Signature::read(signature_element)?,
        })
    }

    /// The signer's certificates as presented, leaf first.
    pub const fn chain(&self) -> &Chain {
        &self.signature.chain
    }

    /// Checks certificates, signature and digest, then reads what was signed.
    pub fn verify(&self, root: &RimRoot, now_secs: u64) -> Result<VerifiedRim, RimError> {
        self.signature.chain.verify(&root.der()?, now_secs)?;
        let signed_digest = self.signature.verified_digest()?;
        if digest(&SHA384, self.content.as_bytes()).as_ref() != signed_digest {
            return Err(RimError::Digest);
        }
        VerifiedRim::read(&self.content)
    }
}

/// Where the certificates of a manifest's signer must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RimRoot {
    /// NVIDIA's CoRIM signing root, built in.
    Nvidia,
    /// The root of test manifests, as DER. Manifests under it prove nothing about hardware.
    Test(Vec<u8>),
}

impl RimRoot {
    fn der(&self) -> Result<Vec<u8>, ChainError> {
        match self {
            Self::Nvidia => Ok(Chain::parse_pem(NVIDIA_ROOT_PEM)?.leaf().der().to_vec()),
            Self::Test(der) => Ok(der.clone()),
        }
    }
}

/// What a manifest is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RimKind {
    /// A driver.
    Driver,
    /// A VBIOS.
    Vbios,
}

impl std::fmt::Display for RimKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Driver => "driver",
            Self::Vbios => "VBIOS",
        })
    }
}

/// Why a manifest proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RimError {
    /// Larger than any manifest.
    #[error("a RIM has at most {DOCUMENT_BYTES_MAX} bytes, not {0}")]
    TooLarge(usize),
    /// Not well-formed XML, or not text.
    #[error("the RIM is not XML: {0}")]
    NotXml(String),
    /// XML of a kind that no manifest has.
    #[error("the RIM is refused: {0}")]
    Unsupported(&'static str),
    /// The signature is not of the one form that is accepted.
    #[error("the RIM's signature is refused: {0}")]
    SignatureForm(&'static str),
    /// The signer's certificates.
    #[error("the RIM's signer: {0}")]
    Chain(#[from] ChainError),
    /// The signer's certificate is for something else.
    #[error("the RIM's signer: {0}")]
    Signer(&'static str),
    /// The signature value is wrong.
    #[error("the RIM's signature is not its signer's")]
    Signature,
    /// The signature is right, but over another document.
    #[error("the RIM was changed after it was signed: its digest differs")]
    Digest,
    /// Signed, but not a manifest of measurements.
    #[error("the signed document is no RIM: {0}")]
    Content(&'static str),
    /// The manifest of another version.
    #[error("the {kind} RIM is of version {rim}, but the GPU reports {reported}")]
    OtherVersion {
        /// Of a driver or of a VBIOS.
        kind: RimKind,
        /// What the manifest says.
        rim: String,
        /// What the GPU says.
        reported: String,
    },
}

const NVIDIA_ROOT_PEM: &[u8] = include_bytes!("roots/rim_root.pem");
