use std::time::Instant;

use broker_core::Timestamp;
use tokio::net::TcpListener;

use super::*;
use crate::signals::{Trace, Visit, record};

fn exporting(endpoint: String) -> (Arc<Signals>, Exporter) {
    let signals = Signals::new(Timestamp(0));
    let settings = Tracing { endpoint: Some(endpoint), ..Tracing::default() };
    let exporter = Exporter::of(&settings, &signals).unwrap().unwrap();
    (signals, exporter)
}

/// So many exchanges end.
fn exchanges(signals: &Signals, count: usize) {
    for _ in 0..count {
        let visit = Visit::new(signals.spans.place(Trace::default()));
        let of = ("r", broker_core::ReceiptId::mint(Timestamp(1)));
        record::unbilled(of, "/v1/chat/completions", 503, &"test", &visit);
    }
}

#[tokio::test]
async fn without_a_collector_there_is_no_exporter() {
    let signals = Signals::new(Timestamp(0));
    assert!(Exporter::of(&Tracing::default(), &signals).unwrap().is_none());
    exchanges(&signals, 1);
    assert_eq!(signals.spans.dropped_so_far(), 0);
}

#[tokio::test]
async fn batches_are_bounded_and_what_comes_together_goes_together() {
    let (signals, mut exporter) = exporting("http://127.0.0.1:9".to_owned());
    exchanges(&signals, BATCH_MAX + 3);
    let began = Instant::now();
    assert_eq!(exporter.gather().await.len(), BATCH_MAX);
    assert!(began.elapsed() < BATCH_TIME, "a full batch waited");
    assert_eq!(exporter.gather().await.len(), 3);
    assert!(began.elapsed() >= BATCH_TIME, "a small one did not");
}

#[tokio::test]
async fn what_waits_for_a_collector_that_is_silent_is_bounded() {
    let (signals, exporter) = exporting("http://127.0.0.1:9".to_owned());
    exchanges(&signals, QUEUE_PLACES + 100);
    assert_eq!(exporter.queue.len(), QUEUE_PLACES);
    assert_eq!(signals.spans.dropped_so_far(), 100);
}

// It accepts the connection and says nothing: the end is not held up for long.
#[tokio::test]
async fn the_end_waits_for_a_silent_collector_a_few_seconds_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (signals, exporter) = exporting(format!("http://{}", listener.local_addr().unwrap()));
    let exporting = exporter.start();
    exchanges(&signals, 1);
    let began = Instant::now();
    exporting.end().await;
    let took = began.elapsed();
    assert!(took >= FLUSH_TIME && took < FLUSH_TIME * 2, "{took:?}");
}
