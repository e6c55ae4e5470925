//! The frame: gathers the octets of one command, literals in place. Knows no command, and never holds more than its bound.

use zeroize::Zeroize;

/// Octets of one command with its literals. Clients send UID sets of tens of thousands of octets.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;
/// The largest literal that is read past, RFC 3501's `number`. A larger non-synchronizing one ends the connection.
const SWALLOWED_BYTES_MAX: u64 = u32::MAX as u64;

/// What the octets so far came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All input is used, the command goes on.
    More,
    /// A literal is announced: answer with [`Frame::accept`], [`Frame::swallow`] or [`Frame::clear`].
    Announced(Literal),
    /// A command is whole.
    Complete,
    /// The next octets can no longer be told from commands.
    Lost,
}

/// An announced literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// Its octets.
    pub bytes: u64,
    /// Whether the client waits for our word.
    pub kind: LiteralKind,
}

/// Who moves next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiteralKind {
    /// `{n}`: the client waits for `+`.
    Synchronizing,
    /// `{n+}`: the octets come at once (RFC 7888).
    NonSynchronizing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Line,
    Literal(u64),
}

/// Whether the octets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// The command will be read.
    Octets,
    /// It was too long or refused; it is only read past.
    Nothing,
}

/// Octets kept of a command that is only read past: its tag is among them.
const HEAD_BYTES: usize = 1024;
/// As much of a line as announces a literal: `{4294967295+}` and CR.
const TAIL_BYTES: usize = 32;
/// Buffers larger than this are given back between commands.
const IDLE_BYTES_MAX: usize = 4 * 1024;

#[derive(Debug)]
pub(super) struct Frame {
    octets: Vec<u8>,
    /// Where the line that is being read begins in `octets`.
    line: usize,
    /// The end of the line that is being read past.
    tail: Vec<u8>,
    state: State,
    keeping: Keeping,
}

impl Frame {
    pub(super) fn new() -> Frame {
        Frame { octets: Vec::new(), line: 0, tail: Vec::new(), state: State::Line, keeping: Keeping::Octets }
    }

    /// The command so far, without its final line break when complete; only its head when it is read past.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Whether the command is still whole.
    pub(super) fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// Forgets the command and wipes it: it may have held a password.
    pub(super) fn clear(&mut self) {
        self.octets.zeroize();
        let mut octets = std::mem::take(&mut self.octets);
        octets.shrink_to(IDLE_BYTES_MAX);
        *self = Frame { octets, ..Frame::new() };
    }

    /// Whether the announced literal fits.
    pub(super) fn has_room(&self, literal: Literal) -> bool {
        literal.bytes <= (COMMAND_BYTES_MAX - self.octets.len().min(COMMAND_BYTES_MAX)) as u64
    }

    /// The announced literal will be kept.
    pub(super) fn accept(&mut self, literal: Literal) {
        self.state = State::Literal(literal.bytes);
    }

    /// The announced literal and the rest of the command will be read past.
    pub(super) fn swallow(&mut self, literal: Literal) {
        self.give_up();
        self.state = State::Literal(literal.bytes);
    }

    /// Takes what belongs to this command from `input`, at least one octet if there is one; gives back how many.
    pub(super) fn take(&mut self, input: &[u8]) -> (usize, Taken) {
        if let State::Literal(left) = self.state {
            let used = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
            self.keep(&input[..used]);
            self.state = State::Literal(left - used as u64);
            if left == used as u64 {
                self.start_line();
            }
            return (used, Taken::More);
        }
        let Some(end) = input.iter().position(|&b| b == b'\n') else {
            self.keep(input);
            return (input.len(), Taken::More);
        };
        self.keep(&input[..end]);
        (end + 1, self.end_of_line())
    }

    fn start_line(&mut self) {
        self.state = State::Line;
        self.line = self.octets.len();
        self.tail.clear();
    }

    fn keep(&mut self, octets: &[u8]) {
        let room = COMMAND_BYTES_MAX.saturating_sub(self.octets.len());
        if self.keeping == Keeping::Octets && octets.len() > room {
            self.octets.extend_from_slice(&octets[..room]);
            self.give_up();
            return self.keep(&octets[room..]);
        }
        match (self.keeping, self.state) {
            (Keeping::Octets, _) => self.octets.extend_from_slice(octets),
            (Keeping::Nothing, State::Line) => self.keep_tail(octets),
            (Keeping::Nothing, State::Literal(_)) => {}
        }
    }

    fn give_up(&mut self) {
        if self.keeping == Keeping::Octets {
            self.keeping = Keeping::Nothing;
            let line = self.octets.split_off(self.line.min(self.octets.len()));
            self.keep_tail(&line);
            self.octets.extend_from_slice(&line);
            self.octets.truncate(HEAD_BYTES);
        }
    }

    fn keep_tail(&mut self, octets: &[u8]) {
        self.tail.extend_from_slice(&octets[octets.len().saturating_sub(TAIL_BYTES)..]);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
    }

