//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: messages in, messages out, whatever protocol carries them. Knows no
//! password, keeps none, and offers no channel binding.
//!
//! ```text
//! client-first = gs2-header [ "m=" ... ] "n=" saslname ",r=" nonce *( "," extension )
//! gs2-header   = ( "p=" cb-name / "n" / "y" ) "," [ "a=" saslname ] ","
//! server-first = "r=" nonce nonce ",s=" base64 ",i=" posit-number
//! client-final = "c=" base64 ",r=" nonce *( "," extension ) ",p=" base64
//! server-final = "v=" base64
//! ```

use super::account::Account;
use super::verifier::Verifier;
use crate::crypto::hash::DIGEST_BYTES;
use crate::crypto::{mac, random, sha256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The mechanism's name.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// Octets of a client's nonce.
const NONCE_BYTES_MAX: usize = 1024;
/// Octets of ours, before base64.
const NONCE_BYTES: usize = 24;

/// Why an exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not what the mechanism asks for.
    Malformed,
    /// The client insists on binding the login to its channel, which is not offered.
    ChannelBinding,
    /// Name or password is wrong, or the client wants to act for another.
    Credentials,
}

/// What a client's first message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct First<'m> {
    header: &'m str,
    bare: &'m str,
    nonce: &'m str,
    /// Whose login.
    pub user: String,
}

/// An exchange between two messages of the client's.
#[derive(Debug)]
pub struct Exchange(Awaited);

#[derive(Debug)]
enum Awaited {
    Proof(Box<Proof>),
    /// Of the server's signature; any but an empty one is an error.
    Acknowledgement(Account),
}

/// What the proof is checked against.
#[derive(Debug)]
struct Proof {
    /// `c=` in the client's next message.
    binding: String,
    nonce: String,
    /// `client-first-bare "," server-first ","`.
    said: String,
    verifier: Verifier,
    /// `None`: nobody's, and no proof is right.
    account: Option<Account>,
}

/// How far an exchange has come.
#[derive(Debug)]
pub enum Reached {
    /// Send this; the client answers it.
    Challenge(Exchange, Vec<u8>),
    /// The client is this account, and has seen that we know it.
    Proven(Account),
}

impl First<'_> {
    /// Reads a client's first message.
    pub(super) fn parse(message: &[u8]) -> Result<First<'_>, Fault> {
        let text = std::str::from_utf8(message).map_err(|_| Fault::Malformed)?;
        let (flag, rest) = text.split_once(',').ok_or(Fault::Malformed)?;
        match flag {
            // "y": the client could bind and believes that we cannot, which is so.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(Fault::ChannelBinding),
            _ => return Err(Fault::Malformed),
        }
        let (acting_for, bare) = rest.split_once(',').ok_or(Fault::Malformed)?;
        let header = &text[..text.len() - bare.len()];
        // What begins with "m=" must be understood, and nothing is.
        let (user, rest) = bare.strip_prefix("n=").and_then(|b| b.split_once(',')).ok_or(Fault::Malformed)?;
        let user = name(user)?;
        if !acting_for.is_empty() && acting_for.strip_prefix("a=").map(name).ok_or(Fault::Malformed)?? != user {
            return Err(Fault::Credentials);
        }
        let nonce = rest.strip_prefix("r=").and_then(|r| r.split(',').next()).filter(|n| is_nonce(n));
        Ok(First { header, bare, nonce: nonce.ok_or(Fault::Malformed)?, user })
    }
}

/// `saslname`: "=2C" is a comma, "=3D" an equals sign, and no other "=" may stand in it.
fn name(text: &str) -> Result<String, Fault> {
    let (first, rest) = text.split_once('=').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let mut name = first.to_owned();
    for part in rest.into_iter().flat_map(|rest| rest.split('=')) {
        let (octet, rest) = part.split_at_checked(2).ok_or(Fault::Malformed)?;
        name.push(match octet {
            "2C" => ',',
            "3D" => '=',
            _ => return Err(Fault::Malformed),
        });
        name.push_str(rest);
    }
    if name.is_empty() || name.contains('\0') { Err(Fault::Malformed) } else { Ok(name) }
}

