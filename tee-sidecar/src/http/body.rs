//! A request's body, byte for byte, up to a limit.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::exchange::stop::Stop;
use crate::fault::Fault;

/// A client may pause this long while it sends its body.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// And take this long in all.
const BODY_TIME_MAX: Duration = Duration::from_secs(300);
/// Set aside before anything has arrived, whatever the client announces.
const RESERVED_MAX: usize = 64 * 1024;

/// Reads the whole body; not for long once the server stops.
///
/// # Errors
/// It is too long, encoded, late or cut short, or the server's end came first.
pub(super) async fn read(
    request: &HttpRequest,
    payload: Payload,
    max: usize,
    stop: &Stop,
) -> Result<Bytes, Fault> {
    let read = timeout(BODY_TIME_MAX, read_all(request, payload, max));
    tokio::select! {
        biased;
        read = read => read.unwrap_or(Err(Fault::RequestTimeout)),
        fault = stop.late() => Err(fault),
    }
}

async fn read_all(request: &HttpRequest, mut payload: Payload, max: usize) -> Result<Bytes, Fault> {
    if let Some(encoding) = request.headers().get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Fault::EncodedRequest);
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|text| text.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    if announced > max {
        return Err(Fault::PayloadTooLarge { max });
    }
    let mut body = BytesMut::with_capacity(announced.min(RESERVED_MAX));
    loop {
        match timeout(PAUSE_MAX, payload.next()).await {
            Ok(Some(Ok(piece))) if body.len() + piece.len() > max => {
                return Err(Fault::PayloadTooLarge { max });
            }
            // The usual small body arrives in one piece and is not copied.
            Ok(Some(Ok(piece))) if body.is_empty() && piece.len() == announced => {
                return Ok(piece);
            }
            Ok(Some(Ok(piece))) => body.extend_from_slice(&piece),
            Ok(Some(Err(_))) => {
                return Err(Fault::BadRequest("the request body was cut short".into()));
            }
            Ok(None) => return Ok(body.freeze()),
            Err(_) => return Err(Fault::RequestTimeout),
        }
    }
}
