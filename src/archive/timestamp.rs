//! Time stamps of RFC 3161: the request, and the response down to what it states. Octets in, values out; asks nobody. Whether a
//! token is to be believed is `token`'s.

use super::cursor::Malformed;
use super::token::Token;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::ID_SHA_256;
use der::asn1::{Any, Int, OctetString};
use der::{Decode, Encode, Sequence, Tag, Tagged};
use spki::AlgorithmIdentifierOwned;

pub use super::token::Authorities;

/// Octets of a response at most: those of authorities have 3 to 8 KB.
pub const RESPONSE_BYTES_MAX: usize = 256 * 1024;
/// Octets of a nonce that we draw.
pub const NONCE_BYTES: usize = 16;
/// PKIStatus: 0 granted, 1 granted with changes (RFC 3161 section 2.4.2).
const GRANTED_MAX: u8 = 1;

/// What is wrong with a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is none.
    #[error("no time stamp: {0}")]
    Malformed(#[from] Malformed),
    /// The authority refused.
    #[error("the authority refused, status {status}: {text}")]
    Refused {
        /// PKIStatus.
        status: u8,
        /// What it says.
        text: String,
    },
    /// It stands for something else.
    #[error("the time stamp is for something else: {0}")]
    Other(&'static str),
    /// Signature or certificates.
    #[error("the time stamp is not to be believed: {0}")]
    Untrusted(String),
}

/// RFC 3161 section 2.4.1.
#[derive(Sequence)]
struct TimeStampReq {
    version: u8,
    message_imprint: MessageImprint,
    nonce: Int,
    cert_req: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct MessageImprint {
    hash_algorithm: AlgorithmIdentifierOwned,
    hashed_message: OctetString,
}

/// The DER of a request for a time stamp on this SHA-256, with the authority's certificates in the answer.
pub fn request(imprint: &Digest, nonce: &[u8; NONCE_BYTES]) -> Result<Vec<u8>, Malformed> {
    let malformed = |_| Malformed("a request that cannot be encoded");
    let hash_algorithm = AlgorithmIdentifierOwned { oid: ID_SHA_256, parameters: Some(Any::null()) };
    let hashed_message = OctetString::new(imprint.as_slice()).map_err(malformed)?;
    let message_imprint = MessageImprint { hash_algorithm, hashed_message };
    let request = TimeStampReq {
        version: 1,
        message_imprint,
        nonce: Int::new(&positive(nonce)).map_err(malformed)?,
        cert_req: true,
    };
    request.to_der().map_err(malformed)
}

/// The octets of a positive INTEGER: shortest, the first bit clear.
fn positive(nonce: &[u8]) -> Vec<u8> {
    let significant: Vec<u8> = nonce.iter().copied().skip_while(|octet| *octet == 0).collect();
    let sign = if significant.first().is_none_or(|first| *first >= 0x80) { &[0][..] } else { &[] };
    [sign, &significant].concat()
}

/// What a token states (TSTInfo, RFC 3161 section 2.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// SHA-256 of what was stamped.
    pub imprint: Digest,
    /// When, by the authority's clock; fractions of a second cut off.
    pub at: Timestamp,
    /// The authority's policy.
    pub policy: ObjectIdentifier,
    /// The token's number, as hexadecimal.
    pub serial: String,
    /// The nonce of the request, as the octets of its INTEGER.
    pub nonce: Option<Vec<u8>>,
}

/// A response that grants a token.
#[derive(Clone, Debug)]
pub struct Response {
    token: Token,
    stated: Stated,
}

impl Response {
    /// Reads the DER of a TimeStampResp; what does not grant a token is a fault. Nothing in it is believed yet.
    pub fn parse(octets: &[u8]) -> Result<Response, Fault> {
        if octets.len() > RESPONSE_BYTES_MAX {
            return Err(Malformed("longer than a response can be").into());
        }
        let parts = sequence(octets)?;
        let (status, text) = status(parts.first().ok_or(Malformed("an empty response"))?)?;
        if status > GRANTED_MAX {
            return Err(Fault::Refused { status, text });
        }
        let [_, token] = parts.as_slice() else { return Err(Malformed("granted, and no token").into()) };
        let token = Token::parse(&token.to_der().map_err(|_| Malformed("token"))?)?;
        let stated = Stated::parse(token.content())?;
        Ok(Response { token, stated })
    }
    /// What it states.
    pub fn stated(&self) -> &Stated {
        &self.stated
    }
    /// The certificates in the token, DER.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        self.token.certificates()
    }
    /// Who signed it, as its certificate says.
    pub fn authority(&self) -> String {
        self.token.signer_name()
    }
    /// Whether it answers the request with this nonce.
    pub fn answers(&self, nonce: &[u8; NONCE_BYTES]) -> Result<(), Fault> {
        match self.stated.nonce.as_deref() == Some(&positive(nonce)) {
            true => Ok(()),
            false => Err(Fault::Other("another nonce")),
        }
    }
    /// Whether it stamps this SHA-256 and is to be believed. Without `authorities` anybody's certificate will do, as long as it is
    /// one for time stamps and was valid at that time.
    pub fn verify(&self, imprint: &Digest, authorities: Option<&Authorities>) -> Result<(), Fault> {
        if self.stated.imprint != *imprint {
            return Err(Fault::Other("another imprint"));
        }
        self.token.verify(self.stated.at, authorities)
    }
}

