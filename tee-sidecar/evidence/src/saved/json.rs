//! From a JSON document to the reports in it.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::{REPORT_BYTES_MAX, REPORTS_MAX, ReportFormError, SavedBinding, SavedReport, aci};
use crate::strict_json;

pub(super) fn reports(document: &[u8]) -> Result<Vec<SavedReport>, ReportFormError> {
    let whole = strict_json::parse(document, REPORT_BYTES_MAX).map_err(ReportFormError::NotJson)?;
    let Value::Object(whole) = whole else {
        return Err(ReportFormError::NotJson("another kind of value".to_owned()));
    };
    match whole.get("report") {
        // A kept keyset, with the report that attested it in its time.
        Some(Value::Object(kept)) if whole.contains_key("workload_keyset") => in_object(kept),
        _ => in_object(&whole),
    }
}

fn in_object(whole: &Map<String, Value>) -> Result<Vec<SavedReport>, ReportFormError> {
    let mut distinct: Vec<(String, Map<String, Value>)> = Vec::new();
    if is_report(whole) {
        let mut own = whole.clone();
        LISTS.iter().for_each(|list| drop(own.remove(*list)));
        distinct.push((String::new(), own));
    }
    for list in LISTS {
        let listed = match whole.get(list) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(listed)) => listed,
            Some(_) => {
                let (place, rule) = (String::new(), "must be a list of attestations");
                return Err(ReportFormError::Field { place, field: list, rule });
            }
        };
        for (position, report) in listed.iter().enumerate() {
            let place = format!("{list}[{position}]");
            let Value::Object(report) = report else {
                let rule = "every entry of a list of attestations is an object";
                return Err(ReportFormError::Field { place, field: "", rule });
            };
            if !distinct.iter().any(|(_, known)| known == report) {
                distinct.push((place, report.clone()));
            }
            if distinct.len() > REPORTS_MAX {
                return Err(ReportFormError::TooMany);
            }
        }
    }
    // A gateway's may stand beside a report of the common shape.
    let place = if distinct.is_empty() { "" } else { "attestation" };
    let aci = aci::is_report(whole).then(|| aci::report_of(place.to_owned(), whole));
    if distinct.is_empty() && aci.is_none() {
        return Err(ReportFormError::NoReport);
    }
    let common = distinct.into_iter().map(|(place, report)| report_of(place, &report));
    common.chain(aci).collect()
}

/// Whether a reader of single reports would take the object itself for one, whatever it lacks.
fn is_report(object: &Map<String, Value>) -> bool {
    let fields = QUOTE_FIELDS.iter().chain(&REPORT_FIELDS);
    fields.into_iter().any(|field| object.get(*field).is_some_and(|value| !value.is_null()))
}

pub(super) fn report_of(
    place: String,
    report: &Map<String, Value>,
) -> Result<SavedReport, ReportFormError> {
    let fields = Fields { place: &place, object: report };
    let info = fields.object("info")?;
    // 0G's quote has it at the top, as a text; others within `info`. Readers differ in which they
    // take, so both count.
    let inner = info.as_ref().map(|info| info.parsed("tcb_info")).transpose()?.flatten();
    let tcb_infos: Vec<_> = [inner, fields.parsed("tcb_info")?].into_iter().flatten().collect();
    let mut stated_registers = Vec::new();
    let mut stated_events = Vec::new();
    let mut app_compose: Option<String> = None;
    let places = tcb_infos.iter().map(|object| Fields { place: &place, object });
    for tcb in places.clone() {
        for name in REGISTERS {
            stated_registers.extend(tcb.text(name)?.map(|value| (name, value.to_lowercase())));
        }
        let shown = tcb.text("app_compose")?;
        if app_compose.is_some() && shown.is_some() && app_compose != shown {
            return Err(fields.wrong("tcb_info", "shows another app_compose than info.tcb_info"));
        }
        app_compose = app_compose.or(shown);
    }
    for object in places.chain(info) {
        for (name, event) in STATED_EVENTS {
            stated_events.extend(object.text(name)?.map(|value| (event, value.to_lowercase())));
        }
    }
    let binding = fields.object("binding")?;
    let binding = binding.map(|binding| {
        Ok(SavedBinding {
            model: binding.digest("model_sha256")?,
            log_head: binding.digest("log_head_sha256")?,
            version: binding.text("version")?.unwrap_or_default(),
            algorithm: binding.text("algorithm")?,
            gpu_nonce: binding.nonce("gpu_nonce")?,
            nvidia_payload: binding.digest("nvidia_payload_sha256")?,
        })
    });
    Ok(SavedReport {
        signer: fields.signer()?,
        public_key: fields.public_key()?,
        nonce: fields.nonce("request_nonce")?,
        quote: fields.quote(QUOTE_FIELDS)?,
        stated_report_data: fields.report_data()?,
        event_log: fields.event_log()?,
        app_compose,
        stated_registers,
        stated_events,
        gpus: fields.gpu_payload()?,
        tls_spki: fields.digest("tls_cert_fingerprint")?,
        binding: binding.transpose()?,
        model: fields.text("model_name")?,
        ledger_head: fields.ledger_head()?,
        log_head: fields.canonical("log_head")?,
        keyset: fields.canonical("workload_keyset")?,
        lineage: fields.lineage()?,
        aci: None,
        simulated: fields.flag("simulated")?,
        place,
    })
}

/// What else only a report has.
const REPORT_FIELDS: [&str; 6] = [
    "signing_address",
    "signing_public_key",
    "request_nonce",
    "nvidia_payload",
    "event_log",
    "tcb_info",
];

/// Where gateways list the reports of their backends.
const LISTS: [&str; 2] = ["model_attestations", "all_attestations"];

/// The quote's names; a report that has both has to say the same twice.
const QUOTE_FIELDS: [&str; 2] = ["intel_quote", "quote"];

/// Fields that repeat what was measured, and the events that prove them.
const STATED_EVENTS: [(&str, &str); 3] =
    [("compose_hash", "compose-hash"), ("app_id", "app-id"), ("instance_id", "instance-id")];

const REGISTERS: [&str; 5] = ["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"];
