//! What becomes of a body that nobody reads to its end.
//!
//! Of a body in chunks the server would read the rest, however long, to find the next request
//! behind it. It closes the connection instead while somebody holds the body, so that is what an
//! error's answer does. Where the length is announced the server closes by itself.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::{InternalError, PayloadError};
use actix_web::http::StatusCode;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use bytes::Bytes;
use futures_util::Stream;

/// Closes the connection behind an error, where more of the request is to come.
pub async fn close_behind_errors(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let body = request.headers().contains_key(TRANSFER_ENCODING).then(|| {
        let body = Shared(Rc::new(RefCell::new(request.take_payload())));
        request.set_payload(Payload::Stream { payload: Box::pin(body.clone()) });
        body
    });
    let unread =
        |status: StatusCode| body.filter(|_| status.is_client_error() || status.is_server_error());
    match next.call(request).await {
        Ok(response) => Ok(match unread(response.status()) {
            Some(unread) => response.map_body(|_, answer| {
                EitherBody::right(Holding { answer: BoxBody::new(answer), _unread: unread }.boxed())
            }),
            None => response.map_into_left_body(),
        }),
        Err(error) => {
            let response = error.error_response();
            let Some(unread) = unread(response.status()) else { return Err(error) };
            let response =
                response.map_body(|_, answer| Holding { answer, _unread: unread }.boxed());
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// A request's body that is read by the handler and held by the answer.
#[derive(Clone)]
struct Shared(Rc<RefCell<Payload>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

/// An answer that holds the request's body until it has been sent.
struct Holding {
    answer: BoxBody,
    _unread: Shared,
}

impl MessageBody for Holding {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(cx)
    }
}
