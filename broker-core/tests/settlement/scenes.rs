//! Runs that are not drawn from a seed: one thing happens, everywhere it can.

use std::sync::Arc;

use broker_core::chain::Chain;
use broker_core::testing::{Action, ONE, SimOptions};
use broker_core::{Neuron, UserId};

use crate::check;
use crate::run::{Run, Tally, finish};
use crate::store::{History, SimStore};

/// So many users settle at once, of whom 13 fit into a block.
///
/// # Errors
/// A promise that did not hold.
pub(crate) fn crowd(users: u8) -> Result<Tally, String> {
    let options = SimOptions { block_gas: 1_010_000, ..SimOptions::default() };
    let mut run = Run::with((1..=users).map(|n| UserId::new([n; 20])).collect(), options);
    run.register()?;
    for user in run.users.clone() {
        run.act(Action::Deposit { user, amount: Neuron::new(3 * ONE) });
        run.charge(user, Neuron::new(ONE / 2))?;
    }
    run.settle_everything()?;
    check::at_the_end(&run)?;
    Ok(run.counted())
}

/// Runs a pass that is cut off after so many polls, and settles after it. `None` where the pass had
/// ended by then.
///
/// # Errors
/// A promise that did not hold.
pub(crate) fn crash_at(seed: u64, polls: u64) -> Result<Option<Tally>, String> {
    let mut run = Run::open(seed, None, false)?;
    run.chain.calm();
    run.may_roll_back = false;
    for user in run.users.clone() {
        for _ in 0..3 {
            run.request(user)?;
        }
    }
    run.pass_until(true, Some(polls), 0)?;
    if run.tally.crashes == 0 {
        return Ok(None);
    }
    check::never_overpaid(&run)?;
    run.settle_everything()?;
    check::at_the_end(&run)?;
    Ok(Some(run.counted()))
}

/// A disk is brought back to its n-th state, two rounds of settlement later. `None` where it never
/// had so many.
///
/// # Errors
/// A promise that did not hold.
pub(crate) fn rollback_to(state: usize) -> Result<Option<Tally>, String> {
    let mut run = quiet(2);
    let history = History::default();
    let SimStore { ledger, chain, journal, .. } = &*run.store;
    let (ledger, chain, journal) = (ledger.clone(), chain.clone(), journal.clone());
    let kept = Some(history.clone());
    run.store = Arc::new(SimStore { ledger, chain, journal, history: kept });
    run.register()?;
    for user in run.users.clone() {
        run.act(Action::Deposit { user, amount: Neuron::new(3 * ONE) });
    }
    for round in 1..=2 {
        for user in run.users.clone() {
            run.charge(user, Neuron::new(ONE / 4 + round))?;
        }
        run.pass_until(true, None, 0)?;
    }
    let Some(snapshot) = history.lock().unwrap().get(state).cloned() else { return Ok(None) };
    run.restore(snapshot.fork());
    for user in run.users.clone() {
        run.mirror(user)?;
        let behind = is_behind(&run, &user)?;
        // A frozen account takes no more requests; any other goes on.
        let goes_on = run.charge(user, Neuron::new(ONE / 5)).is_ok();
        if goes_on == behind {
            return Err(format!("{user}: behind the chain {behind}, goes on {goes_on}"));
        }
    }
    check::never_overpaid(&run)?;
    run.settle_everything()?;
    check::at_the_end(&run)?;
    Ok(Some(run.counted()))
}

/// Whether the chain has taken vouchers of a user's that the ledger does not know.
fn is_behind(run: &Run, user: &UserId) -> Result<bool, String> {
    let view = finish(run.chain.account(*user)).map_err(|error| error.to_string())?;
    let known = check::statement(&run.store.ledger, user).and_then(|known| known.books.nonce);
    Ok(known.is_some_and(|known| known < view.latest_nonce()))
}

/// Users on a chain without weather, where everything is final at once.
pub(crate) fn quiet(users: u8) -> Run {
    Run::with((1..=users).map(|n| UserId::new([n; 20])).collect(), SimOptions::default())
}