impl Stated {
    fn parse(content: &[u8]) -> Result<Stated, Malformed> {
        let parts = sequence(content)?;
        let [version, policy, imprint, serial, at, optional @ ..] = parts.as_slice() else {
            return Err(Malformed("TSTInfo cut short"));
        };
        if version.tag() != Tag::Integer || version.value() != [1] {
            return Err(Malformed("TSTInfo of an unknown version"));
        }
        let policy = policy.decode_as().map_err(|_| Malformed("policy"))?;
        let imprint: MessageImprint = imprint.decode_as().map_err(|_| Malformed("message imprint"))?;
        if imprint.hash_algorithm.oid != ID_SHA_256 {
            return Err(Malformed("an imprint by another hash than SHA-256"));
        }
        let imprint =
            imprint.hashed_message.as_bytes().try_into().map_err(|_| Malformed("imprint of another length"))?;
        if serial.tag() != Tag::Integer || at.tag() != Tag::GeneralizedTime {
            return Err(Malformed("serial number or time"));
        }
        let nonce = optional.iter().find(|part| part.tag() == Tag::Integer).map(|part| part.value().to_vec());
        let serial = crate::crypto::hash::hex(serial.value());
        Ok(Stated { imprint, at: generalized_time(at.value())?, policy, serial, nonce })
    }
}

/// `YYYYMMDDhhmmss[.f...]Z` (RFC 3161 section 2.4.2 allows fractions, DER's usual profile does not).
fn generalized_time(octets: &[u8]) -> Result<Timestamp, Malformed> {
    let malformed = Malformed("time");
    let text = std::str::from_utf8(octets).ok().and_then(|text| text.strip_suffix('Z')).ok_or(malformed)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() != 14 || !is_number(whole) || !is_number(fraction) {
        return Err(malformed);
    }
    let number = |from: usize, until: usize| whole[from..until].parse::<i64>().map_err(|_| malformed);
    let (month, day) = (number(4, 6)?, number(6, 8)?);
    let small = |n: i64| u8::try_from(n).map_err(|_| malformed);
    let year = i32::try_from(number(0, 4)?).map_err(|_| malformed)?;
    let date = Timestamp::from_date(year, small(month)?, small(day)?).ok_or(malformed)?;
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if hour > 23 || minute > 59 || second > 60 {
        return Err(malformed);
    }
    Ok(date.plus_s(hour * 3600 + minute * 60 + second))
}

/// PKIStatus and what the authority says with it.
fn status(info: &Any) -> Result<(u8, String), Malformed> {
    let parts: Vec<Any> = info.decode_as().map_err(|_| Malformed("status"))?;
    let status = parts.first().and_then(|part| part.decode_as::<u8>().ok()).ok_or(Malformed("status"))?;
    let said: Vec<Any> = parts.get(1).and_then(|part| part.decode_as().ok()).unwrap_or_default();
    let text: Vec<String> = said.iter().map(|part| String::from_utf8_lossy(part.value()).into_owned()).collect();
    Ok((status, text.join("; ")))
}

/// The parts of a SEQUENCE.
pub(super) fn sequence(octets: &[u8]) -> Result<Vec<Any>, Malformed> {
    Vec::<Any>::from_der(octets).map_err(|_| Malformed("not the DER expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_openssl_makes() {
        let made = request(&[0xab; 32], &[0xcd; NONCE_BYTES]).expect("a request");
        let hash =
            [&[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09][..], ID_SHA_256.as_bytes(), &[5, 0, 4, 32], &[0xab; 32]].concat();
        let nonce = [&[0x02, 17, 0][..], &[0xcd; 16]].concat();
        let body = [&[2, 1, 1][..], &hash, &nonce, &[1, 1, 0xff]].concat();
        let whole = [&[0x30, u8::try_from(body.len()).expect("short")][..], &body].concat();
        assert_eq!(made, whole);
    }

    #[test]
    fn nonces_are_positive_integers_of_one_form() {
        for (nonce, integer) in
            [(&[0, 0, 5][..], &[5][..]), (&[0x80], &[0, 0x80]), (&[0, 0], &[0]), (&[0x7f, 0xff], &[0x7f, 0xff])]
        {
            assert_eq!(positive(nonce), integer);
        }
    }

    #[test]
    fn times_have_fractions_or_none() {
        for (text, expected_s) in [
            ("20261201160000Z", Some(1_796_140_800)),
            ("20261201160000.125Z", Some(1_796_140_800)),
            ("20261201160000.Z", None),
            ("20261201160000", None),
            ("20261301160000Z", None),
            ("20261201240000Z", None),
            ("202612011600000Z", None),
            ("+0261201160000Z", None),
            ("", None),
        ] {
            assert_eq!(generalized_time(text.as_bytes()).ok(), expected_s.map(Timestamp::from_s), "{text}");
        }
    }
}
