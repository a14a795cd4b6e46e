//! A bill of many receipts: `make invoice-long` makes it a million and says how fast it goes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker_core::jcs::Json;
use broker_core::keyset::Keyset;

use crate::host::*;

/// What a run took.
struct Took {
    wall: Duration,
    /// Of all threads together.
    cpu: Duration,
    peak_kib: u64,
}

#[test]
#[allow(clippy::disallowed_methods, reason = "how long the bill is, is asked of the environment")]
fn a_long_bill_is_worked_out_in_flat_memory_at_the_pace_of_its_signatures() {
    let asked = std::env::var("INVOICE").ok().map(|count| count.parse().unwrap());
    let count: u64 = asked.unwrap_or(20_000);
    let host = Host::new();
    let path = host.folder.path().join("receipts.jsonl");
    write_receipts(&host, &path, count);
    let threads = std::thread::available_parallelism().unwrap().get();

    let long = audit(&host, "receipts.jsonl");
    write_receipts(&host, &host.folder.path().join("short.jsonl"), count / 10);
    let short = audit(&host, "short.jsonl");
    let grown = long.peak_kib.saturating_sub(short.peak_kib);
    assert!(grown < 8 * 1024, "{} KiB for a tenth, {} KiB for all", short.peak_kib, long.peak_kib);

    let signatures = check_signatures(&host, count.min(100_000), threads);
    let per = |took: Duration, of: u64| took.as_secs_f64() * 1e6 / of as f64;
    let alone = per(signatures, count.min(100_000));
    let (wall, cpu) = (per(long.wall, count), per(long.cpu, count));
    println!(
        "{count} receipts, {threads} threads: {wall:.1} µs each ({:.0}/s), {cpu:.1} µs of \
         processor time; the signature alone takes {alone:.1} µs of one: {:.2} times; peak {} MiB",
        1e6 / wall,
        cpu / alone,
        long.peak_kib / 1024
    );
    // Only optimised code is held to it.
    let ratio = cpu / alone;
    assert!(cfg!(debug_assertions) || asked.is_none() || ratio < 1.3, "{ratio:.2} times");
}

/// Receipts of an account's exchanges from 1 on, signed one after another.
fn write_receipts(host: &Host, path: &Path, count: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    for n in 1..=count {
        writeln!(file, "{}", host.receipt(n)).unwrap();
    }
    file.flush().unwrap();
}

/// Runs the command and watches what it takes.
fn audit(host: &Host, receipts: &str) -> Took {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"))
        .current_dir(host.folder.path())
        .args(["verify", "invoice", "--receipts", receipts, "--tariff", "tariff.json"])
        .args(["--keyset", "keyset.json", "--no-gaps"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut took = Took { wall: Duration::ZERO, cpu: Duration::ZERO, peak_kib: 0 };
    while !ended(&mut child) {
        if let Some((cpu, peak_kib)) = usage(child.id()) {
            (took.cpu, took.peak_kib) = (cpu, peak_kib);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    took.wall = begun.elapsed();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("are all there"), "{text}");
    // No terminal, no bar.
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    took
}

fn ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

/// Processor time and the most memory so far, as Linux tells them.
fn usage(process: u32) -> Option<(Duration, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(") ")?;
    let field = |n: usize| behind.split(' ').nth(n)?.parse::<u64>().ok();
    // Fields 14 and 15, in hundredths of a second.
    let cpu = Duration::from_millis((field(11)? + field(12)?) * 10);
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some((cpu, line.trim().trim_end_matches(" kB").parse().ok()?))
}

/// What the signatures alone take, of one thread's time: each thread checks its share of them.
fn check_signatures(host: &Host, count: u64, threads: usize) -> Duration {
    let keyset = Keyset::parse(host.keyset().as_bytes()).unwrap();
    let signed: Vec<_> = (1..=SAMPLES)
        .map(|n| {
            let document = Json::parse(host.receipt(n).as_bytes()).unwrap();
            let (unsigned, signature) = document.without("signature");
            let signature = hex::decode(signature.unwrap().text().unwrap()).unwrap();
            (unsigned.canonical(), signature)
        })
        .collect();
    let (keyset, signed, id) = (&keyset, &signed, host.key.id());
    let cpu_before = usage(std::process::id()).unwrap().0;
    std::thread::scope(|scope| {
        for thread in 0..threads as u64 {
            scope.spawn(move || {
                let share = count / threads as u64 + u64::from(thread < count % threads as u64);
                for (document, signature) in signed.iter().cycle().take(share as usize) {
                    keyset.verify(id, document.as_bytes(), signature).unwrap();
                }
            });
        }
    });
    usage(std::process::id()).unwrap().0 - cpu_before
}

/// Different signatures that are checked again and again.
const SAMPLES: u64 = 500;
