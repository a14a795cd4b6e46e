//! What users do: ask, pay in, leave.

use broker_core::chain::Chain;
use broker_core::settlement::mirror;
use broker_core::testing::{Action, ONE};
use broker_core::{
    Clock, Command, Digest32, Fingerprint, Hold, Neuron, Outcome, Receipt, ReceiptId,
    ReleaseReason, RequestKey, Signature, Signer, Tariff, Usage, UsageSource, UserId,
};

use crate::operator::key;
use crate::run::{Run, finish};

impl Run {
    /// A user's request from admission to its end, or not to its end.
    pub(crate) fn request(&mut self, user: UserId) -> Result<(), String> {
        self.mirror(user)?;
        let (most, share) = (self.rng.below(900), self.rng.below(1_001));
        let amount = u128::from(most) * (ONE / 1_000) + u128::from(self.rng.below(1_000));
        let fee = amount / 1_000 * u128::from(share);
        let hold = self.hold(user, Neuron::new(amount));
        match self.rng.below(12) {
            _ if self.command(&Command::Reserve(hold.clone()))?.is_err() => Ok(()),
            0 => Ok(()),
            1 => {
                let why = ReleaseReason::NotForwarded;
                self.end(&Command::Release { key: hold.key, why })
            }
            _ => self.capture(&hold, fee),
        }
    }

    /// A request that costs as much as was set aside for it.
    pub(crate) fn charge(&mut self, user: UserId, fee: Neuron) -> Result<(), String> {
        self.mirror(user)?;
        let hold = self.hold(user, fee);
        self.end(&Command::Reserve(hold.clone()))?;
        self.capture(&hold, fee.get())
    }

    fn capture(&mut self, hold: &Hold, fee: u128) -> Result<(), String> {
        let receipt = Box::new(self.receipt(hold, fee));
        self.end(&Command::Capture { key: hold.key, receipt })?;
        self.tally.captures += 1;
        *self.charged.entry(hold.user).or_default() += fee;
        self.tell(|| format!("{} is charged {fee}", hold.user));
        Ok(())
    }

    fn end(&self, command: &Command) -> Result<(), String> {
        self.command(command)?.map(|_| ()).map_err(|refusal| refusal.to_string())
    }

    /// What admission does first, where the node answers.
    pub(crate) fn mirror(&self, user: UserId) -> Result<(), String> {
        let Ok(view) = finish(self.chain.account(user)) else { return Ok(()) };
        let mirrored = finish(mirror(&*self.store, user, &view));
        mirrored.map(|_| ()).map_err(|error| error.to_string())
    }

    /// A user leaves with everything there is, whatever the user owes.
    pub(crate) fn take_refund(&mut self, user: UserId) {
        if self.rng.below(2) == 0 {
            self.act(Action::RequestRefund { user });
            self.chain.mine(1);
            self.chain.advance(self.chain.options().lock_time_secs);
        }
        self.act(Action::ProcessRefund { user });
    }

    fn hold(&mut self, user: UserId, amount: Neuron) -> Hold {
        self.requests += 1;
        let name = self.requests.to_be_bytes();
        Hold {
            key: RequestKey::derive(&user, &name),
            fingerprint: Fingerprint(Digest32::sha256(&name)),
            receipt: receipt_id(self.requests),
            user,
            amount,
            tariff: Tariff::per_token(Neuron::new(1), Neuron::new(1)),
            expires: self.chain.now().plus_millis(1_000_000_000),
        }
    }

    fn receipt(&self, hold: &Hold, fee: u128) -> Receipt {
        let input = u64::try_from(fee).unwrap();
        let usage = Usage { input, source: UsageSource::Engine, ..Usage::default() };
        Receipt {
            id: hold.receipt,
            user: hold.user,
            outcome: Outcome::Complete,
            status: 200,
            usage,
            fee: Neuron::new(fee),
            request_hash: hold.fingerprint.0,
            response_hash: Digest32::sha256(b"response"),
            bytes: 8,
            events: 0,
            signature: Signature([0x5a; 65]),
            signing_address: key(self.signer).address(),
            upstream_id: None,
            drained: false,
            served_at: self.chain.now(),
            proof: None,
        }
    }
}

fn receipt_id(n: u64) -> ReceiptId {
    ReceiptId::parse(&format!("00000000-0000-4000-8000-{n:012x}")).unwrap()
}
