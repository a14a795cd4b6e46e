//! The sidecar as a provider on the chain, and what its operator does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use super::sidecar::start;
use super::{Engine, PROVIDER_KEY, Sidecar, post};

impl Sidecar {
    /// On the chain behind this node, whose every block is final at once.
    pub(crate) fn on(node: &str, engine: &Engine) -> Self {
        Self::on_with(node, engine, 0, "")
    }

    /// The same with `confirmations`, and `more` of a configuration.
    pub(crate) fn on_with(node: &str, engine: &Engine, confirmations: u32, more: &str) -> Self {
        Self::launch(engine, &chain(node, confirmations, more))
    }

    /// The same, with the operator's listener at its default port where that is free.
    pub(crate) fn on_at_default(node: &str, engine: &Engine) -> Self {
        let found = Self::launch_at_default(engine, &chain(node, 0, ""));
        found.unwrap_or_else(|| Self::on(node, engine))
    }

    /// Starts it again on the same folder and ports.
    pub(crate) fn start_again(&mut self) {
        self.child = start(self.folder.path());
        self.wait_until_it_answers();
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Registers its service as the operators of 0G's own provider do.
    #[track_caller]
    pub(crate) fn register(&self, engine: &Engine, prices: (u128, u128)) {
        let body: Value = json!({
            "URL": format!("http://{}", engine.addr),
            "inputPrice": prices.0.to_string(),
            "outputPrice": prices.1.to_string(),
            "Type": "chatbot",
            "Name": "tiny",
            "Model": "tiny",
        });
        let headers = [("content-type", "application/json")];
        let answer = post(self.admin, "/v1/service", &headers, body.to_string());
        assert_eq!(answer.status, 204, "{}\n{}", answer.text(), self.log());
    }

    /// Asks it to collect what is owed.
    #[track_caller]
    pub(crate) fn settle(&self) {
        let answer = post(self.admin, "/v1/settle", &[], "");
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    /// The same of one that may end meanwhile.
    pub(crate) fn settle_unheard(&self) {
        let request = "POST /v1/settle HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n";
        let Ok(mut stream) = TcpStream::connect(self.admin) else { return };
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read(&mut [0; 64]);
    }

    /// Another subcommand on its configuration, and what it prints.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let config = self.folder.path().join("config.yaml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
        let output = command.args(args).arg("--config").arg(config).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

fn chain(node: &str, confirmations: u32, more: &str) -> String {
    format!(
        "network:\n  url: '{node}'\n  chainID: 31337\n  privateKeys: ['{PROVIDER_KEY}']\n  \
         contractAddress: '0x0165878A594ca255338adfa4d48449f69242Eb8F'\n  \
         confirmations: {confirmations}\n{more}"
    )
}
