//! What is told of an operation. Whatever the server knows itself (paths, methods, statuses and
//! codes of errors, members of bodies) is taken from there.

use actix_web::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::fault::Fault;

/// Makes a schema, and those that it names.
pub(in super::super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The shape of a type.
pub(in super::super) fn shape<T: JsonSchema>() -> Shape {
    SchemaGenerator::subschema_for::<T>
}

/// Under which heading an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Tag {
    Inference,
    Proxy,
    Evidence,
    Receipts,
    Service,
    Health,
    Operator,
}

impl Tag {
    pub(in super::super) const ALL: [Self; 7] = [
        Self::Inference,
        Self::Proxy,
        Self::Evidence,
        Self::Receipts,
        Self::Service,
        Self::Health,
        Self::Operator,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Inference => "Inference",
            Self::Proxy => "Inference by 0G's paths",
            Self::Evidence => "Evidence",
            Self::Receipts => "Signatures and receipts",
            Self::Service => "Models and prices",
            Self::Health => "Health and description",
            Self::Operator => "Operator",
        }
    }

    pub(super) const fn says(self) -> &'static str {
        match self {
            Self::Inference => {
                "The model server's own API. Bodies pass unchanged, every answer is signed and has \
                 a receipt, and what it cost is in the receipt. The members that are named here \
                 are those without which a request is refused; all others go to the model server."
            }
            Self::Proxy => "The same under the paths that clients of the 0G network ask for.",
            Self::Evidence => "What proves the machine, the GPUs and the keys.",
            Self::Receipts => "What proves an answer, its price, and that nothing was taken out.",
            Self::Service => "What is served, and what it costs.",
            Self::Health => "Whether it runs, and what this document says.",
            Self::Operator => {
                "On the operator's listener only. Beyond loopback each asks for the operator's \
                 token; on loopback none is needed, and web pages are refused."
            }
        }
    }
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Asks {
    /// Everyone.
    Nobody,
    /// An account.
    Account,
    /// An account, whose key may be in Anthropic's header.
    AccountOfAnthropic,
    /// Everyone; who says which account it is may find more.
    Anybody,
    /// The operator.
    Operator,
}

/// An answer that is no error of ours.
pub(in super::super) struct Good {
    /// The status, or the range of them that a model server chooses from.
    pub(super) status: String,
    pub(super) says: &'static str,
    pub(super) content: Vec<(&'static str, Shape)>,
    pub(super) headers: &'static [(&'static str, &'static str)],
}

/// What is told of an operation.
pub(in super::super) struct About {
    pub(super) tag: Tag,
    pub(super) summary: &'static str,
    pub(super) says: &'static str,
    pub(super) asks: Asks,
    pub(super) on_network_only: bool,
    pub(super) is_exchange: bool,
    /// Answers carry an `x-request-id`.
    pub(super) has_id: bool,
    pub(super) query: Option<Shape>,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: Option<(&'static str, Value)>,
    pub(super) good: Vec<Good>,
    pub(super) faults: Vec<Fault>,
}

impl About {
    pub(in super::super) const fn new(tag: Tag, summary: &'static str) -> Self {
        Self {
            tag,
            summary,
            says: "",
            asks: Asks::Nobody,
            on_network_only: false,
            is_exchange: false,
            has_id: true,
            query: None,
            headers: &[],
            body: None,
            good: Vec::new(),
            faults: Vec::new(),
        }
    }

    pub(in super::super) const fn says(mut self, text: &'static str) -> Self {
        self.says = text;
        self
    }

    pub(in super::super) const fn asks(mut self, who: Asks) -> Self {
        self.asks = who;
        self
    }

    /// It is there only where the sidecar is on the 0G network.
    pub(in super::super) const fn on_network_only(mut self) -> Self {
        self.on_network_only = true;
        self
    }

    /// It is an exchange: its answers name a receipt.
    pub(in super::super) const fn exchange(mut self) -> Self {
        self.is_exchange = true;
        self
    }

    /// Its answers name no request.
    pub(in super::super) const fn without_id(mut self) -> Self {
        self.has_id = false;
        self
    }

    /// It reads these parameters of the query.
    pub(in super::super) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(shape::<T>());
        self
    }

    /// It reads these headers of the request.
    pub(in super::super) const fn reads(
        mut self,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.headers = headers;
        self
    }

    /// It takes such a body.
    pub(in super::super) fn takes(mut self, media: &'static str, schema: Value) -> Self {
        self.body = Some((media, schema));
        self
    }

    /// It answers with a body.
    pub(in super::super) fn gives(
        self,
        status: StatusCode,
        says: &'static str,
        content: &[(&'static str, Shape)],
    ) -> Self {
        self.answers(status.as_u16().to_string(), says, content)
    }

    /// It answers with this JSON.
    pub(in super::super) fn json<T: JsonSchema>(self, says: &'static str) -> Self {
        self.gives(StatusCode::OK, says, &[(JSON, shape::<T>())])
    }

    /// It passes on answers of the model server's in this range.
    pub(super) fn answers(
        mut self,
        status: String,
        says: &'static str,
        content: &[(&'static str, Shape)],
    ) -> Self {
        self.good.push(Good { status, says, content: content.to_vec(), headers: &[] });
        self
    }

    /// The answer that was told of last has these headers.
    pub(in super::super) fn with(
        mut self,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        if let Some(good) = self.good.last_mut() {
            good.headers = headers;
        }
        self
    }

    /// It may be refused so.
    pub(in super::super) fn refuses(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.faults.extend(faults);
        self
    }
}

/// Most bodies.
pub(in super::super) const JSON: &str = "application/json";
