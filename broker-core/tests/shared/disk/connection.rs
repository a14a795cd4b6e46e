//! The connection of a ledger, for orders that the ledger itself has no words for.
#![allow(unsafe_code, reason = "the ledger keeps its connection to itself; SQLite tells of it")]

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int};
use std::path::Path;
use std::sync::Once;

use broker_core::{LedgerError, SqliteLedger};
use rusqlite::ffi;

use crate::work::open_patiently;

thread_local! {
    /// The connection that this thread opened last.
    static LAST: Cell<*mut ffi::sqlite3> = const { Cell::new(std::ptr::null_mut()) };
}

/// The way to give orders to a ledger's own connection.
pub(crate) struct Orders(*mut ffi::sqlite3);

// SAFETY: SQLite's connections may go from thread to thread, as long as one uses them at a time.
unsafe impl Send for Orders {}

impl Orders {
    /// Gives one, such as a setting of another value. The ledger must be open, and nobody else may
    /// be using it.
    pub(crate) fn give(&self, order: &str) {
        let text = CString::new(order).unwrap();
        let (none, nobody) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the connection is open and not in use, as the caller sees to.
        let done = unsafe { ffi::sqlite3_exec(self.0, text.as_ptr(), None, none, nobody) };
        assert_eq!(done, ffi::SQLITE_OK, "{order}");
    }
}

/// Opens a ledger and then gives its own connection an order.
pub(crate) fn open_with(path: &Path, order: &str) -> Result<(SqliteLedger, Orders), LedgerError> {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        // SAFETY: `opened` has the signature that SQLite calls, and lives as long as the process.
        let listening = unsafe { ffi::sqlite3_auto_extension(Some(opened)) };
        assert_eq!(listening, ffi::SQLITE_OK);
    });
    let ledger = open_patiently(path)?;
    // The ledger's is the last connection that this thread opened.
    let orders = Orders(LAST.get());
    orders.give(order);
    Ok((ledger, orders))
}

unsafe extern "C" fn opened(
    db: *mut ffi::sqlite3,
    _: *mut *mut c_char,
    _: *const ffi::sqlite3_api_routines,
) -> c_int {
    LAST.set(db);
    ffi::SQLITE_OK
}
