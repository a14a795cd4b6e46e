//! The simulated TD: what was measured into it, and what its guest agent says of it.

use broker_core::Digest32;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha384};

use super::{SimulatorError, failed};
use crate::event_log::{Event, EventLog, Measurement, REGISTERS};

pub(super) struct Machine {
    pub(super) mrtd: Measurement,
    pub(super) rtmrs: [Measurement; REGISTERS],
    /// 01 and the hash of the composition, then zeros: as dstack sets it.
    pub(super) mr_config_id: Measurement,
    pub(super) event_log_json: String,
    pub(super) vm_config: String,
    pub(super) info: Value,
}

impl Machine {
    pub(super) fn new() -> Result<Self, SimulatorError> {
        let app_compose = app_compose();
        let compose_hash = Digest32::sha256(app_compose.as_bytes());
        let events = measured_events(&compose_hash);
        let rtmrs = EventLog::new(events.clone()).replay().map_err(failed)?;
        let mrtd = Sha384::digest("tee-sidecar simulator: firmware").into();
        let vm_config = vm_config();
        let tcb_info = json!({
            "simulated": true,
            "mrtd": hex::encode(mrtd),
            "rtmr0": rtmrs.first().map(hex::encode),
            "rtmr1": rtmrs.get(1).map(hex::encode),
            "rtmr2": rtmrs.get(2).map(hex::encode),
            "rtmr3": rtmrs.get(3).map(hex::encode),
            "os_image_hash": os_image_hash(),
            "compose_hash": compose_hash.to_string(),
            "device_id": device_id(),
            "app_compose": app_compose,
            "event_log": serde_json::to_value(&events).map_err(failed)?,
        });
        Ok(Self {
            mrtd,
            rtmrs,
            mr_config_id: config_id(&compose_hash),
            event_log_json: serde_json::to_string(&events).map_err(failed)?,
            info: info(tcb_info, &compose_hash, &vm_config),
            vm_config,
        })
    }
}

/// Firmware and kernel are labels; the run-time events are those of a dstack guest.
fn measured_events(compose_hash: &Digest32) -> Vec<Event> {
    let boot =
        ["0 firmware settings", "0 secure boot off", "1 kernel", "2 command line", "2 initrd"];
    let booted = boot.iter().filter_map(|label| {
        let (register, what) = label.split_once(' ')?;
        let content = format!("simulated {what}");
        Some(Event {
            imr: register.parse().ok()?,
            event_type: TCG_EVENT_TAG,
            digest: hex::encode(Sha384::digest(&content)),
            event: String::new(),
            event_payload: hex::encode(&content),
            preimage: None,
        })
    });
    let run = [
        Event::runtime("system-preparing", b""),
        Event::runtime("simulated", b"this machine is software and proves nothing"),
        Event::runtime("app-id", app_id(compose_hash)),
        Event::runtime("compose-hash", &compose_hash.0),
        Event::runtime("instance-id", &INSTANCE_ID),
        Event::runtime("boot-mr-done", b""),
        Event::runtime("key-provider", KEY_PROVIDER.as_bytes()),
        Event::runtime("system-ready", b""),
    ];
    booted.chain(run).collect()
}

fn info(tcb_info: Value, compose_hash: &Digest32, vm_config: &str) -> Value {
    json!({
        "simulated": true,
        "app_id": hex::encode(app_id(compose_hash)),
        "instance_id": hex::encode(INSTANCE_ID),
        "app_name": NAME,
        "device_id": device_id(),
        "os_image_hash": os_image_hash(),
        "key_provider_info": KEY_PROVIDER,
        "compose_hash": compose_hash.to_string(),
        "vm_config": vm_config,
        "tcb_info": tcb_info,
    })
}

fn app_compose() -> String {
    let compose = json!({
        "manifest_version": 2,
        "name": NAME,
        "runner": "docker-compose",
        "docker_compose_file": "# simulated: this composition was never started\nservices: {}\n",
        "simulated": true,
    });
    compose.to_string()
}

fn vm_config() -> String {
    let config = json!({
        "spec_version": 1,
        "os_image_hash": os_image_hash(),
        "cpu_count": 1,
        "memory_size": 0,
        "num_gpus": 0,
        "simulated": true,
    });
    config.to_string()
}

fn config_id(compose_hash: &Digest32) -> Measurement {
    let mut id = [0; 48];
    for (byte, value) in id.iter_mut().zip([1].into_iter().chain(compose_hash.0)) {
        *byte = value;
    }
    id
}

fn app_id(compose_hash: &Digest32) -> &[u8] {
    compose_hash.0.split_at(20).0
}

fn os_image_hash() -> String {
    Digest32::sha256(b"tee-sidecar simulator: os image").to_string()
}

fn device_id() -> String {
    Digest32::sha256(b"tee-sidecar simulator: device").to_string()
}

const NAME: &str = "tee-sidecar-simulated";
const INSTANCE_ID: [u8; 20] = [0x51; 20];
const KEY_PROVIDER: &str = r#"{"name":"simulated","id":""}"#;
const TCG_EVENT_TAG: u32 = 6;
