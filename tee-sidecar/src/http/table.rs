//! A table of operations: what is served by it is what the OpenAPI document tells of.

use actix_web::http::Method;
use actix_web::{Resource, Route, web};

use super::openapi::about::About;

/// A method at a path.
pub(super) struct Operation {
    pub(super) verb: Verb,
    /// As actix reads it; parameters stand in braces.
    pub(super) path: &'static str,
    serve: Serve,
    pub(super) about: Tell,
}

/// Makes what serves an operation.
pub(super) type Serve = fn() -> Route;
/// Tells of an operation.
pub(super) type Tell = fn() -> About;

/// The methods that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
        }
    }
}

impl Operation {
    pub(super) const fn new(verb: Verb, path: &'static str, serve: Serve, about: Tell) -> Self {
        Self { verb, path, serve, about }
    }
}

/// The resources of a table, whose rows of one path stand together, each with the methods that it
/// takes.
pub(super) fn resources(table: &'static [Operation]) -> impl Iterator<Item = (Resource, String)> {
    table.chunk_by(|a, b| a.path == b.path).filter_map(|operations| {
        let resource = web::resource(operations.first()?.path);
        let serving =
            operations.iter().map(|operation| (operation.serve)().method(operation.verb.method()));
        let allowed: Vec<_> = operations.iter().map(|operation| operation.verb.name()).collect();
        Some((serving.fold(resource, Resource::route), allowed.join(", ")))
    })
}
