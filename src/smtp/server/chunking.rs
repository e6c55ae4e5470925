//! BDAT (RFC 3030): content in counted chunks. Never takes the octets of a chunk for commands, whether the chunk is taken or
//! not.
//!
//! ```text
//! bdat-cmd = "BDAT" SP chunk-size [ SP "LAST" ] CRLF *chunk-size OCTET
//! ```
//!
//! A chunk that cannot be taken is read, dropped and then answered. The message is lost with it: what follows is 503 until RSET
//! or the chunk that says LAST.

use super::arguments::Extensions;
use super::content::{Content, Told};
use super::dialogue::Turn;
use super::reply;
use super::reply::Reply;
use super::session::{Event, Phase, Question, Session};
use crate::smtp::Dialect;
use crate::smtp::limits;

/// What BDAT announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    bytes: u64,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Inside,
    Last,
}

/// A chunk on its way in.
#[derive(Debug)]
pub struct Coming {
    chunk: Chunk,
    left: u64,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    Taken(Content),
    Dropped(Refusal),
}

#[derive(Debug)]
enum Refusal {
    /// The client's error.
    Fault(&'static Reply),
    /// The driver's no.
    Answer(Reply),
}

/// What a transaction has had by BDAT.
#[derive(Debug)]
pub enum Chunks {
    /// Nothing.
    None,
    /// The chunks so far.
    Open(Content),
    /// A chunk failed; no message comes of it any more.
    Lost,
}

impl Chunk {
    /// Reads what follows `BDAT `. A size beyond 64 bits is as good as none.
    fn parse(argument: &str) -> Option<Chunk> {
        let (size, marker) = argument.split_once(' ').unwrap_or((argument, ""));
        let place = match marker.trim_start_matches(' ') {
            "" => Place::Inside,
            word if word.eq_ignore_ascii_case("LAST") => Place::Last,
            _ => return None,
        };
        let is_number = size.bytes().all(|octet| octet.is_ascii_digit());
        size.parse().ok().filter(|_| is_number).map(|bytes| Chunk { bytes, place })
    }
}

impl Coming {
    /// Whether all of its octets have come.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }
    /// The message cannot be kept.
    pub fn refuse(&mut self, why: Reply) {
        if let Fate::Taken(content) = &mut self.fate {
            content.refuse(why);
        }
    }
}

impl Session {
    /// Runs BDAT. The driver is asked for a draft by the first chunk alone.
    pub(super) fn bdat(&mut self, argument: &str, out: &mut Vec<u8>) -> Turn {
        let Some(chunk) = Chunk::parse(argument) else {
            self.lose_chunks();
            return Err(&reply::BAD_ARGUMENTS);
        };
        if chunk.bytes > limits::CHUNK_DROPPED_BYTES_MAX.max(self.settings.message_bytes_max) {
            return self.last(&reply::CHUNK_TOO_LARGE, out);
        }
        match self.chunks_so_far() {
            Err(fault) => self.drop_chunk(chunk, Refusal::Fault(fault)),
            // No error of the client's: it may have been sent ahead of the refusal.
            Ok(Chunks::Lost) => self.drop_chunk(chunk, Refusal::Answer(reply::CHUNK_LOST.clone())),
            Ok(Chunks::Open(content)) => self.take_chunk(chunk, content),
            Ok(Chunks::None) => {
                self.phase = Phase::Asked(Question::Chunk(chunk));
                return Ok(Some(Event::Data));
            }
        }
        Ok(None)
    }

    /// Takes them out of the transaction, which is lost unless they come back.
    fn chunks_so_far(&mut self) -> Result<Chunks, &'static Reply> {
        if self.hello.as_ref().is_some_and(|hello| hello.extensions == Extensions::None) {
            return Err(&reply::HELLO_FIRST);
        }
        self.has_recipients()?;
        let transaction = self.transaction.as_mut().ok_or(&reply::MAIL_FIRST)?;
        Ok(std::mem::replace(&mut transaction.chunks, Chunks::Lost))
    }

