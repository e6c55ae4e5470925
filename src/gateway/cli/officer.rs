//! `sealpost archive officer` and `drill`: who can open the archive. New generations of its key are made here, in the command's own
//! process; a running gateway is given the file, which holds public halves and encrypted pieces only.

use super::officer_args::{Making, Officer, Openers};
use super::{Failure, Out, ask, openers, piece, talk};
use crate::archive::{Archive, Certificate, Gathering, Generation, Origin, Purpose, Wanted, next_generation};
use crate::clock::{Clock, SystemClock};
use crate::crypto::hash;
use crate::durable::RealDisk;
use crate::gateway::config::{Config, View};
use crate::gateway::control::Request;
use crate::gateway::drills::Drills;
use crate::gateway::error::Error;
use crate::gateway::post::Places;
use crate::gateway::{files, offline, rows};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Octets of a generation file or a certificate.
const FILE_BYTES_MAX: u64 = 1 << 20;
const LISTED: [&str; 5] = ["number", "fingerprint", "encryption", "last_drill", "user_ids"];
const MADE: [&str; 5] = ["generation", "threshold", "officers", "added", "removed"];

/// Runs one of the commands.
pub fn run(command: Officer, config: impl Fn() -> Result<PathBuf, files::Error>, out: &Out) -> Result<(), Failure> {
    match command {
        Officer::List { from } => list(&Base::open(from.as_deref(), config)?, out),
        Officer::Piece { officer, with, output, from } => {
            let base = Base::open(from.as_deref(), config)?;
            piece::write(&base.generation, &officer, &with, output.as_deref(), out)
        }
        Officer::Add { certificates, making, by } => {
            let base = Base::open(making.from.as_deref(), config)?;
            let officers = added(&base.generation, &certificates)?;
            change(&base, &officers, &making, &by, out)
        }
        Officer::Remove { officers, making, by } => {
            let base = Base::open(making.from.as_deref(), config)?;
            let officers = remaining(&base.generation, &officers)?;
            change(&base, &officers, &making, &by, out)
        }
        Officer::Rekey { certificates, making, by } => {
            let base = Base::open(making.from.as_deref(), config)?;
            let officers = refreshed(&base.generation, &certificates)?;
            change(&base, &officers, &making, &by, out)
        }
        Officer::Install { file } => {
            let base = Base::open(None, config)?;
            let made = read_generation(&file)?;
            install(&base, &made, out)
        }
    }
}

/// The generation that is asked about or followed, and the gateway it is of, if that is here.
struct Base {
    generation: Arc<Generation>,
    gateway: Option<Here>,
}

struct Here {
    config_path: PathBuf,
    config: Config,
    places: Places,
    archive: Archive,
}

impl Here {
    fn open(config_path: PathBuf) -> Result<Here, Failure> {
        let config = files::configuration(&config_path)?;
        let places = Places::of(&config);
        let archive = Archive::open_read_only(Arc::new(RealDisk), &places.archive)
            .map_err(|e| Error::archive(&places.archive, &e))?;
        Ok(Here { config_path, config, places, archive })
    }
}

impl Base {
    fn open(from: Option<&Path>, config: impl Fn() -> Result<PathBuf, files::Error>) -> Result<Base, Failure> {
        let Some(file) = from else {
            let here = Here::open(config()?)?;
            return Ok(Base { generation: here.archive.generation(), gateway: Some(here) });
        };
        let generation = read_generation(file)?;
        // Made beside the gateway's archive it is made on its host, whatever file it is made from.
        let here = config().ok().and_then(|path| Here::open(path).ok());
        let gateway = here.filter(|here| here.archive.id() == generation.archive);
        Ok(Base { generation: Arc::new(generation), gateway })
    }
    fn view(&self) -> Option<&View> {
        self.gateway.as_ref().map(|here| &here.config.view)
    }
    fn origin(&self) -> Origin {
        if self.gateway.is_some() { Origin::Gateway } else { Origin::Elsewhere }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut octets));
    read.map_err(|e| Error::io(path, &e))?;
    if octets.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::bad(format!("{}: longer than it can be", path.display())));
    }
    Ok(octets)
}

