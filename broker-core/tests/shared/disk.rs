//! A disk that misbehaves: it refuses, fills up, and loses what was not flushed when its power is
//! cut.
//!
//! Files below a mounted folder are real, and SQLite sees them as usual. Beside them the disk keeps
//! what the platters would have, so that at any call it can tell what a power cut would leave. The
//! flushes of these files are therefore not carried out: the model stands for them, and is fast.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use broker_core::testing::Rng;
use rusqlite::ffi;

use self::image::{Image, Op};

#[path = "disk/connection.rs"]
pub(crate) mod connection;
#[path = "disk/image.rs"]
mod image;
#[path = "disk/vfs.rs"]
mod vfs;

/// What goes wrong, counted in calls from the moment it is ordered; the first call is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A write fails, once.
    Write(u64),
    /// A flush fails, once, and what it was to flush is lost.
    Sync(u64),
    /// From a write on there is no room: half of it is written.
    Full(u64),
}

/// A fault that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fired {
    /// The file that it hit.
    pub(crate) file: String,
    /// Calls since the last one that failed: what was tried after it.
    pub(crate) tried_since: u64,
    /// Calls on a log that failed, while a batch depended on them: a flush of a log that is clean
    /// is none of these.
    pub(crate) in_commits: u64,
}

/// How often the disk was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) writes: u64,
    pub(crate) syncs: u64,
    /// Of these, of files that are logs.
    pub(crate) log_syncs: u64,
}

/// What a power cut leaves.
#[derive(Clone)]
pub(crate) struct Remains {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// How many steps had been acknowledged when the power went.
    pub(crate) acknowledged: usize,
    /// The call at which it went.
    pub(crate) call: u64,
}

impl Remains {
    /// Lays the files down in a folder.
    pub(crate) fn lay_down(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for (name, content) in &self.files {
            std::fs::write(folder.join(name), content).unwrap();
        }
    }
}

/// A folder whose files can be lost.
pub(crate) struct Disk {
    folder: PathBuf,
    state: Mutex<State>,
}

struct State {
    images: BTreeMap<String, Image>,
    rng: Rng,
    calls: Calls,
    fault: Option<(Fault, Calls)>,
    fired: Option<Fired>,
    read_only: bool,
    /// A planted bug: a flush that failed is tried again.
    retries_syncs: bool,
    /// Of a thousand calls, so many see the power cut.
    cuts_permille: u32,
    cuts_left: usize,
    acknowledged: usize,
    remains: Vec<Remains>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    /// So many bytes are written and an error is answered.
    Fail(usize, i32),
}

impl Disk {
    /// Takes over a folder until the answer is dropped. What lies in it is on the platters.
    pub(crate) fn mount(folder: &Path, seed: u64) -> Arc<Self> {
        vfs::install();
        let folder = std::fs::canonicalize(folder).unwrap();
        let state = State {
            images: BTreeMap::new(),
            rng: Rng::new(seed),
            calls: Calls::default(),
            fault: None,
            fired: None,
            read_only: false,
            retries_syncs: false,
            cuts_permille: 0,
            cuts_left: 0,
            acknowledged: 0,
            remains: Vec::new(),
        };
        let disk = Arc::new(Self { folder, state: Mutex::new(state) });
        let mut mounted = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        mounted.retain(|disk| disk.strong_count() > 0);
        mounted.push(Arc::downgrade(&disk));
        disk
    }

    /// The disk that a path is on.
    pub(crate) fn at(path: &Path) -> Option<Arc<Self>> {
        Self::of(path).map(|(disk, _)| disk)
    }

    /// The disk that a path is on, and the file's name there.
    fn of(path: &Path) -> Option<(Arc<Self>, String)> {
        let name = path.file_name()?.to_str()?.to_owned();
        let mounted = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut disks = mounted.iter().filter_map(Weak::upgrade);
        disks.find(|disk| Some(disk.folder.as_path()) == path.parent()).map(|disk| (disk, name))
    }

    /// From now on this goes wrong; `None`: nothing any more.
    pub(crate) fn order(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.fired = None;
        state.fault = fault.map(|fault| (fault, state.calls));
    }

    pub(crate) fn make_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    pub(crate) fn retry_syncs(&self) {
        self.state().retries_syncs = true;
    }

    /// So many power cuts, each at a random call of a thousand `permille` of them.
    pub(crate) fn cut_at_random(&self, cuts: usize, permille: u32) {
        let mut state = self.state();
        (state.cuts_left, state.cuts_permille) = (cuts, permille);
    }

    /// The power goes now.
    pub(crate) fn cut(&self) -> Remains {
        let mut state = self.state();
        state.cut();
        state.remains.pop().unwrap()
    }

    /// What the random power cuts left.
    pub(crate) fn take_remains(&self) -> Vec<Remains> {
        std::mem::take(&mut self.state().remains)
    }

