//! Commands by seed, made to collide: keys come twice, fees are above their holds, what has ended
//! ends again, nonces are stale or of the future.

use broker_core::testing::Rng;
use broker_core::{
    Command, Cover, Digest32, Fingerprint, Hold, Receipt, ReceiptId, ReleaseReason, RequestKey,
    Retire, Seal, Tariff, Usage, UserId,
};

use crate::books::{hold, id_of, neuron, receipt, user};
use crate::watch::Watch;

mod vouchers;

pub(crate) const USERS: u8 = 3;

/// Who asks, in one sequence.
pub(crate) struct Asker {
    rng: Rng,
    /// Sequences of different laps share no user and no key.
    lap: u8,
    /// Keys up to this one were used.
    used: u8,
    /// Vouchers that were asked for.
    seals: Vec<Seal>,
    /// Amounts near the end of their range, and accounts without a limit.
    is_lavish: bool,
    steps: u64,
}

impl Asker {
    /// The sequence of a seed, with so many commands at most.
    pub(crate) fn new(seed: u64, lap: u8, steps_max: u64) -> Self {
        let mut rng = Rng::new(seed);
        let is_lavish = rng.chance(250);
        // Many are short, and some are as long as may be.
        let steps = 1 + rng.below(steps_max);
        let steps = 1 + rng.below(steps);
        Self { rng, lap, used: 0, seals: Vec::new(), is_lavish, steps }
    }

    /// The next commands, up to so many; none at the end.
    pub(crate) fn batch(&mut self, watch: &Watch, max: u64) -> Vec<Command> {
        let size = 1 + self.rng.below(max);
        let size = size.min(self.steps);
        self.steps -= size;
        (0..size).map(|_| self.command(watch)).collect()
    }

    /// The users of this sequence.
    pub(crate) fn users(&self) -> impl Iterator<Item = UserId> + use<> {
        let lap = self.lap;
        (1..=USERS).map(move |n| user(lap * USERS + n))
    }

    fn command(&mut self, watch: &Watch) -> Command {
        // A provider and escrows first, most of the time.
        if watch.bound.is_none() && self.rng.chance(700) {
            return self.bind();
        }
        let who = self.user();
        if !watch.people.contains_key(&who) && self.rng.chance(800) {
            return if self.is_lavish { self.mirror(who) } else { self.escrow(watch, who) };
        }
        match self.rng.below(100) {
            0..30 => self.reserve(watch),
            30..54 => self.capture(watch),
            54..60 => Command::Release { key: self.key(), why: self.reason() },
            60..66 => self.mirror(who),
            66..74 => self.escrow(watch, who),
            74..84 => self.seal(watch, who),
            84..87 => self.countersign(watch, who),
            87..96 => self.settle(watch, who),
            96 if self.rng.chance(300) => Command::Freeze { user: who, nonce: 99 },
            96 | 97 => self.bind(),
            _ => self.retire(watch),
        }
    }

    fn user(&mut self) -> UserId {
        let n = 1 + self.rng.below(u64::from(USERS)) as u8;
        user(self.lap * USERS + n)
    }

    /// Most begin as their receipt's id does, and every third of all ends as what nobody chose
    /// does; every third does neither, as a client's name would, and every sixth ends so and
    /// begins otherwise, as nothing should.
    fn nth_key(&self, n: u8) -> RequestKey {
        let mut bytes = [n; 32];
        bytes[0] = self.lap;
        bytes[1] ^= if n.is_multiple_of(3) || n % 6 == 5 { 0xff } else { 0 };
        if n % 3 == 1 || n % 6 == 5 {
            bytes[16..].fill(0);
        }
        RequestKey(Digest32(bytes))
    }

    fn nth_id(&self, n: u8) -> ReceiptId {
        let mut bytes = [n; 16];
        bytes[0] = self.lap;
        id_of(bytes)
    }

    /// One of the last keys, any that was used, or one that never was.
    fn number(&mut self) -> u8 {
        let used = u64::from(self.used);
        (match self.rng.below(20) {
            0..13 => used.saturating_sub(self.rng.below(5)),
            13..19 => 1 + self.rng.below(used),
            _ => used + 1,
        }) as u8
    }

