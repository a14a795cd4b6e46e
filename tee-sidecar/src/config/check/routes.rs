//! `service.routes`: the inference routes that are served.

use super::super::text::Texts;
use super::values::Check;
use crate::route::Route;

/// Reads the list; without one it is what every engine counts in tokens.
pub(super) fn routes(check: &mut Check, given: Option<&Texts>) -> Vec<Route> {
    let Some(given) = given else { return Route::BY_DEFAULT.to_vec() };
    let mut routes = Vec::new();
    for (index, text) in given.items().iter().enumerate() {
        let name = text.as_str().trim_matches('/');
        match Route::named(name.strip_prefix("v1/").unwrap_or(name)) {
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

const KEY: &str = "service.routes";
