//! A user who signs its own session token, without 0G's client: quick, and as many as wanted.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use broker_core::ledger::statement::Statement;
use broker_core::{Digest32, LocalSigner, Neuron, Signer as _, SqliteReader, UserId};
use broker_core::{LedgerReader as _, eip191_digest};
use serde_json::json;

use super::client::Response;
use super::{Network, PROVIDER, Sidecar, get, post};

/// A user of the chain, and the header it shows.
#[derive(Clone)]
pub(crate) struct Customer {
    pub(crate) index: u32,
    pub(crate) user: UserId,
    authorization: String,
}

impl Customer {
    /// With so much in the provider's keeping, in neuron.
    pub(crate) fn with(network: &Network, index: u32, transfer: u128) -> Self {
        network.fund(&[index], 2 * transfer, transfer);
        network.ask("acknowledge", json!({"user": index}));
        Self::of(network, index)
    }

    pub(crate) fn of(network: &Network, index: u32) -> Self {
        let (address, key) = network.wallet(index);
        let secret = hex::decode(key.trim_start_matches("0x")).unwrap().try_into().unwrap();
        let signer = LocalSigner::from_secret(&secret).unwrap();
        let raw = json!({"address": address, "provider": PROVIDER, "timestamp": 1, "nonce": "1-a",
            "expiresAt": 0, "generation": 0, "tokenId": 0});
        let raw = raw.to_string();
        let digest = eip191_digest(Digest32::keccak256(raw.as_bytes()).0);
        let signature = hex::encode(signer.sign_digest(&digest).unwrap().0);
        let token = BASE64_STANDARD.encode(format!("{raw}|0x{signature}"));
        let authorization = format!("Bearer app-sk-{token}");
        Self { index, user: address.parse().unwrap(), authorization }
    }

    /// A chat, whatever comes of it.
    pub(crate) fn ask(&self, sidecar: &Sidecar) -> Response {
        let headers =
            [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        let body = json!({"model": "tiny", "max_tokens": 5,
            "messages": [{"role": "user", "content": "Who are you?"}]});
        post(sidecar.public, "/v1/proxy/chat/completions", &headers, body.to_string())
    }

    /// A chat that is served.
    #[track_caller]
    pub(crate) fn chat(&self, sidecar: &Sidecar) {
        let answer = self.ask(sidecar);
        assert_eq!(answer.status, 200, "{}\n{}", answer.text(), sidecar.log());
    }

    /// Asks what it owes, by which the sidecar hears of it.
    #[track_caller]
    pub(crate) fn look(&self, sidecar: &Sidecar) {
        let path = format!("/v1/user/{}/unsettledfee", self.user);
        let headers = [("authorization", self.authorization.as_str())];
        let answer = get(sidecar.public, &path, &headers);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// What the ledger says of the user, whether or not the sidecar runs.
    pub(crate) fn statement(&self, sidecar: &Sidecar) -> Option<Statement> {
        let path = sidecar.folder.path().join("ledger.db");
        SqliteReader::open_for_operator(&path).unwrap().statement(&self.user).unwrap()
    }

    /// What the ledger says that the user owes, in neuron.
    pub(crate) fn owed(&self, sidecar: &Sidecar) -> u128 {
        let known = self.statement(sidecar);
        known.and_then(|known| known.account.owed()).map_or(0, Neuron::get)
    }

    /// What is left of what the provider keeps for the user, in neuron.
    pub(crate) fn balance(&self, network: &Network) -> u128 {
        network.account(self.index).unwrap().balance
    }
}
