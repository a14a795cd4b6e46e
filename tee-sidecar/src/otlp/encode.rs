//! Exchanges as spans of OTLP.
//!
//! Names follow OpenTelemetry's conventions for HTTP and for generative AI where these have one for
//! what is known; the others begin with `tee_sidecar.`.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use crate::signals::Told;

mod engine;
mod exchange;

/// Writes batches, all in the name of this process.
pub(super) struct Encoder {
    resource: Resource,
    scope: InstrumentationScope,
}

impl Default for Encoder {
    fn default() -> Self {
        let mut attributes = Attributes::default();
        attributes.text("service.name", NAME);
        attributes.text("service.version", VERSION);
        attributes.text("service.instance.id", uuid::Uuid::new_v4().to_string());
        let resource = Resource { attributes: attributes.0, ..Resource::default() };
        let (name, version) = (NAME.to_owned(), VERSION.to_owned());
        Self { resource, scope: InstrumentationScope { name, version, ..Default::default() } }
    }
}

impl Encoder {
    /// The body of a request for a collector.
    pub(super) fn encode(&self, batch: &[Told]) -> Vec<u8> {
        let spans = batch.iter().flat_map(|told| [Some(exchange::span(told)), engine::span(told)]);
        let spans = ScopeSpans {
            scope: Some(self.scope.clone()),
            spans: spans.flatten().collect(),
            ..ScopeSpans::default()
        };
        let resource_spans = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![spans],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
    }
}

/// Attributes of a span, in the order in which they are told.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }

    fn text(&mut self, key: &str, text: impl Into<String>) {
        self.add(key, Value::StringValue(text.into()));
    }

    fn count(&mut self, key: &str, number: u64) {
        self.add(key, Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)));
    }

    fn seconds(&mut self, key: &str, time: Duration) {
        self.add(key, Value::DoubleValue(time.as_secs_f64()));
    }
}

/// When it was so long after the arrival, in nanoseconds since 1970.
fn at(told: &Told, time: Duration) -> u64 {
    let left = told.total.saturating_sub(time);
    told.ended.saturating_sub(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
}

fn event(told: &Told, name: &str, time: Option<Duration>) -> Option<Event> {
    let time_unix_nano = at(told, time?);
    Some(Event { time_unix_nano, name: name.to_owned(), ..Event::default() })
}

/// The status of a span that failed, where it did.
fn status(error: Option<&str>) -> Option<Status> {
    error.map(|_| Status { code: StatusCode::Error.into(), ..Status::default() })
}

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// It is said whether the parent is another service's, and it is not.
const PARENT_IS_OURS: u32 = 0x100;
/// The same, and it is.
const PARENT_IS_REMOTE: u32 = 0x300;
