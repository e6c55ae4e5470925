//! The story itself: what is sent, what arrives, what the archive holds.

use super::clients;
use super::partners::{OpenPgpPerson, Signed, SmimePerson};
use super::stage::{OFFICER, Stage};
use super::{Unlike, next_hop::Arrived};
use crate::crypto::{hash, sha256};
use crate::mail::structure::{self, Content, Part, Span};
use base64::Engine;
use std::path::PathBuf;
use std::time::Instant;

const ALICE: &str = "alice@example.org";
const PAUL: &str = "paul@pgp.example";
const SIMONE: &str = "simone@smime.example";
const BOB: &str = "bob@elsewhere.example";

/// Prints one step with the time since the start.
struct Teller {
    start: Instant,
}

impl Teller {
    fn say(&self, text: &str) {
        println!("{:>6.2}s  {text}", self.start.elapsed().as_secs_f64());
    }
}

/// Runs and prints everything.
pub fn tell(stage: &Stage) -> Result<(), Unlike> {
    let teller = Teller { start: Instant::now() };
    println!("Sealpost {} in {}", env!("CARGO_PKG_VERSION"), stage.dir().display());
    let people = keys(stage, &teller)?;
    let sent = send(stage, &teller)?;
    refusal(stage, &teller)?;
    arrival(stage, &teller, &people, &sent)?;
    archive(stage, &teller, &sent)?;
    teller.say("everything is as it should be");
    Ok(())
}

struct People {
    alice_pgp: OpenPgpPerson,
    alice_smime: SmimePerson,
    paul: OpenPgpPerson,
    simone: SmimePerson,
}

fn keys(stage: &Stage, teller: &Teller) -> Result<People, Unlike> {
    let people = People {
        alice_pgp: OpenPgpPerson::new("Alice", ALICE)?,
        alice_smime: SmimePerson::new("Alice", ALICE)?,
        paul: OpenPgpPerson::new("Paul", PAUL)?,
        simone: SmimePerson::new("Simone", SIMONE)?,
    };
    let files: [(&str, Vec<u8>); 4] = [
        ("alice.asc", people.alice_pgp.private_key()?),
        ("alice.pem", people.alice_smime.private_key()?),
        ("paul.asc", people.paul.certificate()?),
        ("simone.pem", people.simone.certificate()?),
    ];
    let mut paths: Vec<PathBuf> = Vec::new();
    for (name, octets) in files {
        let path = stage.file(name);
        std::fs::write(&path, octets).map_err(|e| Unlike::of(path.display(), e))?;
        paths.push(path);
    }
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    let mut arguments = vec!["key", "import"];
    arguments.extend(paths.iter().map(String::as_str));
    stage.command(&arguments)?;
    let (name, password) = OFFICER;
    stage.command_with_input(
        &["user", "add", name, "--role", "officer", "--password-stdin"],
        &format!("{password}\n"),
    )?;
    teller.say(
        "gateway made and serving; keys of Alice, Paul (OpenPGP) and Simone (S/MIME) imported; an officer may read",
    );
    Ok(people)
}

/// What was sent: the recipient and the exact octets.
struct Sent {
    to: &'static str,
    octets: Vec<u8>,
}

fn send(stage: &Stage, teller: &Teller) -> Result<Vec<Sent>, Unlike> {
    let mut all = Vec::new();
    for (to, subject) in [(BOB, "Lunch"), (PAUL, "Quarterly figures"), (SIMONE, "Contract")] {
        let octets = message(to, subject);
        let reply = clients::send(stage.ports.outbound, &stage.ca(), ALICE, to, &octets)?;
        if !reply.starts_with("250 2.0.0 Accepted ") {
            return Err(Unlike::of(format!("mail to {to} was not accepted"), reply));
        }
        teller.say(&format!("Alice -> {to}: {reply}"));
        all.push(Sent { to, octets });
    }
    Ok(all)
}

fn message(to: &str, subject: &str) -> Vec<u8> {
    format!(
        "From: Alice <{ALICE}>\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Tue, 24 Nov 2026 17:03:42 +0000\r\n\
         Message-ID: <{}@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\nDear reader,\r\n\r\n{subject}: \u{20ac} 1,000.\r\n.\r\nFrom Alice \r\n",
        subject.replace(' ', "-")
    )
    .into_bytes()
}

fn refusal(stage: &Stage, teller: &Teller) -> Result<(), Unlike> {
    let before = stage.next_hop.count();
    let octets = message(BOB, "Salaries [secure]");
    let reply = clients::send(stage.ports.outbound, &stage.ca(), ALICE, BOB, &octets)?;
    if !reply.starts_with("550 ") {
        return Err(Unlike::of("a secret for someone without a key was not refused", reply));
    }
    teller.say(&format!("Alice -> {BOB} [secure]: {reply}"));
    match stage.next_hop.count() {
        count if count > before + 3 => Err(Unlike::because("the refused message went out")),
        _ => Ok(()),
    }
}

