//! Vouchers in the ledger: every ledger gives the same answers, whatever is asked, in any order.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[cfg(feature = "postgres")]
#[path = "shared/pg.rs"]
mod pg;
#[cfg(feature = "postgres")]
#[path = "collecting/postgres.rs"]
mod postgres;
#[path = "shared/vouchers.rs"]
mod vouchers;

use books::{NOW, capture, hold, neuron, user};
use broker_core::{
    Address, Applied, Binding, Command, Decision, Digest32, Ledger, LedgerReader, LocalSigner,
    MemoryLedger, Refusal, RequestQuery, Seal, Signer, SqliteLedger, SqliteReader, UserId, Voucher,
};
use vouchers::{BINDING, DOMAIN, PROVIDER, settle, signed};

/// The ledgers, side by side.
struct Rig {
    model: MemoryLedger,
    sqlite: SqliteLedger,
    reader: SqliteReader,
    #[cfg(feature = "postgres")]
    postgres: Option<postgres::Store>,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let sqlite = SqliteLedger::open(&path).unwrap();
        let reader = SqliteReader::open(&path).unwrap();
        let mut rig = Self {
            model: MemoryLedger::new(),
            sqlite,
            reader,
            #[cfg(feature = "postgres")]
            postgres: postgres::Store::new(),
            _folder: folder,
        };
        assert_eq!(rig.one(&Command::Bind(BINDING)), Ok(Applied::Bound));
        rig
    }

    /// Carries out one command in all of them, which have to agree on it.
    fn one(&mut self, command: &Command) -> Decision {
        let batch = std::slice::from_ref(command);
        let expected = Ledger::apply(&mut self.model, batch, NOW).unwrap();
        assert_eq!(self.sqlite.apply(batch, NOW).unwrap(), expected, "{command:?}");
        #[cfg(feature = "postgres")]
        if let Some(postgres) = &mut self.postgres {
            postgres.expect(command, expected.first().unwrap());
        }
        *expected.first().unwrap()
    }

    fn escrow(&mut self, user: UserId, cover: u128, nonce: u64) -> Decision {
        self.one(&Command::Escrow { user, cover: neuron(cover), nonce })
    }

    fn charge(&mut self, n: u8, user: UserId, fee: u128) {
        let held = hold(n, user, fee + 1);
        let answer = self.one(&Command::Reserve(held.clone()));
        assert!(matches!(answer, Ok(Applied::Held { .. })), "{answer:?}");
        assert_eq!(self.one(&capture(&held, fee)), Ok(Applied::Captured { fee: neuron(fee) }));
    }

    fn seal(&self, user: UserId) -> Seal {
        vouchers::seal(&self.reader, user)
    }

    /// Everything that they tell about collecting, and that it is sound.
    fn assert_alike(&mut self) {
        #[cfg(feature = "postgres")]
        if let Some(postgres) = &mut self.postgres {
            postgres.assert_like(&self.model);
        }
        let report = self.sqlite.audit().unwrap();
        assert_eq!(report.fault, None);
        assert_eq!(report, Ledger::audit(&self.model).unwrap());
        assert_eq!(self.reader.statements().unwrap(), self.model.statements().unwrap());
        assert_eq!(self.reader.open_vouchers().unwrap(), self.model.open_vouchers().unwrap());
        for processed in [None, Some(true), Some(false)] {
            let query = RequestQuery { processed, user: None, limit: 5, offset: 1 };
            let expected = self.model.requests(&query).unwrap();
            assert_eq!(self.reader.requests(&query).unwrap(), expected);
        }
    }

    fn owed(&self, user: UserId) -> [u128; 3] {
        let account = self.sqlite.account(&user).unwrap();
        [account.cover.get(), account.earned.get(), account.vouchered.get()]
    }
}

