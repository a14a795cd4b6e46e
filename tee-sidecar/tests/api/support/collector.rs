//! A collector of spans, which decodes what it gets as OTLP says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tee_sidecar::config::{Secret, Tracing};

use super::{Engine, SOON, Seen, Step, wait_until, whole};

/// A running collector.
pub(crate) struct Collector(Engine);

impl Collector {
    /// It takes everything.
    pub(crate) fn start() -> Self {
        Self::with(|_| Step::Raw(whole(200, b"")))
    }

    /// It answers the n-th request with this.
    pub(crate) fn with(answer: impl Fn(usize) -> Step + Send + Sync + 'static) -> Self {
        let requests = AtomicUsize::default();
        Self(Engine::start(move |_| vec![answer(requests.fetch_add(1, Ordering::SeqCst))]))
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.addr)
    }

    /// Settings with which everything is exported to it.
    pub(crate) fn settings(&self) -> Tracing {
        let headers = Some(Secret::new("x-scope=of%20tests".to_owned()));
        Tracing { endpoint: Some(self.url()), headers, ..Tracing::default() }
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> u64 {
        self.0.requests()
    }

    /// The requests, each of which has to be a right one.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = self.0.seen();
        for request in &seen {
            assert!(request.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", request.head);
            assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
            assert_eq!(request.header("x-scope"), Some("of tests"));
        }
        seen
    }

    /// All spans, in the order in which they came.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let seen = self.seen();
        let batches = seen.iter().map(|request| decoded(&request.body));
        let resources = batches.flat_map(|batch| batch.resource_spans);
        resources.flat_map(|r| r.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// The same, once there are so many, and no more.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Span> {
        wait_until("the spans", SOON, || self.spans().len() >= count);
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// Who sent the first batch.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        let batch = decoded(&self.seen()[0].body);
        let resource = batch.resource_spans[0].resource.clone().unwrap();
        resource.attributes.iter().map(|a| (a.key.clone(), shown(a))).collect()
    }
}

/// An attribute as a text.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    span.attributes.iter().find(|attribute| attribute.key == key).map(shown)
}

fn decoded(body: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(body).expect("OTLP")
}

fn shown(attribute: &KeyValue) -> String {
    match &attribute.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text.clone(),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => number.to_string(),
        Some(AnyValue { value: Some(Value::DoubleValue(number)) }) => number.to_string(),
        other => panic!("{}: {other:?}", attribute.key),
    }
}
