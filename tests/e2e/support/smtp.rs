//! A plain SMTP client over a socket: says what it is told, in octets, and gives back what it hears.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One connection.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects and reads the greeting; no EHLO yet.
    pub fn connect(port: u16) -> Client {
        let mut client = Client::try_connect(port).expect("connect");
        assert!(client.reply().starts_with("220 "), "greeting");
        client
    }
    /// Connects without reading anything.
    pub fn try_connect(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(Client { reader: BufReader::new(stream) })
    }
    /// Sends octets as they are.
    pub fn send(&mut self, octets: &[u8]) {
        self.try_send(octets).expect("send");
    }
    /// Sends octets as they are, if the peer is there.
    pub fn try_send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.reader.get_mut().write_all(octets)
    }
    /// One whole reply, lines joined by LF.
    pub fn reply(&mut self) -> String {
        self.try_reply().expect("a reply")
    }
    /// One whole reply, if the peer is there.
    pub fn try_reply(&mut self) -> std::io::Result<String> {
        let mut whole = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let more = line.as_bytes().get(3) == Some(&b'-');
            whole.push_str(line.trim_end());
            if !more {
                return Ok(whole);
            }
            whole.push('\n');
        }
    }
    /// A command line and its reply.
    pub fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }
    /// EHLO, MAIL, RCPT, DATA and the message; the first reply that is not positive, or the last.
    pub fn deliver(&mut self, sender: &str, recipients: &[&str], message: &[u8]) -> String {
        self.try_deliver(sender, recipients, message).expect("a reply")
    }
    /// The same, if the peer is there.
    pub fn try_deliver(&mut self, sender: &str, recipients: &[&str], message: &[u8]) -> std::io::Result<String> {
        let mut lines = vec![format!("MAIL FROM:<{sender}> BODY=8BITMIME")];
        lines.extend(recipients.iter().map(|r| format!("RCPT TO:<{r}>")));
        lines.push("DATA".to_owned());
        for line in lines {
            self.try_send(format!("{line}\r\n").as_bytes())?;
            let reply = self.try_reply()?;
            if !matches!(reply.as_bytes().first(), Some(b'2' | b'3')) {
                self.try_send(b"RSET\r\n")?;
                self.try_reply()?;
                return Ok(reply);
            }
        }
        self.try_send(&stuffed(message))?;
        self.try_reply()
    }
}

/// A message as DATA carries it (RFC 5321 section 4.5.2).
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