#[test]
fn fees_go_under_a_voucher_and_from_there_to_the_chain() {
    let mut rig = Rig::new();
    assert_eq!(rig.escrow(user(1), 100, 41), Ok(Applied::Mirrored));
    rig.charge(1, user(1), 10);
    rig.charge(2, user(1), 0);
    rig.charge(3, user(1), 5);
    let seal = rig.seal(user(1));
    assert_eq!((seal.voucher.voucher.total, seal.voucher.voucher.nonce), (neuron(15), 42));
    assert_eq!(rig.one(&Command::Seal(Box::new(seal))), Ok(Applied::Sealed));
    assert_eq!(rig.owed(user(1)), [100, 0, 15]);
    // What comes after waits for the next voucher.
    rig.charge(4, user(1), 7);
    assert_eq!(rig.owed(user(1)), [100, 7, 15]);
    rig.assert_alike();
    assert_eq!(rig.one(&settle(user(1), 42, 15, 85)), Ok(Applied::Settled { rest: neuron(0) }));
    assert_eq!(rig.owed(user(1)), [85, 7, 0]);
    assert_eq!(rig.seal(user(1)).voucher.voucher.nonce, 43);
    rig.assert_alike();
}

#[test]
fn what_a_voucher_left_unpaid_is_carried_to_the_next_one_to_the_neuron() {
    let mut rig = Rig::new();
    rig.escrow(user(1), 100, 0).unwrap();
    rig.charge(1, user(1), 90);
    let seal = rig.seal(user(1));
    rig.one(&Command::Seal(Box::new(seal))).unwrap();
    assert_eq!(rig.one(&settle(user(1), 1, 60, 0)), Ok(Applied::Settled { rest: neuron(30) }));
    assert_eq!(rig.owed(user(1)), [0, 30, 0]);
    rig.assert_alike();
    assert_eq!(rig.escrow(user(1), 1_000, 1), Ok(Applied::Mirrored));
    rig.charge(2, user(1), 4);
    let seal = rig.seal(user(1));
    assert_eq!((seal.voucher.voucher.total, seal.voucher.voucher.nonce), (neuron(34), 2));
    rig.one(&Command::Seal(Box::new(seal))).unwrap();
    assert_eq!(rig.one(&settle(user(1), 2, 34, 966)), Ok(Applied::Settled { rest: neuron(0) }));
    assert_eq!(rig.owed(user(1)), [966, 0, 0]);
    rig.assert_alike();
}

#[test]
fn an_escrow_that_paid_more_than_was_known_of_it_is_no_contradiction() {
    // The deposit and the payment are in one block: the cover was never seen.
    let mut rig = Rig::new();
    rig.escrow(user(1), 20, 0).unwrap();
    rig.charge(1, user(1), 15);
    let seal = rig.seal(user(1));
    rig.one(&Command::Seal(Box::new(seal))).unwrap();
    // A refund takes the cover away before the voucher lands, and the voucher is paid from it.
    assert_eq!(rig.escrow(user(1), 0, 0), Ok(Applied::Mirrored));
    assert_eq!(rig.one(&settle(user(1), 1, 15, 3)), Ok(Applied::Settled { rest: neuron(0) }));
    assert_eq!(rig.owed(user(1)), [3, 0, 0]);
    rig.assert_alike();
}

#[test]
fn a_voucher_has_to_follow_from_the_receipts_and_from_the_one_before() {
    let mut rig = Rig::new();
    rig.escrow(user(1), 100, 5).unwrap();
    rig.charge(1, user(1), 10);
    rig.charge(2, user(1), 3);
    let right = rig.seal(user(1));
    let with = |change: fn(&mut Voucher)| {
        let mut voucher = right.voucher.voucher;
        change(&mut voucher);
        Command::Seal(Box::new(Seal { voucher: signed(voucher, 0x11), ..right }))
    };
    let wrong = Refusal::WrongVoucher { due: neuron(13) };
    for (command, refusal) in [
        (with(|voucher| voucher.total = neuron(14)), wrong),
        (with(|voucher| voucher.total = neuron(12)), wrong),
        (with(|voucher| voucher.requests_hash = Digest32([1; 32])), wrong),
        (with(|voucher| voucher.nonce = 5), Refusal::WrongNonce { expected: 6 }),
        (with(|voucher| voucher.nonce = 7), Refusal::WrongNonce { expected: 6 }),
        (with(|voucher| voucher.provider = Address([1; 20])), Refusal::BoundElsewhere(PROVIDER)),
        (with(|voucher| voucher.user = user(2)), Refusal::NoEscrow),
        (
            Command::Seal(Box::new(Seal { sealed_to: right.sealed_to + 1, ..right })),
            Refusal::NothingEarned,
        ),
        (settle(user(1), 6, 1, 1), Refusal::NoOpenVoucher),
    ] {
        assert_eq!(rig.one(&command), Err(refusal));
    }
    rig.one(&Command::Seal(Box::new(right))).unwrap();
    rig.charge(3, user(1), 1);
    let next = rig.seal(user(1));
    let open = Refusal::VoucherOpen { nonce: 6 };
    assert_eq!(rig.one(&Command::Seal(Box::new(next))), Err(open));
    assert_eq!(rig.one(&settle(user(1), 7, 1, 1)), Err(Refusal::NoOpenVoucher));
    let overpaid = Refusal::Overpaid { total: neuron(13) };
    assert_eq!(rig.one(&settle(user(1), 6, 14, 1)), Err(overpaid));
    rig.assert_alike();
}

