//! The receipt log: `GET /v1/log/head`, proofs and tiles.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::log::head::LogHead;
use broker_core::log::{self, Tile, tile_bytes};
use broker_core::{Digest32, LogTiles, ReceiptId};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::AppState;
use super::error::{ApiError, Ids};
use super::finding::read;
use crate::fault::Fault;
use crate::shapes;

/// That a leaf is in the log of a head.
#[derive(Serialize, JsonSchema)]
pub(super) struct Inclusion {
    leaf_index: u64,
    tree_size: u64,
    /// From the leaf up; `sha256:` and hex.
    #[schemars(with = "Vec<shapes::NamedHash>")]
    path: Vec<String>,
    /// Left out where another size was asked for than the log has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::LogHead>")]
    head: Option<Box<RawValue>>,
}

impl Inclusion {
    pub(super) fn new(
        index: u64,
        size: u64,
        path: &[Digest32],
        head: Option<Box<RawValue>>,
    ) -> Self {
        Self { leaf_index: index, tree_size: size, path: hashes(path), head }
    }
}

/// That one log is the beginning of another.
#[derive(Serialize, JsonSchema)]
pub(super) struct Consistency {
    from: u64,
    to: u64,
    #[schemars(with = "Vec<shapes::NamedHash>")]
    path: Vec<String>,
}

fn hashes(path: &[Digest32]) -> Vec<String> {
    path.iter().map(|hash| format!("sha256:{hash}")).collect()
}

/// The log as it is now, signed, and its size.
pub(super) async fn head(state: &AppState) -> Result<(u64, Box<RawValue>), Fault> {
    let reader = state.reader.clone();
    let (log, root) = read(move || {
        let log = reader.log()?;
        Ok((log, log::root(&LogTiles(&*reader), log.size)?))
    })
    .await?;
    let shared = &state.exchange.shared;
    let at = shared.clock.now();
    let head = LogHead { log: log.id, size: log.size, root, at };
    let signed = head.sign(shared.identities.signing().author());
    Ok((log.size, RawValue::from_string(signed).map_err(|_| Fault::Internal)?))
}

pub(super) async fn current(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let made = async {
        state.pace.step(&request)?;
        Ok(head(&state).await?.1)
    };
    answer(&ids, made.await)
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Included {
    /// A receipt id; this or `leaf`.
    receipt: Option<String>,
    /// The number of the leaf, from 0.
    leaf: Option<u64>,
    /// Leaves of the log that it is to be in; the log as it is now, unless given.
    size: Option<u64>,
}

pub(super) async fn inclusion(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    answer(&ids, include(&request, &state).await)
}

async fn include(request: &HttpRequest, state: &AppState) -> Result<Inclusion, Fault> {
    state.pace.step(request)?;
    let Included { receipt, leaf, size } = query(request)?;
    let (now, head) = head(state).await?;
    let size = size.unwrap_or(now);
    let receipt = receipt.map(|id| {
        ReceiptId::parse(&id).ok_or_else(|| bad("receipt", "'receipt' is a receipt id of ours"))
    });
    let reader = state.reader.clone();
    let index = match (receipt.transpose()?, leaf) {
        (Some(id), None) => read(move || reader.log_index(&id)).await?,
        (None, Some(leaf)) => Some(leaf),
        _ => return Err(bad("receipt", "give either 'receipt' or 'leaf'")),
    };
    let index = index.filter(|index| *index < size && size <= now).ok_or_else(|| {
        Fault::NotFound(format!("the log of {} leaves has no such leaf", size.min(now)))
    })?;
    let reader = state.reader.clone();
    let path = read(move || Ok(log::inclusion(&LogTiles(&*reader), index, size)?)).await?;
    Ok(Inclusion::new(index, size, &path, (size == now).then_some(head)))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct FromTo {
    /// Leaves of the shorter log.
    from: u64,
    /// Leaves of the longer one; the log as it is now, unless given.
    to: Option<u64>,
}

pub(super) async fn consistency(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let made = async {
        state.pace.step(&request)?;
        let FromTo { from, to } = query(&request)?;
        let reader = state.reader.clone();
        let now = read(move || reader.log()).await?.size;
        let to = to.unwrap_or(now);
        if from > to || to > now {
            return Err(bad("from", &format!("'from' is at most 'to', and 'to' at most {now}")));
        }
        let reader = state.reader.clone();
        let path = read(move || Ok(log::consistency(&LogTiles(&*reader), from, to)?)).await?;
        Ok(Consistency { from, to, path: hashes(&path) })
    };
    answer(&ids, made.await)
}

/// A tile of the tree's hashes, as bytes; its path is that of C2SP's tlog-tiles.
pub(super) async fn tile(
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let made = async {
        state.pace.step(&request)?;
        let missing = || Fault::NotFound("the log has no such tile".into());
        let tile: Tile = format!("tile/{path}").parse().map_err(|_| missing())?;
        let reader = state.reader.clone();
        let hashes = read(move || {
            let size = reader.log()?.size;
            let there = tile.is_within(size).then(|| tile.read(&LogTiles(&*reader)));
            Ok(there.transpose()?)
        });
        Ok(tile_bytes(&hashes.await?.ok_or_else(missing)?))
    };
    let bytes = made.await.map_err(|fault: Fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    response.insert_header((CONTENT_TYPE, "application/octet-stream"));
    // Whoever changes it later has forked the log.
    response.insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"));
    Ok(response.body(bytes))
}

fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Fault> {
    let query = web::Query::<T>::from_query(request.query_string());
    let wrong = |error| Fault::BadRequest(format!("the query string cannot be read: {error}"));
    query.map(web::Query::into_inner).map_err(wrong)
}

fn bad(param: &'static str, message: &str) -> Fault {
    Fault::BadParameter { param, message: message.to_owned() }
}

fn answer(ids: &Ids, made: Result<impl Serialize, Fault>) -> Result<HttpResponse, ApiError> {
    let made = made.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    Ok(response.json(made))
}
