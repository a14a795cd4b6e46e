//! The receipt log and the kept documents: one list of scenarios for every ledger.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[cfg(feature = "postgres")]
#[path = "shared/pg.rs"]
mod pg;
#[path = "shared/rig.rs"]
mod rig;

use books::{NOW, capture, hold, leaf, log_all, neuron, nth_hold, prove, receipt_id, user};
use broker_core::log::{self, Frontier, Tiles, stored};
use broker_core::{
    Charged, Command, Cover, Digest32, Kept, KeptKind, LedgerError, LogLeaf, LogState, LogTiles,
};
use rig::Rig;

macro_rules! scenarios {
    ($($name:ident)*) => {
        mod memory {
            $(#[test]
            fn $name() {
                super::$name(&mut super::Rig::memory());
            })*
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&mut super::Rig::sqlite());
            })*
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[test]
            fn $name() {
                if let Some(mut rig) = super::Rig::postgres() {
                    super::$name(&mut rig);
                }
            })*
        }
    };
}

scenarios! {
    leaves_are_the_receipts_with_a_proof_in_the_order_of_the_chain
    a_log_of_another_size_is_not_extended
    a_leaf_that_is_not_its_receipt_s_is_found
    stored_hashes_are_those_of_the_tree_over_the_leaves
    the_first_document_of_a_name_stays
    a_user_s_receipts_come_page_by_page
    an_empty_log_has_a_name_of_its_own
}

fn ids(charged: &[Charged]) -> Vec<broker_core::ReceiptId> {
    charged.iter().map(|charged| charged.receipt.id).collect()
}

/// Once every entry has its place.
fn size(rig: &Rig) -> u64 {
    rig.assert_clean();
    rig.reader.log().unwrap().size
}

fn leaves_are_the_receipts_with_a_proof_in_the_order_of_the_chain(rig: &mut Rig) {
    rig.unlimited(user(1));
    rig.unlimited(user(2));
    let holds: Vec<_> = (1..9).map(|n| hold(n, user(1 + n % 2), 5)).collect();
    let reserves: Vec<_> = holds.iter().cloned().map(Command::Reserve).collect();
    rig.run(&reserves);
    for held in holds.iter().rev() {
        rig.one(capture(held, 2)).unwrap();
    }
    assert_eq!(size(rig), 0);
    let waiting = rig.reader.unlogged(9).unwrap();
    assert_eq!(ids(&waiting), [8, 6, 4, 2].map(receipt_id), "the odd ones have no proof");
    assert_eq!(rig.reader.unlogged(3).unwrap(), waiting[..3]);
    assert_eq!(rig.reader.log_index(&receipt_id(6)).unwrap(), None);
    let leaves: Vec<_> = waiting.iter().map(leaf).collect();
    assert!(rig.ledger.extend_log(0, &leaves[..1]).unwrap());
    assert_eq!(rig.reader.unlogged(9).unwrap(), waiting[1..]);
    assert!(rig.ledger.extend_log(1, &leaves[1..3]).unwrap());
    assert_eq!(size(rig), 3);
    assert_eq!(rig.reader.log_index(&receipt_id(6)).unwrap(), Some(1));
    for id in [2, 3, 77].map(receipt_id) {
        assert_eq!(rig.reader.log_index(&id).unwrap(), None);
    }
    let one = rig.reader.charged(&receipt_id(4)).unwrap();
    assert_eq!(one.as_ref(), Some(&waiting[2]));
    assert_eq!(one.map(|one| one.tariff), Some(holds[3].tariff.clone()));
    assert_eq!(rig.reader.charged(&receipt_id(77)).unwrap(), None);
    log_all(rig.ledger.as_mut());
    assert_eq!(size(rig), 4);
    assert_eq!(rig.reader.unlogged(9).unwrap(), []);
    let hashes: Vec<_> = leaves.iter().map(|leaf| leaf.hash).collect();
    assert_eq!(rig.reader.log_hashes(0, 0, 9).unwrap(), hashes);
    assert_eq!(rig.reader.log_hashes(0, 1, 2).unwrap(), hashes[1..3]);
}

fn a_log_of_another_size_is_not_extended(rig: &mut Rig) {
    prove(rig.ledger.as_mut(), user(1), 0..300);
    size(rig);
    let waiting = rig.reader.unlogged(300).unwrap();
    let leaves: Vec<_> = waiting.iter().map(leaf).collect();
    for wrong in [1, 200, 256, 1 << 40] {
        assert!(!rig.ledger.extend_log(wrong, &leaves).unwrap());
    }
    assert_eq!((size(rig), rig.reader.log_hashes(1, 0, 9).unwrap()), (0, vec![]));
    assert!(rig.ledger.extend_log(0, &leaves[..290]).unwrap());
    assert!(!rig.ledger.extend_log(0, &leaves[..290]).unwrap());
    assert!(!rig.ledger.extend_log(289, &leaves[289..]).unwrap());
    assert!(rig.ledger.extend_log(290, &[]).unwrap());
    assert_eq!((size(rig), rig.reader.log_hashes(1, 0, 9).unwrap().len()), (290, 1));
    assert_eq!(rig.reader.unlogged(300).unwrap(), waiting[290..]);
}

