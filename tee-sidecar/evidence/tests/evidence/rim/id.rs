//! The names of the manifests that belong to a report.

use tee_evidence::nvidia::Architecture::{Blackwell, Hopper};
use tee_evidence::nvidia::rim::RimId;

#[test]
fn the_names_of_a_hopper_reports_manifests_are_nvidias() {
    let driver = RimId::driver(Hopper, None, "550.90.07").unwrap();
    assert_eq!(driver.as_str(), "NV_GPU_DRIVER_GH100_550.90.07");
    let vbios = RimId::vbios("1010", "0200", "882", "96.00.9F.00.01").unwrap();
    assert_eq!(vbios.to_string(), "NV_GPU_VBIOS_1010_0200_882_96009F0001");
    let lower = RimId::vbios("g520", "0280", "895", "96.00.cf.00.02").unwrap();
    assert_eq!(lower.as_str(), "NV_GPU_VBIOS_G520_0280_895_9600CF0002");
}

#[test]
fn a_blackwell_drivers_name_has_the_chip_that_the_report_gives() {
    let of = |chip| RimId::driver(Blackwell, chip, "575.32").unwrap().to_string();
    assert_eq!(of(None), "NV_GPU_CC_DRIVER_GB100_575.32");
    assert_eq!(of(Some("GB20X")), "NV_GPU_CC_DRIVER_GB20X_575.32");
}

#[test]
fn fields_that_would_leave_a_folder_or_an_address_make_no_name() {
    let long = "1".repeat(33);
    for bad in ["", "..", "../x", "a/b", "a b", "a\0", "550?x=1", "%2e", "é", long.as_str()] {
        let refused = RimId::driver(Hopper, None, bad).unwrap_err();
        assert!(refused.to_string().contains("cannot be part of a RIM's name"));
        assert!(RimId::driver(Blackwell, Some(bad), "575.32").is_err(), "{bad}");
        assert!(RimId::vbios(bad, "0200", "882", "96.00.9F.00.01").is_err(), "{bad}");
        assert!(RimId::vbios("1010", "0200", "882", bad).is_err(), "{bad}");
    }
}
