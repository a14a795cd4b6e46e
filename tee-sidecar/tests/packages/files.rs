//! Compose files and Dockerfiles, read: no machine of ours has a Docker engine. What a linter and a
//! compose program say, where they are there, comes on top.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::support::{printed, skipped, stop_secs, top};

const COMPOSE: [&str; 2] = ["provider-broker/docker-compose.yml", "dstack/docker-compose.yml"];
const DOCKERFILES: [&str; 2] = ["Dockerfile", "examples/deploy/provider-broker/Dockerfile"];

#[test]
fn the_sidecar_s_container_has_a_read_only_root_and_no_capability() {
    for (path, name) in COMPOSE.iter().zip(["broker", "sidecar"]) {
        let service = &compose(path)["services"][name];
        assert_eq!(service["read_only"], true, "{path}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{path}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]));
        assert!(service.get("privileged").is_none() && service.get("cap_add").is_none(), "{path}");
        // Both examples leave server.drainSecs at its default.
        assert_eq!(service["stop_grace_period"], format!("{}s", stop_secs()), "{path}");
        let volumes = service["volumes"].as_array().unwrap();
        let volumes: Vec<_> = volumes.iter().map(|volume| volume.as_str().unwrap()).collect();
        assert!(volumes.iter().any(|v| v.ends_with(":/var/lib/tee-sidecar/data")), "{volumes:?}");
        assert!(volumes.iter().all(|v| !v.contains("docker.sock")), "{volumes:?}");
    }
}

#[test]
fn the_provider_s_container_takes_the_file_that_0g_s_page_has_one_write() {
    let service = &compose(COMPOSE[0])["services"]["broker"];
    let volumes = service["volumes"].as_array().unwrap();
    let config = "./config.local.yaml:/etc/tee-sidecar/config.yaml:ro";
    assert!(volumes.iter().any(|volume| volume == config), "{volumes:?}");
    // So that 127.0.0.1:3080 is the host's, as that page has it.
    assert_eq!(service["network_mode"], "host");
    assert_eq!(service["build"], ".");
}

#[test]
fn dstack_s_document_holds_the_compose_file_as_it_stands_and_allows_what_it_names() {
    let text = fs::read_to_string(deploy().join(COMPOSE[1])).unwrap();
    let app = fs::read_to_string(deploy().join("dstack/app-compose.json")).unwrap();
    let app: Value = serde_json::from_str(&app).unwrap();
    assert_eq!(app["docker_compose_file"], text, "write the compose file into app-compose.json");
    assert_eq!(app["runner"], "docker-compose");
    assert_eq!(app["public_logs"], false);
    let mut named: Vec<&str> =
        text.match_indices("${").map(|(at, _)| text[at + 2..].split('}').next().unwrap()).collect();
    named.sort_unstable();
    let mut allowed: Vec<_> =
        app["allowed_envs"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, named);
}

#[test]
fn what_dstack_s_example_sets_is_a_configuration_that_loads() {
    let service = &compose(COMPOSE[1])["services"]["sidecar"];
    let lines = service["environment"].as_array().unwrap();
    let values = lines.iter().map(|line| {
        let (name, value) = line.as_str().unwrap().split_once('=').unwrap();
        let value = match value {
            "${SERVING_URL}" => "https://gpu.example.com".to_owned(),
            "${WALLET_KEY}" => "5a".repeat(32),
            "${ADMIN_TOKEN}" => "a-token-of-32-characters-or-more".to_owned(),
            value => value.to_owned(),
        };
        (name.into(), value.into())
    });
    let loaded = tee_sidecar::config::Settings::load(None, values.collect::<Vec<_>>());
    loaded.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn images_run_as_nobody_on_a_base_that_can_be_pinned() {
    for path in DOCKERFILES {
        let text = fs::read_to_string(top().join(path)).unwrap();
        assert!(!text.contains(":latest"), "{path}");
        let (_, last) = text.rsplit_once("\nFROM ").unwrap();
        assert!(last.starts_with("${BASE}\n"), "{path}");
        let users: Vec<_> = last.lines().filter(|line| line.starts_with("USER ")).collect();
        assert_eq!(users, ["USER 65532:65532"], "{path}");
        assert!(!last.contains("\nRUN "), "{path}: the base has no shell");
    }
    // One image, whichever file it comes from.
    let [source, packed] = DOCKERFILES.map(|path| {
        let text = fs::read_to_string(top().join(path)).unwrap();
        let base = text.lines().find(|line| line.starts_with("ARG BASE=")).unwrap().to_owned();
        let (_, last) = text.rsplit_once("\nFROM ").unwrap();
        let steps = last.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let line = line.replace("--from=build ", "").replace(" /image/", " ");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        (base, steps.collect::<Vec<_>>())
    });
    assert_eq!(source, packed);
}

#[test]
fn compose_itself_accepts_the_files() {
    // A client without an engine is enough; some have no compose.
    let plugin: &[&str] = &["docker", "compose"];
    let Some(program) = [plugin, &["docker-compose"]].into_iter().find(|program| {
        let version = Command::new(program[0]).args(&program[1..]).arg("version").output();
        version.is_ok_and(|output| output.status.success())
    }) else {
        return skipped("neither docker compose nor docker-compose is there");
    };
    for path in COMPOSE {
        let mut config = Command::new(program[0]);
        config.args(&program[1..]).arg("-f").arg(deploy().join(path)).arg("config");
        for name in ["SERVING_URL", "WALLET_KEY", "ADMIN_TOKEN"] {
            config.env(name, "given");
        }
        let told = printed(&mut config);
        assert!(told.contains("no-new-privileges"), "{told}");
    }
}

fn compose(path: &str) -> Value {
    let text = fs::read_to_string(deploy().join(path)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn deploy() -> std::path::PathBuf {
    top().join("examples/deploy")
}
