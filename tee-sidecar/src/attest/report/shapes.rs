//! What reports look like, for the OpenAPI document.

use schemars::{Schema, SchemaGenerator};

use super::{aci, body};

/// `GET /attestation/report`.
pub(crate) fn report(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<body::Envelope<'static>>()
}

/// `GET /v1/quote`.
pub(crate) fn quote(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<body::LegacyQuote<'static>>()
}

/// `GET /v1/aci/attestation`.
pub(crate) fn aci_report(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<aci::AciReport<'static>>()
}