#[test]
fn a_new_signer_signs_the_same_voucher_again_and_no_other() {
    let mut rig = Rig::new();
    rig.escrow(user(1), 100, 0).unwrap();
    rig.charge(1, user(1), 10);
    let seal = rig.seal(user(1));
    rig.one(&Command::Seal(Box::new(seal))).unwrap();
    let again = |voucher, key| Command::Countersign(Box::new(signed(voucher, key)));
    let voucher = seal.voucher.voucher;
    assert_eq!(rig.one(&again(voucher, 0x22)), Ok(Applied::Countersigned));
    assert_eq!(rig.one(&again(voucher, 0x22)), Err(Refusal::VoucherOpen { nonce: 1 }));
    let dearer = Voucher { total: neuron(11), ..voucher };
    assert_eq!(rig.one(&again(dearer, 0x33)), Err(Refusal::NoOpenVoucher));
    let open = rig.reader.open_vouchers().unwrap();
    let keys: Vec<_> = open.iter().flat_map(|open| open.signatures.iter()).collect();
    assert_eq!(keys.len(), 2);
    let second = LocalSigner::from_secret(&[0x22; 32]).unwrap().address();
    let open = open.first().unwrap();
    assert_eq!(open.signed_by(&second), Some(signed(voucher, 0x22)));
    rig.assert_alike();
}

#[test]
fn a_chain_that_is_ahead_freezes_and_one_that_lags_is_not_believed() {
    let mut rig = Rig::new();
    rig.escrow(user(1), 100, 5).unwrap();
    rig.charge(1, user(1), 10);
    assert_eq!(rig.escrow(user(1), 90, 6), Err(Refusal::ChainAhead { known: 5, seen: 6 }));
    assert_eq!(rig.escrow(user(1), 90, 4), Err(Refusal::ChainBehind { known: 5, seen: 4 }));
    let seal = rig.seal(user(1));
    rig.one(&Command::Seal(Box::new(seal))).unwrap();
    // The voucher has landed: its end comes first, so that no money is counted twice.
    assert_eq!(rig.escrow(user(1), 90, 6), Err(Refusal::VoucherOpen { nonce: 6 }));
    assert_eq!(rig.escrow(user(1), 90, 7), Err(Refusal::ChainAhead { known: 6, seen: 7 }));
    assert_eq!(rig.escrow(user(1), 110, 5), Ok(Applied::Mirrored));
    assert_eq!(rig.one(&Command::Freeze { user: user(1), nonce: 7 }), Ok(Applied::Frozen));
    assert_eq!(rig.one(&Command::Freeze { user: user(1), nonce: 8 }), Err(Refusal::Frozen));
    assert_eq!(rig.one(&Command::Reserve(hold(2, user(1), 1))), Err(Refusal::Frozen));
    // An open voucher can still end.
    assert!(rig.one(&settle(user(1), 6, 10, 100)).is_ok());
    rig.assert_alike();
}

#[test]
fn a_ledger_belongs_to_one_provider() {
    let mut rig = Rig::new();
    let other = Binding { domain: DOMAIN, provider: Address([1; 20]) };
    assert_eq!(rig.one(&Command::Bind(other)), Err(Refusal::BoundElsewhere(PROVIDER)));
    assert_eq!(rig.reader.binding().unwrap(), Some(BINDING));
}
