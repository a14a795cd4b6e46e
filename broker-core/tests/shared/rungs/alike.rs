//! The rung of conformance: a ledger answers and stands as the model does, whatever is asked of
//! both. Most of what is asked here is wrong: keys come twice, fees are too high, vouchers repeat.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use broker_core::chain::{Block, Payment};
use broker_core::testing::Rng;
use broker_core::{
    Address, Binding, Command, Cover, Digest32, Domain, Fingerprint, Ledger, LedgerReader,
    LocalSigner, MemoryLedger, ReleaseReason, Seal, Settle, UserId, Voucher,
};

use crate::books::{NOW, capture, hold, neuron, receipt_id, release, user};

const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address([0xc0; 20]) };
const PROVIDER: Address = Address([0xfe; 20]);
const USERS: u64 = 3;
const STEPS: u64 = 120;

/// Asks `ledger`, which is empty, and a model the same of one seed.
///
/// # Errors
/// Where they differ.
pub(crate) fn alike(ledger: &mut dyn Ledger, seed: u64) -> Result<(), String> {
    let model = MemoryLedger::new();
    let mut run = Run { rng: Rng::new(seed), model, seals: Vec::new() };
    let mut batch = vec![Command::Bind(Binding { domain: DOMAIN, provider: PROVIDER })];
    for n in 1..=USERS as u8 {
        batch.push(Command::Escrow { user: user(n), cover: neuron(400), nonce: 5 });
    }
    for step in 0..STEPS {
        let expected = run.model.apply(&batch, NOW).map_err(|error| error.to_string())?;
        let told = |why: String| format!("step {step}: {why}, after {batch:?}");
        let found = ledger.apply(&batch, NOW).map_err(|error| told(error.to_string()))?;
        if found != expected {
            return Err(told(format!("{found:?}, and the model says {expected:?}")));
        }
        run.compare(ledger).map_err(told)?;
        for (command, decision) in batch.into_iter().zip(expected) {
            if let (Command::Seal(seal), Ok(_)) = (command, decision) {
                run.seals.push(*seal);
            }
        }
        let size = 1 + run.rng.below(4);
        batch = (0..size).map(|_| run.command()).collect();
    }
    Ok(())
}

struct Run {
    rng: Rng,
    model: MemoryLedger,
    /// Those that were accepted.
    seals: Vec<Seal>,
}

impl Run {
    fn compare(&self, ledger: &dyn Ledger) -> Result<(), String> {
        for n in 1..=USERS as u8 {
            let expected = Ledger::account(&self.model, &user(n));
            let expected = expected.map_err(|error| error.to_string())?;
            let found = ledger.account(&user(n)).map_err(|error| error.to_string())?;
            if found != expected {
                return Err(format!("user {n} has {found:?}, and in the model {expected:?}"));
            }
        }
        let open = ledger.open_holds().map_err(|error| error.to_string())?;
        let expected = self.model.open_holds().map_err(|error| error.to_string())?;
        if open == expected { Ok(()) } else { Err("other holds are open".to_owned()) }
    }

    fn command(&mut self) -> Command {
        // Few keys, so that they collide.
        let n = 1 + self.rng.below(40) as u8;
        let who = user(1 + n % USERS as u8);
        let held = hold(n, who, 12);
        match self.rng.below(20) {
            0..6 => Command::Reserve(held),
            6 => {
                let fingerprint = Fingerprint(Digest32([0xee; 32]));
                let receipt = receipt_id(100 + n);
                Command::Reserve(broker_core::Hold { fingerprint, receipt, ..held })
            }
            7..12 => capture(&held, u128::from(self.rng.below(16))),
            12 => release(n, ReleaseReason::NotForwarded),
            13 => {
                let cover = neuron(u128::from(300 + self.rng.below(200)));
                Command::Escrow { user: who, cover, nonce: self.nonce(&who) }
            }
            14 => Command::Mirror { user: who, cover: Cover::UpTo(neuron(400)) },
            15 | 16 => self.seal(who),
            17 => self.seal_again(who),
            _ => self.settle(who),
        }
    }

    fn nonce(&self, who: &UserId) -> u64 {
        let known = self.model.statement(who).unwrap();
        known.and_then(|known| known.books.nonce).unwrap_or_default()
    }

    /// What is due, under the next nonce, or under one that the clock gave.
    fn seal(&mut self, who: UserId) -> Command {
        let Some(unsealed) = self.model.unsealed(&who).unwrap() else {
            return Command::Release { key: hold(99, who, 1).key, why: ReleaseReason::Expired };
        };
        let next = self.nonce(&who) + 1;
        let voucher = Voucher {
            user: who,
            provider: PROVIDER,
            total: unsealed.collected.total(),
            requests_hash: unsealed.collected.root(),
            nonce: if self.rng.below(4) == 0 { NOW.0 * 10_000 } else { next },
        };
        sealed(voucher, unsealed.sealed_to)
    }

    /// The same receipts under the next nonce.
    fn seal_again(&mut self, who: UserId) -> Command {
        let ours: Vec<_> =
            self.seals.iter().filter(|seal| seal.voucher.voucher.user == who).copied().collect();
        match self.rng.pick(&ours) {
            Some(seal) => {
                let nonce = self.nonce(&who) + 1;
                sealed(Voucher { nonce, ..seal.voucher.voucher }, seal.sealed_to)
            }
            None => self.seal(who),
        }
    }

    fn settle(&mut self, who: UserId) -> Command {
        let known = self.model.statement(&who).unwrap();
        let open = known.and_then(|known| known.open);
        let nonce = open.as_ref().map_or_else(|| self.nonce(&who), |open| open.voucher.nonce);
        let total = open.map_or(0, |open| open.voucher.total.get());
        let payment = Payment {
            paid: neuron(total),
            cover: neuron(400),
            block: Block { number: 9, hash: Digest32([9; 32]) },
            transaction: Digest32([8; 32]),
        };
        Command::Settle(Box::new(Settle { user: who, nonce, payment }))
    }
}

fn sealed(voucher: Voucher, sealed_to: u64) -> Command {
    let key = LocalSigner::from_secret(&[0x11; 32]).unwrap();
    let voucher = voucher.sign(&DOMAIN, &key).unwrap();
    Command::Seal(Box::new(Seal { voucher, sealed_to, since: 7 }))
}
