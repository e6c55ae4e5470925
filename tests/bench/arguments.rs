//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

/// Parts of the course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Mail that no rule changes, by size.
    PassThrough,
    /// The same through Postfix.
    Postfix,
    /// Sender and next hop alone.
    Harness,
    /// Half of what the gateway can do.
    HalfLoad,
    /// Signed and encrypted mail.
    Protected,
}

const PARTS: &[(&str, Part)] = &[
    ("pass", Part::PassThrough),
    ("postfix", Part::Postfix),
    ("harness", Part::Harness),
    ("half", Part::HalfLoad),
    ("protect", Part::Protected),
];

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Table,
    /// One object a line.
    Json,
}

/// The command line.
#[derive(Debug)]
pub struct Arguments {
    /// How long each measurement sends.
    pub duration: Duration,
    /// Message sizes in KB.
    pub sizes_kb: Vec<usize>,
    /// Where the gateway keeps its data: on a real disk.
    pub dir: PathBuf,
    /// What is measured.
    pub parts: Vec<Part>,
    /// How it is printed.
    pub form: Form,
}

impl Arguments {
    /// Reads the command line without the program's name. Cargo's own `--bench` is passed over.
    pub fn parse(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut this = Arguments {
            duration: Duration::from_secs(5),
            sizes_kb: vec![2, 20, 200],
            dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            parts: PARTS.iter().map(|(_, part)| *part).collect(),
            form: Form::Table,
        };
        while let Some(name) = given.next() {
            let mut value = || given.next().ok_or(format!("{name} wants a value"));
            match name.as_str() {
                "--bench" => {}
                "--json" => this.form = Form::Json,
                "--seconds" => this.duration = Duration::from_secs(number(&value()?)?),
                "--sizes" => {
                    this.sizes_kb = list(&value()?, |s| usize::try_from(number(s)?).map_err(|e| e.to_string()))?
                }
                "--dir" => this.dir = PathBuf::from(value()?),
                "--only" => this.parts = list(&value()?, part)?,
                other => return Err(format!("unknown argument {other}")),
            }
        }
        Ok(this)
    }

    /// Whether a part is wanted.
    pub fn wants(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or(format!("{text} is no number above 0"))
}

fn part(name: &str) -> Result<Part, String> {
    let found = PARTS.iter().find(|(known, _)| *known == name);
    found.map(|(_, part)| *part).ok_or_else(|| format!("{name}: parts are pass, postfix, harness, half, protect"))
}

fn list<T>(text: &str, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(item).collect()
}
