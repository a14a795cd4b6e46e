//! Sidecars as processes of their own, all with the same settings but for their ports.
#![allow(dead_code, unused_imports, reason = "shared with the tests of the API")]

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

pub(crate) use crate::network::{
    Conn, Engine, Response, Step, chunk_event, get, post, sha256_hex, sse, whole,
};

#[path = "../api/support/process.rs"]
mod process;

pub(crate) use process::{Replica, program};

/// What the scripted engine serves.
pub(crate) const MODEL: &str = "tiny";

/// What a test waits for at most, where nothing has to take long.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Waits for what has to come, and fails where it does not.
pub(crate) fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a program said, on both outputs.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The value of a line `name: value` of what a program said.
pub(crate) fn value(output: &Output, name: &str) -> String {
    let said = said(output);
    let line = said.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name}: {said}")).to_owned()
}

/// Settings for everyone, but for the ports.
pub(crate) fn settings(url: &str, folder: &Path, engine: &Engine) -> String {
    settings_with(url, folder, engine, "")
}

/// As [`settings`]; `more` are settings of the ledger, each with a comma behind it.
pub(crate) fn settings_with(url: &str, folder: &Path, engine: &Engine, more: &str) -> String {
    format!(
        "upstream: {{url: 'http://{}'}}\ntee: {{provider: simulated}}\ngpu: {{provider: none}}\n\
         ledger: {{url: '{url}', {more} stateDir: '{}'}}\n\
         service: {{inputPrice: 100, outputPrice: 200}}\n",
        engine.addr,
        folder.display()
    )
}

/// An engine whose count of tokens follows from what it is sent: its own tokens are the request's
/// bytes modulo 7, and 1.
pub(crate) fn engine() -> Engine {
    Engine::start(|seen| {
        let tokens = generated(seen.body.len());
        if seen.text().contains("\"stream\":true") {
            let mut steps = vec![sse()];
            for k in 1..=tokens {
                steps.push(Step::Chunk(chunk_event(k, true).into_bytes()));
                steps.push(Step::Pause(Duration::from_millis(2)));
            }
            steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
            steps.push(Step::EndChunks);
            return steps;
        }
        let body = format!(
            "{{\"choices\":[],\"usage\":{{\"prompt_tokens\":13,\"completion_tokens\":{tokens}}}}}"
        );
        vec![Step::Pause(Duration::from_millis(tokens)), Step::Raw(whole(200, body.as_bytes()))]
    })
}

fn generated(bytes_sent: usize) -> u64 {
    bytes_sent as u64 % 7 + 1
}

/// A request, and what a complete answer to it costs at 100 and 200 neuron.
pub(crate) fn request(turn: u64) -> (String, u128) {
    let stream = turn.is_multiple_of(2);
    let pad = "x".repeat((turn % 11) as usize);
    let text = format!(
        "{{\"model\":\"{MODEL}\",\"messages\":[],\"max_tokens\":8,\"stream\":{stream},\
         \"user\":\"{pad}\"}}"
    );
    let ours = "\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true},";
    let sent = text.len() + if stream { ours.len() } else { 0 };
    (text, 13 * 100 + u128::from(generated(sent)) * 200)
}

/// Numbers that look random and are the same in each run of one seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % limit
    }
}
