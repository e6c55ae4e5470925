//! Journal reports: a copy of a message in an envelope of its own, with what SMTP said about it in words. Exchange and
//! Microsoft 365 write them for archives. Reads, and says how far; whether a report is to be believed is for the caller to know.
//!
//! ```text
//! report   = header with X-MS-Journal-Report, or with Content-Identifier: ExJournalReport (Exchange 2000 and 2003)
//!            multipart: statement, message [, message ...] [, anything]
//! statement = text/plain, or a multipart whose first part is (Exchange 2003: multipart/alternative)
//! message  = message/rfc822; where rights are managed a second one, decrypted; application/ms-tnef by request
//! ```
//!
//! Sources: MS-XJRNL (Journal Record Message File Format), Microsoft's "Understanding Journal Reports" (Exchange 2007, 2010) and
//! "Journal report decryption" (2010, 2013). `Content-Identifer` without its second `i` is sent too.

mod statement;

use super::Address;
use super::header::fields;
use super::header::named;
use super::header::split;
use super::header::text;
use super::header::unfold;
use super::structure::Content;
use super::structure::Part;
use super::structure::Span;
use super::structure::scan;
use super::transfer::decoded;
use super::transfer::is_identity;
use minicbor::{Decode, Encode};
use statement::Statement;

/// Recipients of one report that are read; a problem says that there were more.
pub const RECIPIENTS_MAX: usize = 10_000;
/// Octets of a statement, before and after decoding. Whoever has more recipients than fit sends several reports.
pub const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Problems that are told one by one.
pub const PROBLEMS_MAX: usize = 20;

/// How the message named a recipient, as the report has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RecipientKind {
    /// In To.
    #[n(0)]
    To,
    /// In Cc.
    #[n(1)]
    Cc,
    /// In Bcc.
    #[n(2)]
    Bcc,
    /// Unknown: the reporting server was not the one that took the message from its author.
    #[n(3)]
    Recipient,
}

impl RecipientKind {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            RecipientKind::To => "to",
            RecipientKind::Cc => "cc",
            RecipientKind::Bcc => "bcc",
            RecipientKind::Recipient => "recipient",
        }
    }
}

/// One recipient of the message a report is about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReportedRecipient {
    /// Who got it.
    #[n(0)]
    pub address: Address,
    /// How the message named them, or the list or person they got it for.
    #[n(1)]
    pub kind: RecipientKind,
    /// The distribution list they are a member of.
    #[n(2)]
    pub expanded_from: Option<Address>,
    /// Whose mail is redirected to them.
    #[n(3)]
    pub forwarded_from: Option<Address>,
}

/// What a report states about its message besides the octets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ReportedEnvelope {
    /// The sender; `None` is the null sender, or one that cannot be read (then there is a problem).
    #[n(0)]
    pub sender: Option<Address>,
    /// The person the sender wrote for.
    #[n(1)]
    pub on_behalf_of: Option<Address>,
    /// All recipients, in order; one may stand here more than once.
    #[n(2)]
    pub recipients: Vec<ReportedRecipient>,
}

/// A range of a message's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Slice {
    /// Where it begins.
    #[n(0)]
    pub offset: u64,
    /// How long it is, in octets.
    #[n(1)]
    pub bytes: u64,
}

impl Slice {
    /// Its octets; `None` when it does not lie within `message`.
    pub fn of(self, message: &[u8]) -> Option<&[u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let end = usize::try_from(self.offset.checked_add(self.bytes)?).ok()?;
        message.get(start..end)
    }
}

impl From<Span> for Slice {
    fn from(span: Span) -> Slice {
        Slice { offset: span.start, bytes: span.end.saturating_sub(span.start) }
    }
}

/// The message in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inner {
    /// These octets of the report.
    Within(Slice),
    /// It was encoded, against RFC 2046 section 5.2.1: decoded octets.
    Decoded(Vec<u8>),
    /// In a form that is not opened here.
    Closed,
}

