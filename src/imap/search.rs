//! SEARCH (RFC 3501 section 6.4.4): numbers and flags first, then the summary, and only then the message itself.
//! Text matches as a substring of what a reader would see, without regard to case.

use super::header_key::EnvelopeField;
use super::key::Day;
use super::key::Key;
use super::key::When;
use super::reply;
use super::selected::Selected;
use super::sequence::Chosen;
use super::sequence::Numbers;
use super::text::Haystack;
use super::text::fold;
use super::work::Progress;
use crate::catalog::Unavailable;
use crate::catalog::View;
use crate::mail::header;

/// Work done in one go, in units of one summary.
const STEP_COST: u64 = 4096;
/// Opening one message, in the same unit, and each 64 KiB of it.
const OPENING_COST: u64 = 64;

/// A SEARCH under way.
pub(super) struct Search {
    numbers: Numbers,
    test: Test,
    next: usize,
    found: Vec<u32>,
}

/// A key made ready for one mailbox: sets resolved, text folded, cheap tests first.
#[derive(Debug)]
enum Test {
    All,
    Nothing,
    Chosen(Chosen),
    Accepted(When, Day),
    Sent(When, Day),
    Larger(u64),
    Smaller(u64),
    Envelope(EnvelopeField, String),
    Header(String, String),
    Body(String),
    Text(String),
    Not(Box<Test>),
    Or(Box<Test>, Box<Test>),
    And(Vec<Test>),
}

/// Why a message could not be tested.
enum Stop {
    Gone,
    Unavailable(Unavailable),
}

impl From<Unavailable> for Stop {
    fn from(e: Unavailable) -> Stop {
        Stop::Unavailable(e)
    }
}

impl Search {
    /// `key` over a mailbox with these UIDs.
    pub(super) fn new(numbers: Numbers, key: Key, uids: &[u32]) -> Search {
        Search { numbers, test: Test::of(key, uids), next: 0, found: Vec::new() }
    }

    /// Goes on until done or long enough; the driver then looks whether the client is still there.
    pub(super) fn run(
        &mut self,
        selected: &mut Selected,
        view: &dyn View,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Unavailable> {
        let mut cost = 0;
        while cost < STEP_COST {
            let Some(&uid) = selected.uids().get(self.next) else {
                self.answer(out);
                return Ok(Progress::Done);
            };
            let mut look = Look { selected, view, index: self.next, haystack: None, cost: 0 };
            match look.passes(&self.test) {
                Ok(true) => self.found.push(match self.numbers {
                    Numbers::Uid => uid,
                    Numbers::Sequence => u32::try_from(self.next + 1).unwrap_or(u32::MAX),
                }),
                Ok(false) | Err(Stop::Gone) => {}
                Err(Stop::Unavailable(e)) => return Err(e),
            }
            cost += look.cost;
            self.next += 1;
        }
        Ok(Progress::Again)
    }

    fn answer(&self, out: &mut Vec<u8>) {
        let numbers: String = self.found.iter().map(|n| format!(" {n}")).collect();
        reply::untagged(out, &format!("SEARCH{numbers}"));
    }
}

impl Test {
    fn of(key: Key, uids: &[u32]) -> Test {
        let of = |key: Key| Test::of(key, uids);
        match key {
            Key::All => Test::All,
            Key::Nothing => Test::Nothing,
            Key::Set(numbers, set) => Test::Chosen(set.choose(numbers, uids)),
            Key::Accepted(when, day) => Test::Accepted(when, day),
            Key::Sent(when, day) => Test::Sent(when, day),
            Key::Larger(n) => Test::Larger(n),
            Key::Smaller(n) => Test::Smaller(n),
            Key::Envelope(field, text) => Test::Envelope(field, fold(&text)),
            Key::Header(name, text) => Test::Header(name, fold(&text)),
            Key::Body(text) => Test::Body(fold(&text)),
            Key::Text(text) => Test::Text(fold(&text)),
            Key::Not(key) => Test::Not(Box::new(of(*key))),
            Key::Or(a, b) => {
                let (a, b) = (of(*a), of(*b));
                let (a, b) = if a.cost() <= b.cost() { (a, b) } else { (b, a) };
                Test::Or(Box::new(a), Box::new(b))
            }
            Key::And(keys) => {
                let mut tests: Vec<Test> = keys.into_iter().map(of).collect();
                tests.sort_by_key(Test::cost);
                Test::And(tests)
            }
        }
    }

