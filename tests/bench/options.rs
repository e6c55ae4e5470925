//! The command line of a benchmark: `--name VALUE`, and flags without a value. Cargo's own `--bench` is passed over.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What was given.
#[derive(Debug)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Reads the command line; only these names may stand in it.
    pub fn read(valued: &[&str], flags: &[&str]) -> Result<Options, String> {
        let (mut given, mut read) = (std::env::args().skip(1), BTreeMap::new());
        while let Some(name) = given.next() {
            let value = match name.as_str() {
                "--bench" => continue,
                flag if flags.contains(&flag) => String::new(),
                known if valued.contains(&known) || known == "--dir" => {
                    given.next().ok_or(format!("{name} wants a value"))?
                }
                other => return Err(format!("unknown argument {other}")),
            };
            read.insert(name, value);
        }
        Ok(Options(read))
    }
    /// A number, or what it is when it was not given.
    pub fn number(&self, name: &str, otherwise: usize) -> Result<usize, String> {
        let read = |text: &String| text.parse().map_err(|e| format!("{name} {text}: {e}"));
        self.0.get(name).map_or(Ok(otherwise), read)
    }
    /// Whether a flag was given.
    pub fn has(&self, flag: &str) -> bool {
        self.0.contains_key(flag)
    }
    /// Where the gateway keeps its data: on a real disk.
    pub fn dir(&self) -> PathBuf {
        self.0.get("--dir").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
    }
}
