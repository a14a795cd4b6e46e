//! The holds that this writer opened and nobody has ended yet, so that ending one need not read it
//! back.

use std::collections::HashMap;

use crate::command::{Hold, HoldState};
use crate::digest::RequestKey;
use crate::rules::{KnownHold, Record};

use super::write::HoldNumber;

/// Only what the tables say as well, since nobody else writes to them; whatever is not here is
/// looked up there. A transaction that is not carried out takes all of it with it.
#[derive(Default)]
pub(super) struct OpenHolds(HashMap<RequestKey, (HoldNumber, Hold)>);

/// Far above what is in flight at a time. Holds of whoever never ends them must not pile up.
const HOLDS_MAX: usize = 16_384;

impl OpenHolds {
    pub(super) fn find(&self, key: &RequestKey) -> Option<(HoldNumber, KnownHold)> {
        let (number, hold) = self.0.get(key)?;
        Some((*number, KnownHold { hold: hold.clone(), state: HoldState::Open }))
    }

    /// Takes over what an entry recorded.
    pub(super) fn note(&mut self, record: &Record<'_>, number: HoldNumber) {
        match record {
            Record::Hold(hold) => {
                if self.0.len() >= HOLDS_MAX {
                    self.0.clear();
                }
                self.0.insert(hold.key, (number, (*hold).clone()));
            }
            Record::Receipt(key, _) | Record::Release(key, _) => {
                self.0.remove(key);
            }
            _ => {}
        }
    }
}
