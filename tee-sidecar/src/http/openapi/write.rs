//! The document: operations, their answers, and the shapes that these name.

use std::collections::HashMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::about::{About, Asks, Good, Tag};
use super::faults::{self, FORBIDDEN};
use super::{Told, View};
use crate::fault::Envelope;
use crate::http::error::envelope;
use crate::shapes;

/// Writes the document of these operations.
pub(super) fn document(view: &View, operations: Vec<Told>) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut writer = Writer { view, generator: settings.into_generator() };
    Envelope::shapes(&mut writer.generator);
    shapes::named(&mut writer.generator);
    let mut paths: Map<String, Value> = Map::new();
    for told in operations {
        let operation = writer.operation(&told);
        let path = paths.entry(bare(&told.path)).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(told.verb.name().to_ascii_lowercase(), operation);
        }
    }
    let responses = shared(&mut paths);
    let tags = Tag::ALL.iter().filter(|tag| **tag != Tag::Operator || view.operator);
    let tags: Vec<_> =
        tags.map(|tag| json!({ "name": tag.name(), "description": tag.says() })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tee-sidecar",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Signs, meters and attests the answers of a model server.",
            "description": INFO,
            "license": { "name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later" },
        },
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": schemes(view.operator),
            "headers": headers(),
            "responses": responses,
            "schemas": writer.generator.take_definitions(true),
        },
    })
}

/// Answers that several operations have, each written once and named by its status.
fn shared(paths: &mut Map<String, Value>) -> Map<String, Value> {
    let mut times: HashMap<String, usize> = HashMap::new();
    each_answer(paths, |_, answer| *times.entry(answer.to_string()).or_default() += 1);
    let mut names: HashMap<String, String> = HashMap::new();
    let mut kept = Map::new();
    each_answer(paths, |status, answer| {
        let text = answer.to_string();
        if times.get(&text).is_none_or(|times| *times < 2) {
            return;
        }
        let name = names.entry(text).or_insert_with(|| {
            let before = kept.keys().filter(|name: &&String| name.starts_with(status)).count();
            let name = format!("{status}-{}", before.saturating_add(1));
            kept.insert(name.clone(), answer.clone());
            name
        });
        *answer = json!({ "$ref": format!("#/components/responses/{name}") });
    });
    kept
}

fn each_answer(paths: &mut Map<String, Value>, mut see: impl FnMut(&str, &mut Value)) {
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    for operation in operations {
        let Some(Value::Object(answers)) = operation.get_mut("responses") else { continue };
        for (status, answer) in answers {
            see(status, answer);
        }
    }
}

struct Writer<'a> {
    view: &'a View,
    generator: SchemaGenerator,
}

impl Writer<'_> {
    fn operation(&mut self, told: &Told) -> Value {
        let Told { path, verb, about } = told;
        let mut operation = Map::new();
        let mut put = |key: &str, value: Value| operation.insert(key.to_owned(), value);
        put("tags", json!([about.tag.name()]));
        put("summary", about.summary.into());
        if !about.says.is_empty() {
            put("description", about.says.into());
        }
        put("operationId", id(verb.name(), path).into());
        put("security", security(about.asks, self.view.is_open));
        put("parameters", self.parameters(path, about).into());
        if let Some((media, schema)) = &about.body {
            let content = json!({ *media: { "schema": schema } });
            put("requestBody", json!({ "required": true, "content": content }));
        }
        put("responses", self.responses(path, about));
        Value::Object(operation)
    }

    fn parameters(&mut self, path: &str, about: &About) -> Vec<Value> {
        let mut all: Vec<Value> = parameter_names(path).map(in_path).collect();
        all.extend(about.query.map(|shape| self.query(shape)).unwrap_or_default());
        all.extend(about.headers.iter().map(|(name, says)| {
            json!({
                "name": name, "in": "header", "description": says, "schema": { "type": "string" },
            })
        }));
        all
    }

    /// A parameter for each member of the type that reads the query.
    fn query(&mut self, shape: super::about::Shape) -> Vec<Value> {
        let whole = shape(&mut self.generator).to_value();
        // The type itself is nothing that a reader of the document has to know.
        let name = whole.get("$ref").and_then(Value::as_str).and_then(|at| at.rsplit('/').next());
        let name = name.map(str::to_owned).unwrap_or_default();
        let whole = self.generator.definitions_mut().remove(&name).unwrap_or_default();
        let empty = Map::new();
        let members = whole.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        members.iter().map(|(name, schema)| in_query(name, schema)).collect()
    }

    fn responses(&mut self, path: &str, about: &About) -> Value {
        let by_path = envelope(path, self.view.network, |_| false);
        let shape = if about.asks == Asks::Operator { Envelope::Flat } else { by_path };
        let mut responses = Map::new();
        for good in &about.good {
            let answer = self.good(good);
            responses.insert(good.status.clone(), answer);
        }
        // 0G's shape on the operator's routes has the statuses of OpenAI's.
        let mut answers = match about.asks {
            Asks::Operator => faults::of_operator(&about.faults),
            _ if about.is_exchange => faults::or_passed_on(&about.faults, shape),
            _ => faults::answers(&about.faults, shape),
        };
        if self.view.operator {
            for (status, answer) in faults::answers(&[FORBIDDEN], by_path) {
                answers.entry(status).or_insert(answer);
            }
        }
        for (status, answer) in answers {
            let text = status.to_string();
            responses.entry(text).or_insert(answer);
        }
        for answer in responses.values_mut() {
            self.common_headers(about, answer);
        }
        Value::Object(responses)
    }

    fn good(&mut self, good: &Good) -> Value {
        let content: Map<String, Value> = good
            .content
            .iter()
            .map(|(media, shape)| {
                let schema = shape(&mut self.generator);
                ((*media).to_owned(), json!({ "schema": schema }))
            })
            .collect();
        let headers: Map<String, Value> = good
            .headers
            .iter()
            .map(|(name, says)| {
                let schema = json!({ "type": "string" });
                let header = json!({ "description": says, "required": true, "schema": schema });
                ((*name).to_owned(), header)
            })
            .collect();
        let mut answer = json!({ "description": good.says, "headers": headers });
        if let (false, Value::Object(answer)) = (content.is_empty(), &mut answer) {
            answer.insert("content".to_owned(), Value::Object(content));
        }
        answer
    }

    fn common_headers(&self, about: &About, answer: &mut Value) {
        let Some(Value::Object(headers)) = answer.get_mut("headers") else { return };
        let mut names = vec!["x-aci-version", "x-aci-keyset-digest"];
        if about.has_id {
            names.push("x-request-id");
        }
        if about.is_exchange {
            names.extend(["x-receipt-id", "ZG-Res-Key"]);
            if self.view.network {
                names.push("provider");
            }
        }
        for name in names {
            let at = format!("#/components/headers/{name}");
            headers.insert(name.to_owned(), json!({ "$ref": at }));
        }
    }
}

