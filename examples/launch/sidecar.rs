//! The sidecar as a child process.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::settings::Settings;
use super::{Error, Stop, get};

/// A running sidecar.
pub struct Sidecar {
    child: Child,
}

impl Settings {
    /// Waits for the model server, however long it loads. `false` if Ctrl-C ended the wait.
    pub async fn upstream_answers(&self, stop: &mut Stop) -> bool {
        let Some(host) = self.upstream.strip_prefix("http://") else {
            // The sidecar itself says what is wrong with a server behind TLS.
            return true;
        };
        let (host, base) = host.split_once('/').unwrap_or((host, ""));
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let path = if base.is_empty() { MODELS.to_owned() } else { format!("/{base}{MODELS}") };
        let wait = async {
            for attempt in 0_u32.. {
                let answer = get(&host, &path).await;
                if answer.as_ref().is_ok_and(|page| page.status == 200) {
                    return;
                }
                if attempt % NOTICE_EVERY == 0 {
                    let state = answer.map_or_else(
                        |error| error.to_string(),
                        |page| format!("{path} answers {}", page.status),
                    );
                    println!(
                        "Waiting for the model server at {} ({state}). vLLM takes minutes to load.",
                        self.upstream
                    );
                }
                sleep(POLL).await;
            }
        };
        tokio::select! {
            () = wait => true,
            () = stop.requested() => false,
        }
    }
}

impl Sidecar {
    /// Starts `program`. It gets a process group of its own, so that Ctrl-C reaches it once, by us.
    pub fn start(program: &Path, settings: &Settings) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.arg("serve").envs(settings.variables.iter().cloned());
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        match command.spawn() {
            Ok(child) => Ok(Self { child }),
            Err(error) => Err(Error::Said(format!("{}: {error}", program.display()))),
        }
    }

    /// Waits until the sidecar serves, and tells the model's name; `None` if Ctrl-C ended the wait.
    pub async fn ready(
        &mut self,
        settings: &Settings,
        stop: &mut Stop,
    ) -> Result<Option<String>, Error> {
        let host = settings.public.to_string();
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let last = match get(&host, "/readyz").await {
                Ok(page) if page.status == 200 => return model(&host).await.map(Some),
                Ok(page) => format!("/readyz answers {} {}", page.status, page.body.trim()),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                let secs = READY_TIMEOUT.as_secs();
                let why = format!("the sidecar is not ready after {secs} s: {host}: {last}");
                return Err(Error::Said(why));
            }
            tokio::select! {
                status = self.child.wait() => {
                    let why = format!("the sidecar ended before it served: {}", status?);
                    return Err(Error::Said(why));
                }
                () = stop.requested() => return Ok(None),
                () = sleep(POLL) => {}
            }
        }
    }

    /// Waits for the sidecar's end or for Ctrl-C, whichever comes first; the exit code is the
    /// sidecar's.
    pub async fn run_until_stopped(mut self, stop: &mut Stop) -> Result<u8, Error> {
        tokio::select! {
            status = self.child.wait() => {
                let status = status?;
                eprintln!("quickstart: the sidecar ended by itself: {status}");
                Ok(code(status))
            }
            () = stop.requested() => self.stop(stop).await,
        }
    }

    /// Asks the sidecar to end and waits. A second Ctrl-C ends it at once.
    pub async fn stop(mut self, stop: &mut Stop) -> Result<u8, Error> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(code(status));
        }
        self.terminate().await?;
        tokio::select! {
            status = self.child.wait() => Ok(code(status?)),
            () = stop.requested() => {
                self.child.kill().await?;
                Ok(code(self.child.wait().await?))
            }
        }
    }

    /// The standard library can only kill; the shell's `kill` is on every system.
    async fn terminate(&self) -> Result<(), Error> {
        if let Some(id) = self.child.id() {
            let id = id.to_string();
            Command::new("sh").args(["-c", r#"kill -s TERM "$0""#, &id]).status().await?;
        }
        Ok(())
    }
}

/// The first model that the sidecar lists.
async fn model(host: &str) -> Result<String, Error> {
    let page = get(host, MODELS).await?;
    let list: serde_json::Value = serde_json::from_str(&page.body).unwrap_or_default();
    match list.pointer("/data/0/id").and_then(serde_json::Value::as_str) {
        Some(model) => Ok(model.to_owned()),
        None => Err(Error::Said(format!("{host}{MODELS} names no model: {}", page.body))),
    }
}

/// A shell's rule for a process that a signal ended.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

const MODELS: &str = "/v1/models";
const POLL: Duration = Duration::from_millis(200);
/// Polls between two notices: ten seconds.
const NOTICE_EVERY: u32 = 50;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
