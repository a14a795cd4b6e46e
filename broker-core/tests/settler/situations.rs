//! What happens to a provider in its ordinary life, and when its disk is rolled back.

use crate::*;

#[test]
fn fees_are_collected_when_they_are_due_and_once() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 400);
    assert_eq!(rig.pass(false), PassReport::default());
    assert_eq!(rig.standing(user(1)), [400, 0, 0]);
    let report = rig.pass(true);
    assert_eq!(report.sealed, [(user(1), Reason::Asked, neuron(400))]);
    assert_eq!((report.settled, report.open), (vec![(user(1), neuron(400))], 0));
    assert_eq!(rig.standing(user(1)), [0, 0, 400]);
    assert_eq!(rig.pass(true), PassReport::default());
    assert_eq!(rig.standing(user(1)), [0, 0, 400]);
}

#[test]
fn the_rest_of_a_partial_payment_waits_for_the_next_deposit_and_is_paid_exactly() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 90_000);
    // The user takes the money back; the contract lets vouchers take what is not paid out yet, so
    // only what was paid out in time is missing.
    rig.chain.request_refund(user(1)).unwrap();
    rig.chain.advance(rig.chain.options().lock_time_secs + 1);
    rig.chain.process_refund(user(1)).unwrap();
    assert_eq!(rig.pass(true), PassReport::default(), "nothing can be taken from nothing");
    rig.chain.deposit(user(1), neuron(50_000)).unwrap();
    rig.pass(true);
    assert_eq!(rig.standing(user(1)), [40_000, 0, 50_000]);
    assert_eq!(rig.pass(true), PassReport::default());
    rig.chain.deposit(user(1), neuron(70_000)).unwrap();
    rig.pass(true);
    assert_eq!(rig.standing(user(1)), [0, 0, 90_000]);
}

#[test]
fn without_the_owner_s_word_nothing_is_lost_and_it_goes_on_by_itself() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    rig.chain.owner_acknowledges(false).unwrap();
    let report = rig.pass(false);
    assert_eq!(report.obstacles, [Obstacle::NotAcknowledged(rig.signer().address())]);
    assert_eq!((report.sealed.len(), report.submitted), (0, 0));
    assert_eq!(rig.standing(user(1)), [5_000, 0, 0]);
    rig.chain.owner_acknowledges(true).unwrap();
    assert_eq!(rig.pass(false).sealed, [(user(1), Reason::Amount, neuron(5_000))]);
    assert_eq!(rig.standing(user(1)), [0, 0, 5_000]);
}

#[test]
fn a_refund_that_is_asked_for_brings_the_fees_in_first() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 400);
    rig.chain.request_refund(user(1)).unwrap();
    let report = rig.pass(false);
    assert_eq!(report.sealed, [(user(1), Reason::Refund, neuron(400))]);
    assert_eq!(rig.standing(user(1)), [0, 0, 400]);
}

#[test]
fn a_new_signer_takes_over_a_voucher_that_never_landed() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    let full = rig.chain.wallet();
    // Sealed, and the wallet cannot pay for the transaction.
    rig.chain.set_wallet(Neuron::ZERO);
    let report = rig.pass(false);
    assert!(matches!(report.obstacles[..], [Obstacle::NoGas { .. }]), "{report:?}");
    assert_eq!(rig.standing(user(1)), [0, 5_000, 0]);
    rig.chain.set_wallet(full);
    // The machine restarts with another key. The old key's voucher can still land, so it does.
    rig.key = 0x22;
    let waiting = wait(rig.settler().waits_for_old_signer()).unwrap();
    assert_eq!(waiting, [(user(1), neuron(5_000))]);
    rig.charge(2, user(1), 3_000);
    let report = rig.pass(true);
    assert!(matches!(report.obstacles[..], [Obstacle::OtherSigner { .. }]), "{report:?}");
    assert_eq!(rig.standing(user(1)), [3_000, 0, 5_000]);
    // What is under no voucher waits for the new key's registration.
    assert_eq!(rig.pass(true).sealed, []);
    rig.register();
    rig.pass(true);
    assert_eq!(rig.standing(user(1)), [0, 0, 8_000]);
}

#[test]
fn a_voucher_of_a_key_that_the_chain_forgot_is_signed_again() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    let full = rig.chain.wallet();
    rig.chain.set_wallet(Neuron::ZERO);
    rig.pass(false);
    rig.chain.set_wallet(full);
    rig.key = 0x22;
    rig.register();
    let report = rig.pass(false);
    assert_eq!((report.submitted, report.settled.len()), (1, 1), "{report:?}");
    assert_eq!(rig.standing(user(1)), [0, 0, 5_000]);
    // The host still has what the old key signed: the contract takes it no more.
    for voucher in rig.chain.seen() {
        rig.chain.host_sends(voucher);
    }
    rig.chain.mine(3);
    assert_eq!(rig.standing(user(1)), [0, 0, 5_000]);
}

#[test]
fn a_disk_that_was_rolled_back_behind_the_chain_freezes_the_user_and_nobody_pays_twice() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    let snapshot = rig.ledger.fork();
    rig.pass(false);
    assert_eq!(rig.standing(user(1)), [0, 0, 5_000]);
    rig.ledger = snapshot;
    let report = rig.pass(true);
    assert_eq!((report.frozen, report.sealed), (vec![user(1)], vec![]));
    assert_eq!(rig.standing(user(1)), [5_000, 0, 5_000]);
    assert!(Ledger::account(&rig.ledger, &user(1)).unwrap().frozen);
    assert_eq!(rig.pass(true), PassReport::default());
}

#[test]
fn a_voucher_from_before_a_roll_back_that_lands_instead_of_ours_freezes_the_user() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    let snapshot = rig.ledger.fork();
    let full = rig.chain.wallet();
    rig.chain.set_wallet(Neuron::ZERO);
    rig.pass(false);
    let held_back = wait(async { LedgerReader::open_vouchers(&rig.ledger).unwrap() }).remove(0);
    let held_back = held_back.signed_by(&rig.signer().address()).unwrap();
    // The host rolls back; more is charged; another voucher has the same nonce.
    rig.ledger = snapshot;
    rig.charge(2, user(1), 2_000);
    rig.pass(false);
    assert_eq!(rig.standing(user(1)), [0, 7_000, 0]);
    rig.chain.set_wallet(full);
    rig.chain.host_sends(held_back);
    rig.chain.mine(1);
    let report = rig.pass(true);
    assert_eq!((report.frozen, report.settled), (vec![user(1)], vec![]));
    assert_eq!(rig.standing(user(1)), [0, 7_000, 5_000]);
}