/// A report as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalReport {
    /// Sender and recipients.
    pub envelope: ReportedEnvelope,
    /// The subject it gives.
    pub subject: Option<String>,
    /// The Message-ID it gives.
    pub message_id: Option<String>,
    /// The message.
    pub inner: Inner,
    /// What could not be read or does not fit, in words.
    pub problems: Vec<String>,
}

/// What the record of acceptance keeps of a message that came in as a journal report.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reported {
    /// It claims to be a report and cannot be read as one: ordinary mail, for this reason.
    #[n(0)]
    Not(#[n(0)] String),
    /// It is a report.
    #[n(1)]
    Report {
        /// Sender and recipients.
        #[n(0)]
        envelope: ReportedEnvelope,
        /// The readable form, among the octets received; `None`: the report is shown as it came.
        #[n(1)]
        readable: Option<Slice>,
        /// What could not be read or does not fit, in words.
        #[n(2)]
        problems: Vec<String>,
    },
}

impl Reported {
    /// For a report that was handed in by those who may; `None` for what does not claim to be one.
    pub fn of(message: &[u8]) -> Option<Reported> {
        Some(match read(message) {
            Ok(report) => report?.into(),
            Err(Malformed(reason)) => Reported::Not(reason.to_owned()),
        })
    }
    /// The envelope it states, if it is a report.
    pub fn envelope(&self) -> Option<&ReportedEnvelope> {
        match self {
            Reported::Not(_) => None,
            Reported::Report { envelope, .. } => Some(envelope),
        }
    }
    /// Where the readable form lies.
    pub fn readable(&self) -> Option<Slice> {
        match self {
            Reported::Not(_) => None,
            Reported::Report { readable, .. } => *readable,
        }
    }
}

impl From<JournalReport> for Reported {
    fn from(report: JournalReport) -> Reported {
        let readable = match report.inner {
            Inner::Within(slice) => Some(slice),
            Inner::Decoded(_) | Inner::Closed => None,
        };
        Reported::Report { envelope: report.envelope, readable, problems: report.problems }
    }
}

/// Why a message that claims to be a report is none. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// Reads a message; `None` when it does not claim to be a report. Total and linear. The message inside is never read as a report
/// again.
pub fn read(message: &[u8]) -> Result<Option<JournalReport>, Malformed> {
    let (header, _) = split(message);
    if !claims(header.of(message)) {
        return Ok(None);
    }
    let root = scan(message);
    let Content::Multipart(parts) = &root.content else {
        return Err(Malformed("a journal report is a multipart message, this one is not"));
    };
    let Some((first, others)) = parts.split_first() else {
        return Err(Malformed("a journal report has parts, this one has none"));
    };
    let Statement { envelope, subject, message_id, mut problems } = statement::read(&statement_text(first, message)?)?;
    let inner = inner(others, message, &mut problems)?;
    let octets = match &inner {
        Inner::Within(slice) => slice.of(message).unwrap_or_default(),
        Inner::Decoded(octets) => octets,
        Inner::Closed => b"",
    };
    if let (Some(said), Some(found)) = (&message_id, message_id_of(octets))
        && bare(said) != bare(&found)
    {
        problems.add("the message has another Message-ID than the report gives".to_owned());
    }
    Ok(Some(JournalReport { envelope, subject, message_id, inner, problems: problems.told() }))
}

/// Whether a header says that this is a report. Anybody can write it.
fn claims(header: &[u8]) -> bool {
    const MISSPELT: &str = "Content-Identifer";
    fields(header).any(|field| {
        let is_identifier = field.is("Content-Identifier") || field.is(MISSPELT);
        field.is("X-MS-Journal-Report") || is_identifier && unfold(field.value).eq_ignore_ascii_case(b"ExJournalReport")
    })
}

