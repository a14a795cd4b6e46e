//! The auditor against a running sidecar: what it fetches, what it keeps, what it proves.

use std::path::PathBuf;

use tee_sidecar::auditor::{
    AnswerFiles, Failure, Options, Served, audit_answer, audit_file, audit_served,
};
use tee_sidecar::evidence::Nonce32;
use tee_sidecar::evidence::audit::{Audit, CheckResult, Verdict};

use crate::support::{
    Engine, MODEL, Response, Sidecar, Step, chunk_event, end_event, get, nonce, post, sse, whole,
    with_gpu,
};

/// An auditor's folder, and a policy that lets simulated evidence count.
struct Desk {
    folder: tempfile::TempDir,
    options: Options,
}

impl Desk {
    fn new() -> Self {
        let mut desk = Self { folder: tempfile::tempdir().unwrap(), options: Options::default() };
        desk.options.policy = Some(desk.file("policy.yaml", b"simulated: accept\n"));
        // Nobody listens there: evidence of the software TEE needs no collateral service.
        desk.options.pccs = Some("http://127.0.0.1:9".to_owned());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

fn at(addr: std::net::SocketAddr) -> Served {
    Served {
        url: format!("http://{addr}"),
        binding_v2: false,
        tls: false,
        bearer: None,
        save: None,
    }
}

fn assert_proved(audit: Result<Audit, Failure>, checks: &[&str]) {
    let audit = audit.unwrap();
    assert_eq!(audit.verdict(), Verdict::Proved, "{:#?}", audit.findings);
    for check in checks {
        let found = |result| has(&audit, check, result);
        assert!(found(CheckResult::Proved), "{check}: {:#?}", audit.findings);
    }
}

fn assert_refuted(audit: Result<Audit, Failure>, check: &str) {
    let audit = audit.unwrap();
    assert_eq!(audit.verdict(), Verdict::Refuted, "{:#?}", audit.findings);
    assert!(has(&audit, check, CheckResult::Refuted), "{check}: {:#?}", audit.findings);
}

fn has(audit: &Audit, check: &str, result: CheckResult) -> bool {
    audit.findings.iter().any(|finding| finding.check == check && finding.result == result)
}

#[test]
fn a_running_sidecar_is_proved_under_both_bindings() {
    let engine = Engine::start(|_| Vec::new());
    let sidecar = Sidecar::with(&engine, with_gpu);
    let desk = Desk::new();
    for binding_v2 in [false, true] {
        let served = Served { binding_v2, ..at(sidecar.addr) };
        assert_proved(audit_served(&served, &desk.options), &["quote.signature", "nonce"]);
        let full = Served { url: format!("{}/v1/attestation/report", served.url), ..served };
        assert_proved(audit_served(&full, &desk.options), &["quote.tcb"]);
    }
}

// Without a policy simulated evidence is refuted as such: the auditor does not go and ask Intel
// about a platform that Intel never made.
#[test]
fn without_a_policy_a_simulated_sidecar_is_refuted_and_nobody_is_asked_for_collateral() {
    let engine = Engine::start(|_| Vec::new());
    let sidecar = Sidecar::with(&engine, with_gpu);
    let collateral_service = Engine::start(|_| vec![Step::Raw(whole(404, b"{}"))]);
    let strict =
        Options { pccs: Some(format!("http://{}", collateral_service.addr)), ..Options::default() };
    assert_refuted(audit_served(&at(sidecar.addr), &strict), "simulated");
    assert_eq!(collateral_service.requests(), 0);
}

#[test]
fn the_report_is_kept_as_it_came_and_never_over_another_file() {
    let engine = Engine::start(|_| Vec::new());
    let sidecar = Sidecar::with(&engine, with_gpu);
    let mut desk = Desk::new();
    let nonce = nonce(0);
    // Spacing that a program which reads and writes JSON would not keep.
    let path = format!("/v1/attestation/report?nonce={nonce}");
    let report = format!("{}\n  \n", get(sidecar.addr, &path, &[]).text());
    let replayed = report.clone();
    let server = Engine::start(move |_| vec![Step::Raw(whole(200, replayed.as_bytes()))]);
    desk.options.nonce = Some(Nonce32::parse(&nonce).unwrap());
    let kept = desk.path("report.json");
    let served = Served { save: Some(kept.clone()), ..at(server.addr) };
    assert_proved(audit_served(&served, &desk.options), &["nonce"]);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), report);
    assert_proved(audit_file(&kept, &desk.options), &["nonce"]);

