//! Quotes, under the software platform's root and under Intel's. The bytes are a quote.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tee_evidence::simulator::SoftwarePlatform;
use tee_evidence::tdx::{TcbPolicy, TrustRoot, inspect_quote, verify_quote};

static PLATFORM: LazyLock<SoftwarePlatform> =
    LazyLock::new(|| SoftwarePlatform::new().expect("the software platform can be built"));

fuzz_target!(|quote: &[u8]| {
    let root = PLATFORM.trust_root();
    let inspected = inspect_quote(quote, &root);
    let (collateral, policy) = (PLATFORM.own_collateral(), TcbPolicy::default());
    let verified = verify_quote(quote, collateral, &root, NOW_SECS, &policy);
    let by_intel = verify_quote(quote, collateral, &TrustRoot::Intel, NOW_SECS, &policy);
    assert!(by_intel.is_err(), "Intel signed none of the seeds");
    if let Ok(inspected) = &inspected
        && inspected.cross_checked
    {
        // Version 4: the body begins behind a header of 48 bytes.
        let report_data = quote.get(REPORT_DATA_START..REPORT_DATA_START + 64);
        assert_eq!(report_data, Some(&inspected.fields.report_data[..]));
    }
    if let Ok(verified) = verified {
        let fields = inspected.expect("what verifies can be read").fields;
        let read = (verified.report_data, verified.mrtd, verified.rtmrs);
        assert_eq!(read, (fields.report_data, fields.mrtd, fields.rtmrs));
        let padded = [quote, &[0; 8]].concat();
        let again = inspect_quote(&padded, &root).expect("padding changes nothing");
        assert_eq!(again.fields, fields);
    }
});

const NOW_SECS: u64 = 1_790_000_000;
const REPORT_DATA_START: usize = 568;