/// The statement in Unicode.
fn statement_text(part: &Part, message: &[u8]) -> Result<String, Malformed> {
    let part = match &part.content {
        Content::Multipart(forms) => forms.first().unwrap_or(part),
        _ => part,
    };
    if (part.media_type.as_str(), part.subtype.as_str()) != ("text", "plain") {
        return Err(Malformed("the first part of a journal report is plain text, this one is not"));
    }
    const TOO_LONG: Malformed = Malformed("the text of the journal report is longer than 4 MiB");
    let body = part.body.of(message);
    if body.len() > STATEMENT_BYTES_MAX {
        return Err(TOO_LONG);
    }
    let octets = decoded(&part.transfer_encoding, body);
    let octets = octets.ok_or(Malformed("the text of the journal report has an encoding that cannot be read"))?;
    let charset = part.parameter("charset").unwrap_or_default();
    let text = super::encoded_word::to_unicode(charset.as_bytes(), &octets);
    if text.len() > STATEMENT_BYTES_MAX { Err(TOO_LONG) } else { Ok(text) }
}

/// The message among the parts behind the statement. Where rights are managed there are two, and the one in the clear is meant
/// to be read; else the first counts.
fn inner(parts: &[Part], message: &[u8], problems: &mut Problems) -> Result<Inner, Malformed> {
    let messages: Vec<&Part> = parts.iter().filter(|part| is_message(part)).collect();
    let Some(&first) = messages.first() else {
        if parts.iter().any(|part| (part.media_type.as_str(), part.subtype.as_str()) == ("application", "ms-tnef")) {
            problems.add("the message is in TNEF (winmail.dat), which is not opened".to_owned());
            return Ok(Inner::Closed);
        }
        return Err(Malformed("the journal report carries no message"));
    };
    let chosen = messages.iter().copied().find(|part| !is_rights_managed(part)).unwrap_or(first);
    if messages.len() > 1 {
        let which = messages.iter().position(|part| std::ptr::eq(*part, chosen)).unwrap_or(0) + 1;
        problems.add(format!("{} messages; the readable form is number {which}", messages.len()));
    }
    if messages.len() < parts.len() {
        problems.add(format!("{} parts that are no message", parts.len() - messages.len()));
    }
    if chosen.body.end == message.len() as u64 {
        problems.add("nothing follows the message: the report may be cut off".to_owned());
    }
    if chosen.body.start >= chosen.body.end {
        return Err(Malformed("the message in the journal report is empty"));
    }
    if is_identity(&chosen.transfer_encoding) {
        return Ok(Inner::Within(chosen.body.into()));
    }
    problems.add("the message is encoded within the report, so the report is shown as it came".to_owned());
    let octets = decoded(&chosen.transfer_encoding, chosen.body.of(message));
    Ok(octets.map_or(Inner::Closed, |octets| Inner::Decoded(octets.into_owned())))
}

fn is_message(part: &Part) -> bool {
    part.media_type == "message" && matches!(part.subtype.as_str(), "rfc822" | "global")
}

/// Whether a message is one of rights management: a wrapper with `message.rpmsg` in it (MS-OXORMMS section 2.2).
fn is_rights_managed(part: &Part) -> bool {
    match &part.content {
        Content::Leaf => {
            let is_named = || part.file_name().is_some_and(|name| name.eq_ignore_ascii_case("message.rpmsg"));
            part.subtype == "x-microsoft-rpmsg-message" || is_named()
        }
        Content::Multipart(parts) => parts.iter().any(is_rights_managed),
        Content::Message(inner, _) => is_rights_managed(inner),
    }
}

fn message_id_of(message: &[u8]) -> Option<String> {
    let (header, _) = split(message);
    named(header.of(message), "Message-ID").next().map(|field| text(field.value))
}

fn bare(message_id: &str) -> &str {
    message_id.trim().trim_start_matches('<').trim_end_matches('>')
}

/// What is told of a report, bounded.
#[derive(Debug, Default)]
struct Problems {
    told: Vec<String>,
    more: usize,
}

impl Problems {
    fn add(&mut self, problem: String) {
        if self.told.len() < PROBLEMS_MAX {
            self.told.push(problem);
        } else {
            self.more += 1;
        }
    }
    fn told(mut self) -> Vec<String> {
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        self.told
    }
}
