//! Small clients of the story: one that sends by SMTP, one that reads by IMAP, one by POP3; all over TLS.

use super::Unlike;
use crate::gateway::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// How long any answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// Octets of one line of an answer.
const LINE_BYTES_MAX: u64 = 1 << 20;

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn encrypt(stream: TcpStream, ca: &Path) -> Result<Tls, Unlike> {
    let config = tls::client::verified(ca).map_err(|e| Unlike::of("TLS", e))?;
    let name = ServerName::try_from("localhost").map_err(|e| Unlike::of("TLS", e))?;
    let connection = ClientConnection::new(config, name).map_err(|e| Unlike::of("TLS", e))?;
    Ok(StreamOwned::new(connection, stream))
}

/// A line protocol over any stream.
struct Lines<S: Read + Write>(BufReader<S>);

impl<S: Read + Write> Lines<S> {
    fn new(stream: S) -> Lines<S> {
        Lines(BufReader::new(stream))
    }
    fn say(&mut self, line: &str) -> std::io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.0.get_mut().flush()
    }
    fn hear(&mut self) -> std::io::Result<Vec<u8>> {
        let mut line = Vec::new();
        (&mut self.0).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
    }
    fn hear_text(&mut self) -> std::io::Result<String> {
        Ok(String::from_utf8_lossy(&self.hear()?).trim_end().to_owned())
    }
    /// The last line of an SMTP reply.
    fn reply(&mut self) -> std::io::Result<String> {
        loop {
            let line = self.hear_text()?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }
    fn ask(&mut self, line: &str) -> std::io::Result<String> {
        self.say(line)?;
        self.reply()
    }
}

/// Sends one message over STARTTLS; the reply to its end, or the first refusal.
pub fn send(port: u16, ca: &Path, from: &str, to: &str, message: &[u8]) -> Result<String, Unlike> {
    let failed = |e| Unlike::of("SMTP", e);
    let mut plain = Lines::new(connect(port).map_err(failed)?);
    plain.reply().map_err(failed)?;
    plain.ask("EHLO client.example.org").map_err(failed)?;
    let reply = plain.ask("STARTTLS").map_err(failed)?;
    if !reply.starts_with("220") {
        return Err(Unlike::of("STARTTLS", reply));
    }
    let mut lines = Lines::new(encrypt(plain.0.into_inner(), ca)?);
    let mut transaction = || -> std::io::Result<String> {
        for command in ["EHLO client.example.org", &format!("MAIL FROM:<{from}>"), &format!("RCPT TO:<{to}>"), "DATA"] {
            let reply = lines.ask(command)?;
            if !reply.starts_with(['2', '3']) {
                return Ok(reply);
            }
        }
        for line in message.split_inclusive(|&b| b == b'\n') {
            let stuffing: &[u8] = if line.starts_with(b".") { b"." } else { b"" };
            lines.0.get_mut().write_all(&[stuffing, line].concat())?;
        }
        let reply = lines.ask(".")?;
        lines.ask("QUIT")?;
        Ok(reply)
    };
    transaction().map_err(failed)
}

/// Everything in one mailbox, by IMAP over TLS: the octets of `BODY[]`.
pub fn imap(port: u16, ca: &Path, account: (&str, &str), mailbox: &str) -> Result<Vec<Vec<u8>>, Unlike> {
    let failed = |e| Unlike::of("IMAP", e);
    let mut lines = Lines::new(encrypt(connect(port).map_err(failed)?, ca)?);
    let mut talk = || -> std::io::Result<Result<Vec<Vec<u8>>, String>> {
        lines.hear()?;
        let mut bodies = Vec::new();
        for command in [
            format!("a LOGIN \"{}\" \"{}\"", account.0, account.1),
            format!("b EXAMINE \"{mailbox}\""),
            "c UID FETCH 1:* (BODY.PEEK[])".to_owned(),
            "d LOGOUT".to_owned(),
        ] {
            lines.say(&command)?;
            let tag = format!("{} ", &command[..1]);
            loop {
                let line = lines.hear_text()?;
                if let Some(status) = line.strip_prefix(&tag) {
                    if !status.starts_with("OK") {
                        return Ok(Err(line));
                    }
                    break;
                }
                if let Some(octets) = literal_length(&line) {
                    let mut body = vec![0; octets];
                    lines.0.read_exact(&mut body)?;
                    bodies.push(body);
                }
            }
        }
        Ok(Ok(bodies))
    };
    talk().map_err(failed)?.map_err(|line| Unlike::of("IMAP", line))
}

fn literal_length(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.parse().ok().filter(|octets| *octets <= 64 << 20)
}

/// Everything, by POP3 over TLS.
pub fn pop3(port: u16, ca: &Path, account: (&str, &str)) -> Result<Vec<Vec<u8>>, Unlike> {
    let failed = |e| Unlike::of("POP3", e);
    let mut lines = Lines::new(encrypt(connect(port).map_err(failed)?, ca)?);
    let mut talk = || -> std::io::Result<Result<Vec<Vec<u8>>, String>> {
        lines.hear()?;
        let mut count = 0;
        for command in [format!("USER {}", account.0), format!("PASS {}", account.1), "STAT".to_owned()] {
            lines.say(&command)?;
            let line = lines.hear_text()?;
            if !line.starts_with("+OK") {
                return Ok(Err(line));
            }
            count = line.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        }
        let mut bodies = Vec::new();
        for number in 1..=count {
            lines.say(&format!("RETR {number}"))?;
            let line = lines.hear_text()?;
            if !line.starts_with("+OK") {
                return Ok(Err(line));
            }
            bodies.push(multi_line(&mut lines)?);
        }
        lines.say("QUIT")?;
        lines.hear()?;
        Ok(Ok(bodies))
    };
    talk().map_err(failed)?.map_err(|line| Unlike::of("POP3", line))
}

/// A multi-line response (RFC 1939 section 3), dots unstuffed.
fn multi_line<S: Read + Write>(lines: &mut Lines<S>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = lines.hear()?;
        if line == b".\r\n" {
            return Ok(body);
        }
        body.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
