//! The first things that a newcomer tries.

use std::net::SocketAddr;
use std::path::Path;

/// Four commands for a shell, each of which works as it stands, in this order. The last one is the
/// auditor in `program`, from the folder that this was started in.
pub fn first_requests(sidecar: &SocketAddr, model: &str, program: &Path) -> String {
    let body = serde_json::json!({
        "model": model,
        "messages": [{"role": "user", "content": "Hello"}],
    });
    let body = quoted(&body.to_string());
    let program = quoted(&program.display().to_string());
    format!(
        "\n\
         The sidecar is ready on http://{sidecar}. Try it in another terminal:\n\
         \n\
         # 1. An answer. Its ZG-Res-Key header names the signature.\n\
         curl -sS -i http://{sidecar}/v1/chat/completions -H 'Content-Type: application/json' \
         -d {body} | tee {ANSWER}; echo\n\
         \n\
         # 2. The signature over the hashes of exactly these request and response bytes.\n\
         curl -sS http://{sidecar}/signature/$(grep -i '^zg-res-key:' {ANSWER} \
         | tr -d '\\r' | cut -d ' ' -f 2); echo\n\
         \n\
         # 3. Who signs: the attestation report, fresh for a nonce of your own.\n\
         curl -sS \"http://{sidecar}/attestation/report\
         ?nonce=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')\"; echo\n\
         \n\
         # 4. The auditor: proves a fresh report (a simulated one, so only with leave).\n\
         {program} verify http://{sidecar} --binding v2 \
         --policy fixtures/simulated/policy.yaml\n\
         \n\
         Ctrl-C stops the sidecar."
    )
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

const ANSWER: &str = "/tmp/tee-sidecar-answer.txt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_one_line_for_the_real_port_and_model() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let text = first_requests(&address, "it's qwen2.5:7b", Path::new("target/my sidecar"));
        let commands: Vec<_> = text.lines().filter(|line| line.starts_with("curl ")).collect();
        assert_eq!(commands.len(), 3);
        assert!(commands.iter().all(|command| command.contains("http://127.0.0.1:8080/")));
        assert!(commands[0].contains(r#"-d '{"model":"it'\''s qwen2.5:7b","messages":"#));
        assert!(commands[1].contains(r"| tr -d '\r' | cut -d ' ' -f 2)"));
        assert!(
            commands[2].contains(r#"report?nonce=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')""#)
        );
        let auditor = text.lines().find(|line| line.starts_with("'target/my sidecar' verify "));
        assert!(auditor.is_some_and(|line| line.contains(" http://127.0.0.1:8080 ")), "{text}");
    }
}
