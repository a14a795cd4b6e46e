//! A command line of `--name value` and `--name=value`.

/// The arguments still to be read.
pub struct Flags<Args>(Args);

impl<Args: Iterator<Item = String>> Flags<Args> {
    /// Reads `args`, which begin after the program's name.
    pub fn new(args: Args) -> Self {
        Self(args)
    }

    /// Hands each pair to `take`, which answers with a sentence if it cannot use it.
    pub fn each(
        mut self,
        mut take: impl FnMut(&str, String) -> Result<(), String>,
    ) -> Result<(), String> {
        while let Some(arg) = self.0.next() {
            match arg.split_once('=') {
                Some((name, value)) => take(name, value.to_owned())?,
                None => {
                    let value = self.0.next().ok_or_else(|| format!("{arg} takes a value"))?;
                    take(&arg, value)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(args: &[&str]) -> Result<Vec<(String, String)>, String> {
        let mut pairs = Vec::new();
        Flags::new(args.iter().map(|arg| (*arg).to_owned())).each(|name, value| {
            pairs.push((name.to_owned(), value));
            Ok(())
        })?;
        Ok(pairs)
    }

    #[test]
    fn both_forms_are_read() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read = pairs(&["--a", "1", "--b=x=y", "--c="]).unwrap();
        assert_eq!(read, [pair("--a", "1"), pair("--b", "x=y"), pair("--c", "")]);
        assert_eq!(pairs(&["--a"]), Err("--a takes a value".to_owned()));
    }
}
