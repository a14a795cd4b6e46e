//! The GPUs of this node behind the driver's library: whether they may give evidence, and giving
//! it. Everything here blocks.

use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use nvml_wrapper::enums::device::DeviceArchitecture;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use crate::attest::GpuError;
use crate::attest::worker::{Caller, Pulse};
use crate::evidence::Nonce32;
use crate::evidence::nvidia::{Architecture, GpuEvidence};

/// The driver, opened.
pub(super) struct Node {
    nvml: Nvml,
    pulse: Arc<Pulse>,
}

struct Gpu<'a> {
    index: u32,
    device: Device<'a>,
    arch: Architecture,
}

impl Node {
    /// Loads the library and passes every gate once, so that what is wrong shows at the start.
    pub(super) fn open(library: Option<&Path>, pulse: Arc<Pulse>) -> Result<Self, GpuError> {
        let name = library.map_or(OsStr::new(LIBRARY), Path::as_os_str);
        let nvml = pulse
            .during(|| Nvml::builder().lib_path(name).init())
            .map_err(|e| not_opened(&name.to_string_lossy(), e))?;
        let node = Self { nvml, pulse };
        node.has_evidence_functions()?;
        node.confidential_gpus()?;
        Ok(node)
    }

    /// Evidence of every GPU in the driver's order. The gates are passed anew each time: modes
    /// change when GPUs are reset. Ends between two GPUs when the caller has gone: eight of them
    /// take some seconds, which others may wait for.
    pub(super) fn evidence(
        &self,
        nonce: &Nonce32,
        caller: &Caller<'_>,
    ) -> Result<Vec<GpuEvidence>, GpuError> {
        let gpus = self.confidential_gpus()?;
        let evidence = |gpu| match caller.has_gone() {
            true => Err(GpuError::Abandoned),
            false => self.evidence_of(gpu, nonce),
        };
        gpus.iter().map(evidence).collect()
    }

    fn evidence_of(&self, gpu: &Gpu<'_>, nonce: &Nonce32) -> Result<GpuEvidence, GpuError> {
        let Gpu { index, ref device, arch } = *gpu;
        let report = self.of_gpu(index, REPORT, || {
            device.confidential_compute_gpu_attestation_report(*nonce.as_bytes())
        })?;
        let report = report.attestation_report;
        let carried = report.get(NONCE_AT..NONCE_AT.saturating_add(nonce.as_bytes().len()));
        let carried = carried.ok_or(GpuError::ImpossibleSize { gpu: index, call: REPORT })?;
        if carried != nonce.as_bytes() {
            return Err(GpuError::OtherNonce(index));
        }
        let certificates =
            self.of_gpu(index, CERTIFICATE, || device.confidential_compute_gpu_certificate())?;
        let chain_pem = certificates.attestation_cert_chain;
        if chain_pem.is_empty() {
            return Err(GpuError::ImpossibleSize { gpu: index, call: CERTIFICATE });
        }
        Ok(GpuEvidence { arch, report, chain_pem })
    }

