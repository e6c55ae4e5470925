//! Arguments of MAIL and RCPT: paths and parameters, read strictly. Nothing is ever ignored: what was not offered is refused.

use super::path;
use super::path::Path;
use super::reply;
use super::reply::Reply;
use crate::mail::{Address, BodyType, Envelope, Recipient, RequireTls};
use crate::smtp::limits;
use crate::smtp::xtext;

/// Whether the client said EHLO or LHLO, and may so use extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extensions {
    /// After EHLO or LHLO.
    Offered,
    /// After HELO: every parameter is refused.
    None,
}

/// What MAIL may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Extensions at all.
    pub extensions: Extensions,
    /// AUTH (RFC 4954), which the session offers inside TLS.
    pub auth: Extensions,
    /// REQUIRETLS (RFC 8689), which the session offers inside TLS.
    pub require_tls: Extensions,
}

/// What MAIL said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The envelope, still without recipients.
    pub envelope: Envelope,
    /// SIZE=, in octets (RFC 1870); what does not fit 64 bits is `u64::MAX`.
    pub declared_bytes: Option<u64>,
}

type Fault = &'static Reply;

/// Reads what follows `MAIL `:
///
/// ```text
/// "FROM:" reverse-path *( SP parameter )
/// parameter = "SIZE=" 1*20DIGIT / "BODY=" ( "7BIT" / "8BITMIME" ) / "RET=" ( "FULL" / "HDRS" ) / "ENVID=" xtext / "SMTPUTF8"
///             / "AUTH=" xtext / "REQUIRETLS"
/// ```
pub fn mail(argument: &str, offer: Offer) -> Result<Mail, Fault> {
    let behind = strip_word(argument, "FROM:").ok_or(&reply::BAD_ARGUMENTS)?;
    let (path, rest) = path::parse(behind).ok_or(&reply::BAD_SENDER)?;
    let sender = match path {
        Path::Null => None,
        Path::Mailbox(address) => Some(address),
        Path::Postmaster => return Err(&reply::BAD_SENDER),
    };
    let envelope = Envelope {
        sender,
        recipients: Vec::new(),
        body: BodyType::SevenBit,
        ret: None,
        envid: None,
        smtputf8: false,
        require_tls: None,
    };
    let mut mail = Mail { envelope, declared_bytes: None };
    for (keyword, value) in parameters(rest, offer.extensions)? {
        mail_parameter(&mut mail, offer, &keyword, value)?;
    }
    check_utf8(mail.envelope.sender.as_ref(), mail.envelope.smtputf8)?;
    Ok(mail)
}

fn mail_parameter(mail: &mut Mail, offer: Offer, keyword: &str, value: Option<&str>) -> Result<(), Fault> {
    let envelope = &mut mail.envelope;
    match keyword {
        "SIZE" => mail.declared_bytes = Some(size(value)?),
        "BODY" => envelope.body = body(value)?,
        "RET" => envelope.ret = Some(one_of(value, &["FULL", "HDRS"])?),
        "ENVID" => envelope.envid = Some(envid(value)?),
        "SMTPUTF8" => envelope.smtputf8 = flag(value)?,
        "AUTH" if offer.auth == Extensions::Offered => check_auth(value)?,
        "REQUIRETLS" if offer.require_tls == Extensions::Offered => {
            envelope.require_tls = flag(value)?.then_some(RequireTls::EveryHop);
        }
        _ => return Err(&reply::UNKNOWN_PARAMETER),
    }
    Ok(())
}

/// Reads what follows `RCPT `:
///
/// ```text
/// "TO:" forward-path *( SP parameter )
/// parameter = "NOTIFY=" ( "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" ) ) / "ORCPT=" addr-type ";" xtext
/// ```
pub fn rcpt(argument: &str, extensions: Extensions, smtputf8: bool) -> Result<Recipient, Fault> {
    let behind = strip_word(argument, "TO:").ok_or(&reply::BAD_ARGUMENTS)?;
    let (path, rest) = path::parse(behind).ok_or(&reply::BAD_RECIPIENT)?;
    let mut recipient = Recipient::new(match path {
        Path::Null => return Err(&reply::BAD_RECIPIENT),
        Path::Mailbox(address) => address,
        Path::Postmaster => Address::postmaster(),
    });
    for (keyword, value) in parameters(rest, extensions)? {
        match keyword.as_str() {
            "NOTIFY" => recipient.notify = Some(notify(value)?),
            "ORCPT" => recipient.orcpt = Some(orcpt(value, smtputf8)?),
            _ => return Err(&reply::UNKNOWN_PARAMETER),
        }
    }
    check_utf8(Some(&recipient.address), smtputf8)?;
    Ok(recipient)
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

fn check_utf8(address: Option<&Address>, smtputf8: bool) -> Result<(), Fault> {
    match address {
        Some(address) if address.is_internationalized() && !smtputf8 => Err(&reply::NEEDS_SMTPUTF8),
        _ => Ok(()),
    }
}

/// `*( SP keyword [ "=" value ] )`, keywords in upper case, none twice.
fn parameters(text: &str, extensions: Extensions) -> Result<Vec<(String, Option<&str>)>, Fault> {
    if !text.is_empty() && !text.starts_with(' ') {
        return Err(&reply::BAD_ARGUMENTS);
    }
    let mut found: Vec<(String, Option<&str>)> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) = word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value)));
        let keyword = keyword.to_ascii_uppercase();
        if !is_keyword(&keyword) || found.iter().any(|(known, _)| *known == keyword) {
            return Err(&reply::BAD_ARGUMENTS);
        }
        if value.is_some_and(|value| value.is_empty() || value.contains('=')) {
            return Err(&reply::BAD_PARAMETER);
        }
        found.push((keyword, value));
    }
    if extensions == Extensions::None && !found.is_empty() {
        return Err(&reply::UNKNOWN_PARAMETER);
    }
    Ok(found)
}