    fn key(&mut self) -> RequestKey {
        let n = self.number();
        self.nth_key(n)
    }

    fn amount(&mut self) -> u128 {
        match self.rng.below(16) {
            0 => 0,
            1 if self.is_lavish => u128::MAX - 40,
            _ => 1 + u128::from(self.rng.below(60)),
        }
    }

    fn cover(&mut self) -> u128 {
        match self.rng.below(8) {
            0 if self.is_lavish => u128::MAX,
            _ => u128::from(self.rng.below(600)),
        }
    }

    fn mirror(&mut self, user: UserId) -> Command {
        let is_unlimited = self.is_lavish && self.rng.chance(300);
        let cover = match is_unlimited {
            true => Cover::Unlimited,
            false => Cover::UpTo(neuron(self.cover())),
        };
        Command::Mirror { user, cover }
    }

    /// The hold that a number stands for in this sequence.
    fn nth_hold(&mut self, n: u8, amount: u128) -> Hold {
        let user = user(self.lap * USERS + 1 + n % USERS);
        let plain = hold(n, user, amount);
        Hold { key: self.nth_key(n), receipt: self.nth_id(n), ..plain }
    }

    /// Mostly a new one, or one that comes again, as it was or as another.
    fn reserve(&mut self, watch: &Watch) -> Command {
        let amount = self.amount();
        if self.used < u8::MAX && self.rng.chance(750) {
            self.used += 1;
            let plain = self.nth_hold(self.used, amount);
            return Command::Reserve(match self.rng.below(20) {
                0 => {
                    let n = self.number();
                    Hold { receipt: self.nth_id(n), ..plain }
                }
                1 => Hold { tariff: Tariff::per_token(neuron(1 << 120), neuron(3)), ..plain },
                _ => plain,
            });
        }
        let n = self.number();
        let again = self.nth_hold(n, amount);
        let known = watch.holds.get(&again.key).map(|held| held.hold.clone());
        let again = known.unwrap_or(again);
        Command::Reserve(match self.rng.below(4) {
            0 => {
                let fingerprint = Fingerprint(Digest32([99; 32]));
                Hold { fingerprint, receipt: self.nth_id(n ^ 0x80), ..again }
            }
            1 => Hold { receipt: self.nth_id(n ^ 0x80), ..again },
            2 => Hold { user: self.user(), ..again },
            _ => again,
        })
    }

    /// Mostly a receipt that fits; some above the hold, some of another exchange.
    fn capture(&mut self, watch: &Watch) -> Command {
        let n = self.number();
        let plain = self.nth_hold(n, 20);
        let hold = watch.holds.get(&plain.key).map_or(plain, |held| held.hold.clone());
        let most = hold.amount.get();
        let within = most.min(u128::from(self.rng.below(64)));
        let over = most.saturating_add(1 + u128::from(self.rng.below(30)));
        let fits = match self.rng.below(8) {
            0 => receipt(&hold, 0),
            1 => Receipt { fee: hold.amount, ..receipt(&hold, over) },
            _ => receipt(&hold, within),
        };
        let receipt = match self.rng.below(24) {
            0 => receipt(&hold, over),
            1 => Receipt { id: self.nth_id(n ^ 1), ..fits },
            2 => Receipt { user: self.user(), ..fits },
            3 => Receipt { usage: Usage { output: 7, ..fits.usage }, ..fits },
            4..8 => Receipt { upstream_id: Some("engine".to_owned()), ..fits },
            8..12 => {
                let named = self.number();
                Receipt { upstream_id: Some(format!("of-{}", self.nth_id(named))), ..fits }
            }
            _ => fits,
        };
        Command::Capture { key: hold.key, receipt: Box::new(receipt) }
    }

    fn reason(&mut self) -> ReleaseReason {
        let reasons = [ReleaseReason::Crashed, ReleaseReason::Expired, ReleaseReason::NotForwarded];
        *self.rng.pick(&reasons).unwrap()
    }

    fn retire(&mut self, watch: &Watch) -> Command {
        let upto = 1 + self.rng.below(watch.entries + 2);
        Command::Retire(Retire { upto, archive: Digest32([0xa7; 32]) })
    }
}
