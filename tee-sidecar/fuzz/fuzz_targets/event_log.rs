//! Event logs. The bytes are the JSON that a guest agent serves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tee_evidence::event_log::{EventLog, EventLogError};

fuzz_target!(|json: &[u8]| {
    let Ok(json) = std::str::from_utf8(json) else { return };
    let Ok(log) = EventLog::parse(json) else { return };
    let Ok(registers) = log.replay() else { return };
    let verified = log.verify(&registers);
    assert!(!matches!(verified, Err(EventLogError::Mismatch(_))), "it is its own replay");
    for register in 0..registers.len() {
        let mut others = registers;
        others[register][0] ^= 1;
        assert_eq!(log.verify(&others), Err(EventLogError::Mismatch(register)));
    }
    let written = serde_json::to_string(&log).expect("a log can be written");
    assert_eq!(EventLog::parse(&written), Ok(log), "and read again");
});
