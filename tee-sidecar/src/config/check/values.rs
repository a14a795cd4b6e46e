//! How single values are read: each reader notes a problem and goes on with the default.

use std::ops::RangeInclusive;

use broker_core::{Fraction, Neuron};
use reqwest::Url;

use super::super::error::Problem;
use super::super::text::Text;

/// Collects the problems of one configuration.
#[derive(Default)]
pub(in super::super) struct Check {
    pub(in super::super) problems: Vec<Problem>,
}

impl Check {
    /// Notes that a given value breaks a rule.
    pub(super) fn refuse(&mut self, key: &str, given: &Text, rule: impl Into<String>) {
        self.problems.push(Problem::with(key, given, rule));
    }

    /// Notes that a key as a whole breaks a rule.
    pub(super) fn refuse_key(&mut self, key: &str, rule: impl Into<String>) {
        self.problems.push(Problem::of(key, rule));
    }

    /// Notes that a secret breaks a rule; it is not shown.
    pub(super) fn refuse_secret(&mut self, key: &str, rule: &str, from_environment: bool) {
        self.problems.push(Problem { from_environment, ..Problem::of(key, rule) });
    }

    /// The value that `parse` makes of the text; absent or refused, the default.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        given: Option<&Text>,
        default: T,
        rule: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(given) = given else { return default };
        parse(given.as_str()).unwrap_or_else(|| {
            self.refuse(key, given, rule);
            default
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &str,
        given: Option<&Text>,
        choices: &[(&str, T)],
        default: T,
    ) -> T {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let rule = format!("must be one of {}", words.join(", "));
        self.parsed(key, given, default, &rule, |text| {
            choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice)
        })
    }

    /// A whole number within a range.
    pub(super) fn number(
        &mut self,
        key: &str,
        given: Option<&Text>,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let rule = format!("must be a whole number from {} to {}", range.start(), range.end());
        self.parsed(key, given, default, &rule, |text| whole_number(text, &range))
    }

    /// A whole number within a range, or nothing for no limit.
    pub(super) fn limit(
        &mut self,
        key: &str,
        given: Option<&Text>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let (least, most) = (range.start(), range.end());
        let rule =
            format!("must be a whole number from {least} to {most}; leave it out for no limit");
        self.parsed(key, given, None, &rule, |text| whole_number(text, &range).map(Some))
    }

    /// A span of time in seconds: a bare number, or numbers with the units h, m and s, as 1h30m.
    pub(super) fn duration(
        &mut self,
        key: &str,
        given: Option<&Text>,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let (least, most) = (range.start(), range.end());
        let rule = format!("must be {least} to {most} seconds, as 300, 5m or 1h30m");
        self.parsed(key, given, default, &rule, |text| {
            seconds(text).filter(|seconds| range.contains(seconds))
        })
    }

    /// A fraction in its lowest terms: 2, 1.5 or 3/2.
    pub(super) fn fraction(&mut self, key: &str, given: Option<&Text>) -> Option<Fraction> {
        let rule = "must be above 0 and at most 1000000, as 2, 1.5 or 3/2";
        self.parsed(key, given, None, rule, |text| fraction(text).map(Some))
    }

    /// A part of a whole: a fraction from 0 to 1.
    pub(super) fn ratio(&mut self, key: &str, given: Option<&Text>, default: Fraction) -> Fraction {
        let rule = "must be from 0 to 1, as 0.05 or 1/20";
        let zero = Fraction { numerator: 0, denominator: 1 };
        self.parsed(key, given, default, rule, |text| match text {
            text if is_zero(text) => Some(zero),
            text => fraction(text).filter(|ratio| ratio.numerator <= ratio.denominator),
        })
    }

    /// An amount of money. The text is read as it was written, so it is exact whatever its size.
    pub(super) fn neuron(&mut self, key: &str, given: Option<&Text>, default: Neuron) -> Neuron {
        let rule = "must be a whole number of neuron from 0 to 2^128-1, without sign, point, \
                    exponent or separator";
        self.parsed(key, given, default, rule, |text| text.parse().ok())
    }

    /// A name that goes into answers and reports.
    pub(super) fn name(&mut self, key: &str, given: Option<&Text>) -> Option<String> {
        let rule = format!("must be 1 to {NAME_CHARS_MAX} characters without spaces or controls");
        self.parsed(key, given, None, &rule, |text| {
            let is_name = !text.contains(|c: char| c.is_whitespace() || c.is_control());
            let length = text.chars().count();
            (is_name && (1..=NAME_CHARS_MAX).contains(&length)).then(|| Some(text.to_owned()))
        })
    }
}

/// An address of the web that says where to go and nothing else.
pub(super) fn web_address(text: &str) -> Option<Url> {
    // The parser drops spaces and line ends from within; what we keep is the text.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (is_web && is_bare).then_some(url)
}

pub(super) fn whole_number(text: &str, range: &RangeInclusive<u64>) -> Option<u64> {
    // `u64::from_str` takes a leading plus sign.
    let is_digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| is_digits && range.contains(number))
}

fn seconds(text: &str) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let (mut rest, mut sum, mut largest) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let at = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at_checked(at)?;
        let (unit, after) = unit.split_at_checked(1)?;
        let unit = match unit {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        // Units come once each, the largest first; `1500ms` is none of ours.
        if unit >= largest {
            return None;
        }
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        (rest, largest) = (after, unit);
    }
    (largest != u64::MAX).then_some(sum)
}

/// 0, with zeros behind a point or without.
fn is_zero(text: &str) -> bool {
    let zeros = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    text.strip_prefix('0')
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(zeros))
}

fn fraction(text: &str) -> Option<Fraction> {
    let digits = |text: &str| {
        let is_short = (1..=DIGITS_MAX).contains(&text.len());
        (is_short && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u64>().ok())?
    };
    let (numerator, denominator) = if let Some((above, below)) = text.split_once('/') {
        (digits(above)?, digits(below)?)
    } else if let Some((whole, part)) = text.split_once('.') {
        let unit = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
        (digits(whole)?.checked_mul(unit)?.checked_add(digits(part)?)?, unit)
    } else {
        (digits(text)?, 1)
    };
    let divisor = greatest_common_divisor(numerator, denominator);
    let lowest = |number: u64| number.checked_div(divisor);
    let (numerator, denominator) = (lowest(numerator)?, lowest(denominator)?);
    let is_sane =
        numerator > 0 && denominator > 0 && numerator <= denominator.saturating_mul(MULTIPLIER_MAX);
    is_sane.then_some(Fraction { numerator, denominator })
}

fn greatest_common_divisor(mut left: u64, mut right: u64) -> u64 {
    while let Some(rest) = left.checked_rem(right) {
        (left, right) = (right, rest);
    }
    left
}

/// Digits of a fraction's numbers at most.
const DIGITS_MAX: usize = 9;

/// A price is multiplied by no more.
const MULTIPLIER_MAX: u64 = 1_000_000;

/// Names of models, services and accounts are no longer.
const NAME_CHARS_MAX: usize = 256;
