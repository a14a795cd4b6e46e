//! Documents without a client's nonce: made once, for everybody, ahead of time.
//!
//! One task makes a document while all callers wait for it. The task belongs to nobody: a caller
//! that leaves takes nothing with it, and a thousand that come and go start one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::{Duration, Instant};

use super::form::Form;
use super::{AttestError, Document, ReportError, ReportService};

type Outcome = Result<Document, ReportError>;

/// One place for each form.
#[derive(Default)]
pub(super) struct Shelf([Mutex<Place>; Form::COUNT]);

#[derive(Default)]
struct Place {
    kept: Option<Kept>,
    making: Option<Shared<BoxFuture<'static, Outcome>>>,
}

/// The last document, or why there was none.
struct Kept {
    made: Instant,
    outcome: Outcome,
}

/// The document of this form that everybody gets.
pub(super) async fn kept(service: &ReportService, form: Form) -> Outcome {
    let making = {
        let mut place = place(service, form);
        let held = place.kept.as_ref().filter(|kept| kept.holds());
        let held = held.map(|kept| (kept.outcome.clone(), kept.grows_old()));
        match held {
            Some((outcome, false)) => return outcome,
            Some((outcome, true)) => {
                drop(make(service, form, &mut place));
                return outcome;
            }
            None => make(service, form, &mut place),
        }
    };
    making.await
}

/// Starts the making, unless it is going on.
fn make(
    service: &ReportService,
    form: Form,
    place: &mut Place,
) -> Shared<BoxFuture<'static, Outcome>> {
    if let Some(making) = &place.making {
        return making.clone();
    }
    let maker = service.clone();
    let task = tokio::spawn(async move {
        let outcome = maker.fresh(form).await;
        let mut place = self::place(&maker, form);
        place.making = None;
        // A document that still holds is better than the news that there is no other.
        if outcome.is_ok() || place.kept.as_ref().is_none_or(|kept| !kept.is_document()) {
            place.kept = Some(Kept { made: Instant::now(), outcome: outcome.clone() });
        }
        outcome
    });
    let watched = service.clone();
    let making = async move {
        match task.await {
            Ok(outcome) => outcome,
            // Its thread ended; the next caller starts anew.
            Err(_) => {
                self::place(&watched, form).making = None;
                Err(AttestError::NoQuote("its maker was stopped".to_owned()).into())
            }
        }
    };
    let making = making.boxed().shared();
    place.making = Some(making.clone());
    making
}

fn place(service: &ReportService, form: Form) -> MutexGuard<'_, Place> {
    // An array of as many places as there are forms.
    let [common, tls, bound, legacy] = &service.0.shelf.0;
    let place = match form {
        Form::Common => common,
        Form::Tls => tls,
        Form::Bound => bound,
        Form::Legacy => legacy,
    };
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn is_document(&self) -> bool {
        self.outcome.is_ok() && self.holds()
    }

    fn holds(&self) -> bool {
        let secs = match &self.outcome {
            Ok(document) if document.lasting => KEPT_SECS_MAX,
            _ => BRIEFLY_KEPT_SECS,
        };
        self.made.elapsed() < Duration::from_secs(secs)
    }

    /// It holds still, and another is made meanwhile so that nobody will wait for one.
    fn grows_old(&self) -> bool {
        let lasting = self.outcome.as_ref().is_ok_and(|document| document.lasting);
        lasting && self.made.elapsed() >= Duration::from_secs(REFRESH_SECS)
    }
}

/// How long a document is served.
const KEPT_SECS_MAX: u64 = 300;

/// From this age on another is made in the background.
const REFRESH_SECS: u64 = 150;

/// How long those who come behind a failed attempt share its error, instead of each trying again;
/// and how long a document is kept that lacks the model's name.
const BRIEFLY_KEPT_SECS: u64 = 1;
