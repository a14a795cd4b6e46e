//! From a file and the environment to [`Settings`].

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

use super::check::{self, Check};
use super::error::{ConfigError, Problem};
use super::raw::RawSettings;
use super::{Settings, env};

impl Settings {
    /// Reads `file` (without one, the defaults), puts the environment's overrides over it and
    /// checks every value. All refused values are reported together.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut raw = match file {
            Some(path) => RawSettings::parse(&text_of(path)?)?,
            None => RawSettings::default(),
        };
        let mut check = Check::default();
        check::one_serving_url(&mut check, &mut raw);
        check.problems.extend(env::override_with(&mut raw, environment));
        let settings = check::settings(&mut check, &raw);
        if check.problems.is_empty() { Ok(settings) } else { Err(check.problems.into()) }
    }
}

fn text_of(path: &Path) -> Result<Zeroizing<String>, Problem> {
    let refused = |rule: String| Problem {
        value: Some(path.display().to_string()),
        ..Problem::of("--config", rule)
    };
    let bytes = fs::read(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
    String::from_utf8(bytes)
        .map(Zeroizing::new)
        .map_err(|_| refused("must be UTF-8 text".to_owned()))
}
