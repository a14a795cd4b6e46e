//! Ends a process with SIGKILL at one of its calls to the node, before or after it is carried out.

use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use super::{SOON, wait_until};

/// When a process ends at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The node never sees the call.
    Before,
    /// The node has carried it out, and nobody hears of it.
    After,
}

/// Set for one call of one process.
#[derive(Default)]
pub(crate) struct Trap(Mutex<State>);

#[derive(Default)]
struct State {
    /// How many calls are let through first, and who ends then.
    set: Option<(u32, Victim)>,
    /// The method whose calls count; all of them where it is empty.
    method: &'static str,
    /// The method of the last call that was counted.
    last: String,
    /// Whether its call was made.
    stepped_on: bool,
    /// Whether the process got its signal.
    sprung: bool,
    /// Calls since it was set or taken.
    calls: u64,
}

/// Who ends, and when.
#[derive(Clone, Copy)]
pub(super) struct Victim {
    process: u32,
    moment: Moment,
}

impl Trap {
    /// From now on `process` may make so many calls of this method, of any where it has no name,
    /// and ends at the next one.
    pub(crate) fn set_for(&self, method: &'static str, process: u32, calls: u32, moment: Moment) {
        let set = Some((calls, Victim { process, moment }));
        *self.0.lock().unwrap() = State { set, method, ..State::default() };
    }

    /// Waits until nobody has called for a while.
    pub(crate) fn wait_until_quiet(&self) {
        let mut seen = u64::MAX;
        wait_until("a node that nobody calls", SOON, || {
            let before = std::mem::replace(&mut seen, self.0.lock().unwrap().calls);
            std::thread::sleep(Duration::from_millis(100));
            before == seen
        });
    }

    pub(crate) fn is_sprung(&self) -> bool {
        self.0.lock().unwrap().sprung
    }

    /// The method of the call that the process ended at; `None` where it made fewer calls.
    pub(crate) fn take(&self) -> Option<String> {
        {
            let mut state = self.0.lock().unwrap();
            // From here on it goes off no more, unless somebody is in it already.
            state.set = None;
            if !state.stepped_on {
                return None;
            }
        }
        wait_until("the end of who stepped on it", SOON, || self.is_sprung());
        let state = std::mem::take(&mut *self.0.lock().unwrap());
        Some(state.last)
    }

    /// Counts a call; who ends at it, if the trap was set for it.
    pub(super) fn step_on(&self, method: &str) -> Option<Victim> {
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        let (left, victim) = state.set?;
        if !method.starts_with(state.method) {
            return None;
        }
        method.clone_into(&mut state.last);
        if left > 0 {
            state.set = Some((left - 1, victim));
            return None;
        }
        // The calls after it are not of interest.
        state.set = None;
        state.stepped_on = true;
        Some(victim)
    }

    /// Ends the process if this is its moment.
    pub(super) fn kills(&self, victim: Victim, moment: Moment) -> bool {
        if victim.moment != moment {
            return false;
        }
        let kill = format!("kill -KILL {}", victim.process);
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success(), "{kill}");
        self.0.lock().unwrap().sprung = true;
        true
    }
}