    /// How much must be looked at: 0 numbers, 1 the summary, 2 the message.
    fn cost(&self) -> u8 {
        match self {
            Test::All | Test::Nothing | Test::Chosen(_) => 0,
            Test::Header(name, text) if EnvelopeField::answering(name, text).is_some() => 1,
            Test::Header(..) | Test::Body(_) | Test::Text(_) => 2,
            Test::Accepted(..) | Test::Sent(..) | Test::Larger(_) | Test::Smaller(_) | Test::Envelope(..) => 1,
            Test::Not(test) => test.cost(),
            Test::Or(a, b) => a.cost().max(b.cost()),
            Test::And(tests) => tests.iter().map(Test::cost).max().unwrap_or(0),
        }
    }
}

/// One message being tested.
struct Look<'a> {
    selected: &'a mut Selected,
    view: &'a dyn View,
    index: usize,
    haystack: Option<Haystack>,
    cost: u64,
}

impl Look<'_> {
    fn passes(&mut self, test: &Test) -> Result<bool, Stop> {
        self.cost += 1;
        Ok(match test {
            Test::All => true,
            Test::Nothing => false,
            Test::Chosen(chosen) => chosen.contains(self.index),
            Test::Not(test) => !self.passes(test)?,
            Test::Or(a, b) => self.passes(a)? || self.passes(b)?,
            Test::And(tests) => {
                for test in tests {
                    if !self.passes(test)? {
                        return Ok(false);
                    }
                }
                true
            }
            Test::Body(text) => self.haystack()?.body_contains(text),
            Test::Text(text) => self.haystack()?.contains(text),
            Test::Header(name, text) => match EnvelopeField::answering(name, text) {
                Some(field) => self.envelope_contains(field, text)?,
                None => self.header_contains(name, text)?,
            },
            Test::Envelope(field, text) => self.envelope_contains(*field, text)?,
            Test::Accepted(..) | Test::Sent(..) | Test::Larger(_) | Test::Smaller(_) => self.summary_passes(test)?,
        })
    }

    fn summary_passes(&mut self, test: &Test) -> Result<bool, Stop> {
        let message = self.selected.message(self.view, self.index)?.ok_or(Stop::Gone)?;
        Ok(match test {
            Test::Accepted(when, day) => when.holds(Day::of(message.internal_date), *day),
            Test::Sent(when, day) => Day::sent(&message.summary).is_some_and(|sent| when.holds(sent, *day)),
            Test::Larger(n) => message.size > *n,
            Test::Smaller(n) => message.size < *n,
            _ => false,
        })
    }

    fn envelope_contains(&mut self, field: EnvelopeField, text: &str) -> Result<bool, Stop> {
        let message = self.selected.message(self.view, self.index)?.ok_or(Stop::Gone)?;
        Ok(fold(&field.text(&message.summary)).contains(text))
    }

    /// RFC 3501: an empty text asks whether the field is there.
    fn header_contains(&mut self, name: &str, text: &str) -> Result<bool, Stop> {
        self.cost += OPENING_COST;
        let (message, octets) = self.selected.octets(self.view, self.index)?.ok_or(Stop::Gone)?;
        let header = &octets[super::locate::range(message.summary.structure.header, octets.len())];
        Ok(header::named(header, name).any(|field| fold(&header::decode(field.value)).contains(text)))
    }

    fn haystack(&mut self) -> Result<&Haystack, Stop> {
        if self.haystack.is_none() {
            let (message, octets) = self.selected.octets(self.view, self.index)?.ok_or(Stop::Gone)?;
            self.cost += OPENING_COST * (1 + octets.len() as u64 / 65_536);
            self.haystack = Some(Haystack::of(octets, &message.summary.structure));
        }
        Ok(self.haystack.get_or_insert_default())
    }
}