fn a_leaf_that_is_not_its_receipt_s_is_found(rig: &mut Rig) {
    prove(rig.ledger.as_mut(), user(1), 0..3);
    size(rig);
    let honest: Vec<_> = rig.reader.unlogged(3).unwrap().iter().map(leaf).collect();
    let forged = LogLeaf { hash: Digest32([1; 32]), ..honest[1] };
    assert!(rig.ledger.extend_log(0, &[honest[0], forged]).unwrap());
    let fault = rig.audit().fault.unwrap();
    assert_eq!((fault.table, fault.row.as_str()), ("log_leaf", "1"), "{fault}");
    assert!(fault.what.contains("its receipt's document hashes to"), "{fault}");
}

fn stored_hashes_are_those_of_the_tree_over_the_leaves(rig: &mut Rig) {
    const LEAVES: u64 = 70_000;
    let cover = Command::Mirror { user: user(1), cover: Cover::UpTo(neuron(1)) };
    let batch = vec![cover; 1_000];
    for _ in 0..LEAVES / 1_000 {
        rig.run(&batch);
    }
    // The log does not look at what it is given; an audit does.
    let synthetic = |entry: u64| LogLeaf { entry, hash: Digest32::sha256(&entry.to_be_bytes()) };
    let leaves: Vec<_> = (1..=LEAVES).map(synthetic).collect();
    let (mut model, mut frontier, mut at) = (Levels::default(), Frontier::new(), 0);
    for count in [1, 254, 1, 1, 999, 40_000, 30_000] {
        let end = leaves.len().min(at + count);
        let some = &leaves[at..end];
        let hashes: Vec<_> = some.iter().map(|leaf| leaf.hash).collect();
        for stored in log::append(&model, at as u64, &hashes).unwrap() {
            model.add(stored);
        }
        hashes.into_iter().for_each(|hash| frontier.push(hash).unwrap());
        assert!(rig.ledger.extend_log(at as u64, some).unwrap());
        at = end;
        let size = at as u64;
        assert_eq!(rig.reader.log().unwrap().size, size);
        assert_eq!(log::root(&LogTiles(&*rig.reader), size).unwrap(), frontier.root());
    }
    assert_eq!(frontier.size(), LEAVES);
    for level in 0..=3 {
        let count = stored(LEAVES, level);
        let found = rig.reader.log_hashes(level, 0, LEAVES).unwrap();
        assert_eq!(found.len() as u64, count);
        assert_eq!(found, model.hashes(level, 0, count).unwrap(), "level {level}");
        let (from, some) = (count / 2, 3.min(count - count / 2));
        let found = rig.reader.log_hashes(level, from, some).unwrap();
        assert_eq!(found, model.hashes(level, from, some).unwrap());
    }
    let path = log::inclusion(&LogTiles(&*rig.reader), 65_535, LEAVES).unwrap();
    let hash = leaves[65_535].hash;
    log::verify_inclusion(&hash, 65_535, LEAVES, &path, &frontier.root()).unwrap();
}

#[derive(Default)]
struct Levels(Vec<Vec<Digest32>>);

impl Levels {
    fn add(&mut self, stored: log::Stored) {
        let level = usize::from(stored.level);
        if self.0.len() <= level {
            self.0.push(Vec::new());
        }
        assert_eq!(self.0[level].len() as u64, stored.index);
        self.0[level].push(stored.hash);
    }
}

impl Tiles for Levels {
    type Error = LedgerError;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, LedgerError> {
        let row = self.0.get(usize::from(level)).map(Vec::as_slice).unwrap_or_default();
        Ok(row.iter().skip(from as usize).take(count as usize).copied().collect())
    }
}

fn the_first_document_of_a_name_stays(rig: &mut Rig) {
    let kept = |kind, name: u8, at: u64| Kept {
        kind,
        name: Digest32([name; 32]),
        body: format!("{kind:?} {name} {at}").into_bytes(),
        at: NOW.plus_millis(at),
    };
    let all = [
        kept(KeptKind::Keyset, 9, 1),
        kept(KeptKind::Report, 9, 2),
        kept(KeptKind::Keyset, 3, 3),
        kept(KeptKind::Tariff, 5, 4),
        kept(KeptKind::Keyset, 6, 5),
        kept(KeptKind::Lineage, 6, 6),
    ];
    for one in &all {
        rig.ledger.keep(one).unwrap();
    }
    rig.ledger.keep(&kept(KeptKind::Keyset, 9, 7)).unwrap();
    for one in &all {
        assert_eq!(rig.reader.kept(one.kind, &one.name).unwrap().as_ref(), Some(one));
    }
    assert_eq!(rig.reader.kept(KeptKind::Tariff, &Digest32([9; 32])).unwrap(), None);
    let last = |kind, limit| rig.reader.kept_last(kind, limit).unwrap();
    assert_eq!(last(KeptKind::Keyset, 2), [all[4].clone(), all[2].clone()]);
    assert_eq!(last(KeptKind::Keyset, u64::MAX).len(), 3);
    assert_eq!(last(KeptKind::Lineage, 9), [all[5].clone()]);
    assert_eq!(last(KeptKind::Report, 0), []);
    rig.assert_clean();
}

