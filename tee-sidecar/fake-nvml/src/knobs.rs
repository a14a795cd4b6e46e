//! The lines of `<library>.knobs`, each `NAME=value`. Where a value is a list with commas, the
//! first is for GPU 0 and so on; the last one holds for all GPUs after it.
//!
//! | name | meaning, and what holds without it |
//! |---|---|
//! | `FAKE_NVML_GPUS` | how many GPUs; 1 |
//! | `FAKE_NVML_ARCH` | list: NVML's number of the architecture; 9, which is Hopper |
//! | `FAKE_NVML_CC` | `on`, `off`, `ppcie`, `unsupported`, `devtools`, `notready` or `notprod` |
//! | `FAKE_NVML_READY` | list, not of GPUs but of calls: 1 where it says that they are ready; 1 |
//! | `FAKE_NVML_INIT_RC` | what the initialisation returns; 0 |
//! | `FAKE_NVML_MODE` | `resign`, `canned`, `stale`: see below; `resign` |
//! | `FAKE_NVML_REPORT` | list of files, each a raw SPDM request and response; made-up bytes |
//! | `FAKE_NVML_CHAIN` | list of PEM files; made-up text |
//! | `FAKE_NVML_KEY_LABEL` | the signing key's scalar is the SHA-384 of this; `fake-nvml` |
//! | `FAKE_NVML_REPORT_RC` | list: what the report function returns; 0 |
//! | `FAKE_NVML_REPORT_SIZE` | list: the report's size as told; the true one |
//! | `FAKE_NVML_CEC_SIZE` | list: the CEC report's size as told; 0 |
//! | `FAKE_NVML_CHAIN_SIZE` | list: the attestation chain's size as told; the true one |
//! | `FAKE_NVML_HANG_CALL` | the function that hangs; none |
//! | `FAKE_NVML_HANG_UNTIL` | the file whose existence ends the hanging; never |
//! | `FAKE_NVML_HANG_MS` | milliseconds after which the hanging ends; never |
//!
//! Words of `FAKE_NVML_CC` may be joined by `+`: `ppcie+notready`.
//!
//! `resign` puts the caller's nonce into the report and signs it anew; `canned` hands the report
//! out as it is; `stale` answers with the nonce of the call before, as a confused driver would.

use std::ffi::c_uint;
use std::fs;
use std::path::PathBuf;

use crate::abi::{NOT_SUPPORTED, Return, State};

/// The lines as they are at this moment.
#[derive(Debug, Default)]
pub struct Knobs {
    text: String,
}

impl Knobs {
    pub(crate) fn read() -> Self {
        let path = beside_library("knobs");
        Self { text: path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default() }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ str| line.split_once('=').is_some_and(|(key, _)| key == name);
        let line = self.text.lines().find(|line| value(line))?;
        line.split_once('=').map(|(_, value)| value)
    }

    /// The part of a list that holds for this GPU.
    pub(crate) fn text_of(&self, name: &str, gpu: usize) -> Option<&str> {
        let list = self.text(name)?;
        list.split(',').nth(gpu).or_else(|| list.rsplit(',').next())
    }

    pub(crate) fn number(&self, name: &str, gpu: usize) -> Option<c_uint> {
        self.text_of(name, gpu)?.parse().ok()
    }

    pub(crate) fn gpus(&self) -> c_uint {
        self.number("FAKE_NVML_GPUS", 0).unwrap_or(1)
    }

    pub(crate) fn architecture(&self, gpu: usize) -> c_uint {
        self.number("FAKE_NVML_ARCH", gpu).unwrap_or(HOPPER)
    }

    pub(crate) fn init_rc(&self) -> Return {
        self.number("FAKE_NVML_INIT_RC", 0).unwrap_or_default()
    }

    fn cc_is(&self, word: &str) -> bool {
        self.text("FAKE_NVML_CC").unwrap_or("on").split('+').any(|set| set == word)
    }

    pub(crate) fn cc_refusal(&self) -> Option<Return> {
        self.cc_is("unsupported").then_some(NOT_SUPPORTED)
    }

    /// What the `call`th call says.
    pub(crate) fn gpus_are_ready(&self, call: usize) -> bool {
        !self.cc_is("notready") && self.number("FAKE_NVML_READY", call) != Some(0)
    }

    pub(crate) fn state(&self) -> State {
        State {
            environment: if self.cc_is("notprod") { SIMULATION } else { PRODUCTION },
            cc_feature: c_uint::from(!self.cc_is("off") && !self.cc_is("ppcie")),
            dev_tools_mode: c_uint::from(self.cc_is("devtools")),
        }
    }

    pub(crate) fn multi_gpu_mode(&self) -> c_uint {
        if self.cc_is("ppcie") { PROTECTED_PCIE } else { 0 }
    }
}

/// The path of this library with another ending. The loader knows it by the memory that it put the
/// library's code into.
pub(crate) fn beside_library(ending: &str) -> Option<PathBuf> {
    let here = beside_library as fn(&str) -> Option<PathBuf> as usize;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| holds(line, here).unwrap_or(false))?;
    let path = line.get(line.find('/')?..)?;
    Some(PathBuf::from(format!("{path}.{ending}")))
}

fn holds(line: &str, address: usize) -> Option<bool> {
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    let from = usize::from_str_radix(from, 16).ok()?;
    let to = usize::from_str_radix(to, 16).ok()?;
    Some((from..to).contains(&address))
}

const HOPPER: c_uint = 9;

/// `NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE`
const PROTECTED_PCIE: c_uint = 1;

/// `NVML_CC_SYSTEM_ENVIRONMENT_SIM`
const SIMULATION: c_uint = 1;

/// `NVML_CC_SYSTEM_ENVIRONMENT_PROD`
const PRODUCTION: c_uint = 2;
