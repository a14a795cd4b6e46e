//! A request's way through the engines.
//!
//! | what became of it at an engine | another is tried |
//! |---|---|
//! | no connection | yes: no byte of it was sent |
//! | its answer is a 503 | yes: it says that it did not take it; the body is not read |
//! | the connection ended before an answer began, or a gateway says so (502) | once ¹ |
//! | silence beyond `upstreamIdleSecs` | no: it may still work on it |
//! | the head of any other answer | no: it is the answer |
//!
//! ¹ Never a Responses request: the engine may have run its tools.
//!
//! An engine that answers with an error of its own (5xx) is taken last for a while.
//!
//! Each engine is tried once at most, and a request under which two of them died is not shown to a
//! third. The exchange sees one call: whatever happens here there is one hold, one answer, one
//! receipt and one charge, by the count of the engine that answered.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::engines::{Ailment, Engine, Engines};
use super::vllm::{Letter, Vllm};
use super::{Reply, UpstreamError};
use crate::route::Route;

type Tried = Result<Reply, UpstreamError>;

/// What a failed try means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Nothing was sent: no connection.
    Unsent,
    /// The engine refused it.
    Refused,
    /// The engine went away with it, as the connection or a gateway before the engine tells.
    Lost,
    /// It ends here.
    Final,
}

impl Failure {
    /// `None` for an answer that is to be passed on.
    fn of(tried: &Tried) -> Option<Self> {
        match tried {
            Ok(reply) if reply.status == 503 => Some(Self::Refused),
            Ok(reply) if reply.status == 502 => Some(Self::Lost),
            Ok(_) => None,
            Err(UpstreamError::Connect(_)) => Some(Self::Unsent),
            Err(UpstreamError::Gone(_)) => Some(Self::Lost),
            Err(UpstreamError::Timeout(_) | UpstreamError::Broken(_)) => Some(Self::Final),
        }
    }
}

/// The ways of one request.
struct Tries {
    route: Route,
    tried: Vec<Arc<Engine>>,
    lost: u32,
    /// What most can be told of: an answer of an engine's, before a lost connection, before none.
    best: Tried,
}

impl Tries {
    fn new(route: Route) -> Self {
        let none = "no engine is well; /readyz and the log say what they have";
        Self { route, tried: Vec::new(), lost: 0, best: Err(UpstreamError::Connect(none.into())) }
    }

    /// Notes a failure; true where another engine may be tried.
    fn note(&mut self, engine: &Arc<Engine>, failure: Failure, tried: Tried) -> bool {
        engine.failed((failure == Failure::Unsent).then_some(Ailment::Unreachable));
        self.tried.push(engine.clone());
        self.lost += u32::from(failure == Failure::Lost);
        let goes_on = match failure {
            Failure::Unsent | Failure::Refused => true,
            Failure::Lost => self.lost == 1 && self.route != Route::Responses,
            Failure::Final => false,
        };
        if told_by(&tried) >= told_by(&self.best) || !goes_on {
            self.best = tried;
        }
        goes_on
    }
}

/// How much a client learns from it.
const fn told_by(tried: &Tried) -> u8 {
    match tried {
        Ok(_) => 2,
        Err(UpstreamError::Connect(_)) => 0,
        Err(_) => 1,
    }
}

/// Posts `letter` to one engine after the other, until one takes it or none is left that may.
pub(super) async fn deliver(vllm: &Vllm, engines: &Engines, letter: Letter) -> Tried {
    // All tries together take as long as a single one may.
    let until = Instant::now() + vllm.patience();
    let mut tries = Tries::new(letter.route);
    while let Some(seat) = engines.choose(&tries.tried) {
        let engine = seat.engine().clone();
        if let Some(watch) = &letter.watch {
            watch.tried(engine.url());
        }
        let posted = vllm.post_to(seat, &letter);
        let tried = match tries.tried.is_empty() {
            true => posted.await,
            false => match timeout_at(until, posted).await {
                Ok(tried) => tried,
                Err(_) => Err(UpstreamError::Timeout("after tries at other engines".into())),
            },
        };
        let Some(failure) = Failure::of(&tried) else {
            if tried.as_ref().is_ok_and(|reply| reply.status >= 500) {
                engine.erred();
            }
            return tried;
        };
        if !tries.note(&engine, failure, tried) {
            break;
        }
    }
    tries.best
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn reply(status: u16) -> Tried {
        let body = futures_util::stream::empty().boxed();
        Ok(Reply { status, content_type: None, encoded: false, body })
    }

    fn gone() -> Tried {
        Err(UpstreamError::Gone("x".into()))
    }

    fn refused() -> Tried {
        Err(UpstreamError::Connect("x".into()))
    }

    fn timeout() -> Tried {
        Err(UpstreamError::Timeout("x".into()))
    }

    /// How far a request comes that fails in these ways, and what is told of it in the end.
    fn way(route: Route, failures: Vec<Tried>) -> (usize, String) {
        let engines = Engines::of(&["http://a".to_owned()]);
        let engine = engines.all().remove(0);
        let mut tries = Tries::new(route);
        let mut made = 0;
        for tried in failures {
            made += 1;
            let failure = Failure::of(&tried).expect("a failure");
            if !tries.note(&engine, failure, tried) {
                break;
            }
        }
        let told = match tries.best {
            Ok(reply) => reply.status.to_string(),
            Err(error) => format!("{error:?}").split('(').next().unwrap().to_owned(),
        };
        (made, told)
    }

    #[test]
    fn what_surely_was_not_answered_is_tried_elsewhere_and_the_most_telling_failure_told() {
        let (chat, responses) = (Route::Chat, Route::Responses);
        for (route, failures, expected) in [
            (chat, vec![refused(), refused(), refused()], (3, "Connect")),
            (chat, vec![refused(), reply(503), refused()], (3, "503")),
            (chat, vec![reply(503), reply(502)], (2, "502")),
            (chat, vec![gone(), refused(), refused()], (3, "Gone")),
            (chat, vec![gone(), reply(503), gone(), refused()], (3, "Gone")),
            (chat, vec![timeout(), refused()], (1, "Timeout")),
            (chat, vec![reply(503), timeout(), refused()], (2, "Timeout")),
            (responses, vec![gone(), refused()], (1, "Gone")),
            (responses, vec![reply(502), refused()], (1, "502")),
            (chat, vec![gone(), reply(502), refused()], (2, "502")),
            (responses, vec![refused(), reply(503), gone(), refused()], (3, "Gone")),
        ] {
            let (made, told) = way(route, failures);
            assert_eq!((made, told.as_str()), expected);
        }
        for status in [200, 400, 429, 500, 504] {
            assert_eq!(Failure::of(&reply(status)), None, "{status}");
        }
        let broken = Err(UpstreamError::Broken("no HTTP".into()));
        assert_eq!(Failure::of(&broken), Some(Failure::Final));
    }
}
