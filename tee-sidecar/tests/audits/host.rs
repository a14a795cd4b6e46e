//! A host with a receipt key, a tariff and a log, and the command that judges what it says.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Command;

use broker_core::jcs::Json;
use broker_core::keyset::{ReceiptKey, keyset_document};
use broker_core::log::head::LogHead;
use broker_core::log::{self, Tiles};
use broker_core::receipt::{Claims, LedgerPlace};
use broker_core::statement::Author;
use broker_core::stream::{Chain, Checkpoint};
use broker_core::{
    Address, Digest32, Neuron, Outcome, Receipt, ReceiptId, Signature, Tariff, Timestamp, Usage,
    UserId,
};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const REQUEST: &[u8] = br#"{"messages":[{"role":"user","content":"hi"}],"stream":true}"#;

/// Answers are `data: …` events with `[DONE]` behind them.
pub(crate) const EVENTS: [&str; 4] =
    ["data: {\"n\":1}\n\n", "data: {\"n\":2}\n\n", "data: {\"n\":3}\n\n", "data: [DONE]\n\n"];

pub(crate) fn user() -> UserId {
    UserId::new([0xab; 20])
}

pub(crate) fn tariff() -> Tariff {
    Tariff::per_token(Neuron::new(100), Neuron::new(200))
}

pub(crate) fn id(n: u64) -> ReceiptId {
    ReceiptId::parse(&format!("00000000-0000-4000-8000-{n:012x}")).unwrap()
}

/// A host and a folder of what it hands out.
pub(crate) struct Host {
    pub(crate) key: ReceiptKey,
    pub(crate) folder: TempDir,
}

impl Host {
    pub(crate) fn new() -> Self {
        let key = ReceiptKey::from_secret(&[2; 32]);
        let host = Self { key, folder: tempfile::tempdir().unwrap() };
        host.write("keyset.json", &host.keyset());
        host.write("tariff.json", &tariff().terms());
        host.write("request.json", std::str::from_utf8(REQUEST).unwrap());
        host.write("response.txt", &EVENTS.concat());
        host
    }

    pub(crate) fn keyset(&self) -> String {
        keyset_document(None, 1_900_000_000, &[&self.key], &[])
    }

    pub(crate) fn author(&self) -> Author<'_> {
        Author { key: &self.key, keyset: Digest32::sha256(self.keyset().as_bytes()) }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The whole stream as exchange number `n` of the account's: ten prompt tokens, `n` generated.
    pub(crate) fn exchange(&self, n: u64) -> (Receipt, Claims) {
        answered(n, EVENTS.concat().as_bytes(), Outcome::Complete)
    }

    pub(crate) fn signed(&self, (receipt, claims): (Receipt, Claims)) -> String {
        self.signed_at(&tariff(), (receipt, claims))
    }

    pub(crate) fn signed_at(&self, tariff: &Tariff, exchange: (Receipt, Claims)) -> String {
        let (receipt, claims) = exchange;
        receipt.proved(claims, tariff, self.author()).document(tariff).unwrap()
    }

    pub(crate) fn receipt(&self, n: u64) -> String {
        self.signed(self.exchange(n))
    }

    pub(crate) fn receipts(&self, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
        numbers.into_iter().map(|n| self.receipt(n)).collect()
    }

    /// The receipt with something else in it, signed all the same.
    pub(crate) fn resigned(&self, receipt: &str, from: &str, to: &str) -> String {
        assert!(receipt.contains(from), "{from}");
        let changed = Json::parse(receipt.replacen(from, to, 1).as_bytes()).unwrap();
        let (unsigned, _) = changed.without("signature");
        let signature = self.key.sign(unsigned.canonical().as_bytes()).to_string();
        let mut whole: BTreeMap<String, Value> =
            serde_json::from_str(&unsigned.canonical()).unwrap();
        whole.insert("signature".to_owned(), Value::String(signature));
        Json::parse(serde_json::to_string(&whole).unwrap().as_bytes()).unwrap().canonical()
    }

    pub(crate) fn head(&self, log: &MemoryLog, at: u64) -> String {
        let head = LogHead { log: LOG, size: log.size(), root: log.root(), at: Timestamp(at) };
        head.sign(self.author())
    }

    /// What `/v1/receipts/{id}` answers.
    pub(crate) fn with_place(&self, receipt: &str, log: &MemoryLog, index: u64) -> String {
        let path = log::inclusion(log, index, log.size()).unwrap();
        let head: Value = serde_json::from_str(&self.head(log, 1)).unwrap();
        let receipt: Value = serde_json::from_str(receipt).unwrap();
        let place = json!({
            "leaf_index": index, "tree_size": log.size(), "path": hashes(&path), "head": head,
        });
        json!({"receipt": receipt, "inclusion": place}).to_string()
    }

    /// The answer with checkpoints behind the second and the third event.
    pub(crate) fn checkpointed(&self, n: u64) -> String {
        let (mut chain, mut sent) = (Chain::new(&id(n)), String::new());
        for (place, event) in (1..).zip(EVENTS) {
            chain.feed(event.as_bytes());
            sent.push_str(event);
            if (2..4).contains(&place) {
                let usage = Usage::new(10, place);
                let fee = tariff().fee(&usage).unwrap();
                let request = Digest32::sha256(REQUEST);
                let point = Checkpoint::at(&chain, id(n), request, &usage, fee);
                let comment = point.comment(self.author());
                chain.feed(comment.as_bytes());
                sent.push_str(&comment);
            }
        }
        sent
    }

