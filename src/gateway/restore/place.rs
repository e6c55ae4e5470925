//! A target opened: takes messages one by one, in whatever way it does.

use super::appending::Appending;
use super::progress::{Known, Progress};
use super::sending::Sending;
use super::target::Target;
use super::{Fault, Message, Put};
use crate::catalog::Row;
use crate::durable::Disk;
use crate::gateway::config::{Config, HostPort, NextHops, Route, RouteTls};
use crate::gateway::error::Error;
use crate::gateway::export::maildir::Maildir;
use crate::gateway::export::{Export, Writer};
use crate::gateway::post::Places;
use crate::gateway::tls::client as tls;
use crate::mail::Address;
use crate::smtp::client::Chunking;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

/// What else a person says of a target.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// To whom, in place of the original recipients (SMTP).
    pub recipients: Vec<Address>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities to trust; none: those of the system.
    pub ca_file: Option<PathBuf>,
}

/// An open target.
#[derive(Debug)]
pub enum Place<'a> {
    /// A Maildir.
    Maildir(Maildir),
    /// An mbox file.
    Mbox(Box<Writer>),
    /// A mail server.
    Smtp(Runtime, Box<Sending<'a>>, Progress),
    /// A mailbox.
    Imap(Runtime, Box<Appending>, Progress),
}

impl<'a> Place<'a> {
    /// Opens a target.
    pub fn open(disk: &dyn Disk, config: &'a Config, target: &Target, wishes: Wishes) -> Result<Place<'a>, Error> {
        let progress = || Progress::open(disk, &Places::of(config), target);
        match target {
            Target::Maildir(path) => Maildir::create(path).map(Place::Maildir),
            Target::Mbox(path) => Writer::create(Export::Mbox, path).map(|writer| Place::Mbox(Box::new(writer))),
            Target::Smtp { hop, user, tls } => {
                let credentials = match (user, &wishes.password_file) {
                    (None, _) => None,
                    (Some(user), Some(file)) => Some((user.as_str(), file.as_path())),
                    (Some(_), None) => return Err(no_password()),
                };
                let route = route(hop, *tls, wishes.ca_file.as_deref(), credentials)?;
                let sending = Sending {
                    config,
                    route,
                    hop: hop.clone(),
                    recipients: wishes.recipients,
                    connection: None,
                    chunking: Chunking::Fine,
                };
                Ok(Place::Smtp(runtime()?, Box::new(sending), progress()?))
            }
            Target::Imap { hop, user, mailbox, encryption } => {
                let password = password(wishes.password_file.as_deref().ok_or_else(no_password)?)?;
                let route = route(hop, RouteTls::Verified, wishes.ca_file.as_deref(), None)?;
                let settings = tls::settings(&route).map_err(|e| Error::of("TLS", e))?;
                let (runtime, progress) = (runtime()?, progress()?);
                let opening = Appending::open(hop, *encryption, settings, (user, &password), mailbox);
                let session = runtime.block_on(opening).map_err(|e| Error::of(hop, e).passing())?;
                Ok(Place::Imap(runtime, Box::new(session), progress))
            }
        }
    }

    /// Whether a message was perhaps handed over when a former run ended.
    pub fn is_in_doubt(&self, row: &Row, recipients: &[String]) -> bool {
        match self {
            Place::Maildir(_) | Place::Mbox(_) => false,
            Place::Imap(_, _, progress) => progress.of(&row.id, "") == Known::InDoubt,
            Place::Smtp(_, _, progress) => {
                recipients.iter().any(|recipient| progress.of(&row.id, recipient) == Known::InDoubt)
            }
        }
    }

    /// Whether a message is there without a look at it.
    pub fn has(&self, row: &Row) -> bool {
        match self {
            Place::Maildir(maildir) => maildir.has(row),
            Place::Imap(_, _, progress) => progress.of(&row.id, "") == Known::There,
            Place::Mbox(_) | Place::Smtp(..) => false,
        }
    }

    /// Takes a message.
    pub fn put(&mut self, message: &Message<'_>) -> Result<Put, Fault> {
        let done = |()| Put::Done;
        match self {
            Place::Maildir(maildir) => {
                maildir.add(message.row, message.octets).map(|_| Put::Done).map_err(|e| Fault::Ended(e.line()))
            }
            Place::Mbox(writer) => {
                writer.write(message.row, message.octets).map(done).map_err(|e| Fault::Ended(e.line()))
            }
            Place::Smtp(runtime, sending, progress) => runtime.block_on(sending.send(message, progress)),
            Place::Imap(runtime, session, progress) => {
                let mailbox = [String::new()];
                progress.begin(&message.row.id, &mailbox).map_err(Fault::Ended)?;
                runtime.block_on(session.append(message))?;
                progress.done(&message.row.id, &mailbox).map_err(Fault::Ended).map(done)
            }
        }
    }

    /// Writes out what is buffered, and says goodbye.
    pub fn finish(self) -> Result<(), Error> {
        match self {
            Place::Maildir(_) => Ok(()),
            Place::Mbox(writer) => writer.finish(),
            Place::Smtp(runtime, sending, _) => {
                runtime.block_on(sending.close());
                Ok(())
            }
            Place::Imap(runtime, session, _) => {
                runtime.block_on(session.close());
                Ok(())
            }
        }
    }
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| Error::of("runtime", e))
}

/// The route a configuration would have for this server.
fn route(hop: &HostPort, how: RouteTls, ca_file: Option<&Path>, login: Option<(&str, &Path)>) -> Result<Route, Error> {
    let mut table = toml::Table::new();
    table.insert("domains".into(), vec!["*".to_owned()].into());
    table.insert("next_hop".into(), hop.to_string().into());
    if let Some((user, file)) = login {
        let mut credentials = toml::Table::new();
        credentials.insert("user".into(), user.into());
        credentials.insert("password_file".into(), file.display().to_string().into());
        table.insert("credentials".into(), credentials.into());
    }
    let read: Route = table.try_into().map_err(|e| Error::of(hop, e))?;
    Ok(Route { tls: how, ca_file: ca_file.map(Path::to_owned), next_hop: NextHops::Listed(vec![hop.clone()]), ..read })
}

fn no_password() -> Error {
    Error::new("a password is needed to log in").with_help("--password-file FILE names a file whose first line it is")
}

/// The first line of a file.
fn password(file: &Path) -> Result<Zeroizing<String>, Error> {
    let text = Zeroizing::new(std::fs::read_to_string(file).map_err(|e| Error::io(file, &e))?);
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Error::of(file.display(), "its first line, the password, is empty"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}
