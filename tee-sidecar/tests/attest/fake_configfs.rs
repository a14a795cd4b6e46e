//! A thread that plays the kernel behind a folder.
//!
//! Its files are FIFOs, so that opening one waits for the other side as reading from the kernel
//! does. A plain file system removes no folder that holds files, as configfs does: so this kernel
//! takes its files away when the client has opened the last one, before it answers.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What the kernel does with one entry.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    /// Gives a quote.
    Good,
    /// Tells its provider; nothing more is asked.
    Provider(&'static str),
    /// Counts another write than ours.
    Generation(&'static str),
    /// Gives a quote of so many bytes.
    Outblob(usize),
    /// Gives a quote after a while.
    Slow(Duration),
    /// Fails to read the quote, with an error of the real operating system.
    ReadError,
    /// Never fills the entry.
    Nothing,
}

/// The folder and its kernel.
pub(crate) struct FakeConfigfs {
    base: PathBuf,
    shared: Arc<Shared>,
}

/// A quote's bytes over report data.
pub(crate) type MakeQuote = fn(&[u8]) -> Vec<u8>;

#[derive(Default)]
struct Shared {
    /// What is given as a quote over report data; [`quote_over`] where nothing is set.
    quote: Option<MakeQuote>,
    /// For the next entries; after them every one is [`Script::Good`].
    scripts: Mutex<VecDeque<Script>>,
    stopped: AtomicBool,
    quotes: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl FakeConfigfs {
    /// A kernel behind `base`, which treats the first entries as `scripts` say.
    pub(crate) fn start(base: &Path, scripts: &[Script]) -> Self {
        Self::start_with(base, scripts, quote_over)
    }

    /// The same with other quotes.
    pub(crate) fn start_with(base: &Path, scripts: &[Script], quote: MakeQuote) -> Self {
        fs::create_dir_all(base).unwrap();
        let shared = Arc::new(Shared { quote: Some(quote), ..Shared::default() });
        shared.scripts.lock().unwrap().extend(scripts);
        let (own, folder) = (shared.clone(), base.to_owned());
        thread::spawn(move || own.watch(&folder));
        Self { base: base.to_owned(), shared }
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.base.clone()
    }

    /// How many quotes were asked for.
    pub(crate) fn quotes(&self) -> usize {
        self.shared.quotes.load(Ordering::SeqCst)
    }

    /// The most entries that were there at one time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }

    /// Waits until no entry is left, which an answer may precede by a moment.
    pub(crate) fn assert_empty(&self) {
        let started = Instant::now();
        while fs::read_dir(&self.base).unwrap().count() > 0 {
            assert!(started.elapsed() < Duration::from_secs(10), "an entry stays behind");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for FakeConfigfs {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn watch(self: Arc<Self>, base: &Path) {
        let mut known: BTreeSet<OsString> = BTreeSet::new();
        while !self.stopped.load(Ordering::SeqCst) {
            let there: BTreeSet<_> =
                fs::read_dir(base).into_iter().flatten().flatten().map(|e| e.file_name()).collect();
            self.most_at_once.fetch_max(there.len(), Ordering::SeqCst);
            for name in there.difference(&known) {
                let script = self.scripts.lock().unwrap().pop_front().unwrap_or(Script::Good);
                let entry = Entry(base.join(name));
                let own = self.clone();
                thread::spawn(move || entry.play(script, &own));
            }
            known.extend(there);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

struct Entry(PathBuf);

impl Entry {
    fn play(&self, script: Script, shared: &Shared) {
        if matches!(script, Script::Nothing) {
            return;
        }
        self.fill(script);
        match script {
            Script::Provider(name) => return self.say_last("provider", format!("{name}\n")),
            _ => self.say("provider", "tdx_guest\n"),
        }
        self.say("generation", "6\n");
        let mut inblob = Vec::new();
        File::open(self.0.join("inblob")).unwrap().read_to_end(&mut inblob).unwrap();
        assert_eq!(inblob.len(), 64);
        shared.quotes.fetch_add(1, Ordering::SeqCst);
        let quote = shared.quote.unwrap_or(quote_over)(&inblob);
        match script {
            Script::ReadError => return,
            Script::Outblob(length) => return self.say_last("outblob", vec![1; length]),
            Script::Slow(time) => thread::sleep(time),
            _ => {}
        }
        self.say("outblob", quote);
        let after = if let Script::Generation(after) = script { after } else { "7\n" };
        self.say_last("generation", after);
    }

    fn fill(&self, script: Script) {
        let unpublished = self.0.join(".generation");
        let mut fifos = vec![self.0.join("provider"), self.0.join("inblob"), unpublished.clone()];
        if matches!(script, Script::ReadError) {
            // Nothing is mapped at address 0: the system answers EIO.
            std::os::unix::fs::symlink("/proc/self/mem", self.0.join("outblob")).unwrap();
        } else {
            fifos.push(self.0.join("outblob"));
        }
        assert!(Command::new("mkfifo").args(fifos).status().unwrap().success());
        // The client waits for this name. A real kernel has filled the entry when mkdir returns.
        fs::rename(unpublished, self.0.join("generation")).unwrap();
    }

    /// Answers the reader of a file.
    fn say(&self, name: &str, content: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().write(true).open(self.0.join(name)).unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    /// Answers the reader of the last file that is read.
    fn say_last(&self, name: &str, content: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().write(true).open(self.0.join(name)).unwrap();
        for own in fs::read_dir(&self.0).unwrap() {
            fs::remove_file(own.unwrap().path()).unwrap();
        }
        file.write_all(content.as_ref()).unwrap();
    }
}

/// What this kernel gives as a quote.
pub(crate) fn quote_over(report_data: &[u8]) -> Vec<u8> {
    [b"a quote over ".as_slice(), report_data].concat()
}