    /// Runs `tee-sidecar verify` in the folder.
    pub(crate) fn verify(&self, args: &[&str]) -> Judged {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
        let output =
            command.current_dir(self.folder.path()).arg("verify").args(args).output().unwrap();
        Judged {
            code: output.status.code().unwrap(),
            text: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `verify receipt` on this text, with the keyset and more.
    pub(crate) fn verify_receipt(&self, receipt: &str, more: &[&str]) -> Judged {
        self.write("receipt.json", receipt);
        let args = ["receipt", "receipt.json", "--keyset", "keyset.json"];
        self.verify(&[&args[..], more].concat())
    }

    /// `verify invoice` on these receipts, with keyset, tariff and more.
    pub(crate) fn verify_invoice(&self, receipts: &[String], more: &[&str]) -> Judged {
        self.write("receipts.jsonl", &(receipts.join("\n") + "\n"));
        let args = ["invoice", "--receipts", "receipts.jsonl", "--tariff", "tariff.json"];
        self.verify(&[&args[..], &["--keyset", "keyset.json"], more].concat())
    }

    /// `verify log` on two heads, with a path or without.
    pub(crate) fn verify_log(&self, from: &str, to: &str, path: Option<&[Digest32]>) -> Judged {
        self.write("from.json", from);
        self.write("to.json", to);
        let args = ["log", "--from", "from.json", "--to", "to.json", "--keyset", "keyset.json"];
        let Some(path) = path else { return self.verify(&args) };
        self.write("proof.json", &json!({"path": hashes(path)}).to_string());
        self.verify(&[&args[..], &["--proof", "proof.json"]].concat())
    }
}

/// How an audit ended.
pub(crate) struct Judged {
    pub(crate) code: i32,
    pub(crate) text: String,
    pub(crate) errors: String,
}

impl Judged {
    /// It ended so, and for this reason.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32, because: &str) {
        let all = format!("{}{}", self.text, self.errors);
        assert_eq!(self.code, code, "{all}");
        assert!(all.contains(because), "{because} is not in:\n{all}");
    }
}

/// An exchange of the account's that ended with these bytes.
pub(crate) fn answered(n: u64, body: &[u8], outcome: Outcome) -> (Receipt, Claims) {
    let usage = Usage::new(10, n);
    let mut chain = Chain::new(&id(n));
    chain.feed(body);
    let receipt = Receipt {
        id: id(n),
        user: user(),
        outcome,
        status: 200,
        usage,
        fee: tariff().fee(&usage).unwrap(),
        request_hash: Digest32::sha256(REQUEST),
        response_hash: Digest32::sha256(body),
        bytes: body.len() as u64,
        events: chain.events(),
        signature: Signature([0x5a; 65]),
        signing_address: Address([0xad; 20]),
        upstream_id: Some(format!("chatcmpl-{n}")),
        drained: false,
        served_at: Timestamp(1_790_000_000_000 + n),
        proof: None,
    };
    let claims = Claims {
        endpoint: "/v1/chat/completions".to_owned(),
        model: Some("tiny".to_owned()),
        forwarded_hash: Some(Digest32::sha256(b"forwarded")),
        finish_reason: Some("stop".to_owned()),
        chain_head: Some(chain.head()),
        hold: Neuron::new(1_000_000_000),
        ledger: Some(LedgerPlace { log: LOG, account_seq: n }),
        ..Claims::default()
    };
    (receipt, claims)
}

pub(crate) fn hashes(path: &[Digest32]) -> Vec<String> {
    path.iter().map(|hash| format!("sha256:{hash}")).collect()
}

/// A log in memory.
#[derive(Clone, Default)]
pub(crate) struct MemoryLog(Vec<Vec<Digest32>>);

impl MemoryLog {
    pub(crate) fn of(documents: &[String]) -> Self {
        let mut log = Self::default();
        log.grow(documents);
        log
    }

    pub(crate) fn grow(&mut self, documents: &[String]) {
        let leaves: Vec<_> =
            documents.iter().map(|document| log::leaf_hash(document.as_bytes())).collect();
        for new in log::append(self, self.size(), &leaves).unwrap() {
            let level = usize::from(new.level);
            self.0.resize(self.0.len().max(level + 1), Vec::new());
            self.0[level].push(new.hash);
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.0.first().map_or(0, |leaves| leaves.len() as u64)
    }

    pub(crate) fn root(&self) -> Digest32 {
        log::root(self, self.size()).unwrap()
    }

    pub(crate) fn path(&self, from: u64) -> Vec<Digest32> {
        log::consistency(self, from, self.size()).unwrap()
    }
}

impl Tiles for MemoryLog {
    type Error = Infallible;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, Infallible> {
        let (from, count) = (usize::try_from(from).unwrap(), usize::try_from(count).unwrap());
        Ok(self.0[usize::from(level)][from..from + count].to_vec())
    }
}

pub(crate) const LOG: Digest32 = Digest32([0x5e; 32]);
