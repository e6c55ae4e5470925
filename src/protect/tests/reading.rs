//! A reader of its own for the tests: what a client takes out of a message, independent of the code that made it.

use mail_parser::{MessageParser, MimeHeaders, PartType};
use sequoia_openpgp::KeyHandle;
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::crypto::SessionKey;
use sequoia_openpgp::packet::{PKESK, SKESK};
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::parse::stream::{
    DecryptionHelper, DecryptorBuilder, DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationHelper,
};
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::types::SymmetricAlgorithm;
use std::io::Read;

/// Header and body of an entity with CRLF line ends.
pub struct Message<'a> {
    pub header: &'a str,
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    pub fn new(octets: &'a [u8]) -> Message<'a> {
        let end = octets.windows(4).position(|w| w == b"\r\n\r\n").expect("an empty line");
        let header = std::str::from_utf8(&octets[..end + 2]).expect("an ASCII header");
        Message { header, body: &octets[end + 4..] }
    }
    fn fields(&self) -> Vec<(String, String)> {
        let unfolded = self.header.replace("\r\n ", " ").replace("\r\n\t", "\t");
        let field =
            |line: &str| line.split_once(':').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.to_owned()));
        unfolded.lines().filter_map(field).collect()
    }
    pub fn content_type(&self) -> String {
        let fields = self.fields();
        let mut values =
            fields.iter().filter(|(name, _)| name == "content-type").map(|(_, value)| value.trim().to_owned());
        let only = values.next().expect("a Content-Type");
        assert_eq!(values.next(), None, "one Content-Type outside");
        only
    }
    /// What stands between the delimiter lines, octet for octet.
    pub fn parts(&self) -> Vec<&'a [u8]> {
        let content_type = self.content_type();
        let boundary =
            content_type.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a boundary");
        let (open, between) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}"));
        let mut rest = self.body.strip_prefix(open.as_bytes()).expect("the first delimiter");
        let mut parts = Vec::new();
        while let Some(at) = rest.windows(between.len()).position(|w| w == between.as_bytes()) {
            parts.push(&rest[..at]);
            rest = rest[at + between.len()..].strip_prefix(b"\r\n").unwrap_or_default();
        }
        parts
    }
}

/// Fields outside: all that do not describe content, in order, octet for octet; one MIME-Version; no line too long.
pub fn checked_outside(name: &str, original: &[u8], message: &[u8]) {
    assert!(message.split(|&o| o == b'\n').all(|line| line.len() <= 999), "{name}: long line");
    assert!(!message.windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r'), "{name}: bare LF");
    let text = String::from_utf8_lossy(original).replace("\r\n", "\n").replace('\n', "\r\n");
    let end = if text.starts_with("\r\n") { 0 } else { text.find("\r\n\r\n").map_or(text.len(), |at| at + 2) };
    let mut expected = String::new();
    let mut skipping = false;
    for line in text[..end].split_inclusive("\r\n") {
        let lower = line.to_ascii_lowercase();
        if !line.starts_with([' ', '\t']) {
            skipping = ["content-", "mime-version", "lines:"].iter().any(|start| lower.starts_with(start));
        }
        if !skipping {
            expected.push_str(line);
        }
    }
    let expected = expected.trim_end();
    let read = Message::new(message);
    let outside: Vec<&str> = read.header.split_inclusive("\r\n").collect();
    let ours = outside.iter().position(|line| line.to_ascii_lowercase().starts_with("content-type")).expect("ours");
    let is_version = |line: &&&str| line.to_ascii_lowercase().starts_with("mime-version");
    assert_eq!(outside.iter().filter(is_version).count(), 1, "{name}: MIME-Version");
    let kept: String = outside[..ours].iter().filter(|line| !is_version(line)).copied().collect();
    assert_eq!(kept.trim_end(), expected, "{name}: the outer header");
}

/// Every decoded text and attachment of the original is in the entity, by the judgement of mail-parser.
pub fn same_content(name: &str, original: &[u8], entity: &[u8]) {
    let inner = [b"MIME-Version: 1.0\r\n", entity].concat();
    let (before, after) = (contents(original), contents(&inner));
    assert_eq!(before, after, "{name}");
}

fn contents(message: &[u8]) -> Vec<(String, String)> {
    let Some(message) = MessageParser::default().parse(message) else { return Vec::new() };
    let mut found = Vec::new();
    collect(&message, &mut found);
    found
}

fn collect(message: &mail_parser::Message, found: &mut Vec<(String, String)>) {
    for part in &message.parts {
        let content = match &part.body {
            PartType::Text(text) | PartType::Html(text) => text.as_bytes().to_vec(),
            PartType::Binary(octets) | PartType::InlineBinary(octets) => octets.to_vec(),
            PartType::Message(inner) => {
                collect(inner, found);
                continue;
            }
            PartType::Multipart(_) => continue,
        };
        // Line ends become CRLF; nothing at all becomes an empty text.
        let lines = String::from_utf8_lossy(&content).replace("\r\n", "\n");
        if !lines.is_empty() {
            found.push((part.attachment_name().unwrap_or_default().to_owned(), lines));
        }
    }
}

const POLICY: StandardPolicy<'static> = StandardPolicy::new();

struct Helper<'a> {
    reader: Option<&'a Cert>,
    signer: &'a Cert,
}

impl VerificationHelper for Helper<'_> {
    fn get_certs(&mut self, _: &[KeyHandle]) -> sequoia_openpgp::Result<Vec<Cert>> {
        Ok(vec![self.signer.clone()])
    }
    fn check(&mut self, structure: MessageStructure) -> sequoia_openpgp::Result<()> {
        let good = structure.into_iter().any(|layer| match layer {
            MessageLayer::SignatureGroup { results } => !results.is_empty() && results.iter().all(Result::is_ok),
            _ => false,
        });
        assert!(good, "a good signature");
        Ok(())
    }
}

impl DecryptionHelper for Helper<'_> {
    fn decrypt(
        &mut self,
        keys: &[PKESK],
        _: &[SKESK],
        algorithm: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> sequoia_openpgp::Result<Option<Cert>> {
        let reader = self.reader.expect("a reader");
        for key in reader.keys().unencrypted_secret().with_policy(&POLICY, None).for_transport_encryption() {
            let mut pair = key.key().clone().into_keypair()?;
            for packet in keys {
                if packet.decrypt(&mut pair, algorithm).is_some_and(|(algorithm, session)| decrypt(algorithm, &session))
                {
                    return Ok(Some(reader.clone()));
                }
            }
        }
        Ok(None)
    }
}

/// For keys that GnuPG 2.2 does not know.
pub fn sequoia_verify(content: &[u8], signature: &[u8], signer: &Cert) {
    let helper = Helper { reader: None, signer };
    let builder = DetachedVerifierBuilder::from_bytes(signature).expect("a signature");
    builder.with_policy(&POLICY, None, helper).expect("readable").verify_bytes(content).expect("verified");
}

/// The plain text, signature checked.
pub fn sequoia_decrypt(message: &[u8], reader: &Cert, signer: &Cert) -> Vec<u8> {
    let helper = Helper { reader: Some(reader), signer };
    let builder = DecryptorBuilder::from_bytes(message).expect("a message");
    let mut plain = Vec::new();
    builder.with_policy(&POLICY, None, helper).expect("decrypted").read_to_end(&mut plain).expect("read");
    plain
}
