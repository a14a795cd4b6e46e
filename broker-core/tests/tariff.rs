//! What exchanges cost under a schedule, and that no request costs more than its ceiling.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;

use std::sync::Arc;

use books::{NOW, hold, neuron, receipt, user};
use broker_core::{
    CacheBilling, Fraction, Receipt, Schedule, ScheduleError, Tariff, Tier, TokenBound, Usage,
    UsageSource,
};
use proptest::prelude::*;

const NONE: Option<Fraction> = None;
const FIVE_QUARTERS: Option<Fraction> = Some(fraction(5, 4));
const DOUBLE: Option<Fraction> = Some(fraction(2, 1));

/// As documented for the 0G network; the fees were computed with another program.
#[test]
fn a_tier_s_prices_are_rounded_down_before_everything_else() {
    for (input, output, fee) in [
        (0, 1, 11),
        (1_000, 10, 7_110),
        (1_001, 10, 10_150),
        (32_000, 1, 320_014),
        (32_001, 1, 448_047),
    ] {
        let usage = Usage { input, output, ..Usage::default() };
        assert_eq!(tariff(tiers(), None).fee(&usage), Some(neuron(fee)), "{usage:?}");
    }
    // Behind the last of the limits the last tier goes on.
    let usage = Usage { input: 50_000, output: 2, ..Usage::default() };
    let limited = tariff(tiers()[..2].to_vec(), None);
    assert_eq!(limited.fee(&usage), Some(neuron(500_028)));
}

/// Computed like the tiers'. Usages are prompt, cached, written, written for an hour, generated.
#[test]
fn the_cache_s_buckets_are_carved_out_in_order_and_rounded_down_each() {
    let usages = [
        (101, 51, 0, 0, 3),
        (101, 51, 33, 11, 3),
        (100, 200, 5, 5, 0),
        (100, 60, 60, 60, 0),
        (100, 0, 0, 33, 0),
    ];
    for (cache, fees) in [
        (None, [740, 740, 700, 700, 700]),
        (Some((4, NONE, NONE)), [472, 472, 175, 385, 700]),
        (Some((4, FIVE_QUARTERS, NONE)), [472, 548, 175, 455, 757]),
        (Some((4, FIVE_QUARTERS, DOUBLE)), [472, 606, 175, 455, 931]),
        (Some((10, NONE, DOUBLE)), [418, 495, 70, 602, 931]),
    ] {
        let cache =
            cache.map(|(divisor, write, write_1h)| CacheBilling { divisor, write, write_1h });
        for (usage, fee) in usages.into_iter().zip(fees) {
            let usage = used(usage);
            assert_eq!(tariff(vec![], cache).fee(&usage), Some(neuron(fee)), "{cache:?} {usage:?}");
        }
    }
    let both = tariff(tiers(), Some(cache_billing()));
    assert_eq!(both.fee(&used((32_000, 10_001, 777, 555, 9))), Some(neuron(252_610)));
}

#[test]
fn a_schedule_that_changes_nothing_costs_what_none_costs() {
    let usage = used((101, 51, 33, 11, 3));
    let bound = TokenBound { input: 200, output: 5 };
    let plain = Tariff::per_token(neuron(7), neuron(11));
    let one = Tier { max_input_tokens: 0, input: fraction(1, 1), output: fraction(3, 3) };
    for same in [tariff(vec![], None), tariff(vec![one], None)] {
        assert_eq!(same.fee(&usage), plain.fee(&usage));
        assert_eq!(same.ceiling(bound), plain.ceiling(bound));
    }
}

#[test]
fn a_ceiling_knows_the_dearest_tier_below_the_bound() {
    let tier = |max_input_tokens, numerator| Tier {
        max_input_tokens,
        input: fraction(numerator, 1),
        output: fraction(numerator, 1),
    };
    // Small prompts are the dear ones here, and large ones not as cheap as they are many.
    let falling = tariff(vec![tier(10, 9), tier(0, 1)], None);
    for (input, output, ceiling) in [
        (5, 0, 5 * 63),
        (10, 0, 10 * 63),
        (11, 0, 10 * 63),
        (89, 0, 10 * 63),
        (90, 0, 10 * 63),
        (91, 0, 91 * 7),
        (91, 1, 10 * 63 + 99),
    ] {
        let bound = TokenBound { input, output };
        assert_eq!(falling.ceiling(bound), Some(neuron(ceiling)), "{bound:?}");
    }
    let written = tariff(vec![], Some(cache_billing()));
    let bound = TokenBound { input: 100, output: 1 };
    assert_eq!(written.ceiling(bound), Some(neuron(2 * 700 + 11)));
}

