//! The times of one exchange, from its arrival on, and the delay that is added to its events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Signals, Trace};

/// Of so many reads of a stream one is timed, and the first.
const SAMPLED_READS: u32 = 16;

/// What an exchange passes on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its money is set aside, durably.
    Held,
    /// The engine sent the head of its answer.
    Answered,
    /// The first event of its stream was handed on.
    First,
}

/// The clock of one exchange, and its place in a trace.
#[derive(Debug)]
pub struct Visit {
    /// The trace that it belongs to.
    pub trace: Trace,
    arrived: Instant,
    /// Microseconds from the arrival to each step; 0 before it.
    steps: [AtomicU64; 3],
}

impl Default for Visit {
    /// Arrives now, and begins a trace.
    fn default() -> Self {
        Self::new(Trace::default())
    }
}

impl Visit {
    /// Arrives now.
    pub fn new(trace: Trace) -> Self {
        Self { trace, arrived: Instant::now(), steps: Default::default() }
    }

    /// How long ago it arrived.
    pub fn elapsed(&self) -> Duration {
        self.arrived.elapsed()
    }

    /// Nothing more comes from the engine.
    pub fn engine_ended(&self) {
        if let Some(watch) = self.trace.watch() {
            watch.engine_ended(self.elapsed());
        }
    }

    /// Passes a step; only the first time counts.
    pub fn reached(&self, step: Step) {
        let micros = u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        let (set, seen) = (Ordering::Relaxed, Ordering::Relaxed);
        let _again = self.cell(step).compare_exchange(0, micros, set, seen);
    }

    /// How long after the arrival it passed this step; `None` where it has not.
    pub fn at(&self, step: Step) -> Option<Duration> {
        match self.cell(step).load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    const fn cell(&self, step: Step) -> &AtomicU64 {
        let [held, answered, first] = &self.steps;
        match step {
            Step::Held => held,
            Step::Answered => answered,
            Step::First => first,
        }
    }
}

/// Times some of the reads of one stream.
pub struct Probes {
    signals: Arc<Signals>,
    visit: Arc<Visit>,
    reads: u32,
}

/// A read whose way to the HTTP layer is timed.
#[derive(Debug)]
pub struct Probe {
    signals: Arc<Signals>,
    visit: Arc<Visit>,
    read: Instant,
}

impl Probes {
    /// For the stream of `visit`.
    pub fn new(signals: &Arc<Signals>, visit: &Arc<Visit>) -> Self {
        Self { signals: signals.clone(), visit: visit.clone(), reads: 0 }
    }

    /// Bytes of the engine's were read just now. `pending` is the probe of an earlier read that
    /// made no whole event yet.
    pub fn read(&mut self, pending: Option<Probe>) -> Option<Probe> {
        let due = self.reads.is_multiple_of(SAMPLED_READS) || pending.is_some();
        self.reads = self.reads.wrapping_add(1);
        due.then(|| Probe {
            signals: self.signals.clone(),
            visit: self.visit.clone(),
            read: Instant::now(),
        })
    }
}

impl Probe {
    /// The event was handed on.
    pub fn handed(self) {
        let exchanges = &self.signals.exchanges;
        exchanges.added_delay_seconds.observe(self.read.elapsed().as_secs_f64());
        if self.visit.at(Step::First).is_none() {
            self.visit.reached(Step::First);
            exchanges.first_event_seconds.observe(self.visit.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use broker_core::Timestamp;

    use super::*;

    /// How many delays and how many first events were observed.
    fn told(signals: &Signals) -> [u64; 2] {
        let mut text = String::new();
        signals.write(&mut text).unwrap();
        ["added_delay_seconds", "time_to_first_token_seconds"].map(|name| {
            let name = format!("tee_sidecar_{name}_count ");
            text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
        })
    }

    #[test]
    fn the_first_read_and_some_others_are_timed_and_the_first_event_once() {
        let (signals, visit) = (Signals::new(Timestamp(0)), Arc::<Visit>::default());
        let mut probes = Probes::new(&signals, &visit);
        let mut timed = 0;
        for _ in 0..SAMPLED_READS * 3 {
            if let Some(probe) = probes.read(None) {
                probe.handed();
                timed += 1;
            }
        }
        assert_eq!(timed, 3);
        assert_eq!(told(&signals), [3, 1]);
        assert!(visit.at(Step::First).is_some() && visit.at(Step::Held).is_none());
    }

    #[test]
    fn a_read_without_a_whole_event_leaves_its_probe_to_the_next() {
        let (signals, visit) = (Signals::new(Timestamp(0)), Arc::<Visit>::default());
        let mut probes = Probes::new(&signals, &visit);
        let mut pending = probes.read(None);
        for _ in 0..5 {
            pending = probes.read(pending);
            assert!(pending.is_some());
        }
        pending.unwrap().handed();
        assert!(probes.read(None).is_none());
        assert_eq!(told(&signals), [1, 1]);
    }
}
