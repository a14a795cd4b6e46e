//! Every call that can fail, failing in every way: what a file system in a test cannot do.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use super::super::{EACCES, EBUSY, EIO, ENXIO, EPERM, EROFS, ETIMEDOUT};
use super::*;
use crate::evidence::Nonce32;

/// A kernel whose `fails_at`th call fails with `errno`, or panics where there is none.
#[derive(Default)]
struct Kernel {
    fails_at: Option<usize>,
    errno: Option<i32>,
    calls: RefCell<Vec<String>>,
    inblob: RefCell<Vec<u8>>,
}

impl Kernel {
    fn call(&self, what: &str, path: &Path) -> io::Result<()> {
        let number = self.calls.borrow().len();
        let name = path.file_name().unwrap().to_string_lossy();
        self.calls.borrow_mut().push(format!("{what} {name}"));
        match self.errno {
            Some(errno) if self.fails_at == Some(number) => {
                Err(io::Error::from_raw_os_error(errno))
            }
            None if self.fails_at == Some(number) => panic!("the test says so"),
            _ => Ok(()),
        }
    }
}

impl Files for Kernel {
    fn make(&self, entry: &Path) -> io::Result<()> {
        self.call("make", entry)
    }

    fn wait_for(&self, file: &Path) -> io::Result<()> {
        self.call("wait for", file)
    }

    fn read(&self, file: &Path, _bytes_max: usize) -> io::Result<Vec<u8>> {
        self.call("read", file)?;
        let written = self.inblob.borrow();
        Ok(match file.file_name().unwrap().to_str().unwrap() {
            "provider" => b"tdx_guest\n".to_vec(),
            "generation" => format!("{}\n", written.len() / 64).into_bytes(),
            _ => [b"quote over ".as_slice(), &written].concat(),
        })
    }

    fn write(&self, file: &Path, content: &[u8]) -> io::Result<()> {
        self.call("write", file)?;
        self.inblob.borrow_mut().extend(content);
        Ok(())
    }

    fn remove(&self, entry: &Path) -> io::Result<()> {
        self.call("remove", entry)
    }
}

const CALLS: [&str; 8] = [
    "make one",
    "wait for generation",
    "read provider",
    "read generation",
    "write inblob",
    "read outblob",
    "read generation",
    "remove one",
];

fn report_data() -> ReportData {
    let nonce = Nonce32::from_bytes([9; 32]);
    ReportData::ecdsa_and_nonce(broker_core::Address([7; 20]), &nonce)
}

fn quote(kernel: &Kernel) -> Result<Vec<u8>, AttestError> {
    Entry::make(kernel, PathBuf::from("/base/one"))?.quote(&report_data())
}

#[test]
fn a_quote_takes_these_calls_in_this_order_and_exactly_64_bytes() {
    let kernel = Kernel::default();
    let expected = [b"quote over ".as_slice(), report_data().as_bytes()].concat();
    assert_eq!(quote(&kernel).unwrap(), expected);
    assert_eq!(*kernel.calls.borrow(), CALLS);
}

#[test]
fn an_error_at_any_call_names_the_file_and_the_remedy_and_removes_the_entry() {
    for (errno, remedy) in [
        (EIO, "the host's quote service failed"),
        (EBUSY, "ask again"),
        (ENXIO, "load tdx_guest"),
        (ETIMEDOUT, "does not answer"),
        (EPERM, "run as root"),
        (EACCES, "run as root"),
        (EROFS, "writable"),
    ] {
        for (fails_at, call) in CALLS.iter().enumerate().take(7) {
            let kernel = Kernel { fails_at: Some(fails_at), errno: Some(errno), ..<_>::default() };
            let refused = quote(&kernel).unwrap_err();
            let file = call.rsplit(' ').next().unwrap();
            let message = refused.to_string();
            assert!(matches!(refused, AttestError::Tsm { .. }), "{call}: {message}");
            assert!(message.contains(file) && message.contains("/base/one"), "{call}: {message}");
            assert!(message.contains(&format!("os error {errno}")), "{call}: {message}");
            assert!(message.contains(remedy), "{call}: {message}");

            let calls = kernel.calls.into_inner();
            let removed = (fails_at > 0).then_some("remove one");
            let expected = CALLS.iter().take(fails_at + 1).copied().chain(removed);
            assert!(calls.iter().map(String::as_str).eq(expected), "{calls:?}");
        }
    }
}

#[test]
fn a_panic_in_the_middle_removes_the_entry_too() {
    for fails_at in 1..7 {
        let kernel = Kernel { fails_at: Some(fails_at), ..Kernel::default() };
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| quote(&kernel)));
        assert!(caught.is_err());
        assert_eq!(kernel.calls.borrow().last().unwrap(), "remove one");
    }
}

#[test]
fn a_quote_is_still_given_when_its_entry_stays_behind() {
    let kernel = Kernel { fails_at: Some(7), errno: Some(EBUSY), ..Kernel::default() };
    assert!(quote(&kernel).is_ok());
}
