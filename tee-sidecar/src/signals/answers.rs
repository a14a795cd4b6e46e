//! HTTP answers, of every route and listener.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::class;

/// Counts answers by route and class of status.
#[derive(Clone, Debug, Default)]
pub struct Answers(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: String,
    class: &'static str,
}

impl Answers {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answers = Self::default();
        registry.register("http_requests", "HTTP requests that were answered", answers.0.clone());
        answers
    }

    /// An answer has its head. `route` is the pattern that the path fits, never the path itself.
    pub fn answered(&self, route: &str, status: u16) {
        let labels = Labels { route: route.to_owned(), class: class(status) };
        self.0.get_or_create(&labels).inc();
    }
}