    /// Every GPU, if all of them are confidential and of one known architecture.
    fn confidential_gpus(&self) -> Result<Vec<Gpu<'_>>, GpuError> {
        let count = self.of_node(COUNT, || self.nvml.device_count())?;
        if count > GPUS_MAX {
            return Err(GpuError::TooManyGpus { count, max: GPUS_MAX });
        }
        let device = |index| self.of_gpu(index, HANDLE, || self.nvml.device_by_index(index));
        let devices = (0..count).map(device).collect::<Result<Vec<_>, _>>()?;
        // These gates are the node's, and the wrapper asks any of its GPUs.
        self.is_confidential(devices.first().ok_or(GpuError::NoGpu)?)?;
        let gpus = (0..).zip(devices).map(|(index, device)| {
            let arch = self.architecture(index, &device)?;
            Ok(Gpu { index, device, arch })
        });
        let gpus = gpus.collect::<Result<Vec<_>, GpuError>>()?;
        of_one_architecture(&gpus)?;
        Ok(gpus)
    }

    /// What the platform is capable of is not asked: the wrapper fails on capabilities that it does
    /// not know, and the mode tells more.
    fn is_confidential(&self, any: &Device<'_>) -> Result<(), GpuError> {
        let cc = self.of_node(SETTINGS, || any.is_cc_enabled())?;
        // Hopper GPUs behind NVSwitches have this mode instead.
        if !cc && !self.of_node(SETTINGS, || any.is_multi_gpu_protected_pcie_enabled())? {
            return Err(GpuError::ConfidentialComputingOff);
        }
        if self.of_node(SETTINGS, || any.is_cc_dev_mode_enabled())? {
            return Err(GpuError::DevTools);
        }
        self.is_ready(any)?;
        if cc { self.is_production(any) } else { Ok(()) }
    }

    fn is_ready(&self, any: &Device<'_>) -> Result<(), GpuError> {
        let ready = self.of_node(READY, || any.get_confidential_compute_state())?;
        if ready { Ok(()) } else { Err(GpuError::NotReady) }
    }

    /// The wrapper tells the environment only together with two other things: that the mode is on,
    /// which is certain here, and that the GPUs are ready. Only if they were so before and after
    /// is it the environment that is wrong. In protected PCIe mode the wrapper cannot tell it at
    /// all; there the certificates do, as they do everywhere: they have to end at NVIDIA's root.
    fn is_production(&self, any: &Device<'_>) -> Result<(), GpuError> {
        if self.of_node(STATE, || any.check_confidential_compute_status())? {
            return Ok(());
        }
        self.is_ready(any)?;
        Err(GpuError::NotProduction)
    }

    fn architecture(&self, gpu: u32, device: &Device<'_>) -> Result<Architecture, GpuError> {
        let unknown =
            |architecture: String| Err(GpuError::UnknownArchitecture { gpu, architecture });
        // A number that the wrapper has no name for is the driver's answer, not its failure.
        let told = self.of_gpu(gpu, ARCHITECTURE, || match device.architecture() {
            Err(NvmlError::UnexpectedVariant(number)) => Ok(Err(number)),
            other => other.map(Ok),
        })?;
        match told {
            Ok(DeviceArchitecture::Hopper) => Ok(Architecture::Hopper),
            Ok(DeviceArchitecture::Blackwell) => Ok(Architecture::Blackwell),
            Ok(other) => unknown(other.to_string()),
            Err(number) => unknown(number.to_string()),
        }
    }

    /// The functions that are first called with a nonce in hand; a library without them is refused
    /// before anybody asks.
    fn has_evidence_functions(&self) -> Result<(), GpuError> {
        let library = self.nvml.lib();
        if library.nvmlDeviceGetConfComputeGpuAttestationReport.is_err() {
            return Err(GpuError::NoSymbol(REPORT));
        }
        if library.nvmlDeviceGetConfComputeGpuCertificate.is_err() {
            return Err(GpuError::NoSymbol(CERTIFICATE));
        }
        Ok(())
    }

    /// A call about the whole node.
    fn of_node<T>(
        &self,
        call: &'static str,
        work: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Result<T, GpuError> {
        self.pulse.during(work).map_err(|e| match e {
            NvmlError::NotSupported => GpuError::NotSupported,
            other => refused(None, call, &other),
        })
    }

    /// A call about one GPU. The wrapper slices its buffers by the sizes that the library reports:
    /// an impossible one is a panic there, and an error here.
    fn of_gpu<T>(
        &self,
        gpu: u32,
        call: &'static str,
        work: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Result<T, GpuError> {
        let outcome = self.pulse.during(|| catch_unwind(AssertUnwindSafe(work)));
        outcome
            .map_err(|_panic| GpuError::ImpossibleSize { gpu, call })?
            .map_err(|e| refused(Some(gpu), call, &e))
    }
}

fn of_one_architecture(gpus: &[Gpu<'_>]) -> Result<(), GpuError> {
    let first = gpus.first().map(|gpu| gpu.arch);
    if gpus.iter().all(|gpu| Some(gpu.arch) == first) {
        return Ok(());
    }
    let each = gpus.iter().map(|gpu| format!("GPU {} {}", gpu.index, gpu.arch));
    Err(GpuError::MixedArchitectures(each.collect::<Vec<_>>().join(", ")))
}

fn refused(gpu: Option<u32>, call: &'static str, error: &NvmlError) -> GpuError {
    match error {
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => GpuError::NoSymbol(call),
        other => GpuError::Driver { gpu, call, cause: other.to_string() },
    }
}

fn not_opened(name: &str, error: NvmlError) -> GpuError {
    match error {
        NvmlError::LibloadingError(e) => {
            let cause = e.to_string();
            // A library that is there and cannot be loaded must not pass for a missing one.
            let missing = cause.starts_with(name) && cause.contains("No such file or directory");
            if missing { GpuError::NoLibrary(cause) } else { GpuError::BadLibrary(cause) }
        }
        NvmlError::FailedToLoadSymbol(cause) => GpuError::BadLibrary(cause),
        NvmlError::DriverNotLoaded => GpuError::NoDriver,
        other => refused(None, INIT, &other),
    }
}

/// As the driver's packages install it.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The largest nodes have eight.
const GPUS_MAX: u32 = 16;

/// Where the signed SPDM request holds the nonce.
const NONCE_AT: usize = 4;

const INIT: &str = "nvmlInit_v2";
const COUNT: &str = "nvmlDeviceGetCount_v2";
const HANDLE: &str = "nvmlDeviceGetHandleByIndex_v2";
const ARCHITECTURE: &str = "nvmlDeviceGetArchitecture";
const SETTINGS: &str = "nvmlSystemGetConfComputeSettings";
const STATE: &str = "nvmlSystemGetConfComputeState";
const READY: &str = "nvmlSystemGetConfComputeGpusReadyState";
const REPORT: &str = "nvmlDeviceGetConfComputeGpuAttestationReport";
const CERTIFICATE: &str = "nvmlDeviceGetConfComputeGpuCertificate";
