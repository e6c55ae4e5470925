//! IMAP APPEND: messages into a mailbox of another server, each under its own date and read. Never logs in without TLS.

use super::target::Encryption;
use super::{Fault, Message};
use crate::gateway::config::HostPort;
use crate::gateway::wire::Stream;
use crate::imap::client::{self, Capabilities, Literal, Replies, Reply, Status};
use rustls::ClientConfig;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long the server may take to answer: an APPEND waits for its disk.
const ANSWER: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(30);
/// Octets written at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A session that is logged in.
#[derive(Debug)]
pub struct Appending {
    stream: Stream,
    replies: Replies,
    offered: Capabilities,
    mailbox: String,
    commands: u32,
}

/// How a command ended: its status and the server's words.
type Ended = (Status, String);

impl Appending {
    /// Connects, encrypts and logs in. The error is for people.
    pub async fn open(
        hop: &HostPort,
        encryption: Encryption,
        tls: Arc<ClientConfig>,
        login: (&str, &str),
        mailbox: &str,
    ) -> Result<Appending, String> {
        let connecting = tokio::time::timeout(CONNECT, TcpStream::connect((hop.host.as_str(), hop.port))).await;
        let tcp = connecting.map_err(|_| "timed out connecting".to_owned())?.map_err(|e| e.to_string())?;
        tcp.set_nodelay(true).map_err(|e| e.to_string())?;
        let mut session = Appending {
            stream: Stream::Plain(tcp),
            replies: Replies::default(),
            offered: Capabilities::default(),
            mailbox: mailbox.to_owned(),
            commands: 0,
        };
        if encryption == Encryption::Implicit {
            session = session.encrypt(tls.clone(), hop).await?;
        }
        match session.reply().await? {
            Reply::Untagged(text) if text.to_ascii_uppercase().starts_with("OK") => {}
            Reply::Untagged(text) => return Err(format!("the server does not want us: {text}")),
            _ => return Err("the server does not speak IMAP".to_owned()),
        }
        if encryption == Encryption::StartTls {
            session.must("STARTTLS").await?;
            if !session.replies.is_empty() {
                return Err("the server sent something between STARTTLS and TLS".to_owned());
            }
            session = session.encrypt(tls, hop).await?;
        }
        session.log_in(login).await?;
        session.ask_capabilities().await?;
        Ok(session)
    }

    async fn encrypt(self, tls: Arc<ClientConfig>, hop: &HostPort) -> Result<Appending, String> {
        let stream = self.stream.connect_tls(tls, &hop.host).await.map_err(|e| format!("TLS handshake: {e}"))?;
        Ok(Appending { stream, ..self })
    }

    async fn log_in(&mut self, (user, password): (&str, &str)) -> Result<(), String> {
        self.ask_capabilities().await?;
        if !self.offered.has("AUTH=PLAIN") {
            return Err("the server does not offer AUTHENTICATE PLAIN".to_owned());
        }
        let tag = self.tag();
        self.write(format!("{tag} AUTHENTICATE PLAIN\r\n").as_bytes()).await?;
        let ended = match self.until(&tag, Awaits::Continue).await? {
            None => {
                let response = client::plain(user, password);
                self.write(response.as_bytes()).await?;
                self.write(b"\r\n").await?;
                self.end(&tag).await?
            }
            Some(ended) => ended,
        };
        match ended {
            (Status::Ok, _) => Ok(()),
            (_, text) => Err(format!("login refused: {text}")),
        }
    }

    async fn ask_capabilities(&mut self) -> Result<(), String> {
        self.must("CAPABILITY").await
    }

    async fn must(&mut self, command: &str) -> Result<(), String> {
        let tag = self.tag();
        self.write(format!("{tag} {command}\r\n").as_bytes()).await?;
        match self.end(&tag).await? {
            (Status::Ok, _) => Ok(()),
            (_, text) => Err(format!("{command}: {text}")),
        }
    }

    /// Adds a message; makes the mailbox when there is none.
    pub async fn append(&mut self, message: &Message<'_>) -> Result<(), Fault> {
        let (mut status, mut text) = self.try_append(message).await?;
        if status == Status::No && text.to_ascii_uppercase().starts_with("[TRYCREATE]") {
            let tag = self.tag();
            let command = client::create(&tag, &self.mailbox).map_err(|e| Fault::Ended(e.to_string()))?;
            self.write(&command).await.map_err(Fault::Ended)?;
            match self.end(&tag).await.map_err(Fault::Ended)? {
                (Status::Ok, _) => (status, text) = self.try_append(message).await?,
                (_, text) => return Err(Fault::Ended(format!("the mailbox cannot be made: {text}"))),
            }
        }
        match status {
            Status::Ok => Ok(()),
            Status::No | Status::Bad => Err(Fault::Message(text)),
        }
    }

    async fn try_append(&mut self, message: &Message<'_>) -> Result<Ended, Fault> {
        let tag = self.tag();
        let said = client::append(&tag, &self.mailbox, message.row.internal_date, message.octets, &self.offered);
        let (line, literal) = said.map_err(|e| Fault::Message(e.to_string()))?;
        self.write(&line).await.map_err(Fault::Ended)?;
        if literal == Literal::Asked
            && let Some(ended) = self.until(&tag, Awaits::Continue).await.map_err(Fault::Ended)?
        {
            return Ok(ended);
        }
        for chunk in message.octets.chunks(CHUNK_BYTES) {
            self.write(chunk).await.map_err(Fault::Ended)?;
        }
        self.write(b"\r\n").await.map_err(Fault::Ended)?;
        self.end(&tag).await.map_err(Fault::Ended)
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        let tag = self.tag();
        if self.write(format!("{tag} LOGOUT\r\n").as_bytes()).await.is_ok() {
            // Whatever it says, all is appended.
            drop(self.end(&tag).await);
        }
        self.stream.close().await;
    }

    fn tag(&mut self) -> String {
        self.commands = self.commands.wrapping_add(1);
        format!("a{}", self.commands)
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), String> {
        self.stream.write(octets).await.map_err(|e| lost(&e))
    }

    async fn end(&mut self, tag: &str) -> Result<Ended, String> {
        self.until(tag, Awaits::End).await?.ok_or_else(|| "the server wants more than there is".to_owned())
    }

    /// Reads until a command has ended, or (`None`) the server waits for what comes next.
    async fn until(&mut self, tag: &str, awaits: Awaits) -> Result<Option<Ended>, String> {
        loop {
            match self.reply().await? {
                Reply::Continue if awaits == Awaits::Continue => return Ok(None),
                Reply::Continue => return Err("the server wants more than there is".to_owned()),
                Reply::Tagged { tag: which, status, text } if which == tag => return Ok(Some((status, text))),
                Reply::Tagged { .. } => return Err("the server answers what was not asked".to_owned()),
                Reply::Untagged(text) => {
                    if let Some(offered) = Capabilities::parse(&text) {
                        self.offered = offered;
                    }
                    if text.to_ascii_uppercase().starts_with("BYE") && awaits == Awaits::Continue {
                        return Err(format!("the server ends the session: {text}"));
                    }
                }
            }
        }
    }

    async fn reply(&mut self) -> Result<Reply, String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(reply) = self.replies.take().map_err(|e| e.to_string())? {
                return Ok(reply);
            }
            match self.stream.read(&mut buffer, ANSWER).await.map_err(|e| lost(&e))? {
                0 => return Err("the server closed the connection".to_owned()),
                count => self.replies.push(&buffer[..count]),
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    Continue,
    End,
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "the server does not answer".to_owned(),
        _ => format!("connection lost: {error}"),
    }
}
