//! Why there is no evidence, in words that say what to mend.

use std::path::PathBuf;

/// Why there is no quote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The machine has none of the interfaces that the setting asks for.
    #[error("tee.provider {provider}: no TEE here; looked for {looked_for}")]
    NoTee {
        /// The setting's value.
        provider: &'static str,
        /// The paths that would have shown one.
        looked_for: String,
    },
    /// The simulation was asked for in a build that has none.
    #[error("{0} simulated: this build has no simulator (cargo feature `simulator`)")]
    NoSimulator(&'static str),
    /// The simulation could not be set up.
    #[error("{0}")]
    Simulator(String),
    /// Only the guest agent of images that are too old is here.
    #[error(
        "tee.provider {provider}: {socket} is the agent of an image that is too old; start an \
             image of dstack 0.5 or later, whose agent listens at /var/run/dstack.sock"
    )]
    OldAgent {
        /// The setting's value.
        provider: &'static str,
        /// The old agent's socket.
        socket: PathBuf,
    },
    /// The kernel has no report interface.
    #[error(
        "configfs-tsm: no folder {0}; it takes Linux 6.7 with the tdx_guest driver, and configfs \
             mounted, into the container too"
    )]
    TsmMissing(PathBuf),
    /// The kernel's report interface failed on one of its files.
    #[error("configfs-tsm: {operation} {path}: {cause}")]
    Tsm {
        /// What was done: `read`, `write`, `create`, `look for`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says, and what to do about it.
        cause: String,
    },
    /// The kernel's report interface belongs to another kind of TEE.
    #[error("configfs-tsm: the provider is {0:?}, not tdx_guest; this release attests TDX only")]
    TsmProvider(String),
    /// Somebody else wrote to our entry while the quote was made.
    #[error("configfs-tsm: another writer raced (generation {0} became {1}); ask again")]
    TsmRace(u64, u64),
    /// The kernel gave a quote of no bytes.
    #[error("configfs-tsm: {0} is empty; the host's quote service failed: look at its log")]
    TsmEmpty(PathBuf),
    /// The kernel gave more than it ever gives.
    #[error("configfs-tsm: {0} is longer than any quote (32 KiB): it is not the kernel's")]
    TsmTooLong(PathBuf),
    /// The guest agent failed or answered with something else.
    #[error("dstack guest agent {socket}: {call}: {cause}")]
    Dstack {
        /// The socket.
        socket: PathBuf,
        /// Which call.
        call: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// The platform did not give a quote.
    #[error("the TEE gave no quote: {0}")]
    NoQuote(String),
    /// The platform did not answer in time; its last call still hangs.
    #[error("the TEE has not answered for {0} s; its last call still hangs")]
    Hangs(u64),
    /// The evidence did not come in time.
    #[error("no evidence within {0} s")]
    Late(u64),
    /// There is no GPU evidence.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The platform's own evidence does not hold.
    #[error("the TEE's own evidence does not verify: {0}")]
    SelfCheck(String),
}