    fn lose_chunks(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.chunks = Chunks::Lost;
        }
    }

    /// The driver has a draft for the first chunk.
    pub(super) fn accept_chunk(&mut self, chunk: Chunk) {
        self.take_chunk(chunk, Content::chunked(&self.settings));
    }

    /// The driver has none; the chunk comes all the same.
    pub(super) fn refuse_chunk(&mut self, chunk: Chunk, why: Reply) {
        self.drop_chunk(chunk, Refusal::Answer(why));
    }

    fn take_chunk(&mut self, chunk: Chunk, content: Content) {
        self.phase = Phase::Chunk(Coming { chunk, left: chunk.bytes, fate: Fate::Taken(content) });
    }

    fn drop_chunk(&mut self, chunk: Chunk, refusal: Refusal) {
        self.lose_chunks();
        self.phase = Phase::Chunk(Coming { chunk, left: chunk.bytes, fate: Fate::Dropped(refusal) });
    }

    /// Reads octets of a chunk, or answers it when they have all come.
    pub(super) fn chunk<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> (usize, Option<Event<'i>>) {
        let Phase::Chunk(coming) = &mut self.phase else { return (0, None) };
        if coming.is_complete() {
            return (0, self.end_chunk(out));
        }
        let most = usize::try_from(coming.left).map_or(input.len(), |left| left.min(input.len()));
        let (used, told) = match &mut coming.fate {
            Fate::Taken(content) => content.read(&input[..most]),
            Fate::Dropped(_) => (most, None),
        };
        coming.left -= used as u64;
        match told {
            Some(Told::Event(event)) => (used, Some(event)),
            // No dot ends what is counted.
            Some(Told::End) | None => (used, None),
        }
    }

    fn end_chunk<'i>(&mut self, out: &mut Vec<u8>) -> Option<Event<'i>> {
        let Phase::Chunk(coming) = &mut self.phase else { return None };
        if let (Place::Last, Fate::Taken(content)) = (coming.chunk.place, &mut coming.fate)
            && let Some(spoiled) = content.close()
        {
            return Some(spoiled);
        }
        let Phase::Chunk(coming) = std::mem::replace(&mut self.phase, Phase::Command) else { return None };
        match (coming.fate, coming.chunk.place) {
            (Fate::Taken(content), Place::Last) => return self.end(content.refusal(), out),
            (Fate::Taken(content), Place::Inside) => self.keep_chunk(coming.chunk, content, out),
            (Fate::Dropped(refusal), _) => self.answer_dropped(coming.chunk, &refusal, out),
        }
        None
    }

    /// A refusal is said at once, so that a client which waits sends no more of the message.
    fn keep_chunk(&mut self, chunk: Chunk, content: Content, out: &mut Vec<u8>) {
        if let Some(refusal) = content.refusal() {
            return self.say(refusal, out);
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.chunks = Chunks::Open(content);
        }
        self.say(&reply::CHUNK_OK.with_text(format!("{} octets received", chunk.bytes)), out);
    }

    /// In LMTP the last chunk has as many replies as there are recipients, whatever they say (RFC 2033 section 4.3).
    fn answer_dropped(&mut self, chunk: Chunk, refusal: &Refusal, out: &mut Vec<u8>) {
        let recipients = self.envelope().map_or(0, |envelope| envelope.recipients.len());
        let reply = match refusal {
            Refusal::Fault(reply) => {
                self.fault(reply, out);
                reply
            }
            Refusal::Answer(reply) => {
                self.say(reply, out);
                reply
            }
        };
        if chunk.place == Place::Inside {
            return;
        }
        self.reset();
        let is_each = self.settings.dialect == Dialect::Lmtp && !matches!(self.phase, Phase::Closing);
        for _ in 1..if is_each { recipients } else { 1 } {
            self.say(reply, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_bdat_announces() {
        let check = |argument: &str, expected: Option<(u64, Place)>| {
            let read = Chunk::parse(argument).map(|chunk| (chunk.bytes, chunk.place));
            assert_eq!(read, expected, "{argument}");
        };
        check("0", Some((0, Place::Inside)));
        check("0 LAST", Some((0, Place::Last)));
        check("86  last", Some((86, Place::Last)));
        check("0000000000000000000000000000001", Some((1, Place::Inside)));
        check("18446744073709551615", Some((u64::MAX, Place::Inside)));
        for argument in [
            "",
            " ",
            "LAST",
            "x",
            "-1",
            "+1",
            "1k",
            "0x10",
            "1.0",
            "1 FIRST",
            "1 LAST now",
            "1LAST",
            "18446744073709551616",
            "99999999999999999999999999999999 LAST",
        ] {
            check(argument, None);
        }
    }
}
