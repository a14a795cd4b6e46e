//! A contract that is not the one that vouchers are signed for.

use crate::*;

#[test]
fn a_voucher_that_the_contract_would_refuse_costs_no_gas_and_is_told() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    // Signed under another contract's name, as with a wrong address in the settings.
    let wrong = Domain { contract: Address([9; 20]), ..rig.chain.options().domain };
    let settler = Settler { chain: Arc::new(Misnamed(rig.chain.clone(), wrong)), ..rig.settler() };
    let before = rig.chain.wallet();
    for _ in 0..3 {
        let report = wait(settler.pass(true)).unwrap();
        assert_eq!(report.refused, [(user(1), Verdict::InvalidSignature)]);
        assert_eq!((report.submitted, report.open), (0, 1));
    }
    assert_eq!(rig.chain.wallet(), before);
    assert_eq!(rig.standing(user(1)), [0, 5_000, 0]);
}

#[test]
fn who_does_not_collect_finds_out_too_and_changes_nothing() {
    let mut rig = Rig::new();
    let settler = rig.settler();
    assert_eq!(wait(settler.rehearse()).unwrap(), []);
    rig.charge(1, user(1), 5_000);
    let wrong = Domain { contract: Address([9; 20]), ..rig.chain.options().domain };
    let misnamed = Settler { chain: Arc::new(Misnamed(rig.chain.clone(), wrong)), ..rig.settler() };
    wait(misnamed.pass(true)).unwrap();
    let before = Ledger::audit(&rig.ledger).unwrap();
    let wallet = rig.chain.wallet();
    // What is signed under a wrong name is refused, whoever asks the contract.
    assert_eq!(wait(settler.rehearse()).unwrap(), [(user(1), Verdict::InvalidSignature)],);
    rig.chain.inject(Fault::Down(2));
    wait(settler.rehearse()).unwrap_err();
    rig.chain.calm();
    assert_eq!(rig.chain.wallet(), wallet);
    // A key that the service named since then signs it again, and a pass would send that.
    rig.key = 0x22;
    rig.register();
    assert_eq!(wait(rig.settler().rehearse()).unwrap(), []);
    assert_eq!(Ledger::audit(&rig.ledger).unwrap(), before);
}

/// A chain that is taken for another one.
struct Misnamed(SimChain, Domain);

impl Chain for Misnamed {
    fn domain(&self) -> Domain {
        self.1
    }
    fn provider(&self) -> Address {
        self.0.provider()
    }
    fn account(&self, user: UserId) -> ChainFuture<'_, AccountView> {
        self.0.account(user)
    }
    fn service(&self) -> ChainFuture<'_, Option<Service>> {
        self.0.service()
    }
    fn terms(&self) -> ChainFuture<'_, Terms> {
        self.0.terms()
    }
    fn gas(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, u64> {
        self.0.gas(batch)
    }
    fn rehearse(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Verdict>> {
        self.0.rehearse(batch)
    }
    fn submit(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Digest32>> {
        self.0.submit(batch)
    }
    fn landing(&self, voucher: SignedVoucher, since: u64) -> ChainFuture<'_, Landing> {
        self.0.landing(voucher, since)
    }
    fn register(&self, service: ServiceParams) -> ChainFuture<'_, Digest32> {
        self.0.register(service)
    }
    fn remove_service(&self) -> ChainFuture<'_, Digest32> {
        self.0.remove_service()
    }
}