fn is_keyword(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// A parameter that has no value; given, it is true.
fn flag(value: Option<&str>) -> Result<bool, Fault> {
    if value.is_none() { Ok(true) } else { Err(&reply::BAD_PARAMETER) }
}

fn size(value: Option<&str>) -> Result<u64, Fault> {
    let digits =
        value.filter(|v| v.len() <= 20 && v.bytes().all(|b| b.is_ascii_digit())).ok_or(&reply::BAD_PARAMETER)?;
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn body(value: Option<&str>) -> Result<BodyType, Fault> {
    match one_of(value, &["7BIT", "8BITMIME"])?.as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        _ => Ok(BodyType::EightBitMime),
    }
}

/// One of the words in any case; in upper case.
fn one_of(value: Option<&str>, words: &[&str]) -> Result<String, Fault> {
    let word = value.map(str::to_ascii_uppercase).filter(|v| words.contains(&v.as_str()));
    word.ok_or(&reply::BAD_PARAMETER)
}

fn envid(value: Option<&str>) -> Result<String, Fault> {
    let value = value.filter(|v| v.len() <= limits::ENVID_BYTES_MAX && is_xtext(v));
    value.map(str::to_owned).ok_or(&reply::BAD_PARAMETER)
}

fn notify(value: Option<&str>) -> Result<String, Fault> {
    let value = value.unwrap_or_default().to_ascii_uppercase();
    let listed = || value.split(',').all(|word| ["SUCCESS", "FAILURE", "DELAY"].contains(&word));
    if value == "NEVER" || listed() { Ok(value) } else { Err(&reply::BAD_PARAMETER) }
}

fn orcpt(value: Option<&str>, smtputf8: bool) -> Result<String, Fault> {
    let value = value.filter(|v| v.len() <= limits::ORCPT_BYTES_MAX).ok_or(&reply::BAD_PARAMETER)?;
    let (kind, address) = value.split_once(';').ok_or(&reply::BAD_PARAMETER)?;
    let fits = if kind.eq_ignore_ascii_case("utf-8") { is_utf8_xtext(address, smtputf8) } else { is_xtext(address) };
    if is_keyword(kind) && fits { Ok(value.to_owned()) } else { Err(&reply::BAD_PARAMETER) }
}

/// xtext, not empty, and printable ASCII once decoded, as ENVID and ORCPT ask (RFC 3461 section 4).
fn is_xtext(text: &str) -> bool {
    let is_printable = |octets: Vec<u8>| octets.iter().all(|octet| (b' '..=b'~').contains(octet));
    !text.is_empty() && xtext::decode(text).is_some_and(is_printable)
}

/// `"AUTH=" xtext`, of `<>` or a mailbox (RFC 4954 section 5). Nobody is trusted with it, which comes to `<>`.
fn check_auth(value: Option<&str>) -> Result<(), Fault> {
    let value = value.filter(|v| v.len() <= limits::AUTH_PARAMETER_BYTES_MAX).and_then(xtext::decode);
    let text = value.and_then(|octets| String::from_utf8(octets).ok()).ok_or(&reply::BAD_PARAMETER)?;
    if text == "<>" || Address::parse(&text).is_ok() { Ok(()) } else { Err(&reply::BAD_PARAMETER) }
}

/// `utf-8-addr-xtext` or, with SMTPUTF8, `utf-8-addr-unitext` (RFC 6533 section 3). `\x{...}` is kept, not decoded.
fn is_utf8_xtext(text: &str, smtputf8: bool) -> bool {
    let fits = |c: char| if c.is_ascii() { c.is_ascii_graphic() && c != '+' && c != '=' } else { smtputf8 };
    !text.is_empty() && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the clear.
    const ALL: Offer = Offer { extensions: Extensions::Offered, auth: Extensions::None, require_tls: Extensions::None };
    const NONE: Offer = Offer { extensions: Extensions::None, ..ALL };

    fn mail_fault(argument: &str) -> Fault {
        mail(argument, ALL).expect_err(argument)
    }

    #[test]
    fn reads_mail() {
        let read = |argument: &str| mail(argument, ALL).unwrap_or_else(|e| panic!("{argument}: {e:?}"));
        assert_eq!(read("FROM:<>").envelope.sender, None);
        assert_eq!(read("from: <a@b>").envelope.sender, Address::parse("a@b").ok());
        let all = read("FROM:<ü@b>  size=5 body=8bitmime RET=hdrs ENVID=QQ+2B3 smtputf8");
        assert_eq!(all.declared_bytes, Some(5));
        let envelope = all.envelope;
        assert_eq!(envelope.body, BodyType::EightBitMime);
        assert_eq!((envelope.ret.as_deref(), envelope.envid.as_deref()), (Some("HDRS"), Some("QQ+2B3")));
        assert!(envelope.smtputf8);
        assert_eq!(read("FROM:<> BODY=7BIT RET=FULL").envelope.ret.as_deref(), Some("FULL"));
        assert_eq!(read("FROM:<> SIZE=99999999999999999999").declared_bytes, Some(u64::MAX));
        assert!(mail("FROM:<a@b>", NONE).is_ok());
    }

    #[test]
    fn refuses_bad_mail() {
        for (argument, fault) in [
            ("", &reply::BAD_ARGUMENTS),
            ("TO:<a@b>", &reply::BAD_ARGUMENTS),
            ("FROM", &reply::BAD_ARGUMENTS),
            ("FROM :<a@b>", &reply::BAD_ARGUMENTS),
            ("FROM:", &reply::BAD_SENDER),
            ("FROM:a@b", &reply::BAD_SENDER),
            ("FROM:<a>", &reply::BAD_SENDER),
            ("FROM:<Postmaster>", &reply::BAD_SENDER),
            ("FROM:<ü@b>", &reply::NEEDS_SMTPUTF8),
            ("FROM:<a@b>SIZE=1", &reply::BAD_ARGUMENTS),
            ("FROM:<a@b> =1", &reply::BAD_ARGUMENTS),
            ("FROM:<a@b> SIZE=1 size=1", &reply::BAD_ARGUMENTS),
            ("FROM:<a@b> SIZE", &reply::BAD_PARAMETER),
            ("FROM:<a@b> SIZE=", &reply::BAD_PARAMETER),
            ("FROM:<a@b> SIZE=-1", &reply::BAD_PARAMETER),
            ("FROM:<a@b> SIZE=1k", &reply::BAD_PARAMETER),
            ("FROM:<a@b> SIZE=000000000000000000001", &reply::BAD_PARAMETER),
            ("FROM:<a@b> BODY=BINARYMIME", &reply::BAD_PARAMETER),
            ("FROM:<a@b> BODY", &reply::BAD_PARAMETER),
            ("FROM:<a@b> RET=BODY", &reply::BAD_PARAMETER),
            ("FROM:<a@b> ENVID=a+2", &reply::BAD_PARAMETER),
            ("FROM:<a@b> ENVID=a=b", &reply::BAD_PARAMETER),
            ("FROM:<a@b> SMTPUTF8=1", &reply::BAD_PARAMETER),
            ("FROM:<a@b> NOTIFY=NEVER", &reply::UNKNOWN_PARAMETER),
            ("FROM:<a@b> REQUIRETLS", &reply::UNKNOWN_PARAMETER),
            ("FROM:<a@b> AUTH=<>", &reply::UNKNOWN_PARAMETER),
        ] {
            assert_eq!(mail_fault(argument), fault, "{argument}");
        }
        assert_eq!(mail("FROM:<a@b> SIZE=1", NONE), Err(&reply::UNKNOWN_PARAMETER));
    }

    #[test]
    fn auth_is_read_where_it_is_offered_and_never_kept() {
        let read = |value: &str| mail(&format!("FROM:<a@b> AUTH={value}"), Offer { auth: Extensions::Offered, ..ALL });
        for value in ["<>", "+3C+3E", "e+3Dmc2@example.org", "a@b"] {
            assert_eq!(read(value), mail("FROM:<a@b>", ALL), "{value}");
        }
        for value in ["", "a", "<a@b>", "a+3d@b", "a@b=c", "+FF@b", "a+0D+0A@b"] {
            assert_eq!(read(value), Err(&reply::BAD_PARAMETER), "{value}");
        }
        let long = |length: usize| read(&format!("{}@b", "+61".repeat((length - 2) / 3)));
        assert_eq!(long(limits::AUTH_PARAMETER_BYTES_MAX + 3), Err(&reply::BAD_PARAMETER));
    }

    #[test]
    fn requiretls_is_read_where_it_is_offered() {
        let inside = Offer { require_tls: Extensions::Offered, ..ALL };
        let demand = |argument: &str, offer| mail(argument, offer).map(|mail| mail.envelope.require_tls);
        assert_eq!(demand("FROM:<a@b> requiretls", inside), Ok(Some(RequireTls::EveryHop)));
        assert_eq!(demand("FROM:<a@b>", inside), Ok(None));
        assert_eq!(demand("FROM:<a@b> REQUIRETLS=1", inside), Err(&reply::BAD_PARAMETER));
        assert_eq!(demand("FROM:<a@b> REQUIRETLS", ALL), Err(&reply::UNKNOWN_PARAMETER));
    }

    #[test]
    fn reads_rcpt() {
        let read =
            |argument: &str| rcpt(argument, Extensions::Offered, false).unwrap_or_else(|e| panic!("{argument}: {e:?}"));
        assert_eq!(read("TO:<postmaster>").address, Address::postmaster());
        assert_eq!(read("to:<\"a b\"@c>").address.to_string(), "\"a b\"@c");
        let dsn = read("TO:<a@b> NOTIFY=success,DELAY ORCPT=rfc822;a+2Bx@b");
        assert_eq!((dsn.notify.as_deref(), dsn.orcpt.as_deref()), (Some("SUCCESS,DELAY"), Some("rfc822;a+2Bx@b")));
        assert_eq!(read("TO:<a@b> NOTIFY=NEVER").notify.as_deref(), Some("NEVER"));
        assert_eq!(read("TO:<a@b> ORCPT=utf-8;\\x{FC}@b").orcpt.as_deref(), Some("utf-8;\\x{FC}@b"));
        assert!(rcpt("TO:<ü@b> ORCPT=utf-8;ü@b", Extensions::Offered, true).is_ok());
    }

    #[test]
    fn refuses_bad_rcpt() {
        for (argument, fault) in [
            ("FROM:<a@b>", &reply::BAD_ARGUMENTS),
            ("TO:<>", &reply::BAD_RECIPIENT),
            ("TO:a@b", &reply::BAD_RECIPIENT),
            ("TO:<ü@b>", &reply::NEEDS_SMTPUTF8),
            ("TO:<a@b> SIZE=1", &reply::UNKNOWN_PARAMETER),
            ("TO:<a@b> NOTIFY", &reply::BAD_PARAMETER),
            ("TO:<a@b> NOTIFY=NEVER,DELAY", &reply::BAD_PARAMETER),
            ("TO:<a@b> NOTIFY=DELAY,", &reply::BAD_PARAMETER),
            ("TO:<a@b> NOTIFY=SOMETIMES", &reply::BAD_PARAMETER),
            ("TO:<a@b> ORCPT=a@b", &reply::BAD_PARAMETER),
            ("TO:<a@b> ORCPT=rfc822;", &reply::BAD_PARAMETER),
            ("TO:<a@b> ORCPT=;a@b", &reply::BAD_PARAMETER),
            ("TO:<a@b> ORCPT=rfc822;a+2bx", &reply::BAD_PARAMETER),
            ("TO:<a@b> ORCPT=rfc822;a+0D+0A", &reply::BAD_PARAMETER),
            ("TO:<a@b> ORCPT=rfc822;ü@b", &reply::BAD_PARAMETER),
            ("TO:<a@b> ORCPT=utf-8;ü@b", &reply::BAD_PARAMETER),
        ] {
            assert_eq!(rcpt(argument, Extensions::Offered, false), Err(fault), "{argument}");
        }
    }

    #[test]
    fn lengths_hold_on_both_sides() {
        let envid = |length: usize| mail(&format!("FROM:<> ENVID={}", "e".repeat(length)), ALL);
        assert!(envid(limits::ENVID_BYTES_MAX).is_ok());
        assert_eq!(envid(limits::ENVID_BYTES_MAX + 1), Err(&reply::BAD_PARAMETER));
        let orcpt =
            |length: usize| rcpt(&format!("TO:<a@b> ORCPT=x;{}", "o".repeat(length - 2)), Extensions::Offered, false);
        assert!(orcpt(limits::ORCPT_BYTES_MAX).is_ok());
        assert_eq!(orcpt(limits::ORCPT_BYTES_MAX + 1), Err(&reply::BAD_PARAMETER));
    }
}
