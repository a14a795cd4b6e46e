//! GPU evidence through NVIDIA's management library, NVML.

use std::path::PathBuf;
use std::time::Duration;

use super::GpuAttester;
use super::node::Node;
use crate::attest::worker::{Limits, Refusal, Worker};
use crate::attest::{GpuError, GpuFuture};
use crate::evidence::Nonce32;
use crate::evidence::nvidia::GpuRoot;

/// The GPUs of this node, as NVIDIA's driver shows them. One thread owns the driver's library and
/// does one request after another; when the last of this is dropped, it ends.
pub struct NvmlAttester {
    worker: Worker<Node>,
}

/// How long is waited for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuLimits {
    /// A call of the driver's that takes longer hangs: requests then fail at once until it
    /// returns.
    pub call: Duration,
    /// A request, which is some calls for each GPU and the wait for the requests before it; the
    /// start too.
    pub request: Duration,
}

impl Default for GpuLimits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(CALL_SECS_MAX),
            request: Duration::from_secs(REQUEST_SECS_MAX),
        }
    }
}

impl NvmlAttester {
    /// Loads `library`, or else the one that the loader finds under NVIDIA's name, and makes sure
    /// that the GPUs can give evidence. Blocks until then, for [`GpuLimits::request`] at most.
    ///
    /// # Errors
    /// What is missing or wrong with the library, the driver or the GPUs' mode.
    pub fn start(library: Option<PathBuf>) -> Result<Self, GpuError> {
        Self::start_within(GpuLimits::default(), library)
    }

    /// [`NvmlAttester::start`] with other limits.
    pub fn start_within(limits: GpuLimits, library: Option<PathBuf>) -> Result<Self, GpuError> {
        let open = move |pulse| Node::open(library.as_deref(), pulse);
        let GpuLimits { call, request } = limits;
        Ok(Self { worker: Worker::start(THREAD_NAME, Limits { call, request }, open)? })
    }
}

impl GpuAttester for NvmlAttester {
    fn evidence(&self, nonce: Nonce32) -> GpuFuture<'_> {
        Box::pin(self.worker.ask(move |node, caller| node.evidence(&nonce, caller)))
    }

    fn trust_root(&self) -> GpuRoot {
        GpuRoot::Nvidia
    }
}

impl From<Refusal> for GpuError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Hangs(secs) => Self::Hangs(secs),
            Refusal::NoTurn(secs) => Self::NoTurn(secs),
            Refusal::Late(secs) => Self::Late(secs),
            Refusal::Busy(waiting) => Self::Busy(waiting),
            Refusal::Panicked => Self::Panicked,
            Refusal::NoThread(cause) => Self::NoThread(cause),
        }
    }
}

/// As the operating system shows it; 15 bytes at most.
const THREAD_NAME: &str = "nvml";

/// A GPU signs a report in about a second.
const CALL_SECS_MAX: u64 = 8;

/// A node of eight GPUs, with a few requests before this one: less than the thirty seconds that a
/// report may take, so that the report's error says what hangs.
const REQUEST_SECS_MAX: u64 = 28;
