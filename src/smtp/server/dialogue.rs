//! The dialogue: what each command does, and the order they must come in (RFC 5321 section 4.1.4).

use super::arguments;
use super::arguments::{Extensions, Offer};
use super::chunking::Chunks;
use super::command;
use super::command::Command;
use super::forwarding;
use super::forwarding::Peer;
use super::login::Scram;
use super::reply;
use super::reply::Reply;
use super::session::{Event, Hello, Phase, Question, Session, StartTls};
use crate::smtp::Dialect;
use crate::smtp::limits;

/// What a command leads to: a question or an order for the driver, or an error of the client's.
pub(super) type Turn = Result<Option<Event<'static>>, &'static Reply>;

impl Session {
    /// Runs one command line.
    pub(super) fn execute(&mut self, line: &[u8], out: &mut Vec<u8>) -> Option<Event<'static>> {
        let turn = command::parse(line).and_then(|command| self.perform(command, out));
        turn.unwrap_or_else(|error| {
            self.fault(error, out);
            None
        })
    }

    fn perform(&mut self, command: Command<'_>, out: &mut Vec<u8>) -> Turn {
        match (command, self.settings.dialect) {
            (Command::Ehlo(name), Dialect::Smtp) => self.hello(name, Extensions::Offered, out),
            (Command::Helo(name), Dialect::Smtp) => self.hello(name, Extensions::None, out),
            (Command::Lhlo(name), Dialect::Lmtp) => self.hello(name, Extensions::Offered, out),
            (Command::Ehlo(_) | Command::Helo(_) | Command::Lhlo(_), _) => Err(&reply::UNKNOWN_COMMAND),
            (Command::Mail(argument), _) => self.mail(argument, out),
            (Command::Rcpt(argument), _) => self.rcpt(argument, out),
            (Command::Data, _) => self.data(),
            (Command::Bdat(argument), _) => self.bdat(argument, out),
            (Command::Auth(argument), _) => self.auth(argument, out),
            (Command::XClient(argument), _) => self.xclient(argument, out),
            (Command::XForward(argument), _) => self.xforward(argument, out),
            (Command::StartTls, _) => self.start_tls(out),
            (Command::Rset, _) => {
                self.reset();
                self.answer(&reply::OK, out)
            }
            (Command::Noop, _) => self.answer(&reply::OK, out),
            (Command::Vrfy, _) => self.answer(&reply::CANNOT_VERIFY, out),
            (Command::Help, _) => self.answer(&reply::HELP, out),
            (Command::Quit, _) => self.last(&reply::BYE, out),
            (Command::NotImplemented, _) => Err(&reply::NOT_IMPLEMENTED),
            (Command::Foreign, _) => self.last(&reply::FOREIGN_PROTOCOL, out),
        }
    }

    fn answer(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Turn {
        self.say(reply, out);
        Ok(None)
    }

    /// A reply behind which nothing is read any more.
    pub(super) fn last(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Turn {
        self.hang_up(reply, out);
        Ok(None)
    }

    /// A refused name leaves everything as it was; an accepted one resets the transaction (RFC 5321 section 4.1.4).
    fn hello(&mut self, name: &str, extensions: Extensions, out: &mut Vec<u8>) -> Turn {
        if name.is_empty() || name.len() > limits::CLIENT_NAME_BYTES_MAX || name.contains(' ') {
            return Err(&reply::BAD_CLIENT_NAME);
        }
        self.hello = Some(Hello { name: name.to_owned(), extensions });
        self.reset();
        match extensions {
            Extensions::None => out.extend_from_slice(format!("250 {}\r\n", self.settings.hostname).as_bytes()),
            Extensions::Offered => self.offer(out),
        }
        Ok(None)
    }

    /// The reply to EHLO. Nothing stands here that the session does not do in full.
    fn offer(&self, out: &mut Vec<u8>) {
        let mut lines = vec![self.settings.hostname.clone(), "PIPELINING".to_owned()];
        lines.push(format!("SIZE {}", self.settings.message_bytes_max));
        if self.settings.starttls == StartTls::Offered && self.tls.is_none() {
            lines.push("STARTTLS".to_owned());
        }
        if self.offers_auth() {
            let scram = if self.scram == Scram::Offered { "SCRAM-SHA-256 " } else { "" };
            lines.push(format!("AUTH {scram}PLAIN LOGIN"));
        }
        lines.extend(["8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "DSN"].map(str::to_owned));
        if self.tls.is_some() {
            lines.push("REQUIRETLS".to_owned());
        }
        if self.peer == Peer::Trusted {
            lines.push(format!("XFORWARD {}", forwarding::XFORWARD.attributes));
            lines.push(format!("XCLIENT {}", forwarding::XCLIENT.attributes));
        }
        for line in &lines {
            out.extend_from_slice(format!("250-{line}\r\n").as_bytes());
        }
        out.extend_from_slice(b"250 HELP\r\n");
    }

    fn mail(&mut self, argument: &str, out: &mut Vec<u8>) -> Turn {
        let hello = self.hello.as_ref().ok_or(&reply::HELLO_FIRST)?;
        if self.transaction.is_some() {
            return Err(&reply::NESTED_MAIL);
        }
        let offered = |is: bool| if is { hello.extensions } else { Extensions::None };
        let offer = Offer {
            extensions: hello.extensions,
            auth: offered(self.offers_auth()),
            require_tls: offered(self.tls.is_some()),
        };
        let mail = arguments::mail(argument, offer)?;
        if mail.declared_bytes.is_some_and(|bytes| bytes > self.settings.message_bytes_max) {
            return self.answer(self.settings.too_large(), out);
        }
        self.phase = Phase::Asked(Question::Mail(mail.envelope.clone()));
        Ok(Some(Event::Mail(mail)))
    }

    fn rcpt(&mut self, argument: &str, out: &mut Vec<u8>) -> Turn {
        let hello = self.hello.as_ref().ok_or(&reply::HELLO_FIRST)?;
        let transaction = self.transaction.as_ref().ok_or(&reply::MAIL_FIRST)?;
        if !matches!(transaction.chunks, Chunks::None) {
            return Err(&reply::CHUNKS_UNDER_WAY);
        }
        let envelope = &transaction.envelope;
        let recipient = arguments::rcpt(argument, hello.extensions, envelope.smtputf8)?;
        if envelope.recipients.len() >= self.settings.recipients_max {
            return self.answer(&reply::TOO_MANY_RECIPIENTS, out);
        }
        self.phase = Phase::Asked(Question::Rcpt(recipient.clone()));
        Ok(Some(Event::Rcpt(recipient)))
    }

    fn data(&mut self) -> Turn {
        self.has_recipients()?;
        if self.transaction.as_ref().is_some_and(|t| !matches!(t.chunks, Chunks::None)) {
            return Err(&reply::CHUNKS_UNDER_WAY);
        }
        self.phase = Phase::Asked(Question::Data);
        Ok(Some(Event::Data))
    }

    /// Whether content may come.
    pub(super) fn has_recipients(&self) -> Result<(), &'static Reply> {
        self.hello.as_ref().ok_or(&reply::HELLO_FIRST)?;
        let transaction = self.transaction.as_ref().ok_or(&reply::MAIL_FIRST)?;
        if transaction.envelope.recipients.is_empty() {
            // RFC 2033 section 4.2 wants 503 in LMTP whatever the reason.
            let all_refused = transaction.refused_recipients > 0 && self.settings.dialect == Dialect::Smtp;
            return Err(if all_refused { &reply::NO_VALID_RECIPIENTS } else { &reply::RCPT_FIRST });
        }
        Ok(())
    }

    fn start_tls(&mut self, out: &mut Vec<u8>) -> Turn {
        if self.settings.starttls == StartTls::Absent {
            return Err(&reply::NOT_IMPLEMENTED);
        }
        if self.tls.is_some() {
            return Err(&reply::ALREADY_TLS);
        }
        reply::START_TLS.write(out);
        self.phase = Phase::Handshake;
        Ok(Some(Event::StartTls))
    }
}