fn a_user_s_receipts_come_page_by_page(rig: &mut Rig) {
    rig.unlimited(user(1));
    rig.unlimited(user(2));
    let numbered: Vec<_> = (0..40).map(|n| (nth_hold(n, user(1 + n as u8 % 2), 9), n)).collect();
    for (held, n) in &numbered {
        let fee = u128::from(n % 3);
        let batch = [Command::Reserve(held.clone()), capture(held, fee)];
        assert!(rig.run(&batch).iter().all(Result::is_ok));
    }
    let theirs: Vec<_> = numbered
        .iter()
        .filter(|(held, _)| held.user == user(2))
        .map(|(held, _)| held.receipt)
        .collect();
    let (mut found, mut behind) = (Vec::new(), 0);
    loop {
        let page = rig.reader.charged_to(&user(2), behind, 7).unwrap();
        assert!(page.windows(2).all(|pair| pair[0].entry < pair[1].entry));
        let Some(last) = page.last() else { break };
        assert!(page.len() == 7 || found.len() + page.len() == theirs.len());
        behind = last.entry;
        found.extend(ids(&page));
    }
    assert_eq!(found, theirs);
    assert_eq!(rig.reader.charged_to(&user(3), 0, 7).unwrap(), []);
    assert_eq!(rig.reader.charged_to(&user(1), u64::MAX, u64::MAX).unwrap(), []);
}

fn an_empty_log_has_a_name_of_its_own(rig: &mut Rig) {
    let LogState { id, size } = rig.reader.log().unwrap();
    assert_eq!(size, 0);
    assert_ne!(id, Digest32::default());
    assert_ne!(id, Rig::memory().reader.log().unwrap().id);
    assert_eq!(rig.reader.log().unwrap().id, id);
    assert!(rig.ledger.extend_log(0, &[]).unwrap());
    assert_eq!(log::root(&LogTiles(&*rig.reader), 0).unwrap(), log::empty_root());
}

#[cfg(feature = "postgres")]
mod several {
    use super::*;
    use broker_core::{Ledger, PostgresLedger};
    use std::time::Duration;

    #[test]
    fn what_has_no_place_in_the_chain_is_not_logged() {
        let Some(server) = pg::server() else { return };
        let database = server.database();
        let mut ledger = PostgresLedger::open(&database.url()).unwrap();
        let reader = ledger.reader().unwrap();
        prove(&mut ledger, user(1), 0..3);
        assert_eq!(reader.unlogged(9).unwrap(), []);
        let caretaker = ledger.caretaker(Duration::from_millis(10)).unwrap();
        while reader.unlinked().unwrap() > 0 {
            std::thread::yield_now();
        }
        drop(caretaker);
        prove(&mut ledger, user(1), 3..5);
        assert_eq!(reader.unlogged(9).unwrap().len(), 3);
        log_all(&mut ledger);
        assert_eq!(reader.log().unwrap().size, 3);
        let report = ledger.audit().unwrap();
        assert_eq!((report.fault, report.receipts, report.unlinked), (None, 5, 5));
    }

    #[test]
    fn two_that_extend_the_log_at_once_lose_nothing() {
        let Some(server) = pg::server() else { return };
        let database = server.database();
        let mut ledger = PostgresLedger::open(&database.url()).unwrap();
        prove(&mut ledger, user(1), 0..600);
        let caretaker = ledger.caretaker(Duration::from_millis(10)).unwrap();
        while ledger.reader().unwrap().unlinked().unwrap() > 0 {
            std::thread::yield_now();
        }
        caretaker.stop();
        let refused: u64 = std::thread::scope(|scope| {
            let extend = |page: u64| {
                let mut ledger = PostgresLedger::open(&database.url()).unwrap();
                let (reader, mut refused) = (ledger.reader().unwrap(), 0);
                loop {
                    let size = reader.log().unwrap().size;
                    let waiting = reader.unlogged(page).unwrap();
                    let leaves: Vec<_> = waiting.iter().map(leaf).collect();
                    if leaves.is_empty() {
                        return refused;
                    }
                    refused += u64::from(!ledger.extend_log(size, &leaves).unwrap());
                }
            };
            let threads = [7, 11].map(|page| scope.spawn(move || extend(page)));
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        println!("{refused} came second");
        let report = ledger.audit().unwrap();
        assert_eq!((report.fault, report.receipts), (None, 600));
        assert_eq!(ledger.reader().unwrap().log().unwrap().size, 600);
    }
}
