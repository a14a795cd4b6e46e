//! Single stories, step by step.

use broker_core::settlement::{Obstacle, PassReport, Reason};
use broker_core::testing::{Action, Fault, ONE};
use broker_core::{Neuron, UserId};

use crate::check;
use crate::run::{Run, finish};
use crate::scenes::quiet;

const HALF: Neuron = Neuron::new(ONE / 2);
const LITTLE: Neuron = Neuron::new(ONE / 1_000);
const MORE: Neuron = Neuron::new(ONE / 1_000 + 1);

#[test]
fn a_revoked_acknowledgement_stops_settlement_and_loses_nothing() {
    let (mut run, user) = open();
    run.charge(user, HALF).unwrap();
    // The voucher is made and its transaction lost; then the owner revokes.
    run.chain.inject(Fault::Dropped);
    assert_eq!(pass(&run, true).sealed, [(user, Reason::Amount, HALF)]);
    run.act(Action::OwnerAcknowledges(false));
    run.charge(user, LITTLE).unwrap();
    for _ in 0..3 {
        let report = pass(&run, true);
        assert!(matches!(report.obstacles.as_slice(), [Obstacle::NotAcknowledged(_)]));
        assert_eq!((report.sealed.len(), report.submitted, report.open), (0, 0, 1));
    }
    assert_eq!((paid(&run, user), owed(&run, user)), (0, HALF.get() + LITTLE.get()));
    run.act(Action::OwnerAcknowledges(true));
    assert_eq!(pass(&run, true).settled, [(user, HALF)]);
    assert_eq!(pass(&run, true).settled, [(user, LITTLE)]);
    assert_eq!((paid(&run, user), owed(&run, user)), (HALF.get() + LITTLE.get(), 0));
    check::at_the_end(&run).unwrap();
}

#[test]
fn a_refund_is_met_by_a_settlement_before_its_lock_ends() {
    let (mut run, user) = open();
    run.charge(user, LITTLE).unwrap();
    assert_eq!(pass(&run, false).sealed, []);
    run.act(Action::RequestRefund { user });
    assert_eq!(pass(&run, false).sealed, [(user, Reason::Refund, LITTLE)]);
    run.chain.advance(run.chain.options().lock_time_secs);
    run.act(Action::ProcessRefund { user });
    assert_eq!((paid(&run, user), owed(&run, user)), (LITTLE.get(), 0));
    // The refund was all the rest.
    run.mirror(user).unwrap();
    let cover = check::statement(&run.store.ledger, &user).unwrap().account.cover;
    assert_eq!(cover, Neuron::ZERO);
    check::at_the_end(&run).unwrap();
}

#[test]
fn who_paid_in_part_pays_exactly_the_rest_after_the_next_deposit() {
    let (mut run, user) = open();
    run.charge(user, HALF).unwrap();
    run.act(Action::RequestRefund { user });
    run.chain.advance(run.chain.options().lock_time_secs);
    run.act(Action::ProcessRefund { user });
    assert_eq!(pass(&run, true).sealed, [], "an empty escrow pays nothing");
    run.act(Action::Deposit { user, amount: LITTLE });
    assert_eq!(pass(&run, true).settled, [(user, LITTLE)]);
    let rest = HALF.get() - LITTLE.get();
    assert_eq!((paid(&run, user), owed(&run, user)), (LITTLE.get(), rest));
    run.act(Action::Deposit { user, amount: HALF });
    assert_eq!(pass(&run, true).settled, [(user, Neuron::new(rest))]);
    assert_eq!((paid(&run, user), owed(&run, user)), (HALF.get(), 0));
    check::at_the_end(&run).unwrap();
}

// An operator is told of fees that wait against the policy, and of no others.
#[test]
fn what_was_due_and_stayed_is_overdue_and_what_may_wait_is_not() {
    const DAYS: u64 = 3 * 24 * 60 * 60;
    let (mut run, user) = open();
    run.charge(user, Neuron::new(1)).unwrap();
    run.chain.advance(DAYS);
    assert_eq!(pass(&run, false).overdue, None, "it is not worth its gas, however old");
    run.charge(user, LITTLE).unwrap();
    run.act(Action::OwnerAcknowledges(false));
    let oldest = check::statement(&run.store.ledger, &user).unwrap().oldest_unsealed;
    assert!(oldest.is_some());
    assert_eq!(pass(&run, false).overdue, oldest, "nothing is sealed for this signer");
    run.act(Action::OwnerAcknowledges(true));
    let report = pass(&run, false);
    assert_eq!((report.sealed, report.overdue), (vec![(user, Reason::Age, MORE)], None));
    run.charge(user, HALF).unwrap();
    run.act(Action::RequestRefund { user });
    run.chain.advance(run.chain.options().lock_time_secs);
    run.act(Action::ProcessRefund { user });
    run.chain.advance(DAYS);
    assert_eq!(pass(&run, true).overdue, None, "an empty escrow pays nothing");
}

#[test]
fn a_voucher_of_the_old_key_is_paid_under_the_new_one_and_once() {
    let (mut run, user) = open();
    run.charge(user, HALF).unwrap();
    run.chain.inject(Fault::Dropped);
    let sealed = pass(&run, true);
    assert_eq!((sealed.sealed.len(), sealed.open), (1, 1));
    run.signer = 2;
    run.register().unwrap();
    run.charge(user, LITTLE).unwrap();
    assert_eq!(pass(&run, true).settled, [(user, HALF)]);
    // The host sends the old key's copy of it now, and every other it has.
    for voucher in run.chain.seen() {
        run.chain.host_sends(voucher);
    }
    assert_eq!(pass(&run, true).settled, [(user, LITTLE)]);
    assert_eq!((paid(&run, user), owed(&run, user)), (HALF.get() + LITTLE.get(), 0));
    check::at_the_end(&run).unwrap();
}

/// One user with three 0G and a service that is acknowledged.
fn open() -> (Run, UserId) {
    let mut run = quiet(1);
    run.is_rich = false;
    run.register().unwrap();
    let user = run.users[0];
    run.act(Action::Deposit { user, amount: Neuron::new(3 * ONE) });
    (run, user)
}

fn pass(run: &Run, asked: bool) -> PassReport {
    finish(run.settler().pass(asked)).unwrap()
}

fn paid(run: &Run, user: UserId) -> u128 {
    run.chain.paid().get(&user).map_or(0, |paid| paid.get())
}

fn owed(run: &Run, user: UserId) -> u128 {
    let known = check::statement(&run.store.ledger, &user).unwrap();
    known.account.owed().unwrap().get()
}
