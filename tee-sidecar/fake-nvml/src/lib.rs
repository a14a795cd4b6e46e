//! A `libnvidia-ml.so` for tests: the C functions that evidence needs, with the layouts of NVIDIA's
//! header, over GPUs made of software. It proves nothing.
//!
//! What it does is set by a file beside the library, `<library>.knobs`, which is read anew by every
//! call ([`knobs`] lists its lines). Tests that run side by side copy the library, each to a folder
//! of its own: the loader treats the copies as different libraries. Every call that evidence is
//! made of is written to `<library>.calls`.
#![allow(unsafe_code, reason = "a C library is called with pointers and has unmangled names")]
#![allow(non_snake_case, reason = "the names are NVIDIA's")]

use std::ffi::{c_char, c_uint};
use std::sync::atomic::{AtomicUsize, Ordering};

mod abi;
mod calls;
mod evidence;
pub mod knobs;

use abi::{
    ARGUMENT_VERSION_MISMATCH, AttestationReport, Certificate, Handle, INVALID_ARGUMENT, Return,
    SETTINGS_V1, SUCCESS, Settings, State, UNKNOWN, fill, write_text,
};
use calls::entered;
use knobs::Knobs;

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> Return {
    entered("nvmlInit_v2", "");
    Knobs::read().init_rc()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> Return {
    Knobs::read().init_rc()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> Return {
    entered("nvmlShutdown", "");
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(_result: Return) -> *const c_char {
    c"an error of the fake library".as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetDriverVersion(out: *mut c_char, length: c_uint) -> Return {
    // SAFETY: the caller owns `length` bytes at `out`.
    unsafe { write_text(out, length, "570.172.08") }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(out: *mut c_uint) -> Return {
    // SAFETY: the caller owns an unsigned integer at `out`.
    unsafe { fill(out, |count| *count = Knobs::read().gpus()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, out: *mut Handle) -> Return {
    if index >= Knobs::read().gpus() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller owns a handle at `out`.
    unsafe { fill(out, |handle| *handle = Handle::of(index)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(gpu: Handle, out: *mut c_char, length: c_uint) -> Return {
    // SAFETY: the caller owns `length` bytes at `out`.
    unsafe { write_text(out, length, &format!("GPU-fake-{}", gpu.index())) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetName(_gpu: Handle, out: *mut c_char, length: c_uint) -> Return {
    // SAFETY: the caller owns `length` bytes at `out`.
    unsafe { write_text(out, length, "Software GPU") }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetVbiosVersion(
    _gpu: Handle,
    out: *mut c_char,
    length: c_uint,
) -> Return {
    // SAFETY: the caller owns `length` bytes at `out`.
    unsafe { write_text(out, length, "96.00.9F.00.01") }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetArchitecture(gpu: Handle, out: *mut c_uint) -> Return {
    let architecture = Knobs::read().architecture(gpu.index());
    // SAFETY: the caller owns an unsigned integer at `out`.
    unsafe { fill(out, |number| *number = architecture) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetConfComputeState(out: *mut State) -> Return {
    let knobs = Knobs::read();
    if let Some(refusal) = knobs.cc_refusal() {
        return refusal;
    }
    // SAFETY: the caller owns the structure at `out`.
    unsafe { fill(out, |state| *state = knobs.state()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetConfComputeSettings(out: *mut Settings) -> Return {
    let knobs = Knobs::read();
    if let Some(refusal) = knobs.cc_refusal() {
        return refusal;
    }
    let mut result = SUCCESS;
    let settle = |settings: &mut Settings| {
        if settings.version == SETTINGS_V1 {
            settings.state = knobs.state();
            settings.multi_gpu_mode = knobs.multi_gpu_mode();
        } else {
            result = ARGUMENT_VERSION_MISMATCH;
        }
    };
    // SAFETY: the caller owns the structure at `out`.
    match unsafe { fill(out, settle) } {
        SUCCESS => result,
        refusal => refusal,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetConfComputeGpusReadyState(out: *mut c_uint) -> Return {
    let knobs = Knobs::read();
    if let Some(refusal) = knobs.cc_refusal() {
        return refusal;
    }
    let ready = c_uint::from(knobs.gpus_are_ready(READY_CALLS.fetch_add(1, Ordering::Relaxed)));
    // SAFETY: the caller owns an unsigned integer at `out`.
    unsafe { fill(out, |told| *told = ready) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetConfComputeGpuCertificate(
    gpu: Handle,
    out: *mut Certificate,
) -> Return {
    let mut result = UNKNOWN;
    let write = |certificate: &mut Certificate| {
        result = evidence::certificate(&Knobs::read(), gpu.index(), certificate);
    };
    // SAFETY: the caller owns the structure at `out`.
    match unsafe { fill(out, write) } {
        SUCCESS => result,
        refusal => refusal,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetConfComputeGpuAttestationReport(
    gpu: Handle,
    out: *mut AttestationReport,
) -> Return {
    let mut result = UNKNOWN;
    let write = |report: &mut AttestationReport| {
        result = evidence::report(&Knobs::read(), gpu.index(), report);
    };
    // SAFETY: the caller owns the structure at `out`.
    match unsafe { fill(out, write) } {
        SUCCESS => result,
        refusal => refusal,
    }
}

/// How often the readiness was asked for.
static READY_CALLS: AtomicUsize = AtomicUsize::new(0);