#[test]
fn only_a_fee_too_large_for_money_is_none() {
    let most = u128::MAX;
    let half = |max_input_tokens| Tier {
        max_input_tokens,
        input: fraction(u64::MAX / 2, u64::MAX - 1),
        output: fraction(2, 1),
    };
    let schedule = Schedule::new(vec![half(0)], None).unwrap();
    let tariff =
        Tariff { schedule: Some(Arc::new(schedule)), ..Tariff::per_token(neuron(most), neuron(1)) };
    let usage = |input| Usage { input, ..Usage::default() };
    assert_eq!(tariff.fee(&usage(2)), Some(neuron(most - 1)));
    assert_eq!(tariff.fee(&usage(3)), None);
    assert_eq!(tariff.ceiling(TokenBound { input: 3, output: 0 }), None);
}

#[test]
fn a_schedule_that_cannot_be_is_refused_with_its_reason() {
    let tier = |max| Tier { max_input_tokens: max, ..tiers()[0] };
    let zero = fraction(1, 0);
    let cache = |divisor, write| Some(CacheBilling { divisor, write, write_1h: None });
    let many: Vec<_> = (1..=65).map(tier).collect();
    for (tiers, cache, error) in [
        (vec![tier(5), tier(5)], None, ScheduleError::TierOutOfOrder(1)),
        (vec![tier(5), tier(9), tier(8)], None, ScheduleError::TierOutOfOrder(2)),
        (vec![tier(0), tier(9)], None, ScheduleError::TierOutOfOrder(1)),
        (vec![tier(0), tier(0)], None, ScheduleError::TierOutOfOrder(1)),
        (vec![Tier { output: zero, ..tier(5) }], None, ScheduleError::ZeroDenominator),
        (vec![], cache(0, None), ScheduleError::ZeroDivisor),
        (vec![], cache(1, Some(zero)), ScheduleError::ZeroDenominator),
        (many, None, ScheduleError::TooManyTiers(65)),
    ] {
        let refused = Schedule::new(tiers.clone(), cache);
        assert_eq!(refused, Err(error));
        // Nor does it come in as bytes.
        let bytes = Schedule { tiers, cache }.to_bytes();
        assert!(Tariff::from_parts(neuron(1), neuron(1), Some(&bytes)).is_none());
    }
}

/// The bytes, and the hashes over them, were computed with another program.
#[test]
fn a_schedule_s_bytes_and_the_hashes_over_them_never_change() {
    let tariff = tariff(tiers(), Some(CacheBilling { write_1h: None, ..cache_billing() }));
    let bytes = tariff.schedule_bytes().unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN.concat());
    assert_eq!(
        tariff.digest().to_string(),
        "6d383f7305d5b3dc7d507e3fe07e5cd56b8332405c37e8e8248e2aab39ff6a93"
    );
    let mut with = hold(1, user(1), 60);
    with.tariff.schedule.clone_from(&tariff.schedule);
    assert_eq!(
        with.digest(NOW).to_string(),
        "ed0d0ab7c40d18c9ccb5acc882f612e51e41c67e96dc2a04126fbd2a879c2e6e"
    );
    let plain = Tariff { schedule: None, ..tariff };
    assert_eq!((plain.schedule_bytes(), plain.digest().to_string().as_str()), (None, PLAIN));
}

/// Computed like the schedule's.
#[test]
fn the_digest_of_a_receipt_with_cache_writes_never_changes() {
    let usage = Usage { cache_write: 2, source: UsageSource::Engine, ..used((3, 1, 0, 0, 4)) };
    let written = Receipt { usage, ..receipt(&hold(1, user(1), 60), 25) };
    assert_eq!(
        written.digest().to_string(),
        "b839be387a1b0223f7d81f633a1101941e1e6b86bf27419d6391b5f7f7f53b4e"
    );
    let usage = Usage { cache_write: 0, cache_write_1h: 2, ..usage };
    assert_ne!(Receipt { usage, ..written.clone() }.digest(), written.digest());
}