fn arrival(stage: &Stage, teller: &Teller, people: &People, sent: &[Sent]) -> Result<(), Unlike> {
    let to = |recipient: &str| {
        stage.next_hop.message_to(recipient).ok_or_else(|| Unlike::because(format!("nothing arrived for {recipient}")))
    };
    let bob = to(BOB)?;
    if !bob.octets.ends_with(&sent[0].octets) {
        return Err(Unlike::because("the plain message was changed on its way"));
    }
    let block = bob.octets.len() - sent[0].octets.len();
    teller.say(&format!(
        "{BOB} got {} octets: ours are the first {block}, Alice's follow octet for octet",
        bob.octets.len()
    ));
    paul_reads(&to(PAUL)?, people, teller)?;
    simone_reads(&to(SIMONE)?, people, teller)
}

fn paul_reads(arrived: &Arrived, people: &People, teller: &Teller) -> Result<(), Unlike> {
    let part = structure::scan(&arrived.octets);
    let Content::Multipart(parts) = &part.content else {
        return Err(Unlike::because(format!("{PAUL} got no multipart/encrypted")));
    };
    let encrypted = parts.last().map_or(&[][..], |part| octets_of(&arrived.octets, part.body));
    let reading = people.paul.read(encrypted, &people.alice_pgp)?;
    expect_text(&reading.content, PAUL)?;
    if reading.signed != Signed::Good {
        return Err(Unlike::because(format!("what {PAUL} got is not signed by Alice")));
    }
    teller.say(&format!(
        "{PAUL} got {}/{}: decrypted with his key, signature by Alice is good",
        part.media_type, part.subtype
    ));
    Ok(())
}

fn simone_reads(arrived: &Arrived, people: &People, teller: &Teller) -> Result<(), Unlike> {
    let part = structure::scan(&arrived.octets);
    let inside = people.simone.open(&decoded(&arrived.octets, &part)?)?;
    let signed = structure::scan(&inside);
    let Content::Multipart(parts) = &signed.content else {
        return Err(Unlike::because(format!("what {SIMONE} decrypted is no multipart/signed")));
    };
    let [entity, signature] = &parts[..] else {
        return Err(Unlike::because(format!("what {SIMONE} decrypted has {} parts", parts.len())));
    };
    let span = Span { start: entity.header.start, end: entity.body.end };
    let entity = octets_of(&inside, span);
    people.alice_smime.has_signed(&decoded(&inside, signature)?, entity)?;
    expect_text(entity, SIMONE)?;
    teller.say(&format!(
        "{SIMONE} got {}/{}: decrypted with her key, signature by Alice is good",
        part.media_type, part.subtype
    ));
    Ok(())
}

fn octets_of(message: &[u8], span: Span) -> &[u8] {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(message.len());
    &message[at(span.start)..at(span.end)]
}

/// The octets of a base64 part.
fn decoded(message: &[u8], part: &Part) -> Result<Vec<u8>, Unlike> {
    let text: Vec<u8> = octets_of(message, part.body).iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|e| Unlike::of("base64", e))
}

/// The entity inside must say what Alice wrote.
fn expect_text(entity: &[u8], reader: &str) -> Result<(), Unlike> {
    let parsed = mail_parser::MessageParser::default().parse(entity);
    let text = parsed.as_ref().and_then(|message| message.body_text(0));
    match text.is_some_and(|text| text.contains("Dear reader,") && text.contains("\u{20ac} 1,000.")) {
        true => Ok(()),
        false => Err(Unlike::because(format!("{reader} cannot read what Alice wrote"))),
    }
}

fn archive(stage: &Stage, teller: &Teller, sent: &[Sent]) -> Result<(), Unlike> {
    stage.command(&["archive", "seal"])?;
    teller.say("sealed");
    let mailbox = this_month(stage)?;
    let by_imap = clients::imap(stage.ports.imaps, &stage.ca(), OFFICER, &mailbox)?;
    let by_pop3 = clients::pop3(stage.ports.pop3s, &stage.ca(), OFFICER)?;
    for one in sent {
        let name = &hash::hex(&sha256(&one.octets))[..16];
        for (way, found) in [("IMAP", &by_imap), ("POP3", &by_pop3)] {
            if !found.contains(&one.octets) {
                return Err(Unlike::because(format!("{way} does not give back what was sent to {}", one.to)));
            }
        }
        teller.say(&format!("sha256 {name}..: sent to {} = read by IMAP = read by POP3", one.to));
    }
    let verified = stage.command(&["archive", "verify", "--level", "2", "--json"])?;
    let summary = verified.lines().last().unwrap_or_default();
    if !summary.contains("\"ok\":true") {
        return Err(Unlike::of("archive verify", verified));
    }
    teller.say(&format!("archive verify: {summary}"));
    Ok(())
}

/// The mailbox of what was just accepted, as the archive names it.
fn this_month(stage: &Stage) -> Result<String, Unlike> {
    let listed = stage.command(&["archive", "list", "--json"])?;
    let first: serde_json::Value =
        serde_json::from_str(listed.lines().last().unwrap_or_default()).map_err(|e| Unlike::of("archive list", e))?;
    let mailbox = first["mailbox"].as_str().ok_or_else(|| Unlike::of("archive list names no mailbox", &listed))?;
    Ok(mailbox.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_awkward_enough() {
        let octets = message(BOB, "Lunch");
        assert!(octets.windows(5).any(|w| w == b"\r\n.\r\n"), "a dot alone");
        assert!(octets.ends_with(b"From Alice \r\n") && octets.iter().any(|b| *b > 0x7f));
    }
}