fn read_generation(path: &Path) -> Result<Generation, Failure> {
    Generation::parse(&read_file(path)?).map_err(|what| {
        Failure::bad(format!("{}: no generation of an archive key: {what}", path.display()))
            .with_help("the gateway keeps them as archive/keys/generation-N; the newest is followed")
    })
}

fn list(base: &Base, out: &Out) -> Result<(), Failure> {
    let drills = match &base.gateway {
        Some(here) => Drills::load(&RealDisk, &here.places.drills)?,
        None => Drills::default(),
    };
    out.table(&LISTED, &rows::officers::list(&base.generation, &drills).map_err(Failure::bad)?)?;
    out.line(&rows::officers::about(&base.generation))?;
    if base.gateway.is_some()
        && let Some(alarm) = drills.alarm(&base.generation, SystemClock.now())
    {
        talk("warning", &alarm, None);
    }
    Ok(())
}

fn certificate(octets: &[u8], what: &str) -> Result<Certificate, Failure> {
    Certificate::parse(octets, SystemClock.now()).map_err(|e| {
        Failure::bad(format!("{what}: {e}"))
            .with_help("an OpenPGP certificate that can encrypt: gpg --export --armor OFFICER; `rekey --cert FILE` takes a newer copy")
    })
}

fn from_file(path: &Path) -> Result<Certificate, Failure> {
    certificate(&read_file(path)?, &path.display().to_string())
}

/// The certificates of present officers, but for those that `replaced` has.
fn present(generation: &Generation, replaced: &[Certificate]) -> Result<Vec<Certificate>, Failure> {
    let of = |officer: &crate::archive::keys::Officer| {
        let newer = replaced.iter().find(|certificate| certificate.fingerprint() == officer.fingerprint);
        newer.cloned().map_or_else(|| certificate(&officer.certificate, &officer.fingerprint), Ok)
    };
    generation.officers.iter().map(of).collect()
}

fn added(generation: &Generation, files: &[PathBuf]) -> Result<Vec<Certificate>, Failure> {
    let mut officers = present(generation, &[])?;
    for file in files {
        let new = from_file(file)?;
        if officers.iter().any(|officer| officer.fingerprint() == new.fingerprint()) {
            return Err(Failure::bad(format!("{}: {} is an officer already", file.display(), new.fingerprint()))
                .with_help("`rekey --cert FILE` takes a newer copy of a certificate"));
        }
        officers.push(new);
    }
    Ok(officers)
}

fn remaining(generation: &Generation, names: &[String]) -> Result<Vec<Certificate>, Failure> {
    let number = |name: &String| {
        generation.officer(name).ok_or_else(|| {
            Failure::bad(format!("`{name}` is no officer of generation {}", generation.number))
                .with_help("`sealpost archive officer list` shows fingerprints and numbers")
        })
    };
    let gone = names.iter().map(number).collect::<Result<Vec<u8>, _>>()?;
    let stays = |(at, officer): (u8, &crate::archive::keys::Officer)| {
        (!gone.contains(&at)).then(|| certificate(&officer.certificate, &officer.fingerprint))
    };
    (0u8..).zip(&generation.officers).filter_map(stays).collect()
}

fn refreshed(generation: &Generation, files: &[PathBuf]) -> Result<Vec<Certificate>, Failure> {
    let newer = files.iter().map(|file| from_file(file)).collect::<Result<Vec<_>, _>>()?;
    for certificate in &newer {
        if generation.officer(&certificate.fingerprint()).is_none() {
            return Err(Failure::bad(format!("{} is no officer", certificate.fingerprint()))
                .with_help("`sealpost archive officer add FILE` makes one"));
        }
    }
    present(generation, &newer)
}

