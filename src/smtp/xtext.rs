//! xtext (RFC 3461 section 4): octets as visible ASCII, in parameters of MAIL and RCPT and in XFORWARD. Never guesses.

/// Decodes `xtext = *( xchar / hexchar )`; `None` when it is not that.
///
/// ```text
/// xchar   = any visible ASCII character but "+" and "="
/// hexchar = "+" 2( DIGIT / "A" / "B" / "C" / "D" / "E" / "F" )
/// ```
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut octets = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(octet) = octets.next() {
        decoded.push(match octet {
            b'+' => hex(octets.next()?)? * 16 + hex(octets.next()?)?,
            b'=' => return None,
            _ => Some(octet).filter(u8::is_ascii_graphic)?,
        });
    }
    Some(decoded)
}

/// Hexadecimal in upper case only.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_xtext() {
        let check = |text: &str, expected: Option<&[u8]>| assert_eq!(decode(text).as_deref(), expected, "{text}");
        check("", Some(b""));
        check("a+2Bb", Some(b"a+b"));
        check("+0D+0A+FF", Some(b"\r\n\xff"));
        for text in ["+", "+2", "+2b", "+GG", "a=b", "a b", "\u{fc}", "\r"] {
            check(text, None);
        }
    }
}
