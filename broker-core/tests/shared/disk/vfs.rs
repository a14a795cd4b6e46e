//! How SQLite comes to write to a [`Disk`]: a VFS of our own, which every connection of this
//! process takes unless it asks for another.
//!
//! Files stay those of SQLite's own VFS. Only the table of an open file's methods is exchanged, for
//! a copy in which four methods ask the disk first.
#![allow(unsafe_code, reason = "SQLite takes a VFS as a table of C functions")]

use std::collections::HashMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::ffi;

use super::{Disk, Verdict};

/// Makes our VFS the one that connections take.
pub(super) fn install() {
    REAL.get_or_init(|| {
        // SAFETY: a null name asks for the default VFS, which lives as long as the process.
        let real = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        assert!(!real.is_null(), "SQLite has no VFS");
        // SAFETY: `real` points to a VFS, which is a plain table; its methods take any VFS of this
        // family, and `xOpen`, which does not, is given the real one in `open`.
        let mut ours = unsafe { std::ptr::read(real) };
        ours.zName = c"broker-core-tests".as_ptr();
        ours.pNext = std::ptr::null_mut();
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        let ours = Box::leak(Box::new(ours));
        // SAFETY: the table is leaked, so that it lives as long as SQLite may use it.
        let registered = unsafe { ffi::sqlite3_vfs_register(ours, 1) };
        assert_eq!(registered, ffi::SQLITE_OK);
        Real(real)
    });
}

static REAL: OnceLock<Real> = OnceLock::new();

struct Real(*mut ffi::sqlite3_vfs);

// SAFETY: SQLite itself uses the VFS from every thread, and nothing here changes it.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

/// An open file of a disk.
#[derive(Clone)]
struct Watched {
    disk: Arc<Disk>,
    name: String,
    /// Whether its first flush also flushes the folder, as SQLite's own VFS does for new logs.
    is_new: bool,
    methods: &'static ffi::sqlite3_io_methods,
}

/// The open files by where SQLite keeps them in memory.
fn files() -> MutexGuard<'static, HashMap<usize, Watched>> {
    static FILES: OnceLock<Mutex<HashMap<usize, Watched>>> = OnceLock::new();
    FILES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn watched(file: *mut ffi::sqlite3_file) -> Watched {
    files().get(&(file as usize)).cloned().unwrap()
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    mut flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let found = (!name.is_null()).then(|| {
        // SAFETY: SQLite hands over a name that ends with a zero byte, or null.
        let name = unsafe { CStr::from_ptr(name) };
        Path::new(OsStr::from_bytes(name.to_bytes()))
    });
    let on_disk = found.and_then(|path| Some((Disk::of(path)?, path.exists())));
    if let Some(((disk, _), true)) = &on_disk
        && disk.is_read_only()
    {
        // So does SQLite's own VFS where the system lets it only read.
        flags &= !(ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE);
        flags |= ffi::SQLITE_OPEN_READONLY;
    }
    let real = REAL.get().unwrap().0;
    // SAFETY: the real VFS gets its own pointer and SQLite's arguments; `file` has the size that
    // the real VFS asks for, since ours asks for the same.
    let opened = unsafe { (*real).xOpen.unwrap()(real, name, file, flags, flags_out) };
    if let (ffi::SQLITE_OK, Some(((disk, name), was_there))) = (opened, on_disk) {
        disk.opened(&name, was_there);
        let is_log = flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL) != 0;
        // SAFETY: a file that was opened has a table of methods, which is static.
        let methods = unsafe { &*(*file).pMethods };
        let is_new = !was_there && is_log;
        files().insert(file as usize, Watched { disk, name, is_new, methods });
        let ours = ffi::sqlite3_io_methods {
            xClose: Some(close),
            xWrite: Some(write),
            xTruncate: Some(truncate),
            xSync: Some(sync),
            ..*methods
        };
        // SAFETY: the file is open; its new table is leaked, and `close` puts the old one back.
        unsafe { (*file).pMethods = Box::leak(Box::new(ours)) };
    }
    opened
}

unsafe extern "C" fn delete(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_folder: c_int,
) -> c_int {
    let real = REAL.get().unwrap().0;
    // SAFETY: the real VFS gets its own pointer and SQLite's arguments.
    let deleted = unsafe { (*real).xDelete.unwrap()(real, name, sync_folder) };
    // SAFETY: SQLite hands over a name that ends with a zero byte.
    let name = unsafe { CStr::from_ptr(name) };
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    if let (ffi::SQLITE_OK, Some((disk, name))) = (deleted, Disk::of(path)) {
        disk.removed(&name, sync_folder != 0);
    }
    deleted
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let known = files().remove(&(file as usize)).unwrap();
    // SAFETY: the file is open and is closed with the methods it was opened with.
    unsafe {
        (*file).pMethods = known.methods;
        known.methods.xClose.unwrap()(file)
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    length: c_int,
    offset: i64,
) -> c_int {
    let known = watched(file);
    let size = usize::try_from(length).unwrap();
    // SAFETY: SQLite hands over so many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) };
    let verdict = known.disk.write(&known.name, u64::try_from(offset).unwrap(), bytes);
    let (length, code) = match verdict {
        Verdict::Pass => (length, ffi::SQLITE_OK),
        Verdict::Fail(written, code) => (c_int::try_from(written).unwrap(), code),
    };
    if length == 0 {
        return code;
    }
    // SAFETY: the file is open, and `length` is no more than SQLite handed over.
    let written = unsafe { known.methods.xWrite.unwrap()(file, data, length, offset) };
    if written == ffi::SQLITE_OK { code } else { written }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    let known = watched(file);
    known.disk.truncate(&known.name, u64::try_from(length).unwrap());
    // SAFETY: the file is open.
    unsafe { known.methods.xTruncate.unwrap()(file, length) }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let known = watched(file);
    match known.disk.sync(&known.name, known.is_new) {
        Verdict::Pass => {
            if let Some(known) = files().get_mut(&(file as usize)) {
                known.is_new = false;
            }
            ffi::SQLITE_OK
        }
        Verdict::Fail(_, code) => code,
    }
}