#[test]
fn bytes_that_were_cut_prolonged_or_changed_are_no_schedule() {
    let whole = tariff(tiers(), Some(cache_billing())).schedule_bytes().unwrap();
    let read = |bytes: &[u8]| Schedule::from_bytes(bytes);
    assert!(read(&whole).is_ok());
    for length in 0..whole.len() {
        assert_eq!(read(&whole[..length]), Err(ScheduleError::Malformed), "{length}");
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert_eq!(read(&longer), Err(ScheduleError::Malformed));
    for version in [0, 2] {
        let other = [&[version], &whole[1..]].concat();
        assert_eq!(read(&other), Err(ScheduleError::Malformed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn no_usage_within_the_bound_costs_more_than_the_ceiling(
        tariff in tariffs(),
        bound in (0..60_u64, 0..20_u64),
        parts in (0..=100_u64, 0..=100_u64, 0..70_u64, 0..70_u64, 0..70_u64),
    ) {
        let (input, output) = bound;
        let share = |whole: u64, percent: u64| whole * percent / 100;
        let (prompt, generated) = (share(input, parts.0), share(output, parts.1));
        let usage = used((prompt, parts.2, parts.3, parts.4, generated));
        if let Some(ceiling) = tariff.ceiling(TokenBound { input, output }) {
            // Whoever can promise the ceiling can compute every fee below it.
            let fee = tariff.fee(&usage);
            prop_assert!(fee.is_some_and(|fee| fee <= ceiling), "{:?} > {}", fee, ceiling);
        }
    }

    #[test]
    fn some_usage_costs_as_much_as_the_ceiling(tariff in tariffs(), input in 0..60_u64) {
        // Every prompt up to the bound, all in one bucket: the dearest of them is the ceiling.
        let fees = (0..=input).flat_map(|n| {
            [(n, 0, 0, 0, 0), (n, 0, n, 0, 0), (n, 0, 0, n, 0)].map(used)
        });
        let dearest = fees.filter_map(|usage| tariff.fee(&usage)).max();
        let ceiling = tariff.ceiling(TokenBound { input, output: 0 });
        prop_assert!(ceiling.is_none() || ceiling == dearest, "{:?} {:?}", ceiling, dearest);
    }

    #[test]
    fn a_tariff_survives_as_its_parts(tariff in tariffs()) {
        let bytes = tariff.schedule_bytes();
        let (input, output) = (tariff.input_price, tariff.output_price);
        prop_assert_eq!(Tariff::from_parts(input, output, bytes.as_deref()), Some(tariff));
    }
}

/// Prices from nothing to the end of money, with tiers that rise and fall.
fn tariffs() -> impl Strategy<Value = Tariff> {
    let price = || prop_oneof![0..1_000_u128, any::<u128>(), (0..128_u32).prop_map(|n| 1 << n)];
    (price(), price(), proptest::option::weighted(0.9, schedules())).prop_map(
        |(input, output, schedule)| Tariff {
            schedule: schedule.map(Arc::new),
            ..Tariff::per_token(neuron(input), neuron(output))
        },
    )
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let part = || {
        prop_oneof![(0..9_u64, 1..9_u64), (any::<u64>(), 1..=u64::MAX),]
            .prop_map(|(numerator, denominator)| fraction(numerator, denominator))
    };
    let tier = (1..20_u64, part(), part());
    let tiers = (proptest::collection::vec(tier, 0..5), any::<bool>());
    let write = || proptest::option::of(part());
    let cache = proptest::option::of((1..9_u64, write(), write()));
    (tiers, cache).prop_map(|((steps, open), cache)| {
        let (mut max, mut tiers) = (0, Vec::new());
        for (step, input, output) in steps {
            max += step;
            tiers.push(Tier { max_input_tokens: max, input, output });
        }
        if let Some(last) = tiers.last_mut().filter(|_| open) {
            last.max_input_tokens = 0;
        }
        let cache =
            cache.map(|(divisor, write, write_1h)| CacheBilling { divisor, write, write_1h });
        Schedule::new(tiers, cache).unwrap()
    })
}

fn tariff(tiers: Vec<Tier>, cache: Option<CacheBilling>) -> Tariff {
    let schedule = Some(Arc::new(Schedule::new(tiers, cache).unwrap()));
    Tariff { schedule, ..Tariff::per_token(neuron(7), neuron(11)) }
}

fn tiers() -> Vec<Tier> {
    vec![
        Tier { max_input_tokens: 1_000, input: fraction(1, 1), output: fraction(1, 1) },
        Tier { max_input_tokens: 32_000, input: fraction(3, 2), output: fraction(4, 3) },
        Tier { max_input_tokens: 0, input: fraction(2, 1), output: fraction(3, 1) },
    ]
}

fn cache_billing() -> CacheBilling {
    CacheBilling { divisor: 4, write: FIVE_QUARTERS, write_1h: DOUBLE }
}

const fn fraction(numerator: u64, denominator: u64) -> Fraction {
    Fraction { numerator, denominator }
}

fn used(
    (input, cached_input, cache_write, cache_write_1h, output): (u64, u64, u64, u64, u64),
) -> Usage {
    let source = UsageSource::Engine;
    Usage { input, cached_input, cache_write, cache_write_1h, output, source }
}

const PLAIN: &str = "78e19d97347d58ede3816efb09c4590f55e0b3b3951d76b8e4c3a859db3256dd";
/// By version and count, tier, cache.
const GOLDEN: [&str; 5] = [
    "010000000000000003",
    "00000000000003e80000000000000001000000000000000100000000000000010000000000000001",
    "0000000000007d000000000000000003000000000000000200000000000000040000000000000003",
    "00000000000000000000000000000002000000000000000100000000000000030000000000000001",
    "010000000000000004010000000000000005000000000000000400",
];
