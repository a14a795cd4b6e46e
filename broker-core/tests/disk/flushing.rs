//! How often the shipped ledger flushes.

use std::path::Path;

use broker_core::{Ledger, LedgerError};

use crate::disk::connection::open_with;
use crate::flushes::flushes;
use crate::work::shipped;

#[test]
fn every_batch_is_flushed_before_it_is_acknowledged() {
    flushes(&shipped).unwrap();
}

#[test]
fn a_lost_setting_is_noticed() {
    for setting in ["NORMAL", "OFF"] {
        let open = |path: &Path| -> Result<Box<dyn Ledger>, LedgerError> {
            Ok(Box::new(open_with(path, &format!("PRAGMA synchronous = {setting}"))?.0))
        };
        let found = flushes(&open).unwrap_err();
        assert!(found.contains("without a flush"), "{setting}: {found}");
    }
}
