//! From a JSON document to the reports in it.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::{REPORT_BYTES_MAX, REPORTS_MAX, ReportFormError, SavedBinding, SavedReport};
use crate::strict_json;

pub(super) fn reports(document: &[u8]) -> Result<Vec<SavedReport>, ReportFormError> {
    let whole = strict_json::parse(document, REPORT_BYTES_MAX).map_err(ReportFormError::NotJson)?;
    let Value::Object(whole) = whole else {
        return Err(ReportFormError::NotJson("another kind of value".to_owned()));
    };
    let mut distinct: Vec<(String, Map<String, Value>)> = Vec::new();
    if has_quote(&whole) {
        let mut own = whole.clone();
        LISTS.iter().for_each(|list| drop(own.remove(*list)));
        distinct.push((String::new(), own));
    }
    for list in LISTS {
        let Some(Value::Array(listed)) = whole.get(list) else { continue };
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
    if distinct.is_empty() {
        return Err(ReportFormError::NoReport);
    }
    distinct.into_iter().map(|(place, report)| report_of(place, &report)).collect()
}

fn has_quote(report: &Map<String, Value>) -> bool {
    QUOTE_FIELDS.iter().any(|field| report.contains_key(*field))
}

fn report_of(place: String, report: &Map<String, Value>) -> Result<SavedReport, ReportFormError> {
    let fields = Fields { place: &place, object: report };
    let info = fields.object("info")?;
    // Everywhere an object, but in 0G's quote a text.
    let tcb_info = match info.as_ref().and_then(|info| info.object.get("tcb_info")) {
        Some(_) => info.as_ref().map(|info| info.parsed("tcb_info")).transpose()?.flatten(),
        None => fields.parsed("tcb_info")?,
    };
    let tcb = tcb_info.as_ref().map(|object| Fields { place: &place, object });
    let mut stated_registers = Vec::new();
    for name in REGISTERS {
        if let Some(value) = tcb.as_ref().map(|tcb| tcb.text(name)).transpose()?.flatten() {
            stated_registers.push((name, value.to_ascii_lowercase()));
        }
    }
    let binding = fields.object("binding")?;
    let binding = binding.map(|binding| {
        Ok(SavedBinding {
            model: binding.digest("model_sha256")?,
            log_head: binding.digest("log_head_sha256")?,
        })
    });
    Ok(SavedReport {
        signer: fields.signer()?,
        public_key: fields.public_key()?,
        nonce: fields.nonce("request_nonce")?,
        quote: fields.quote(QUOTE_FIELDS)?,
        stated_report_data: fields.report_data()?,
        event_log: fields.event_log()?,
        app_compose: tcb.map(|tcb| tcb.text("app_compose")).transpose()?.flatten(),
        stated_registers,
        gpus: fields.gpu_payload()?,
        tls_spki: fields.digest("tls_cert_fingerprint")?,
        binding: binding.transpose()?,
        model: fields.text("model_name")?,
        simulated: fields.flag("simulated")?,
        place,
    })
}

/// Where gateways list the reports of their backends.
const LISTS: [&str; 2] = ["model_attestations", "all_attestations"];

/// The quote's names; a report that has both has to say the same twice.
const QUOTE_FIELDS: [&str; 2] = ["intel_quote", "quote"];

const REGISTERS: [&str; 5] = ["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"];
