//! One node process for all tests of this one, which talks to contracts and to 0G's client.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;

/// The process ends when its input closes, with this one.
pub(crate) struct Driver(Mutex<Connection>);

struct Connection {
    input: ChildStdin,
    asked: u64,
}

type Answer = Result<Value, String>;

/// Who waits for which answer.
static WAITING: Mutex<Option<HashMap<u64, Sender<Answer>>>> = Mutex::new(None);

impl Driver {
    pub(crate) fn shared(packages: &Path) -> &'static Self {
        static DRIVER: OnceLock<Driver> = OnceLock::new();
        DRIVER.get_or_init(|| Self::start(packages))
    }

    fn start(packages: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zerog/driver.mjs");
        let mut command = Command::new("node");
        command.arg(script).env("ZEROG_HOME", packages);
        // What the SDK prints helps only where a command did not do what it should.
        let shown = std::env::var_os("ZEROG_LOG").is_some();
        command.stderr(if shown { Stdio::inherit() } else { Stdio::null() });
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        *WAITING.lock().unwrap() = Some(HashMap::new());
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            hand_out(output);
            let _ = child.wait();
        });
        Self(Mutex::new(Connection { input, asked: 0 }))
    }

    /// Carries out a command and waits for its end.
    pub(crate) fn ask(&self, command: &str, mut asked: Value) -> Answer {
        let (sender, receiver) = channel();
        {
            let mut connection = self.0.lock().unwrap();
            connection.asked += 1;
            let id = connection.asked;
            asked["id"] = id.into();
            asked["command"] = command.into();
            let mut waiting = WAITING.lock().unwrap();
            waiting.as_mut().expect("the driver has ended").insert(id, sender);
            drop(waiting);
            writeln!(connection.input, "{asked}").unwrap();
        }
        let answer = receiver.recv_timeout(Duration::from_secs(120));
        answer.unwrap_or_else(|cause| panic!("no answer to {command}: {cause}"))
    }
}

/// Whoever still waits when the process has ended is told so by the closed channel.
fn hand_out(output: ChildStdout) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { break };
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        let id = answer["id"].as_u64().unwrap();
        let sender = WAITING.lock().unwrap().as_mut().unwrap().remove(&id).unwrap();
        let answer = match answer.get("error") {
            Some(error) => Err(error.as_str().unwrap().to_owned()),
            None => Ok(answer["result"].take()),
        };
        let _ = sender.send(answer);
    }
    *WAITING.lock().unwrap() = None;
}
