//! Users who hide, leave, come from elsewhere, or stand in others' way.

use crate::*;

/// A voucher of user 1's that is sealed and could not be sent.
fn sealed_and_unsent(rig: &mut Rig, fee: u128) -> Neuron {
    rig.charge(1, user(1), fee);
    let full = rig.chain.wallet();
    rig.chain.set_wallet(Neuron::ZERO);
    assert_eq!(rig.pass(true).sealed.len(), 1);
    full
}

#[test]
fn free_answers_do_not_hide_the_fees_behind_them() {
    let mut rig = Rig::new();
    rig.charge(9, user(1), 0);
    let mut commands = Vec::new();
    for n in 1..50_000_u32 {
        let (mut held, mut id) = (hold(8, user(1), 5), [7; 32]);
        id[..4].copy_from_slice(&n.to_be_bytes());
        held.key = RequestKey(Digest32(id));
        held.receipt = books::id_of(id[..16].try_into().unwrap());
        commands.extend([Command::Reserve(held.clone()), capture(&held, 0)]);
    }
    Ledger::apply(&mut rig.ledger, &commands, NOW).unwrap();
    rig.charge(1, user(1), 90_000);
    let report = rig.pass(true);
    assert_eq!(report.sealed, [(user(1), Reason::Amount, neuron(90_000))], "{report:?}");
}

#[test]
fn a_user_who_left_costs_no_gas_again_and_again() {
    let mut rig = Rig::new();
    let full = sealed_and_unsent(&mut rig, 400);
    rig.chain.request_refund(user(1)).unwrap();
    rig.chain.advance(rig.chain.options().lock_time_secs + 1);
    rig.chain.process_refund(user(1)).unwrap();
    rig.chain.act(Action::Acknowledge { user: user(1), yes: false }).unwrap();
    rig.chain.set_wallet(full);
    for _ in 0..3 {
        assert_eq!(rig.pass(false).refused, [(user(1), Verdict::NoTeeSigner)]);
    }
    assert_eq!((rig.chain.wallet(), rig.standing(user(1))), (full, [0, 400, 0]));
}

#[test]
fn a_frozen_user_forbids_no_new_signer() {
    let mut rig = Rig::new();
    let full = sealed_and_unsent(&mut rig, 400);
    rig.chain.set_wallet(full);
    // What the same key had signed before the disk was rolled back.
    let mut other = rig.ledger.open_vouchers().unwrap()[0].voucher;
    other.total = neuron(1);
    rig.chain.host_sends(other.sign(&rig.chain.domain(), &rig.signer()).unwrap());
    assert_eq!(rig.pass(false).frozen, [user(1)]);
    rig.key = 0x22;
    assert_eq!(wait(rig.settler().waits_for_old_signer()).unwrap(), []);
}

#[test]
fn a_voucher_of_the_software_before_us_that_is_not_final_yet_freezes_nobody() {
    let options = SimOptions { confirmations: 3, pace: Pace::Manual, ..SimOptions::default() };
    let (chain, ledger) = (SimChain::new(options), MemoryLedger::new());
    let key = LocalSigner::from_secret(&[0x11; 32]).unwrap();
    let _ = wait(chain.register(ServiceParams { tee_signer: key.address(), ..service_params() }));
    chain.mine(1);
    chain.owner_acknowledges(true).unwrap();
    chain.deposit(user(1), neuron(100_000)).unwrap();
    chain.mine(5);
    let (provider, requests_hash) = (chain.provider(), Digest32([1; 32]));
    let nonce = 17_000_000_000_000_000;
    let theirs = Voucher { user: user(1), provider, total: neuron(1), requests_hash, nonce };
    chain.host_sends(theirs.sign(&chain.domain(), &key).unwrap());
    chain.mine(1);
    let look = || {
        let view = wait(chain.account(user(1))).unwrap();
        wait(mirror(&Books(ledger.clone()), user(1), &view)).unwrap()
    };
    assert_eq!(look(), Mirrored::Stale);
    chain.mine(5);
    assert_eq!(look(), Mirrored::Taken);
    let known = LedgerReader::statement(&ledger, &user(1)).unwrap().unwrap();
    assert_eq!(known.books.nonce, Some(nonce));
}

#[test]
fn what_was_prepaid_is_not_taken_from_the_escrow_again() {
    let mut rig = Rig::new();
    let (user, cover) = (user(3), Cover::UpTo(neuron(500)));
    let held = hold(3, user, 400 * UNIT);
    let prepaid = [
        Command::Mirror { user, cover },
        Command::Reserve(held.clone()),
        capture(&held, 400 * UNIT),
    ];
    Ledger::apply(&mut rig.ledger, &prepaid, NOW).unwrap();
    rig.chain.deposit(user, neuron(100_000)).unwrap();
    rig.pass(true);
    assert_eq!(rig.standing(user), [0, 0, 0]);
    rig.charge(4, user, 70);
    rig.pass(true);
    assert_eq!(rig.standing(user), [0, 0, 70]);
}

#[test]
fn what_was_left_unpaid_grows_old() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 90_000);
    rig.chain.request_refund(user(1)).unwrap();
    rig.chain.advance(rig.chain.options().lock_time_secs + 1);
    rig.chain.process_refund(user(1)).unwrap();
    rig.chain.deposit(user(1), neuron(89_999)).unwrap();
    rig.pass(true);
    assert_eq!(rig.standing(user(1)), [1, 0, 89_999]);
    let known = LedgerReader::statement(&rig.ledger, &user(1)).unwrap().unwrap();
    assert_eq!(known.oldest_unsealed, Some(NOW));
}
