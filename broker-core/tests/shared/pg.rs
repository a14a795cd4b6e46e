//! A real PostgreSQL for tests: a server of this process's own, and a database for each test.
//!
//! Needs nothing but the standard library, `tempfile` and PostgreSQL's programs.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The server of this test binary, started at the first call. `None` where PostgreSQL's programs
/// are not installed, which is said on a line of its own, and is a failure where CI=true.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER
        .get_or_init(|| match programs() {
            Some(programs) => Some(Server::start(&programs, &[])),
            None => {
                skipped("no initdb, postgres and psql in PG_BIN, /usr/lib/postgresql or PATH");
                None
            }
        })
        .as_ref()
}

/// A server with other settings, such as `&["-c", "fsync=off"]`; ends when it is dropped.
pub(crate) fn another_server(options: &[&str]) -> Option<Server> {
    server().map(|_| Server::start(&programs().unwrap(), options))
}

/// A running PostgreSQL, with durable settings unless told otherwise.
pub(crate) struct Server {
    programs: PathBuf,
    port: u16,
    /// A shell that waits for this process to end, however it ends, and ends the server then.
    watch: Child,
    leash: Option<ChildStdin>,
}

impl Server {
    fn start(programs: &Path, options: &[&str]) -> Self {
        let mut log = String::new();
        // Somebody else may take the free port first.
        for _ in 0..3 {
            // The watch removes the folder: nothing of this process runs when it is killed.
            let folder = tempfile::tempdir().unwrap().keep();
            make_cluster(programs, &folder);
            let mut server = Self::watched(programs, &folder, free_port(), options);
            match server.wait_until_up(&folder.join("log")) {
                Ok(()) => return server,
                Err(told) => log = told,
            }
        }
        panic!("PostgreSQL does not start:\n{log}");
    }

    fn watched(programs: &Path, folder: &Path, port: u16, options: &[&str]) -> Self {
        let mut watch = as_user(unprivileged(), "/bin/sh");
        watch.args(["-c", WATCH]).arg(programs.join("postgres")).arg(folder);
        watch.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        watch.args(["-c", "fsync=on", "-c", "full_page_writes=on", "-c", "synchronous_commit=on"]);
        watch.args(["-c", "max_connections=200", "-c", "log_statement=none"]).args(options);
        let null = || Stdio::null();
        watch.stdin(Stdio::piped()).stdout(null()).stderr(null()).process_group(0);
        let mut watch = watch.spawn().unwrap();
        let leash = watch.stdin.take();
        Self { programs: programs.to_owned(), port, watch, leash }
    }

    /// The server's log where it does not come up.
    fn wait_until_up(&mut self, log: &Path) -> Result<(), String> {
        let began = Instant::now();
        loop {
            if self.psql("postgres", "SELECT 1").status.success() {
                return Ok(());
            }
            let told = std::fs::read_to_string(log).unwrap_or_default();
            let is_over = ["is shut down", "could not create any"];
            let is_over = is_over.iter().any(|word| told.contains(word));
            if is_over || began.elapsed() > Duration::from_secs(60) {
                return Err(told);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The port on 127.0.0.1.
    /// One of PostgreSQL's own programs, run as whoever runs the test.
    #[allow(dead_code, reason = "each test binary uses its own part of this file")]
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of a database of this server.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://broker@127.0.0.1:{}/{database}", self.port)
    }

    /// A new, empty database, which is dropped with the value.
    pub(crate) fn database(&self) -> Database<'_> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        Database { server: self, name }
    }

    /// Carries out statements as the superuser and gives their rows, one a line.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let done = self.psql(database, sql);
        assert!(done.status.success(), "{sql}: {}", shown(&done));
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    fn psql(&self, database: &str, sql: &str) -> Output {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        psql.arg("-d").arg(self.url(database)).env("PGOPTIONS", "").output().unwrap()
    }

    fn end(&mut self) {
        drop(self.leash.take());
        let _ = self.watch.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// An empty database of this test binary's own server, which has had other tests in it perhaps:
/// much faster than a new one.
pub(crate) fn lent() -> Option<Lent> {
    let server = server()?;
    let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let database = spare.unwrap_or_else(|| server.database());
    database.wipe();
    Some(Lent(Some(database)))
}

/// A database that goes back to the others.
pub(crate) struct Lent(Option<Database<'static>>);

static SPARE: Mutex<Vec<Database<'static>>> = Mutex::new(Vec::new());

impl std::ops::Deref for Lent {
    type Target = Database<'static>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner).extend(self.0.take());
    }
}

/// A database of one test.
pub(crate) struct Database<'a> {
    server: &'a Server,
    name: String,
}

impl Database<'_> {
    /// Its address.
    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its address through another port, such as a proxy's.
    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("postgres://broker@127.0.0.1:{port}/{}", self.name)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes every row out of a ledger, whatever its triggers say: much faster than a new one.
    pub(crate) fn wipe(&self) {
        self.sql(WIPE);
    }

    /// Carries out statements in it and gives their rows, one a line.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // The server goes anyway; a test that fails must not fail twice.
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = self.server.psql("postgres", &drop);
    }
}

/// Starts PostgreSQL in `$1`, waits for the end of its own input, and cleans up.
const WATCH: &str = r#"
folder=$1; shift
"$0" -D "$folder/data" -k "$folder" "$@" 2>>"$folder/log" &
server=$!
read -r _
kill -QUIT $server 2>/dev/null
wait $server
rm -rf "$folder"
"#;

const WIPE: &str = "DO $$
DECLARE name text;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR name IN SELECT tablename FROM pg_tables
    WHERE schemaname = 'broker_ledger' AND tablename NOT IN ('migration', 'log')
  LOOP EXECUTE format('DELETE FROM broker_ledger.%I', name); END LOOP;
  ALTER SEQUENCE IF EXISTS broker_ledger.entry_number RESTART;
END $$";

/// A missing component is a failure only where every component is promised.
pub(crate) fn skipped(missing: &str) {
    let promised = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!promised, "CI=true, but {missing}");
    // Past the capture of the test harness, which shows nothing of tests that pass.
    let line = format!("\nSKIPPED: {missing}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The folder that has all the programs; of several versions the last.
fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PG_BIN").map(PathBuf::from).into_iter().collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file())
    };
    folders.into_iter().find(has_all)
}

fn make_cluster(programs: &Path, folder: &Path) {
    let owner = unprivileged();
    if let Some(id) = owner {
        chown(folder, Some(id), Some(id)).unwrap();
    }
    let mut initdb = as_user(owner, programs.join("initdb"));
    initdb.args(["--auth=trust", "--no-sync", "--username=broker", "--encoding=UTF8"]);
    let made = initdb.arg("--no-locale").arg("-D").arg(folder.join("data")).output().unwrap();
    assert!(made.status.success(), "initdb: {}", shown(&made));
}

/// PostgreSQL refuses to run as root.
fn unprivileged() -> Option<u32> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    is_root.then_some(65_534)
}

fn as_user(user: Option<u32>, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some(id) = user {
        command.uid(id).gid(id);
    }
    command
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn shown(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}
