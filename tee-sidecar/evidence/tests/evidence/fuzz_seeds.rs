//! What the fuzzer starts from: evidence that is accepted, so that changes to it reach far. The
//! files are made here, byte for byte the same each time, and nothing else lies beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use broker_core::{Digest32, LocalSigner, Signer};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tee_evidence::answer::{SignatureAnswer, SignedBy, verify_answer};
use tee_evidence::event_log::EventLog;
use tee_evidence::nras::{Jwks, NrasAnswer};
use tee_evidence::simulator::SoftwarePlatform;
use tee_evidence::tdx::{InspectedQuote, TcbPolicy, inspect_quote, verify_quote};

use crate::nras::expected;
use crate::nras::service::{good_answer, gpu_claims, header, jwks};
use crate::support::{NOW_SECS, report_data};

/// Contents by their paths in the corpus.
type Seeds = BTreeMap<PathBuf, Vec<u8>>;

fn seeds() -> Seeds {
    let quote = SoftwarePlatform::new().unwrap().quote_now(&report_data()).unwrap();
    let exchange =
        |model: &str| [b"request\0response\0", signed_exchange(model).as_bytes()].concat();
    let of_gpu = |version: &str| format!("{}\n{}", header(), gpu_claims(version, 0)).into_bytes();
    let seeds = [
        ("answer/two_parts", exchange("")),
        ("answer/with_a_model", exchange("qwen2.5:7b:")),
        ("claims/version_2", of_gpu("2.0")),
        ("claims/version_3", of_gpu("3.0")),
        ("event_log/simulated", quote.event_log.into_bytes()),
        ("nras/one_gpu_version_2", good_answer("2.0", 1).to_string().into_bytes()),
        ("nras/two_gpus_version_3", good_answer("3.0", 2).to_string().into_bytes()),
        ("nras/key_set", jwks().to_string().into_bytes()),
        ("quote/signed_version_5", as_version_5(&quote.bytes)),
        ("quote/simulated_version_4", quote.bytes),
    ];
    seeds.map(|(name, content)| (PathBuf::from(name), content)).into()
}

fn signed_exchange(model: &str) -> String {
    let (request, response) = (Digest32::sha256(b"request"), Digest32::sha256(b"response"));
    let text = format!("{model}{request}:{response}");
    let signer = LocalSigner::from_secret(&[7; 32]).unwrap();
    let signature = signer.sign_text(&text).unwrap().to_string();
    let address = signer.address();
    json!({
        "text": text, "signature": signature, "signing_address": address, "signing_algo": "ecdsa",
        "simulated": true,
    })
    .to_string()
}

/// Version 5 says of which type and length the body is. Anyone can sign it: the software platform's
/// keys are hashes of labels.
fn as_version_5(quote: &[u8]) -> Vec<u8> {
    let (header, rest) = quote.split_at(48);
    let (body, rest) = rest.split_at(584);
    // Behind the body: the length of what follows, which begins with the signature.
    let (length, rest) = rest.split_at(4);
    let mut header = header.to_vec();
    header[0] = 5;
    let (body_type, body_bytes) = (2_u16.to_le_bytes(), 584_u32.to_le_bytes());
    let signed = [&header, &body_type[..], &body_bytes, body].concat();
    let key = SigningKey::from_slice(&Sha256::digest("tee-sidecar simulator: attestation"));
    let signature: Signature = key.unwrap().sign(&signed);
    [&signed, length, &signature.to_bytes(), &rest[64..]].concat()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

fn committed() -> Seeds {
    let mut found = Seeds::new();
    for target in std::fs::read_dir(corpus()).unwrap() {
        for file in std::fs::read_dir(target.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let content = std::fs::read(&path).unwrap();
            found.insert(path.strip_prefix(corpus()).unwrap().to_owned(), content);
        }
    }
    found
}

#[test]
fn the_committed_seeds_are_those_that_are_made_here() {
    let (made, committed) = (seeds(), committed());
    let names = |seeds: &Seeds| seeds.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&made), "run write_the_seeds");
    for (name, content) in made {
        assert!(committed[&name] == content, "{}: run write_the_seeds", name.display());
    }
}

/// Run it by name, with `--ignored`, after a format has changed.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_seeds() {
    for (name, content) in seeds() {
        let path = corpus().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

#[test]
fn the_seeds_are_accepted_so_that_the_fuzzer_starts_behind_the_first_check() {
    let seeds = seeds();
    let seed = |name: &str| seeds[Path::new(name)].as_slice();
    let platform = SoftwarePlatform::new().unwrap();
    let (root, policy) = (platform.trust_root(), TcbPolicy::default());
    let quote = seed("quote/simulated_version_4");
    let fields =
        verify_quote(quote, platform.own_collateral(), &root, NOW_SECS, &policy).unwrap().fields;
    let quote = seed("quote/signed_version_5");
    verify_quote(quote, platform.own_collateral(), &root, NOW_SECS, &policy).unwrap();
    let InspectedQuote { cross_checked, fields: same } =
        inspect_quote(quote, &root, NOW_SECS).unwrap();
    assert!(!cross_checked);
    assert_eq!((same.report_data, same.rtmrs, same.version), (fields.report_data, fields.rtmrs, 5));

    let keys = Jwks::parse(seed("nras/key_set")).unwrap();
    for (name, gpus) in [("nras/one_gpu_version_2", 1), ("nras/two_gpus_version_3", 2)] {
        let answer = NrasAnswer::parse(seed(name)).unwrap();
        tee_evidence::nras::verify(&answer, &keys, &expected(gpus)).unwrap();
    }
    for name in ["answer/two_parts", "answer/with_a_model"] {
        let json = seed(name).splitn(3, |byte| *byte == 0).last().unwrap();
        let answer = SignatureAnswer::parse(json).unwrap();
        assert!(answer.simulated);
        let named = answer.signing_address.unwrap();
        assert_eq!(verify_answer(b"request", b"response", &answer), Ok(SignedBy(named)));
    }
    let log = std::str::from_utf8(seed("event_log/simulated")).unwrap();
    EventLog::parse(log).unwrap().verify(&fields.rtmrs).unwrap();
}
