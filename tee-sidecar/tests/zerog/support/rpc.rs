//! JSON-RPC to a node, and a node whose answers get lost.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::trap::{Moment, Trap};
use super::{Engine, Network, Step, post, whole};

/// The result of a call, or the node's error.
pub(crate) fn call(addr: SocketAddr, method: &str, params: &Value) -> Result<Value, String> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut answer: Value = serde_json::from_slice(&pass_on(addr, body.to_string())).unwrap();
    match answer.get("error") {
        Some(error) => Err(error["message"].as_str().unwrap_or_default().to_owned()),
        None => Ok(answer["result"].take()),
    }
}

fn pass_on(addr: SocketAddr, body: impl AsRef<[u8]>) -> Vec<u8> {
    post(addr, "/", &[("content-type", "application/json")], body).body
}

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The node never sees it, and the caller gets an error.
    Refused,
    /// The node carries it out, and the caller gets an error.
    ErrsAfterwards,
    /// The node carries it out, and the caller's connection breaks.
    Silent,
}

/// Stands before the network's node and does to its calls what a test says.
pub(crate) struct FaultyNode {
    door: Engine,
    faults: Faults,
    trap: Arc<Trap>,
}

/// The method, the fault, and how many more calls it meets.
type Faults = Arc<Mutex<Vec<(String, Fault, u32)>>>;

impl FaultyNode {
    pub(crate) fn before(network: &Network) -> Self {
        let (faults, node) = (Faults::default(), network.addr());
        let trap = Arc::<Trap>::default();
        let (known, trap_here) = (faults.clone(), trap.clone());
        let door = Engine::start(move |seen| {
            let asked: Value = serde_json::from_slice(&seen.body).unwrap();
            let method = asked["method"].as_str().unwrap_or_default();
            let fault = next_fault(&known, method);
            let victim = trap_here.step_on(method);
            let ends_at = |moment| victim.is_some_and(|victim| trap_here.kills(victim, moment));
            if ends_at(Moment::Before) {
                return vec![Step::Close];
            }
            if matches!(fault, Some(Fault::Refused)) {
                return vec![Step::Raw(whole(200, error(&asked).as_bytes()))];
            }
            let answer = pass_on(node, &seen.body);
            if ends_at(Moment::After) {
                return vec![Step::Close];
            }
            match fault {
                None => vec![Step::Raw(whole(200, &answer))],
                Some(Fault::Silent) => vec![Step::Close],
                Some(_) => vec![Step::Raw(whole(200, error(&asked).as_bytes()))],
            }
        });
        Self { door, faults, trap }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.door.addr)
    }

    /// The next calls of a method meet this.
    pub(crate) fn spoil(&self, method: &str, fault: Fault, times: u32) {
        self.faults.lock().unwrap().push((method.to_owned(), fault, times));
    }

    /// Whether all that was to happen has happened.
    pub(crate) fn is_through(&self) -> bool {
        self.faults.lock().unwrap().iter().all(|(_, _, left)| *left == 0)
    }

    /// What ends a process at one of its calls.
    pub(crate) fn trap(&self) -> &Trap {
        &self.trap
    }

    /// The next calls are as they should be.
    pub(crate) fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Calls the node through this one.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Result<Value, String> {
        call(self.door.addr, method, params)
    }
}

fn next_fault(faults: &Faults, method: &str) -> Option<Fault> {
    let mut faults = faults.lock().unwrap();
    let (_, fault, left) = faults.iter_mut().find(|(name, _, n)| name == method && *n > 0)?;
    *left -= 1;
    Some(*fault)
}

fn error(asked: &Value) -> String {
    let error = json!({"code": -32000, "message": "the node is not well"});
    json!({"jsonrpc": "2.0", "id": asked["id"], "error": error}).to_string()
}
