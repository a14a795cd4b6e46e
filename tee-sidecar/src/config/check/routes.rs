//! `service.routes`: the inference routes that are served. `limits.routeBytesMax`: the bodies that
//! some of them take.

use std::ops::RangeInclusive;

use super::super::text::Texts;
use super::values::{Check, whole_number};
use crate::route::Route;

/// Reads the list; without one it is what every engine counts in tokens.
pub(super) fn routes(check: &mut Check, given: Option<&Texts>) -> Vec<Route> {
    let Some(given) = given else { return Route::BY_DEFAULT.to_vec() };
    let mut routes = Vec::new();
    for (index, text) in given.items().iter().enumerate() {
        match named(text.as_str()) {
            Some(route) if routes.contains(&route) => {
                check.refuse(&format!("{KEY}[{index}]"), text, "is in the list twice");
            }
            Some(route) => routes.push(route),
            None => {
                let known = Route::ALL.map(Route::name).join(", ");
                let rule = format!("must be one of {known}");
                check.refuse(&format!("{KEY}[{index}]"), text, rule);
            }
        }
    }
    if routes.is_empty() && check.problems.is_empty() {
        check.refuse_key(KEY, "names no route, so nothing would be served; leave it out instead");
    }
    routes
}

/// The route of a name with or without `/v1`.
fn named(text: &str) -> Option<Route> {
    let name = text.trim_matches('/');
    Route::named(name.strip_prefix("v1/").unwrap_or(name))
}

/// Reads the routes that have a limit of their own, each as `name=bytes`.
pub(super) fn bytes_max(
    check: &mut Check,
    given: Option<&Texts>,
    range: &RangeInclusive<u64>,
) -> Vec<(Route, usize)> {
    let mut limits: Vec<(Route, usize)> = Vec::new();
    for (index, text) in given.into_iter().flat_map(Texts::items).enumerate() {
        let key = format!("limits.routeBytesMax[{index}]");
        let read = text.as_str().split_once('=').and_then(|(name, bytes)| {
            let bytes = whole_number(bytes.trim(), range)?;
            Some((named(name.trim())?, usize::try_from(bytes).ok()?))
        });
        match read {
            Some((route, _)) if limits.iter().any(|(other, _)| *other == route) => {
                check.refuse(&key, text, "names a route that is in the list already");
            }
            Some(limit) => limits.push(limit),
            None => {
                let (least, most) = (range.start(), range.end());
                let rule = format!(
                    "must be a route of service.routes and {least} to {most} bytes, as \
                     audio/transcriptions=67108864"
                );
                check.refuse(&key, text, rule);
            }
        }
    }
    limits
}

const KEY: &str = "service.routes";
