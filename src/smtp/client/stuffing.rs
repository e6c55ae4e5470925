//! Stuffing: the one place that writes message content to a wire. Content with a bare CR or LF is not sent: some receiver
//! would read an end of data, and so another message, into it.

use crate::smtp::scan;
use crate::smtp::{CR, LF};

/// Why content cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// A CR that no LF follows.
    #[error("message contains a bare CR")]
    BareCr,
    /// An LF that follows no CR.
    #[error("message contains a bare LF")]
    BareLf,
    /// BDAT announced another length.
    #[error("message is not as long as announced")]
    OtherLength,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    Text,
    /// Behind a CR that is not written before its LF is seen.
    Cr,
}

/// The state between two chunks of one message.
#[derive(Debug)]
pub struct Stuffer {
    at: At,
}

impl Default for Stuffer {
    fn default() -> Stuffer {
        Stuffer { at: At::LineStart }
    }
}

impl Stuffer {
    /// Appends a chunk of content with its dots doubled. After an error `out` is as it was, and the message must not be
    /// finished.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unsendable> {
        let before = out.len();
        let written = self.append(chunk, out);
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    fn append(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unsendable> {
        let (mut copied, mut start) = (0, 0);
        if self.at == At::Cr && !chunk.is_empty() {
            if chunk[0] != LF {
                return Err(Unsendable::BareCr);
            }
            out.push(CR);
            start = 1;
            self.at = At::LineStart;
        }
        while start < chunk.len() {
            if self.at == At::LineStart && chunk[start] == b'.' {
                out.extend_from_slice(&chunk[copied..start]);
                out.push(b'.');
                copied = start;
            }
            let Some(length) = scan::line_break(&chunk[start..]) else {
                self.at = At::Text;
                break;
            };
            let end = start + length;
            match (chunk[end], chunk.get(end + 1)) {
                (CR, Some(&LF)) => {
                    self.at = At::LineStart;
                    start = end + 2;
                }
                (CR, None) => {
                    self.at = At::Cr;
                    out.extend_from_slice(&chunk[copied..end]);
                    return Ok(());
                }
                (CR, Some(_)) => return Err(Unsendable::BareCr),
                _ => return Err(Unsendable::BareLf),
            }
        }
        out.extend_from_slice(&chunk[copied..]);
        Ok(())
    }

    /// Appends the end of data, with a CRLF in front when the content's last line has none.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        match self.at {
            At::Cr => return Err(Unsendable::BareCr),
            At::Text => out.extend_from_slice(b"\r\n.\r\n"),
            At::LineStart => out.extend_from_slice(b".\r\n"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuff(chunks: &[&[u8]]) -> Result<Vec<u8>, Unsendable> {
        let (mut stuffer, mut out) = (Stuffer::default(), Vec::new());
        for chunk in chunks {
            stuffer.write(chunk, &mut out)?;
        }
        stuffer.finish(&mut out)?;
        Ok(out)
    }

    fn check(content: &[u8], expected: Result<&[u8], Unsendable>) {
        for cut in 0..=content.len() {
            let (one, two) = content.split_at(cut);
            let stuffed = stuff(&[one, two]);
            assert_eq!(stuffed.as_deref().map_err(|e| *e), expected, "{content:?} cut at {cut}");
        }
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_framed() {
        check(b"", Ok(b".\r\n"));
        check(b".", Ok(b"..\r\n.\r\n"));
        check(b"a", Ok(b"a\r\n.\r\n"));
        check(b"a\r\n", Ok(b"a\r\n.\r\n"));
        check(b"\r\n.\r\n.a\r\n..\r\n", Ok(b"\r\n..\r\n..a\r\n...\r\n.\r\n"));
        check(b"a.\r\nb.c\r\n", Ok(b"a.\r\nb.c\r\n.\r\n"));
        check(b"\0\xff\r\n", Ok(b"\0\xff\r\n.\r\n"));
    }

    #[test]
    fn no_imitation_of_an_end_is_sent() {
        for content in [&b"a\n.\nb"[..], b"\n", b"a\n.\r\nb", b"a\r\n.\nb", b"a\r\n\n.\r\n"] {
            check(content, Err(Unsendable::BareLf));
        }
        for content in [&b"a\r.\rb"[..], b"\r", b"a\r\n.\r", b"a\r\n.\r\r\nb", b"a\r.\r\n"] {
            check(content, Err(Unsendable::BareCr));
        }
    }

    #[test]
    fn after_an_error_nothing_of_the_chunk_is_left() {
        let (mut stuffer, mut out) = (Stuffer::default(), b"before".to_vec());
        assert_eq!(stuffer.write(b"a\r\n.b\n", &mut out), Err(Unsendable::BareLf));
        assert_eq!(out, b"before");
    }
}
