use broker_core::Timestamp;

use super::*;
use crate::signals::Signals;

const ID: [u8; 16] = [7; 16];

fn ratio(numerator: u64, denominator: u64) -> Fraction {
    Fraction { numerator, denominator }
}

/// A trace as a client's headers tell it.
fn asked(flags: u8) -> Trace {
    let parent = format!("00-{}-b7ad6b7169203331-{flags:02x}", hex::encode(ID));
    Trace::of([parent.as_bytes()], ["a=canary".as_bytes()])
}

fn end() -> End {
    End {
        request_id: "r".to_owned(),
        receipt: ReceiptId::mint(Timestamp(1)),
        method: "POST".to_owned(),
        route: "/v1/chat/completions",
        outcome: "complete",
        reason: None,
        status: 200,
        bill: None,
        user: None,
    }
}

#[test]
fn without_a_collector_no_trace_is_gathered_or_changed() {
    let signals = Signals::new(Timestamp(0));
    for (flags, expected) in [(0, "-00"), (1, "-01")] {
        let trace = signals.spans.place(asked(flags));
        assert!(trace.watch().is_none() && trace.parent().ends_with(expected));
    }
    let trace = signals.spans.place(Trace::default());
    assert!(trace.watch().is_none() && trace.parent().ends_with("-00"));
}

#[test]
fn a_client_decides_for_its_traces_and_the_ratio_for_those_that_begin_here() {
    for (of, begun) in [(ratio(0, 1), false), (ratio(1, 1), true)] {
        let signals = Signals::new(Timestamp(0));
        let _told = signals.spans.begin(of, 1).unwrap();
        let place = |trace| {
            let trace = signals.spans.place(trace);
            let is_told = trace.parent().ends_with("-01");
            assert_eq!(trace.watch().is_some(), is_told, "the engine is told otherwise");
            is_told
        };
        assert!(place(asked(1)) && !place(asked(0)));
        assert_eq!(place(Trace::default()), begun);
        assert_eq!(place(Trace::of(["garbage".as_bytes()], [])), begun);
        assert!(signals.spans.begin(of, 1).is_none(), "a second queue");
    }
}

#[test]
fn a_ratio_is_decided_by_the_id_alone_and_to_the_bit() {
    let id = |number: u64| {
        let mut id = [0xff; 16];
        id[9..].copy_from_slice(&number.to_be_bytes()[1..]);
        id
    };
    let last = (1 << RANDOM_BITS) - 1;
    let half = 1 << (RANDOM_BITS - 1);
    for number in [0, 1, half, last] {
        assert!(drawn(id(number), ratio(1, 1)) && !drawn(id(number), ratio(0, 1)), "{number}");
    }
    assert!(drawn(id(half), ratio(1, 2)) && !drawn(id(half - 1), ratio(1, 2)));
    assert!(drawn(id(last), ratio(1, 1_000_000)) && !drawn(id(half), ratio(1, 1_000_000)));
    let drawn = (0..10_000).filter(|_| drawn(Trace::default().id, ratio(1, 20))).count();
    assert!((350..650).contains(&drawn), "{drawn} of 10000");
}

#[test]
fn a_full_queue_drops_and_counts_and_never_waits() {
    let signals = Signals::new(Timestamp(0));
    let mut queue = signals.spans.begin(ratio(1, 1), 3).unwrap();
    let visit = |is_asked: bool| {
        let visit = Visit::new(signals.spans.place(asked(1)));
        let watch = visit.trace.watch().unwrap();
        if is_asked {
            watch.asked(visit.elapsed());
            watch.tried("http://engine");
        }
        watch.told(&visit, end());
    };
    for _ in 0..5 {
        visit(false);
    }
    visit(true);
    assert_eq!(signals.spans.dropped_so_far(), 4, "two of one span, one of two");
    for _ in 0..3 {
        let told = queue.try_recv().unwrap();
        assert_eq!(told.trace.parts().0, ID);
        assert_eq!(told.trace.state(), None, "the client's words stay here");
    }
    visit(true);
    let told = queue.try_recv().unwrap();
    assert_eq!((told.spans(), told.engine.tries), (2, 1));
    drop(queue);
    visit(false);
    assert_eq!(signals.spans.dropped_so_far(), 5, "nobody is left to export it");
}
