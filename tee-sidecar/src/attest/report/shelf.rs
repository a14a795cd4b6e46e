//! Documents without a client's nonce: made once, for everybody, ahead of time.
//!
//! One task makes a document while all callers wait for it. The task belongs to nobody: a caller
//! that leaves takes nothing with it, and a thousand that come and go start one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use broker_core::Digest32;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::form::Form;
use super::keysets::Stamp;
use super::{AttestError, Document, ReportError, ReportService, StatedModel};

type Outcome = Result<Document, ReportError>;

type Making = Shared<oneshot::Receiver<Outcome>>;

/// One place for each form.
#[derive(Default)]
pub(super) struct Shelf([Mutex<Place>; Form::COUNT]);

#[derive(Default)]
struct Place {
    /// The last document.
    kept: Option<Kept>,
    /// The last attempt, if it failed.
    failed: Option<Failed>,
    making: Option<Making>,
}

/// What a document has to say to be served.
struct Now {
    model: Option<String>,
    keyset: Stamp,
    tls: Option<Digest32>,
}

struct Kept {
    made: Instant,
    document: Document,
}

struct Failed {
    began: Instant,
    ended: Instant,
    error: ReportError,
}

/// The document of this form that everybody gets.
pub(super) async fn kept(service: &ReportService, form: Form) -> Outcome {
    let now = Now {
        model: (service.0.model)(),
        keyset: service.0.keysets.stamp(&service.0),
        tls: service.0.tls_key(),
    };
    let (served, making, job) = {
        let mut place = place(service, form);
        match place.served(&now) {
            Some((outcome, false)) => {
                service.0.tally.kept();
                return outcome;
            }
            Some((outcome, true)) => {
                service.0.tally.kept();
                let (making, job) = make(service, form, &mut place);
                (Some(outcome), making, job)
            }
            None => {
                let (making, job) = make(service, form, &mut place);
                (None, making, job)
            }
        }
    };
    // Not under the lock: a runtime that is shutting down drops the job at once, which takes it.
    if let Some(job) = job {
        tokio::spawn(job.run());
    }
    match served {
        Some(outcome) => outcome,
        None => making.await.unwrap_or_else(|_| {
            Err(AttestError::NoQuote("its maker was stopped".to_owned()).into())
        }),
    }
}

/// The making, and the job of doing it unless it is going on.
fn make(service: &ReportService, form: Form, place: &mut Place) -> (Making, Option<Job>) {
    if let Some(making) = &place.making {
        return (making.clone(), None);
    }
    let (told, making) = oneshot::channel();
    let making = making.shared();
    place.making = Some(making.clone());
    (making, Some(Job { service: service.clone(), form, began: Instant::now(), told: Some(told) }))
}

/// The making of one document. However it ends, with a panic or with its server's thread, the next
/// caller can start anew.
struct Job {
    service: ReportService,
    form: Form,
    began: Instant,
    /// Until the outcome is known.
    told: Option<oneshot::Sender<Outcome>>,
}

impl Job {
    async fn run(mut self) {
        let outcome = self.service.fresh(self.form).await;
        let told = self.told.take();
        let mut place = place(&self.service, self.form);
        place.making = None;
        match outcome.clone() {
            Ok(document) => {
                place.kept = Some(Kept { made: Instant::now(), document });
                place.failed = None;
            }
            // The old document stays: while it holds, it is better than this news.
            Err(error) => {
                place.failed = Some(Failed { began: self.began, ended: Instant::now(), error });
            }
        }
        drop(place);
        // All who waited may have left.
        if let Some(told) = told {
            let _nobody_waits = told.send(outcome);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.told.is_some() {
            place(&self.service, self.form).making = None;
            tracing::error!(form = ?self.form, "the making of a report was cut short");
        }
    }
}

fn place(service: &ReportService, form: Form) -> MutexGuard<'_, Place> {
    // An array of as many places as there are forms.
    let [common, tls, bound, legacy, aci] = &service.0.shelf.0;
    let place = match form {
        Form::Common => common,
        Form::Tls => tls,
        Form::Bound => bound,
        Form::Legacy => legacy,
        Form::Aci => aci,
    };
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    /// What is served without waiting, and whether another is to be made meanwhile so that nobody
    /// will wait for one.
    fn served(&self, now: &Now) -> Option<(Outcome, bool)> {
        if let Some(kept) = self.kept.as_ref().filter(|kept| kept.holds(now)) {
            let pause = Duration::from_secs(RETRY_SECS_MIN);
            let paused = self.failed.as_ref().is_some_and(|failed| failed.began.elapsed() < pause);
            return Some((Ok(kept.document.clone()), kept.grows_old() && !paused));
        }
        let shared = Duration::from_secs(ERROR_SHARED_SECS);
        let failed = self.failed.as_ref().filter(|failed| failed.ended.elapsed() < shared)?;
        Some((Err(failed.error.clone()), false))
    }
}

impl Kept {
    /// It is young enough, and says what is known of model, keyset and TLS key now.
    fn holds(&self, now: &Now) -> bool {
        if self.document.keyset.is_some_and(|stated| stated != now.keyset) {
            return false;
        }
        if self.document.tls.is_some_and(|_| self.document.tls != now.tls) {
            return false;
        }
        let current = match (&self.document.model, now.model.as_deref()) {
            (StatedModel::Unknown, Some(_)) => false,
            (StatedModel::Name(stated), Some(name)) => stated == name,
            (StatedModel::Never, _) | (_, None) => true,
        };
        current && self.made.elapsed() < self.lifetime()
    }

    fn grows_old(&self) -> bool {
        self.made.elapsed() >= self.lifetime() / 2
    }

    fn lifetime(&self) -> Duration {
        Duration::from_secs(match self.document.model {
            StatedModel::Unknown => NAMELESS_KEPT_SECS_MAX,
            StatedModel::Never | StatedModel::Name(_) => KEPT_SECS_MAX,
        })
    }
}

/// How long a document is served. At half of it another is made in the background.
const KEPT_SECS_MAX: u64 = 300;

/// How long a document is served that lacks the model's name, unless the name comes first.
const NAMELESS_KEPT_SECS_MAX: u64 = 30;

/// How soon after the beginning of a failed attempt the next one begins, while there is a document
/// to serve.
const RETRY_SECS_MIN: u64 = 10;

/// How long those who come behind a failed attempt share its error, instead of each trying again.
const ERROR_SHARED_SECS: u64 = 1;
