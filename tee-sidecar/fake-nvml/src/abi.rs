//! The layouts and numbers of NVIDIA's header, as far as they are used here.

use std::ffi::{c_char, c_uint};

/// What every function returns.
pub(crate) type Return = c_uint;

pub(crate) const SUCCESS: Return = 0;
pub(crate) const INVALID_ARGUMENT: Return = 2;
pub(crate) const NOT_SUPPORTED: Return = 3;
pub(crate) const INSUFFICIENT_SIZE: Return = 7;
pub(crate) const ARGUMENT_VERSION_MISMATCH: Return = 25;
pub(crate) const UNKNOWN: Return = 999;

/// The version number that stands first in [`Settings`]: its size, and version 1.
pub(crate) const SETTINGS_V1: c_uint = 0x0100_0014;

/// A GPU. Callers take it for a pointer that is not null, and never follow it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Handle(usize);

impl Handle {
    pub(crate) const fn of(index: c_uint) -> Self {
        Self((index as usize).saturating_add(1))
    }

    pub(crate) const fn index(self) -> usize {
        self.0.saturating_sub(1)
    }
}

/// `nvmlConfComputeSystemState_t`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct State {
    pub(crate) environment: c_uint,
    pub(crate) cc_feature: c_uint,
    pub(crate) dev_tools_mode: c_uint,
}

/// `nvmlSystemConfComputeSettings_v1_t`
#[repr(C)]
pub(crate) struct Settings {
    pub(crate) version: c_uint,
    pub(crate) state: State,
    pub(crate) multi_gpu_mode: c_uint,
}

/// `nvmlConfComputeGpuCertificate_t`
#[repr(C)]
pub(crate) struct Certificate {
    pub(crate) cert_chain_size: c_uint,
    pub(crate) attestation_cert_chain_size: c_uint,
    pub(crate) cert_chain: [u8; 0x1000],
    pub(crate) attestation_cert_chain: [u8; 0x1400],
}

/// `nvmlConfComputeGpuAttestationReport_t`
#[repr(C)]
pub(crate) struct AttestationReport {
    pub(crate) is_cec_present: c_uint,
    pub(crate) report_size: c_uint,
    pub(crate) cec_size: c_uint,
    pub(crate) nonce: [u8; 0x20],
    pub(crate) report: [u8; 0x2000],
    pub(crate) cec: [u8; 0x1000],
}

const _: () = assert!(size_of::<State>() == 12);
const _: () = assert!(size_of::<Settings>() == 20);
const _: () = assert!(size_of::<Certificate>() == 9224);
const _: () = assert!(size_of::<AttestationReport>() == 12332);

/// Has `write` fill what `out` points to.
///
/// # Safety
/// `out` is null, or points to a `T` that is initialised and the caller's alone.
pub(crate) unsafe fn fill<T>(out: *mut T, write: impl FnOnce(&mut T)) -> Return {
    // SAFETY: as the caller promises.
    match unsafe { out.as_mut() } {
        Some(target) => {
            write(target);
            SUCCESS
        }
        None => INVALID_ARGUMENT,
    }
}

/// Writes `text` and the zero that ends it.
///
/// # Safety
/// `out` is null, or points to `length` bytes that are the caller's alone.
pub(crate) unsafe fn write_text(out: *mut c_char, length: c_uint, text: &str) -> Return {
    if out.is_null() {
        return INVALID_ARGUMENT;
    }
    if text.len() >= length as usize {
        return INSUFFICIENT_SIZE;
    }
    // SAFETY: there is room for the text and its zero, as was just seen, and text that was made
    // here does not overlap what the caller owns.
    unsafe {
        out.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
        *out.add(text.len()) = 0;
    }
    SUCCESS
}