/// `printable`: visible ASCII but the comma.
fn is_nonce(text: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

impl Exchange {
    /// Answers a client's first message. `None`: there is no randomness.
    pub(super) fn start(first: &First<'_>, verifier: Verifier, account: Option<Account>) -> Option<Reached> {
        let own = STANDARD.encode(random::bytes::<NONCE_BYTES>().ok()?);
        Some(Exchange::with_nonce(first, &own, verifier, account))
    }

    fn with_nonce(first: &First<'_>, own: &str, verifier: Verifier, account: Option<Account>) -> Reached {
        let nonce = format!("{}{own}", first.nonce);
        let answer = format!("r={nonce},s={},i={}", STANDARD.encode(verifier.salt()), verifier.iterations());
        let said = format!("{},{answer},", first.bare);
        let proof = Proof { binding: STANDARD.encode(first.header), nonce, said, verifier, account };
        Reached::Challenge(Exchange(Awaited::Proof(Box::new(proof))), answer.into_bytes())
    }

    /// Takes the client's next message.
    pub fn respond(self, message: &[u8]) -> Result<Reached, Fault> {
        match self.0 {
            Awaited::Proof(proof) => proof.check(message),
            Awaited::Acknowledgement(account) if message.is_empty() => Ok(Reached::Proven(account)),
            Awaited::Acknowledgement(_) => Err(Fault::Malformed),
        }
    }
}

impl Proof {
    fn check(self, message: &[u8]) -> Result<Reached, Fault> {
        let text = std::str::from_utf8(message).map_err(|_| Fault::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Fault::Malformed)?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|c| c.strip_prefix("c=")).ok_or(Fault::Malformed)?;
        let nonce = fields.next().and_then(|r| r.strip_prefix("r=")).ok_or(Fault::Malformed)?;
        let proof = STANDARD.decode(proof).ok().and_then(|p| <[u8; DIGEST_BYTES]>::try_from(p).ok());
        let proof = proof.ok_or(Fault::Malformed)?;
        if binding != self.binding || nonce != self.nonce {
            return Err(Fault::Credentials);
        }
        let said = [self.said.as_bytes(), without_proof.as_bytes()];
        let signature = mac::hmac_sha256(self.verifier.stored_key(), &said);
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(octet, mask)| *octet ^= mask);
        let is_right = mac::are_equal(&sha256(&client_key), self.verifier.stored_key());
        zeroize::Zeroize::zeroize(&mut client_key);
        let account = self.account.filter(|_| is_right).ok_or(Fault::Credentials)?;
        let answer = format!("v={}", STANDARD.encode(mac::hmac_sha256(self.verifier.server_key(), &said)));
        Ok(Reached::Challenge(Exchange(Awaited::Acknowledgement(account)), answer.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{AccountName, Password, Role};

    fn account() -> Account {
        Account { name: AccountName::parse("user").expect("a name"), role: Role::User, addresses: Vec::new() }
    }

    /// The example of RFC 7677 section 3.
    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const OWN_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const ANSWER: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SIGNATURE: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn started(first: &[u8], account: Option<Account>) -> (Exchange, Vec<u8>) {
        let password = Password::parse(b"pencil").expect("a password");
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = Verifier::derive(&password, &salt, 4096).expect("a verifier");
        let first = First::parse(first).expect("a first message");
        match Exchange::with_nonce(&first, OWN_NONCE, verifier, account) {
            Reached::Challenge(exchange, answer) => (exchange, answer),
            Reached::Proven(_) => panic!("too soon"),
        }
    }

    #[test]
    fn matches_rfc_7677_section_3() {
        let (exchange, answer) = started(FIRST, Some(account()));
        assert_eq!(answer, ANSWER.as_bytes());
        let Ok(Reached::Challenge(exchange, answer)) = exchange.respond(FINAL.as_bytes()) else { panic!("refused") };
        assert_eq!(answer, SIGNATURE);
        assert!(matches!(exchange.respond(b""), Ok(Reached::Proven(who)) if who == account()));
    }

    #[test]
    fn any_other_proof_is_refused() {
        let check = |first: &[u8], message: &str, who: Option<Account>, expected: Fault| {
            let answered = started(first, who).0.respond(message.as_bytes());
            assert_eq!(answered.err(), Some(expected), "{message}");
        };
        let me = || Some(account());
        check(FIRST, FINAL, None, Fault::Credentials);
        check(b"y,,n=user,r=rOprNGfwEbeRWgbNEkqO", FINAL, me(), Fault::Credentials);
        check(b"n,,n=usee,r=rOprNGfwEbeRWgbNEkqO", FINAL, me(), Fault::Credentials);
        for (from, to, fault) in [
            ("c=biws", "c=eSws", Fault::Credentials),
            ("$k0,", "$k1,", Fault::Credentials),
            ("$k0,", "$k0,x=y,", Fault::Credentials),
            ("p=dH", "p=eH", Fault::Credentials),
            ("p=dHzb", "p=dHz", Fault::Malformed),
            ("ndVQ=", "ndVQ=,x=y", Fault::Malformed),
            ("c=biws,", "", Fault::Malformed),
            (",p=", ",q=", Fault::Malformed),
        ] {
            check(FIRST, &FINAL.replace(from, to), me(), fault);
        }
        let Ok(Reached::Challenge(proven, _)) = started(FIRST, me()).0.respond(FINAL.as_bytes()) else { panic!() };
        assert_eq!(proven.respond(b"x").err(), Some(Fault::Malformed));
    }

    #[test]
    fn first_messages_are_read_strictly() {
        let check = |message: &str, expected: Result<(&str, &str), Fault>| {
            let read = First::parse(message.as_bytes());
            let read = read.as_ref().map(|first| (first.user.as_str(), first.header)).map_err(|e| *e);
            assert_eq!(read, expected, "{message}");
        };
        check("n,,n=user,r=x", Ok(("user", "n,,")));
        check("y,,n=user,r=x,e=ignored", Ok(("user", "y,,")));
        check("n,a=user,n=user,r=x", Ok(("user", "n,a=user,")));
        check("n,,n=a=2Cb=3Dc,r=x", Ok(("a,b=c", "n,,")));
        check("n,a=other,n=user,r=x", Err(Fault::Credentials));
        check("p=tls-exporter,,n=user,r=x", Err(Fault::ChannelBinding));
        for message in [
            "",
            "n",
            "n,",
            "n,,",
            "q,,n=u,r=x",
            "n,,m=1,n=u,r=x",
            "n,,n=,r=x",
            "n,,n=u",
            "n,,n=u,r=",
            "n,,n=u,r=\u{fc}",
            "n,,n=u=2c,r=x",
            "n,,n=u=2,r=x",
            "n,,n=u=\u{fc}\u{fc},r=x",
            "n,x,n=u,r=x",
            "n,,n=u\0,r=x",
            "n,,r=x,n=u",
        ] {
            check(message, Err(Fault::Malformed));
        }
        let nonce = |length: usize| First::parse(format!("n,,n=u,r={}", "n".repeat(length)).as_bytes()).is_ok();
        assert!(nonce(NONCE_BYTES_MAX) && !nonce(NONCE_BYTES_MAX + 1));
    }
}