    /// How many random power cuts are still to come.
    pub(crate) fn cuts_left(&self) -> usize {
        self.state().cuts_left
    }

    /// Another step was acknowledged.
    pub(crate) fn acknowledge(&self) {
        self.state().acknowledged += 1;
    }

    pub(crate) fn calls(&self) -> Calls {
        self.state().calls
    }

    pub(crate) fn fired(&self) -> Option<Fired> {
        self.state().fired.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_read_only(&self) -> bool {
        self.state().read_only
    }

    /// A file was opened; one that nobody told of is on the platters, unless it is new.
    fn opened(&self, name: &str, was_there: bool) {
        let mut state = self.state();
        if was_there {
            let content = || std::fs::read(self.folder.join(name)).unwrap_or_default();
            state.images.entry(name.to_owned()).or_insert_with(|| Image::durable(content()));
        } else {
            state.at_call(None);
            state.images.entry(name.to_owned()).or_default().push(Op::Create);
        }
    }

    fn removed(&self, name: &str, folder_too: bool) {
        let mut state = self.state();
        state.at_call(None);
        if let Some(image) = state.images.get_mut(name) {
            image.push(Op::Remove);
        }
        if folder_too {
            state.images.values_mut().for_each(Image::flush_name);
        }
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> Verdict {
        let mut state = self.state();
        state.calls.writes += 1;
        state.at_call(Some(name));
        let verdict = match state.due(|since| since.writes) {
            Some(Fault::Write(_)) => Verdict::Fail(0, ffi::SQLITE_IOERR_WRITE),
            Some(Fault::Full(_)) => Verdict::Fail(bytes.len() / 2, ffi::SQLITE_FULL),
            _ => Verdict::Pass,
        };
        let written = match verdict {
            Verdict::Pass => bytes,
            Verdict::Fail(length, _) => &bytes[..length],
        };
        state.images.entry(name.to_owned()).or_default().push(Op::Write(offset, written.to_vec()));
        state.failed(verdict, name);
        verdict
    }

    fn truncate(&self, name: &str, length: u64) {
        let mut state = self.state();
        state.at_call(Some(name));
        state.images.entry(name.to_owned()).or_default().push(Op::Truncate(length));
    }

    fn sync(&self, name: &str, folder_too: bool) -> Verdict {
        let mut state = self.state();
        state.calls.syncs += 1;
        state.calls.log_syncs += u64::from(name.ends_with("-wal"));
        state.at_call(Some(name));
        let mut verdict = Verdict::Pass;
        if let Some(Fault::Sync(_)) = state.due(|since| since.syncs) {
            verdict = Verdict::Fail(0, ffi::SQLITE_IOERR_FSYNC);
            state.failed(verdict, name);
            let State { images, rng, .. } = &mut *state;
            images.entry(name.to_owned()).or_default().lose(rng);
        }
        if verdict != Verdict::Pass && !state.retries_syncs {
            return verdict;
        }
        state.images.entry(name.to_owned()).or_default().flush();
        if folder_too {
            state.images.values_mut().for_each(Image::flush_name);
        }
        Verdict::Pass
    }
}

impl State {
    /// Before a call is carried out the power may go.
    fn at_call(&mut self, name: Option<&str>) {
        if let (Some(fired), Some(_)) = (&mut self.fired, name) {
            fired.tried_since += 1;
        }
        if self.cuts_left > 0 && self.rng.chance(self.cuts_permille) {
            self.cuts_left -= 1;
            self.cut();
        }
    }

    fn cut(&mut self) {
        let Self { images, rng, .. } = self;
        let files = images.iter().filter_map(|(name, image)| {
            let content = image.after_cut(rng)?;
            Some((name.clone(), content))
        });
        let files = files.collect();
        let call = self.calls.writes + self.calls.syncs;
        self.remains.push(Remains { files, acknowledged: self.acknowledged, call });
    }

    /// The fault that is ordered for this call, by the calls of its kind since the order.
    fn due(&self, count: impl Fn(&Calls) -> u64) -> Option<Fault> {
        let (fault, ordered_at) = self.fault?;
        let number = count(&self.calls) - count(&ordered_at);
        let is_due = match fault {
            Fault::Write(k) | Fault::Sync(k) => number == k,
            Fault::Full(k) => number >= k,
        };
        is_due.then_some(fault)
    }

    fn failed(&mut self, verdict: Verdict, name: &str) {
        if verdict != Verdict::Pass {
            let before = self.fired.as_ref().map_or(0, |fired| fired.in_commits);
            let is_dirty = self.images.get(name).is_some_and(Image::is_dirty);
            let in_commits = before + u64::from(name.ends_with("-wal") && is_dirty);
            self.fired = Some(Fired { file: name.to_owned(), tried_since: 0, in_commits });
        }
    }
}

static DISKS: Mutex<Vec<Weak<Disk>>> = Mutex::new(Vec::new());
