//! SMTP: messages to a server that delivers them, to whom they went the first time or to whom a person names. Nobody is told of what comes of
//! it: the senders of old mail have nothing to do with its restore.

use super::progress::{Known, Progress};
use super::{Fault, Message, Put};
use crate::gateway::config::{Config, HostPort, Route};
use crate::gateway::delivery::{Connection, open_for_command};
use crate::mail::{Address, BodyType, Envelope, MailId, Recipient};
use crate::smtp::client::{Chunking, Next, Outcome, Survey, Verdict};

/// Transactions for one message, where the server takes few recipients at once.
const TRANSACTIONS_MAX: usize = 1000;

/// Sessions with a server, one at a time.
pub struct Sending<'a> {
    /// For timeouts and our name.
    pub config: &'a Config,
    /// How TLS and login are done.
    pub route: Route,
    /// Where it is.
    pub hop: HostPort,
    /// To whom, in place of the original recipients.
    pub recipients: Vec<Address>,
    /// The session, while it can be used.
    pub connection: Option<Connection>,
    /// Whether BDAT is understood.
    pub chunking: Chunking,
}

impl std::fmt::Debug for Sending<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sending({})", self.hop)
    }
}

impl Sending<'_> {
    /// Sends a message to those of its recipients who do not have it. `Skipped` when all have it.
    pub async fn send(&mut self, message: &Message<'_>, progress: &mut Progress) -> Result<Put, Fault> {
        let id = message.row.id;
        let mut open = self.recipients_of(message.envelope);
        if open.is_empty() {
            return Err(Fault::Message("has no recipients; name one with --rcpt".to_owned()));
        }
        open.retain(|recipient| progress.of(&id, &recipient.to_string()) != Known::There);
        if open.is_empty() {
            return Ok(Put::Skipped);
        }
        let mut refused = Vec::new();
        for _ in 0..TRANSACTIONS_MAX {
            let before = open.len();
            open = self.transaction(message, &open, progress, &mut refused).await?;
            match open.len() {
                0 => break,
                left if left == before && self.chunking == Chunking::Fine => break,
                _ => {}
            }
        }
        refused.extend(open.iter().map(|recipient| format!("<{recipient}>: not taken in this session")));
        if refused.is_empty() { Ok(Put::Done) } else { Err(Fault::Message(refused.join("; "))) }
    }

    fn recipients_of(&self, envelope: &Envelope) -> Vec<Address> {
        let mut recipients = self.recipients.clone();
        if recipients.is_empty() {
            recipients = envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        }
        // One who was named twice gets it once.
        let mut seen = std::collections::BTreeSet::new();
        recipients.retain(|recipient| seen.insert(recipient.canonical()));
        recipients
    }

    /// Offers a message to recipients; those who are to be offered again come back.
    async fn transaction(
        &mut self,
        message: &Message<'_>,
        recipients: &[Address],
        progress: &mut Progress,
        refused: &mut Vec<String>,
    ) -> Result<Vec<Address>, Fault> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let opened = open_for_command(self.config, &self.route, &self.hop, self.chunking).await;
                opened.map_err(|e| Fault::Ended(format!("{}: {e}", self.hop)))?
            }
        };
        let id: MailId = message.row.id;
        let names: Vec<String> = recipients.iter().map(ToString::to_string).collect();
        progress.begin(&id, &names).map_err(Fault::Ended)?;
        let survey = Survey::of(message.octets);
        let envelope = envelope(message, recipients);
        let report = connection.deliver(envelope, survey, message.octets, &self.config.timeouts).await;
        self.chunking = report.chunking;
        let mut again = Vec::new();
        let mut lost = None;
        for ((recipient, name), outcome) in recipients.iter().zip(names).zip(&report.outcomes) {
            match outcome.verdict {
                Verdict::Delivered => progress.done(&id, &[name]).map_err(Fault::Ended)?,
                Verdict::NextTransaction => again.push(recipient.clone()),
                Verdict::Deferred if report.chunking == Chunking::Refused => again.push(recipient.clone()),
                Verdict::InDoubt => lost = Some(format!("{id}: {}: {}", self.hop, outcome.text)),
                Verdict::Deferred | Verdict::Unfit | Verdict::Failed => refused.push(words(recipient, outcome)),
            }
        }
        match (report.next, lost) {
            (_, Some(lost)) => return Err(Fault::Ended(lost)),
            (Next::Reuse, None) => self.connection = Some(connection),
            (Next::Close, None) => {}
        }
        Ok(again)
    }

    /// Says goodbye.
    pub async fn close(self) {
        if let Some(connection) = self.connection {
            connection.quit().await;
        }
    }
}

fn words(recipient: &Address, outcome: &Outcome) -> String {
    format!("<{recipient}>: {}", outcome.text)
}

/// The sender it had, and nobody to be told.
fn envelope(message: &Message<'_>, recipients: &[Address]) -> Envelope {
    let sender = message.envelope.sender.clone();
    let needs_utf8 = sender.iter().chain(recipients).any(Address::is_internationalized) || message.envelope.smtputf8;
    let recipient =
        |address: &Address| Recipient { notify: Some("NEVER".to_owned()), ..Recipient::new(address.clone()) };
    Envelope {
        sender,
        recipients: recipients.iter().map(recipient).collect(),
        body: if message.octets.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
        ret: None,
        envid: None,
        smtputf8: needs_utf8,
        require_tls: message.envelope.require_tls,
    }
}
