//! What the world is told of a failure. Paths, causes and the words of agents and drivers stay in
//! the operator's log; what a client's operator can act upon is named.

use super::ReportError;
use crate::attest::{AttestError, GpuError};

impl ReportError {
    /// The text for clients: no path, no foreign word.
    pub fn public_text(&self) -> String {
        match self {
            Self::NoEvidence(cause) => format!("no evidence can be given now: {}", tee(cause)),
            Self::CheckFailed => "no evidence can be given now: it could not be checked".to_owned(),
            // These quote nothing but the request.
            other => other.to_string(),
        }
    }
}

fn tee(cause: &AttestError) -> String {
    match cause {
        AttestError::Hangs(_) | AttestError::Late(_) => cause.to_string(),
        AttestError::SelfCheck(_) => "the TEE's own evidence does not verify".to_owned(),
        AttestError::Gpu(cause) => gpu(cause),
        // Everything else names the machine, or comes from another program.
        _ => "the TEE gave no quote".to_owned(),
    }
}

fn gpu(cause: &GpuError) -> String {
    match cause {
        GpuError::NoDriver
        | GpuError::NoGpu
        | GpuError::TooManyGpus { .. }
        | GpuError::ConfidentialComputingOff
        | GpuError::NotSupported
        | GpuError::DevTools
        | GpuError::NotReady
        | GpuError::NotProduction
        | GpuError::OtherNonce(_)
        | GpuError::Hangs(_)
        | GpuError::Late(_)
        | GpuError::NoTurn(_)
        | GpuError::Busy(_) => cause.to_string(),
        GpuError::UnknownArchitecture { gpu, .. } => format!("GPU {gpu}: unknown architecture"),
        GpuError::MixedArchitectures(_) => "GPUs of different architectures".to_owned(),
        GpuError::SelfCheck { index, .. } => {
            format!("GPU {index}: its own evidence does not verify")
        }
        _ => "the GPUs gave no evidence".to_owned(),
    }
}