    fn end_of_line(&mut self) -> Taken {
        let line = match self.keeping {
            Keeping::Octets => &self.octets[self.line..],
            Keeping::Nothing => &self.tail,
        };
        let had_cr = line.ends_with(b"\r");
        let literal = announced(line.strip_suffix(b"\r").unwrap_or(line));
        if had_cr && self.keeping == Keeping::Octets {
            self.octets.pop();
        }
        let Some(literal) = literal else { return Taken::Complete };
        match (self.keeping, literal.kind) {
            (_, LiteralKind::NonSynchronizing) if literal.bytes > SWALLOWED_BYTES_MAX => Taken::Lost,
            // The client waits and will not send it: our answer ends the command.
            (Keeping::Nothing, LiteralKind::Synchronizing) => Taken::Complete,
            (Keeping::Nothing, LiteralKind::NonSynchronizing) => {
                self.swallow(literal);
                Taken::More
            }
            (Keeping::Octets, _) => {
                self.octets.extend_from_slice(b"\r\n");
                Taken::Announced(literal)
            }
        }
    }
}

/// `"{" number ["+"] "}"` at the end of a line.
fn announced(line: &[u8]) -> Option<Literal> {
    let inner = line.strip_suffix(b"}")?;
    let (digits, kind) = match inner.strip_suffix(b"+") {
        Some(digits) => (digits, LiteralKind::NonSynchronizing),
        None => (inner, LiteralKind::Synchronizing),
    };
    let start = digits.iter().rposition(|b| !b.is_ascii_digit())?;
    let number = &digits[start + 1..];
    if digits[start] != b'{' || number.is_empty() {
        return None;
    }
    let bytes = number.iter().fold(0u64, |n, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0')));
    Some(Literal { bytes, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a frame makes of `input` given in pieces of `piece` octets; literals that fit are accepted.
    fn commands(input: &[u8], piece: usize) -> Vec<(Keeping, Vec<u8>)> {
        let mut frame = Frame::new();
        let mut found = Vec::new();
        for chunk in input.chunks(piece) {
            let mut rest = chunk;
            while !rest.is_empty() {
                let (used, taken) = frame.take(rest);
                assert!(used > 0 || frame.state == State::Line, "goes on");
                rest = &rest[used..];
                match taken {
                    Taken::More => {}
                    Taken::Announced(literal) if frame.has_room(literal) => frame.accept(literal),
                    Taken::Announced(literal) => frame.swallow(literal),
                    Taken::Complete => {
                        found.push((frame.keeping(), frame.octets().to_vec()));
                        frame.clear();
                    }
                    Taken::Lost => return found,
                }
            }
        }
        found
    }

    fn check(input: &[u8], expected: &[(Keeping, &[u8])]) {
        for piece in [1, 2, 3, 7, input.len()] {
            let found = commands(input, piece);
            let found: Vec<_> = found.iter().map(|(keeping, octets)| (*keeping, octets.as_slice())).collect();
            assert_eq!(found, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn lines_and_literals_make_commands() {
        check(b"a NOOP\r\nb NOOP\nc", &[(Keeping::Octets, b"a NOOP"), (Keeping::Octets, b"b NOOP")]);
        check(b"a LOGIN {1}\r\nx {2+}\r\n\r\n\r\n", &[(Keeping::Octets, b"a LOGIN {1}\r\nx {2+}\r\n\r\n")]);
        check(b"a X {0}\r\n\r\n", &[(Keeping::Octets, b"a X {0}\r\n")]);
        check(b"a X {+}\r\nb 5}\r\n", &[(Keeping::Octets, b"a X {+}"), (Keeping::Octets, b"b 5}")]);
        check(b"\r\n", &[(Keeping::Octets, b"")]);
    }

    #[test]
    fn what_is_too_long_is_read_past() {
        let fits = [b"a ".as_slice(), &vec![b'x'; COMMAND_BYTES_MAX - 3], b"\r\nb X\r\n"].concat();
        assert_eq!(commands(&fits, 1000)[0].0, Keeping::Octets);
        let long = [b"a ".as_slice(), &vec![b'x'; COMMAND_BYTES_MAX - 2], b"\r\nb X\r\n"].concat();
        for piece in [1000, 1 << 20] {
            let found = commands(&long, piece);
            assert_eq!((found[0].0, &found[0].1[..3], found[0].1.len()), (Keeping::Nothing, &b"a x"[..], HEAD_BYTES));
            assert_eq!(found[1], (Keeping::Octets, b"b X".to_vec()));
        }
        let literal = [b"a X {70000+}\r\n".as_slice(), &[b'\n'; 70_000], b" {3+}\r\nx\r\n\r\nb X\r\n"].concat();
        let found = commands(&literal, 999);
        assert_eq!((found.len(), found[0].0, &found[1].1[..]), (2, Keeping::Nothing, &b"b X"[..]));
    }

    #[test]
    fn a_literal_beyond_reading_past_ends_it() {
        assert_eq!(commands(b"a X {4294967296+}\r\nb X\r\n", 50), []);
        assert_eq!(commands(b"a X {99999999999999999999999+}\r\nb X\r\n", 50), []);
    }
}
