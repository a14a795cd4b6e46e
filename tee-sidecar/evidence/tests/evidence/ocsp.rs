//! OCSP answers: the captured ones at their own moments, made-up ones for all that an attacker or a
//! broken responder could answer.

use std::fs;
use std::path::Path;

use tee_evidence::certificates::Chain;
use tee_evidence::nvidia::ocsp::{
    CertificateHold, Good, OcspAnswer, OcspError, Subject, device_subjects, rim_subjects,
};
use tee_evidence::nvidia::rim::Rim;

use crate::support::captured;

pub(crate) mod made_up;
mod mutated;

/// 2025-08-21 12:00, for the answers on the GPU's chain.
const DEVICE_NOW_SECS: u64 = 1_755_777_600;

/// 2025-10-24 12:00, for the answers on the manifests' chains.
const RIM_NOW_SECS: u64 = 1_761_307_200;

const DAY_SECS: u64 = 86_400;

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join("nvidia/h100_golden").join(name)).unwrap()
}

fn answer(folder: &Path, name: &str) -> OcspAnswer {
    let text = String::from_utf8(read(folder, &format!("ocsp/{name}.b64"))).unwrap();
    OcspAnswer::parse_base64(&text).unwrap()
}

fn device_chain(folder: &Path) -> Chain {
    Chain::parse_pem(&read(folder, "chain.pem")).unwrap()
}

fn rim_chain(folder: &Path, name: &str) -> Chain {
    Rim::parse(&read(folder, name)).unwrap().chain().clone()
}

fn driver_chain(folder: &Path) -> Chain {
    rim_chain(folder, "NV_GPU_DRIVER_GH100_550.90.07.xml")
}

fn vbios_chain(folder: &Path) -> Chain {
    rim_chain(folder, "NV_GPU_VBIOS_1010_0200_882_96009F0001.xml")
}

fn verify(answer: &OcspAnswer, subject: Subject<'_>, now_secs: u64) -> Result<Good, OcspError> {
    answer.verify(subject.0, subject.1, now_secs, CertificateHold::Refuse)
}

/// Every certificate is good by its own answer, and no other answer speaks of it.
fn assert_good(folder: &Path, chain: &[Subject<'_>], names: &[&str], now_secs: u64) {
    let answers: Vec<_> = names.iter().map(|name| answer(folder, name)).collect();
    assert_eq!(chain.len(), answers.len());
    for (position, (certificate, issuer)) in chain.iter().enumerate() {
        for (at, answer) in answers.iter().enumerate() {
            assert_eq!(answer.is_about(certificate, issuer), at == position);
            let verified = verify(answer, (certificate, issuer), now_secs);
            if at == position {
                let good = verified.unwrap();
                assert!(!good.on_hold);
                assert!((now_secs..now_secs + DAY_SECS).contains(&good.until_secs));
            } else {
                assert_eq!(verified.unwrap_err(), OcspError::OtherCertificate);
            }
        }
    }
}

#[test]
fn the_golden_gpus_certificates_are_good_each_by_its_own_answer() {
    let Some(folder) = captured() else { return };
    let chain = device_chain(&folder);
    let names = ["gpu_certificate_l4", "gpu_certificate_l3", "gpu_certificate_l2"];
    assert_good(&folder, &device_subjects(&chain), &names, DEVICE_NOW_SECS);
}

#[test]
fn the_golden_manifests_certificates_are_good_each_by_its_own_answer() {
    let Some(folder) = captured() else { return };
    let names = ["gpu_driver_rim_l4", "gpu_driver_rim_l3", "gpu_rim_l2"];
    let chain = driver_chain(&folder);
    assert_good(&folder, &rim_subjects(&chain), &names, RIM_NOW_SECS);

    let names = ["gpu_vbios_l4", "gpu_driver_rim_l3", "gpu_rim_l2"];
    let chain = vbios_chain(&folder);
    assert_good(&folder, &rim_subjects(&chain), &names, RIM_NOW_SECS);
}

#[test]
fn an_answer_holds_from_its_first_to_its_last_second() {
    let Some(folder) = captured() else { return };
    // From 2025-08-21 06:47:08 for a day.
    let first = 1_755_758_828;
    let chain = device_chain(&folder);
    let subject = device_subjects(&chain)[2];
    let answer = answer(&folder, "gpu_certificate_l2");
    for now_secs in [first, first + DAY_SECS] {
        assert_eq!(verify(&answer, subject, now_secs).unwrap().until_secs, first + DAY_SECS);
    }
    for now_secs in [0, first - 1, first + DAY_SECS + 1] {
        let stale = OcspError::Stale { from_secs: first, until_secs: first + DAY_SECS, now_secs };
        let refused = verify(&answer, subject, now_secs).unwrap_err();
        // Long before, the responder's certificate did not hold either.
        let too_early = OcspError::Responder("its certificate is not valid now");
        assert_eq!(refused, if now_secs == 0 { too_early } else { stale });
    }
}

#[test]
fn the_certificates_that_need_answers_are_all_but_the_root_and_a_gpus_own_leaf() {
    let Some(folder) = captured() else { return };
    let chain = device_chain(&folder);
    let subjects = device_subjects(&chain);
    assert_eq!(subjects.len(), 3);
    assert!(subjects[0].0.subject().contains("GH100 A01 GSP BROM"));
    assert!(subjects[2].1.subject().contains("NVIDIA Device Identity CA"));

    let chain = driver_chain(&folder);
    let subjects = rim_subjects(&chain);
    assert_eq!(subjects.len(), 3);
    assert!(subjects[0].0.subject().contains("HCC RIM L4 Signer"));
    assert!(subjects[2].1.subject().contains("NVIDIA CoRIM signing Root CA"));
}

#[test]
fn a_certificate_with_another_issuer_than_its_own_is_refused() {
    let Some(folder) = captured() else { return };
    let chain = device_chain(&folder);
    let subjects = device_subjects(&chain);
    let answer = answer(&folder, "gpu_certificate_l4");
    let crossed = (subjects[0].0, subjects[1].1);
    assert!(!answer.is_about(crossed.0, crossed.1));
    assert_eq!(verify(&answer, crossed, DEVICE_NOW_SECS).unwrap_err(), OcspError::OtherIssuer);
}
