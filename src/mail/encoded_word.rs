//! Encoded words (RFC 2047) to Unicode: for people, policies and search. Never applied to anything that is sent, signed or
//! compared as an address.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use mail_parser::decoders::charsets::map::charset_decoder;

/// Octets of a value that are decoded; what follows is cut off.
pub const DECODED_BYTES_MAX: usize = 64 * 1024;
/// Octets in the name of a character set.
const CHARSET_BYTES_MAX: usize = 45;

pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// `encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="`, its text decoded to octets.
struct Word<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
    /// Octets it takes in the field.
    length: usize,
}

/// Decodes an unfolded value. White space between two encoded words vanishes; a word that cannot be decoded stays as it is.
pub(super) fn decode(value: &[u8]) -> String {
    let value = &value[..value.len().min(DECODED_BYTES_MAX)];
    let mut text = Text::default();
    let (mut plain, mut at) = (0, 0);
    while let Some(found) = find_start(value, at) {
        match Word::read(&value[found..]) {
            Some(word) => {
                text.plain(&value[plain..found], Next::Word);
                at = found + word.length;
                plain = at;
                text.word(word);
            }
            None => at = found + 2,
        }
    }
    text.plain(&value[plain..], Next::End);
    text.done
}

/// Octets in the encoded word at the start of `octets`, if there is one.
pub(super) fn length(octets: &[u8]) -> Option<usize> {
    Word::read(octets).map(|word| word.length)
}

/// Octets of character set `charset` as Unicode; an unknown character set is read as UTF-8.
pub(super) fn to_unicode(charset: &[u8], octets: &[u8]) -> String {
    match charset_decoder(charset) {
        Some(decoder) if !octets.is_empty() && !charset.is_empty() => decoder(octets),
        _ => String::from_utf8_lossy(octets).into_owned(),
    }
}

fn find_start(value: &[u8], from: usize) -> Option<usize> {
    value[from..].windows(2).position(|w| w == b"=?").map(|n| from + n)
}