/// Why there is no GPU evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// NVIDIA's library is not on this machine.
    #[error("gpu.provider: no NVIDIA driver library here: {0}")]
    NoLibrary(String),
    /// There is a library of that name, and it is not NVIDIA's or is broken.
    #[error("gpu.provider: this is not NVIDIA's driver library; mend or remove it: {0}")]
    BadLibrary(String),
    /// The library is there and the driver is not.
    #[error(
        "the NVIDIA driver is not loaded, and its library is here: load it and start again, or set \
             gpu.provider: none if this machine has no GPU"
    )]
    NoDriver,
    /// The library lacks a function that evidence needs.
    #[error("the NVIDIA driver library has no {0}: install a driver with confidential computing")]
    NoSymbol(&'static str),
    /// The driver shows no GPU.
    #[error(
        "the NVIDIA driver shows no GPU: wait until it does and start again, or set \
             gpu.provider: none if this machine has no GPU"
    )]
    NoGpu,
    /// More than one report can hold.
    #[error("the NVIDIA driver shows {count} GPUs; evidence of at most {max} fits into one report")]
    TooManyGpus {
        /// How many there are.
        count: u32,
        /// How many there may be.
        max: u32,
    },
    /// Neither confidential computing nor its form for GPUs behind NVSwitches is on.
    #[error(
        "GPU confidential-computing mode is off, and so is protected PCIe mode; turn one of them \
         on and reset the GPUs"
    )]
    ConfidentialComputingOff,
    /// Confidential computing is not supported by the driver or the GPUs.
    #[error("the NVIDIA driver or its GPUs do not support confidential computing")]
    NotSupported,
    /// Everything on the GPUs can be inspected.
    #[error("GPU dev-tools mode is on: its memory can be inspected; set confidential mode to on")]
    DevTools,
    /// Workloads are not accepted yet.
    #[error("the GPUs are not in the ready state; run nvidia-smi conf-compute -srs 1")]
    NotReady,
    /// The GPUs' keys are not those of production.
    #[error("the GPUs' confidential-computing environment is not PROD; use production hardware")]
    NotProduction,
    /// A generation that this release does not know.
    #[error("GPU {gpu}: unknown architecture {architecture}; this release knows Hopper, Blackwell")]
    UnknownArchitecture {
        /// The GPU's place in the driver's order.
        gpu: u32,
        /// What the driver says.
        architecture: String,
    },
    /// GPUs of two generations: one request of NVIDIA's service holds one.
    #[error("GPUs of different architectures in one node: {0}")]
    MixedArchitectures(String),
    /// The library reported a size that its buffer does not have, or none at all.
    #[error("GPU {gpu}: {call}: the driver library reported an impossible size")]
    ImpossibleSize {
        /// The GPU's place in the driver's order.
        gpu: u32,
        /// The function.
        call: &'static str,
    },
    /// The report answers another request than ours.
    #[error("GPU {0}: its report carries another nonce than the one asked for")]
    OtherNonce(u32),
    /// The driver does not answer; its last call still hangs.
    #[error("the NVIDIA driver has not answered for {0} s; its last call still hangs")]
    Hangs(u64),
    /// The driver answers its calls, and there was no evidence in time all the same.
    #[error("no GPU evidence within {0} s; the driver is slow: ask again later")]
    Late(u64),
    /// The request was never begun: those before it took the time.
    #[error("other requests for GPU evidence were first, for {0} s; ask again later")]
    NoTurn(u64),
    /// The caller went away; nobody sees this.
    #[error("nobody waits for this GPU evidence any more")]
    Abandoned,
    /// Too many requests wait.
    #[error("{0} requests for GPU evidence wait already; ask again later")]
    Busy(usize),
    /// The request ended in a panic; the next one is not touched by it.
    #[error("reading the NVIDIA driver's answer failed; the log says where: report it")]
    Panicked,
    /// The operating system gave no thread to talk to the driver.
    #[error("no thread for the NVIDIA driver: {0}")]
    NoThread(String),
    /// Another error of the driver's.
    #[error("{}{call}: {cause}", of_gpu(.gpu))]
    Driver {
        /// The GPU's place in the driver's order, where the call was about one.
        gpu: Option<u32>,
        /// The function.
        call: &'static str,
        /// What the driver says.
        cause: String,
    },
    /// A software GPU beside a real TEE: reports would mix proof with play.
    #[error("gpu.provider simulated: only beside a simulated TEE, and this one is real")]
    SimulatedBesideRealTee,
    /// The software GPU failed.
    #[error("{0}")]
    Simulator(String),
    /// The evidence is not what was asked for, or does not hold.
    #[error("GPU {index}: its own evidence does not verify: {cause}")]
    SelfCheck {
        /// The GPU's place in the driver's order.
        index: usize,
        /// The first check that failed.
        cause: String,
    },
}

fn of_gpu(gpu: &Option<u32>) -> String {
    gpu.map(|index| format!("GPU {index}: ")).unwrap_or_default()
}
