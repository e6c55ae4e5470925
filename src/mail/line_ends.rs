//! Line ends of stored mail. On the wire they are CRLF; files on Unix have LF. What has some of both stays as it is.

use minicbor::{Decode, Encode};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LineEnds {
    /// Nothing.
    #[n(0)]
    Kept,
    /// Each LF became CRLF.
    #[n(1)]
    MadeCrlf,
}

/// The form a message had on the wire: where all lines end in a bare LF, each becomes CRLF. With a single CRLF in it, it is not a file
/// of Unix, and nobody could say which of its bare LFs were sent so: then not an octet is changed.
pub fn wire_form(message: Vec<u8>) -> (Vec<u8>, LineEnds) {
    let lines = message.split(|&b| b == b'\n').count() - 1;
    let has_crlf = message.windows(2).any(|pair| pair == b"\r\n");
    if lines == 0 || has_crlf {
        return (message, LineEnds::Kept);
    }
    let mut out = Vec::with_capacity(message.len() + lines);
    for line in message.split_inclusive(|&b| b == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(content) => {
                out.extend_from_slice(content);
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    (out, LineEnds::MadeCrlf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lf_alone_becomes_crlf_and_mixtures_stay() {
        for (message, expected, done) in [
            (&b"a\nb\n\nc"[..], &b"a\r\nb\r\n\r\nc"[..], LineEnds::MadeCrlf),
            (b"a\rb\n", b"a\rb\r\n", LineEnds::MadeCrlf),
            (b"\n", b"\r\n", LineEnds::MadeCrlf),
            (b"a\r\nb\n", b"a\r\nb\n", LineEnds::Kept),
            (b"a\nb\r\n", b"a\nb\r\n", LineEnds::Kept),
            (b"a\r\n", b"a\r\n", LineEnds::Kept),
            (b"a", b"a", LineEnds::Kept),
            (b"", b"", LineEnds::Kept),
        ] {
            assert_eq!(wire_form(message.to_vec()), (expected.to_vec(), done), "{}", message.escape_ascii());
        }
    }
}