    let again = Served { save: Some(kept.clone()), ..at(sidecar.addr) };
    desk.options.nonce = None;
    let refused = audit_served(&again, &desk.options).unwrap_err();
    assert!(matches!(&refused, Failure::Failed(why) if why.contains("report.json")), "{refused}");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), report);
}

// A server that replays a genuine report is found out: every audit asks with another nonce.
#[test]
fn a_replayed_report_is_refuted_by_the_nonce() {
    let engine = Engine::start(|_| Vec::new());
    let sidecar = Sidecar::with(&engine, with_gpu);
    let old = get(sidecar.addr, "/v1/attestation/report", &[]).body;
    let server = Engine::start(move |_| vec![Step::Raw(whole(200, &old))]);
    let desk = Desk::new();
    for _ in 0..2 {
        assert_refuted(audit_served(&at(server.addr), &desk.options), "nonce");
    }
    let asked = server.seen();
    let line = |n: usize| asked[n].head.lines().next().unwrap().to_owned();
    assert!(line(0).starts_with("GET /v1/attestation/report?nonce="), "{}", line(0));
    assert_ne!(line(0), line(1));
}

/// An engine that answers as it is asked: in one piece or as a stream.
fn talker() -> Engine {
    Engine::start(|seen| {
        if !seen.text().contains("\"stream\":true") {
            let body = b"{\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\
                         \"completion_tokens\":1}}\n";
            return vec![Step::Raw(whole(200, body))];
        }
        let mut steps = vec![sse()];
        steps.extend((1..=3).map(|n| Step::Chunk(chunk_event(n, true).into_bytes())));
        steps.push(Step::Chunk(end_event(4, true).into_bytes()));
        steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
        steps.push(Step::EndChunks);
        steps
    })
}

fn exchange(sidecar: &Sidecar, desk: &Desk, stream: bool) -> (AnswerFiles, Response) {
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"stream\":{stream}}}");
    let response = post(sidecar.addr, "/v1/chat/completions", &[], &request);
    assert_eq!((response.status, response.complete), (200, true), "{}", response.text());
    let signature = format!("/v1/signature/{}", response.receipt());
    let signature = get(sidecar.addr, &signature, &[]);
    assert_eq!(signature.status, 200);
    let name = |what: &str| format!("{stream}-{what}");
    let files = AnswerFiles {
        request: desk.file(&name("request"), request.as_bytes()),
        response: desk.file(&name("response"), &response.body),
        signature: desk.file(&name("signature.json"), &signature.body),
        report: None,
        address: None,
    };
    (files, response)
}

#[test]
fn an_answer_in_one_piece_or_as_a_stream_is_proved_with_the_report_that_was_kept() {
    let engine = talker();
    let (sidecar, other) = (Sidecar::with(&engine, with_gpu), Sidecar::with(&engine, with_gpu));
    let desk = Desk::new();
    let keep = |sidecar: &Sidecar, name: &str| {
        let served = Served { save: Some(desk.path(name)), ..at(sidecar.addr) };
        assert_proved(audit_served(&served, &desk.options), &["nonce"]);
        Some(desk.path(name))
    };
    let (report, others_report) = (keep(&sidecar, "own.json"), keep(&other, "other.json"));
    for stream in [false, true] {
        let (files, response) = exchange(&sidecar, &desk, stream);
        let files = AnswerFiles { report: report.clone(), ..files };
        assert_proved(audit_answer(&files, &desk.options), &["answer", "answer.signer"]);

        let strict = Options { policy: None, ..desk.options.clone() };
        assert_refuted(audit_answer(&files, &strict), "answer.simulated");
        let foreign = AnswerFiles { report: others_report.clone(), ..files.clone() };
        assert_refuted(audit_answer(&foreign, &desk.options), "answer.signer");
        let mut changed = response.body;
        *changed.last_mut().unwrap() ^= 1;
        let response = desk.file("changed", &changed);
        let changed = AnswerFiles { response, ..files };
        assert_refuted(audit_answer(&changed, &desk.options), "answer");
    }
}
