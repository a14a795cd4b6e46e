//! What can be wrong with an answer of the attestation service.

use super::jwks::KEYS_MAX;

/// Why an answer proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NrasError {
    /// Not an answer of the service.
    #[error("not an NRAS answer: {0}")]
    Malformed(String),
    /// A token is not the service's, or not for this nonce or this moment.
    #[error("the {token} token: {fault}")]
    Token {
        /// `overall`, or the GPU's name.
        token: String,
        /// What is wrong.
        fault: TokenFault,
    },
    /// The first token is not an overall verdict.
    #[error("the overall token is about `{0}`, not a platform's attestation")]
    Subject(String),
    /// A version of the claims whose flags are not known.
    #[error("claims of version `{0}` are not understood; ask the service for 2.0 or 3.0")]
    Version(String),
    /// The service's verdict is no.
    #[error("the service's overall verdict is false")]
    OverallFalse,
    /// Tokens were added or left out.
    #[error("the overall token names {named} GPUs, but {tokens} tokens are presented")]
    TokenCount {
        /// How many submodules the overall token names.
        named: usize,
        /// How many tokens came with it.
        tokens: usize,
    },
    /// Another number of GPUs than the evidence has.
    #[error("the answer is about {found} GPUs, the evidence about {expected}")]
    GpuCount {
        /// How many the evidence has.
        expected: usize,
        /// How many the answer has.
        found: usize,
    },
    /// A token that the overall token does not name.
    #[error("the overall token does not name {0}")]
    Unnamed(String),
    /// No SHA-256 where a token's digest should be.
    #[error("the overall token has no SHA-256 digest for {0}")]
    DigestForm(String),
    /// Another token than the one that the service made.
    #[error("the token of {0} is not the one whose digest is in the overall token")]
    DigestMismatch(String),
    /// The service found something wrong with a GPU, or does not say that it did not.
    #[error("{gpu}: {fault}")]
    Gpu {
        /// The GPU's name in the answer.
        gpu: String,
        /// What is wrong.
        fault: GpuFault,
    },
    /// One device stands for several.
    #[error("{0} is the same device as a GPU before it")]
    SameGpuTwice(String),
}

impl NrasError {
    pub(super) fn token(token: &str, fault: TokenFault) -> Self {
        Self::Token { token: token.to_owned(), fault }
    }
}

/// Why a token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// Not three parts of base64url, or no JSON inside.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// Signed with another algorithm, or not signed at all.
    #[error("its algorithm is `{0}`; only ES384 is accepted")]
    Algorithm(String),
    /// The header asks for extensions, and none is implemented.
    #[error("its header has critical extensions (`crit`), none of which is understood")]
    CriticalHeader,
    /// Another kind of object.
    #[error("its type (`typ`) is not JWT")]
    Type,
    /// No `kid`.
    #[error("its header names no key (`kid`)")]
    NoKid,
    /// The key set does not have the key. It may be older than the token: fetch it once more.
    #[error("its key `{0}` is not in the key set; take the key set of the token's day")]
    UnknownKid(String),
    /// Not signed by the key that it names.
    #[error("its signature is wrong")]
    Signature,
    /// Another issuer.
    #[error("its issuer is `{0}`, not the one that was asked")]
    Issuer(String),
    /// Too late.
    #[error("it expired at {exp_secs} and the moment is {now_secs} (Unix seconds)")]
    Expired {
        /// Its `exp`.
        exp_secs: u64,
        /// The moment.
        now_secs: u64,
    },
    /// Too early.
    #[error("it holds from {from_secs} on and the moment is {now_secs} (Unix seconds)")]
    NotYetValid {
        /// Its `nbf` or `iat`.
        from_secs: u64,
        /// The moment.
        now_secs: u64,
    },
    /// Made for another nonce.
    #[error("its nonce (`eat_nonce`) is not the expected one")]
    Nonce,
    /// Not there, or of another type.
    #[error("the claim `{0}` is missing or of another type")]
    MissingClaim(&'static str),
}

/// What the service holds against a GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuFault {
    /// Not there, or of another type.
    #[error("the claim `{0}` is missing or of another type")]
    MissingClaim(&'static str),
    /// The measurements are not NVIDIA's.
    #[error("the measurements do not match (`measres` is `{0}`)")]
    Measurements(String),
    /// The firmware is not authenticated.
    #[error("secure boot is off (`secboot` is false)")]
    SecureBoot,
    /// The device can be looked into.
    #[error("debugging is not disabled (`dbgstat` is `{0}`)")]
    Debug(String),
    /// Another maker.
    #[error("the maker (`oemid`) is `{0}`, not NVIDIA (5703)")]
    Maker(String),
    /// A check failed.
    #[error("the check `{0}` failed")]
    Check(String),
    /// A chain of certificates is not good.
    #[error("`{member}` of `{chain}` is not `{wanted}`")]
    Certificates {
        /// The claim.
        chain: String,
        /// The member of it.
        member: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// The service reports an error or a mismatch in a claim that good answers do not have.
    #[error("the service reports a fault in `{0}`")]
    Reported(&'static str),
}

/// Why a key set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// Not a key set.
    #[error("not a JSON web key set: {0}")]
    Malformed(String),
    /// Far more keys than the service has.
    #[error("the key set has {0} keys, more than the {KEYS_MAX} that are read")]
    TooMany(usize),
    /// A P-384 key without a name or without two coordinates of 48 bytes.
    #[error("key {0} of the key set is for P-384 but has no `kid`, or no `x` and `y` of 48 bytes")]
    BadKey(usize),
    /// Two keys under one name.
    #[error("the key set names `{0}` twice")]
    Twice(String),
}

/// The start of a text that came from outside: enough to know it by.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(CLIPPED_CHARS_MAX).collect()
}

const CLIPPED_CHARS_MAX: usize = 80;
