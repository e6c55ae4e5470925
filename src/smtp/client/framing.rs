//! Framing: how the next hop sees where content ends. Bare CR and LF are sent in neither way.

use super::stuffing::Stuffer;
pub use super::stuffing::Unsendable;

/// The state between two chunks of one message.
#[derive(Debug)]
pub enum Framing {
    /// DATA: by a dot, others doubled. A last line without CRLF gets one.
    Dotted(Stuffer),
    /// BDAT: by its length, so content stays as it is to the last octet. The number of octets still to come.
    Counted(u64),
}

impl Framing {
    /// For DATA.
    pub fn dotted() -> Framing {
        Framing::Dotted(Stuffer::default())
    }
    /// For BDAT, of as many octets as it has announced. Their line ends were surveyed.
    pub fn counted(bytes: u64) -> Framing {
        Framing::Counted(bytes)
    }

    /// Appends a chunk of content. After an error the message must not be finished.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unsendable> {
        match self {
            Framing::Dotted(stuffer) => stuffer.write(chunk, out),
            Framing::Counted(rest) => {
                *rest = rest.checked_sub(chunk.len() as u64).ok_or(Unsendable::OtherLength)?;
                out.extend_from_slice(chunk);
                Ok(())
            }
        }
    }

    /// Appends the end of data.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        match self {
            Framing::Dotted(stuffer) => stuffer.finish(out),
            Framing::Counted(0) => Ok(()),
            Framing::Counted(_) => Err(Unsendable::OtherLength),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bdat_carries_as_much_as_it_has_announced() {
        let check = |announced: u64, chunks: &[&[u8]], expected: Result<&[u8], Unsendable>| {
            let (mut framing, mut out) = (Framing::counted(announced), Vec::new());
            let written = chunks.iter().try_for_each(|chunk| framing.write(chunk, &mut out));
            let ended = written.and_then(|()| framing.finish(&mut out));
            assert_eq!(ended.map(|()| out.as_slice()), expected, "{announced} {chunks:?}");
        };
        check(0, &[], Ok(b""));
        check(3, &[b".\r", b"\n"], Ok(b".\r\n"));
        check(1, &[b"."], Ok(b"."));
        check(2, &[b"."], Err(Unsendable::OtherLength));
        check(1, &[b".", b"x"], Err(Unsendable::OtherLength));
    }
}
