//! One pass over the receipts: a thread reads, as many as there are processors check, and this one
//! adds up in the order of the file. Each holds a few pieces, whatever the file's length.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use broker_core::verify::{Bill, Invoice, Line, LineFault, Recount, Rules, check_all, recount};

use super::progress::Progress;
use super::units::{Piece, Units};
use crate::auditor::Failure;

type Checked = Vec<Result<Line, LineFault>>;

/// What all receipts of a file come to.
pub(super) struct AddedUp {
    pub(super) bill: Bill,
    pub(super) recount: Recount,
    /// Why the file was not read to its end.
    pub(super) cut: Option<Failure>,
}

/// Adds up all receipts of a file. What was read before an error counts.
pub(super) fn add_up(path: &Path, rules: &Rules, mut invoice: Invoice) -> Result<AddedUp, Failure> {
    let file = open(path)?;
    let mut progress = Progress::new(file.metadata().map(|about| about.len()).unwrap_or_default());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let read = thread::scope(|scope| {
        let (mut jobs, mut results) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (to_worker, job) = sync_channel(PIECES_HELD);
            let (result, from_worker) = sync_channel(PIECES_HELD);
            scope.spawn(move || work(rules, &job, &result));
            jobs.push(to_worker);
            results.push(from_worker);
        }
        let reader = scope.spawn(move || read(file, &jobs));
        // Pieces went round the workers in turn, and so come back in the order of the file.
        'pieces: loop {
            for worker in &results {
                let Ok((bytes, checked)) = worker.recv() else { break 'pieces };
                progress.add(bytes, &checked);
                checked.into_iter().for_each(|one| invoice.add(one));
            }
        }
        drop(results);
        reader.join()
    });
    progress.end();
    let cut = match read {
        Ok(read) => read.err().map(|error| unreadable(path, &error)),
        Err(_) => return Err(Failure::Failed("the reading thread ended".to_owned())),
    };
    let (bill, recount) = invoice.finish();
    Ok(AddedUp { bill, recount, cut })
}

/// Counts the ids that may be there twice.
pub(super) fn count_again(path: &Path, counted: &mut Recount) -> Result<(), Failure> {
    let mut units = Units::new(open(path)?);
    while let Some(piece) = units.next().map_err(|error| unreadable(path, &error))? {
        piece.texts().for_each(|text| recount(text, counted));
    }
    Ok(())
}

/// Refuses what cannot be read twice, before anything waits for a pipe's other end.
pub(super) fn readable_twice(path: &Path) -> Result<(), Failure> {
    let about = std::fs::metadata(path).map_err(|error| unreachable(path, &error))?;
    if about.is_file() {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::Usage(format!("--receipts {path} is no regular file, and has to be read twice")))
}

fn open(path: &Path) -> Result<File, Failure> {
    readable_twice(path)?;
    File::open(path).map_err(|error| unreachable(path, &error))
}

fn unreachable(path: &Path, error: &io::Error) -> Failure {
    Failure::Unreachable(format!("{}: {error}", path.display()))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::Malformed(format!("{}: {error}", path.display())),
        _ => unreachable(path, error),
    }
}

fn read(file: File, workers: &[SyncSender<Piece>]) -> io::Result<()> {
    let mut units = Units::new(file);
    let mut turn = workers.iter().cycle();
    while let (Some(piece), Some(worker)) = (units.next()?, turn.next()) {
        if worker.send(piece).is_err() {
            break;
        }
    }
    Ok(())
}

fn work(rules: &Rules, jobs: &Receiver<Piece>, results: &SyncSender<(u64, Checked)>) {
    while let Ok(piece) = jobs.recv() {
        let mut checked = Vec::new();
        piece.texts().for_each(|text| check_all(rules, text, &mut checked));
        if results.send((piece.bytes.len() as u64, checked)).is_err() {
            break;
        }
    }
}

/// Pieces that wait before each worker, and behind it.
const PIECES_HELD: usize = 2;