impl<'a> Word<'a> {
    /// Reads no octet of the encoded text that a later attempt would read again: the text ends at the next `=?`.
    fn read(octets: &'a [u8]) -> Option<Word<'a>> {
        let rest = octets.strip_prefix(b"=?")?;
        let charset_bytes = rest.iter().take(CHARSET_BYTES_MAX + 1).position(|&b| b == b'?')?;
        let charset = rest[..charset_bytes].split(|&b| b == b'*').next()?;
        let is_named = !charset.is_empty() && charset.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:+".contains(b));
        let (&encoding, rest) = rest[charset_bytes + 1..].split_first()?;
        let text = rest.strip_prefix(b"?").filter(|_| is_named)?;
        let (octets_decoded, text_bytes) = match encoding {
            b'q' | b'Q' => read_q(text)?,
            b'b' | b'B' => read_b(text)?,
            _ => return None,
        };
        Some(Word { charset, octets: octets_decoded, length: 2 + charset_bytes + 3 + text_bytes + 2 })
    }

    /// Whether a word's octets may be cut within a character, so that adjacent words are to be joined before decoding.
    /// Forbidden by RFC 2047 section 5, done by many. Character sets with shift states begin anew in each word.
    fn is_joinable(&self) -> bool {
        let shifts = |prefix: &[u8]| self.charset.get(..prefix.len()).is_some_and(|c| c.eq_ignore_ascii_case(prefix));
        !shifts(b"iso-2022") && !shifts(b"utf-7") && !shifts(b"utf-16") && !shifts(b"hz")
    }
}

/// The "Q" encoding (section 4.2) through `?=`: octets and how many were read before it. Spaces and `?` inside are
/// tolerated, and so is a `=` that no hexadecimal follows: many senders write them.
fn read_q(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut octets = Vec::new();
    let mut at = 0;
    loop {
        match *text.get(at)? {
            b'?' if text.get(at + 1) == Some(&b'=') => return Some((octets, at)),
            b'=' if text.get(at + 1) == Some(&b'?') => return None,
            b'=' => match text.get(at + 1..at + 3).and_then(hex_octet) {
                Some(octet) => {
                    octets.push(octet);
                    at += 2;
                }
                None => octets.push(b'='),
            },
            b'_' => octets.push(b' '),
            b'\r' | b'\n' => return None,
            b => octets.push(b),
        }
        at += 1;
    }
}

/// The "B" encoding (section 4.1) through `?=`. White space inside and padding in the middle are tolerated.
fn read_b(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let end = text.iter().position(|&b| b == b'?')?;
    text[end..].starts_with(b"?=").then_some(())?;
    let mut octets = Vec::with_capacity(end);
    for run in text[..end].split(|&b| b == b'=') {
        let run: Vec<u8> = run.iter().copied().filter(|b| !matches!(b, b' ' | b'\t')).collect();
        octets.extend(BASE64.decode(run).ok()?);
    }
    Some((octets, end))
}

/// The octet that two hexadecimal digits name.
pub(super) fn hex_octet(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match digits {
        &[high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// What follows a stretch of plain text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Word,
    End,
}

/// The text so far, and the last encoded words whose octets still wait for more of the same character set.
#[derive(Default)]
struct Text<'a> {
    done: String,
    waiting: Option<Word<'a>>,
}

impl<'a> Text<'a> {
    fn plain(&mut self, octets: &[u8], next: Next) {
        let is_gap = octets.iter().all(|&b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
        if self.waiting.is_some() && is_gap && next == Next::Word {
            return;
        }
        self.flush();
        self.push(&String::from_utf8_lossy(octets));
    }

    fn word(&mut self, word: Word<'a>) {
        if let Some(before) = &mut self.waiting
            && before.charset.eq_ignore_ascii_case(word.charset)
            && word.is_joinable()
        {
            before.octets.extend(word.octets);
            return;
        }
        self.flush();
        self.waiting = Some(word);
    }

    fn flush(&mut self) {
        if let Some(word) = self.waiting.take() {
            self.push(&to_unicode(word.charset, &word.octets));
        }
    }

    /// Control characters become U+FFFD: an encoded line break must not break a log line or a reply.
    fn push(&mut self, text: &str) {
        self.done
            .extend(text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_words_and_leaves_the_rest() {
        for (input, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("grüße", "grüße"),
            ("=?utf-8?q?h=C3=A9?=", "hé"),
            ("=?UTF-8?B?aMOp?=", "hé"),
            ("=?UTF-8?B?aMOpaA?=", "héh"),
            ("=?UTF-8?B?aA==aA==?=", "hh"),
            ("=?utf-8*en?q?a_b=5Fc?=", "a b_c"),
            ("=?iso-8859-1?Q?a?=  \t=?utf-8?Q?b?=", "ab"),
            ("=?iso-8859-1?Q?a?= b =?utf-8?Q?c?=", "a b c"),
            ("x=?utf-8?q?a?=y", "xay"),
            ("=?utf-8?B?w?=", "=?utf-8?B?w?="),
            ("=?utf-8?B?w6?= =?utf-8?B?qQ?=", "é"),
            ("=?utf-8?q?=C3?= =?UTF-8?B?qQ==?=", "é"),
            ("=?utf-8?q?=C3?= =?latin1?q?=E9?=", "\u{fffd}é"),
            ("=?iso-2022-jp?b?GyRCJUYbKEI=?= =?iso-2022-jp?b?GyRCJUYbKEI=?=", "テテ"),
            ("=?x-nobody?q?=C3=A9?=", "é"),
            ("=?utf-8?q?What? Yes?!?=", "What? Yes?!"),
            ("=?utf-8?q?100=% = =G1?=", "100=% = =G1"),
            ("=?utf-8?q??=", ""),
            ("a =?utf-8?q??= b", "a  b"),
            ("=?utf-8?q?a=0D=0ABcc:_x=00?=", "a\u{fffd}\u{fffd}Bcc: x\u{fffd}"),
            // one step from a word each
            ("=?utf-8?q?a", "=?utf-8?q?a"),
            ("=?utf-8?q?a?", "=?utf-8?q?a?"),
            ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("=??q?a?=", "=??q?a?="),
            ("=?u f?q?a?=", "=?u f?q?a?="),
            ("=?\"u?q?a?=", "=?\"u?q?a?="),
            ("=?utf-8?b?a!?=", "=?utf-8?b?a!?="),
            ("=?utf-8?q?a=?utf-8?q?b?=", "=?utf-8?q?ab"),
            ("=?=?=?=", "=?=?=?="),
        ] {
            assert_eq!(decode(input.as_bytes()), expected, "{input}");
        }
        assert_eq!(decode(b"a\xffb\0"), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn length_is_bounded() {
        let at = "a".repeat(DECODED_BYTES_MAX);
        assert_eq!(decode(at.as_bytes()).len(), DECODED_BYTES_MAX);
        assert_eq!(decode(format!("{at}b").as_bytes()), at);
        let charset = "c".repeat(CHARSET_BYTES_MAX);
        assert_eq!(decode(format!("=?{charset}?q?a?=").as_bytes()), "a");
        let longer = format!("=?{charset}c?q?a?=");
        assert_eq!(decode(longer.as_bytes()), longer);
    }

    #[test]
    fn every_character_set_takes_every_octet() {
        const NAMES: &[&str] = &[
            "iso-2022-jp",
            "shift_jis",
            "euc-jp",
            "euc-kr",
            "gbk",
            "gb18030",
            "big5",
            "iso-2022-kr",
            "hz-gb-2312",
            "utf-7",
            "utf-16",
            "utf-16le",
            "utf-16be",
            "windows-1258",
            "koi8-r",
            "ibm850",
            "x-user-defined",
        ];
        for name in NAMES {
            for first in 0..=255 {
                to_unicode(name.as_bytes(), &[first]);
                for second in 0..=255 {
                    to_unicode(name.as_bytes(), &[first, second]);
                    to_unicode(name.as_bytes(), &[0x1b, 0x24, 0x42, first, second, first]);
                }
            }
        }
    }
}