/// A path as OpenAPI has it: what a parameter matches is no part of its name.
fn bare(path: &str) -> String {
    path.replace(":.*}", "}")
}

fn parameter_names(path: &str) -> impl Iterator<Item = &str> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split(['}', ':']).next());
    names.collect::<Vec<_>>().into_iter()
}

fn id(verb: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> = words.collect();
    format!("{}_{}", verb.to_ascii_lowercase(), words.join("_"))
}

fn in_path(name: &str) -> Value {
    let says = match name {
        "id" => {
            "The `x-receipt-id` of an answer, with or without `chatcmpl-` in front, or the \
                 model server's own id of it where that is one account's only."
        }
        "digest" => "A SHA-256 in hex, with or without `sha256:` in front.",
        "address" => "0x and 40 hex digits, in lower case or with their checksum.",
        "name" => "The name under which the service is registered.",
        "path" => {
            "The place of a tile: level, index and, for a part, width, as C2SP's \
                   tlog-tiles has it: `0/000` or `0/000.p/5`."
        }
        _ => "",
    };
    let schema = json!({ "type": "string" });
    json!({ "name": name, "in": "path", "required": true, "description": says, "schema": schema })
}

fn in_query(name: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    let mut says = Value::default();
    if let Value::Object(members) = &mut schema {
        says = members.remove("description").unwrap_or_default();
        // What is left out of a query is no null.
        if let Some(Value::Array(kinds)) = members.get("type").cloned() {
            let kind = kinds.into_iter().find(|kind| kind != "null");
            members.insert("type".to_owned(), kind.unwrap_or_default());
        }
    }
    json!({ "name": name, "in": "query", "description": says, "schema": schema })
}

fn security(asks: Asks, is_open: bool) -> Value {
    let scheme = |name: &str| json!({ name: [] });
    match asks {
        Asks::Operator => json!([{}, scheme("operator")]),
        _ if is_open => json!([]),
        Asks::Nobody => json!([]),
        Asks::Anybody => json!([{}, scheme("account")]),
        Asks::Account => json!([scheme("account")]),
        Asks::AccountOfAnthropic => json!([scheme("account"), scheme("anthropic")]),
    }
}

fn schemes(of_operator: bool) -> Value {
    let mut schemes = json!({
        "account": {
            "type": "http",
            "scheme": "bearer",
            "description": "By `auth.mode`: an API key of the host's, or a session token of the 0G \
                            network (`app-sk-…`). Where it is `open` nothing is asked for.",
        },
        "anthropic": {
            "type": "apiKey",
            "in": "header",
            "name": "x-api-key",
            "description": "The same API key where Anthropic's clients have it.",
        },
    });
    if let (true, Some(schemes)) = (of_operator, schemes.as_object_mut()) {
        let operator = json!({
            "type": "http",
            "scheme": "bearer",
            "description": "`admin.token`. On a loopback address nothing is asked for.",
        });
        schemes.insert("operator".to_owned(), operator);
    }
    schemes
}

fn headers() -> Value {
    let header = |says: &str| {
        let schema = json!({ "type": "string" });
        json!({ "description": says, "required": true, "schema": schema })
    };
    json!({
        "x-aci-version": header("The version of Attested Confidential Inference: `aci/1`."),
        "x-aci-keyset-digest": header("The keyset that signs receipts now."),
        "x-request-id": header("The request's own `x-request-id`, where it had a usable one, or \
                                one of ours: the operator's log has it."),
        "x-receipt-id": header("The exchange: `/v1/signature/{id}` and `/v1/receipts/{id}` take \
                                it."),
        "ZG-Res-Key": header("The same under the name that clients of the 0G network know."),
        "provider": header("The provider's address on the chain."),
    })
}

const INFO: &str = "Money is in neuron (10^-18 0G) and written as decimal strings. Durations in \
headers are in seconds. A path that is not listed is answered with 404, another method than those \
listed with 405, both in the shape of errors at that path. Behind /v1/proxy other spellings of the \
listed paths are taken too: a second /v1, the registered service's name in front, doubled slashes, \
percent-escapes.";