/// A new generation for these officers, opened by those of the present one.
fn change(base: &Base, officers: &[Certificate], making: &Making, by: &Openers, out: &Out) -> Result<(), Failure> {
    let former = &base.generation;
    let threshold = making.threshold.unwrap_or(former.threshold);
    if usize::from(threshold) > officers.len() {
        return Err(Failure::bad(format!("{} officers would be left and {threshold} be needed", officers.len()))
            .with_help("--threshold M says how many it takes"));
    }
    let secrets = openers::secrets(by, base.view(), former)?;
    let absent = secrets.absent();
    if !absent.is_empty() {
        talk(
            "warning",
            &format!("generations {absent:?} cannot be opened with this one; nor will they with the next"),
            None,
        );
    }
    let wanted = Wanted { officers, threshold, origin: base.origin(), now: SystemClock.now() };
    let made = next_generation(former, &secrets, &wanted).map_err(Failure::bad)?;
    drop(secrets);
    match &making.output {
        None => install(base, &made, out),
        Some(path) => {
            let mut options = OpenOptions::new();
            let opened = options.write(true).create_new(true).mode(0o600).open(path);
            let written = opened.and_then(|mut file| file.write_all(&made.encode()).and_then(|()| file.flush()));
            written.map_err(|e| Error::io(path, &e))?;
            let mut row = rows::officers::change(former, &made);
            row["file"] = Value::from(path.display().to_string());
            talk(
                "note",
                "nothing has changed yet",
                Some("`sealpost archive officer install FILE` on the gateway takes it into use"),
            );
            out.record(&MADE, &row)
        }
    }
}

/// Takes a generation into use, through the running gateway or in its place.
fn install(base: &Base, made: &Generation, out: &Out) -> Result<(), Failure> {
    let Some(here) = &base.gateway else { return Err(Failure::bad("the archive of this key is not here")) };
    let former = here.archive.generation();
    let file = made.encode();
    let shown = match ask(&here.places, &Request::InstallGeneration { file: hash::hex(&file) })? {
        Some(rows) => rows.into_iter().next().unwrap_or_default(),
        None => {
            let (journal, archive) = offline::open_store(&here.config_path)?;
            archive
                .install(&journal, &file, SystemClock.now())
                .map_err(|e| Error::archive(&here.places.archive, &e))?;
            json!({})
        }
    };
    let archive = Archive::open_read_only(Arc::new(RealDisk), &here.places.archive)
        .map_err(|e| Error::archive(&here.places.archive, &e))?;
    let warnings = rows::officers::warnings(&archive, &former, made).map_err(Failure::bad)?;
    warnings.iter().for_each(|warning| talk("warning", warning, None));
    let mut row = rows::officers::change(&former, made);
    if let (Value::Object(row), Value::Object(shown)) = (&mut row, shown) {
        row.extend(shown);
    }
    // People have read them already.
    if out.form() == super::Form::Json {
        row["warnings"] = Value::from(warnings);
    }
    out.record(&MADE, &row)
}

/// Officers prove that they can open.
pub fn drill(by: &Openers, config_path: &Path, out: &Out) -> Result<(), Failure> {
    let here = Here::open(config_path.to_owned())?;
    let generation = here.archive.generation();
    let shares = openers::shares(by, Some(&here.config.view), &generation, Purpose::Prove)?;
    let mut gathering = Gathering::new(generation.clone());
    gathering.add(&shares).map_err(Failure::bad)?;
    let proved = gathering.proved().map_err(Failure::bad)?;
    if proved.is_empty() {
        let refused = gathering.secrets_now().map(|_| ()).map_err(Failure::bad);
        return refused.map_err(|failure| failure.with_help("a drill takes as many officers as opening does"));
    }
    let absent = gathering.secrets_now().map_err(Failure::bad)?.absent();
    let name = |officer: &u8| generation.officers.get(usize::from(*officer)).map(|o| o.fingerprint.clone());
    let officers: Vec<String> = proved.iter().filter_map(name).collect();
    let now = SystemClock.now();
    let drills = Drills::load(&RealDisk, &here.places.drills)?;
    let drills = drills.record(&RealDisk, &here.places.drills, generation.number, &officers, now)?;
    // Durable from here.
    if !absent.is_empty() {
        let text =
            format!("what was sealed to generations {absent:?} cannot be opened with generation {}", generation.number);
        talk("warning", &text, Some("those generations' own officers may still be able to"));
    }
    out.record(
        &["generation", "proved", "at"],
        &json!({
            "generation": generation.number, "proved": officers, "at": now.rfc3339(),
            "due": drills.due(&generation).rfc3339(), "absent": absent,
        }),
    )
}
