//! Our trace field. The only thing put on top of mail that no rule changes (P3).

use crate::mail::{Client, MailId};
use crate::smtp::server::Origin;

/// Octets of the EHLO argument shown in the field; longer ones are cut, so that no line passes 998 octets.
const EHLO_BYTES_MAX: usize = 255;

/// Builds `Received:` (RFC 5321 section 4.4) without a `for` clause, which would show one recipient to another (P5). Where the
/// client is a filter that has named its own client, it tells of that one.
pub fn received(hostname: &str, client: &Client, forwarded: Option<&Origin>, id: &MailId) -> Vec<u8> {
    let ip = forwarded.and_then(|origin| origin.ip).unwrap_or(client.ip);
    let name = forwarded.and_then(|origin| origin.name.as_deref()).unwrap_or(&client.ehlo);
    let tls = match &client.tls {
        None => String::new(),
        Some(tls) => format!(" ({} {})", printable(&tls.version), printable(&tls.cipher)),
    };
    format!(
        "Received: from {} ([{}])\r\n\tby {hostname} (Sealpost) with {}{tls}\r\n\tid {id}; {}\r\n",
        printable(name),
        address_literal(ip),
        printable(&client.protocol),
        client.at.rfc5322(),
    )
    .into_bytes()
}

fn address_literal(ip: std::net::IpAddr) -> String {
    match ip.to_canonical() {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("IPv6:{v6}"),
    }
}

/// What a client said, fit for a header field: visible ASCII without what comments and fields give meaning to.
fn printable(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '(' | ')' | '\\' | ';' | '"' | '<' | '>'))
        .take(EHLO_BYTES_MAX)
        .collect();
    if kept.is_empty() { "unknown".to_owned() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::mail::{Direction, Tls};

    fn field(ehlo: &str, ip: &str) -> String {
        let client = Client {
            ip: ip.parse().expect("ip"),
            ehlo: ehlo.into(),
            protocol: "ESMTPS".into(),
            tls: Some(Tls { version: "TLSv1.3".into(), cipher: "TLS13_AES_256_GCM_SHA384".into(), certificate: None }),
            account: None,
            direction: Direction::Outbound,
            at: Timestamp::from_s(0),
        };
        String::from_utf8(received("gw.example.org", &client, None, &MailId::from_octets([1; 16]))).expect("ASCII")
    }

    #[test]
    fn says_who_and_when_and_never_for_whom() {
        let text = field("client.example", "::ffff:192.0.2.1");
        assert_eq!(
            text,
            "Received: from client.example ([192.0.2.1])\r\n\tby gw.example.org (Sealpost) with ESMTPS (TLSv1.3 \
             TLS13_AES_256_GCM_SHA384)\r\n\tid 01010101010101010101010101010101; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn hostile_names_cannot_leave_their_place() {
        let text = field("x\r\nSubject: (evil) \u{fc}", "::1");
        assert!(text.starts_with("Received: from xSubject:evil ([IPv6:::1])\r\n"), "{text}");
        assert!(field("", "::1").contains("from unknown ("));
        assert!(field(&"e".repeat(5000), "::1").lines().all(|l| l.len() <= 998));
    }
}
