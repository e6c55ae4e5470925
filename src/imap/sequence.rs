//! Sequence sets (RFC 3501 section 9): which messages a command means. Never expands a range: a set costs what its text costs.

use super::cursor::Cursor;
use super::cursor::Malformed;
use super::cursor::Parsed;
use std::ops::Range;

/// Whether numbers count messages or name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Message sequence numbers, from 1 without gaps.
    Sequence,
    /// Unique identifiers.
    Uid,
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// A number, not 0.
    Number(u32),
    /// `*`, the largest number in use.
    Last,
}

/// `sequence-set = (seq-number / seq-range) *("," (seq-number / seq-range))`, ends as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SequenceSet(pub Vec<(Bound, Bound)>);

/// Messages of a mailbox: ranges of indices, ascending and apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen(Vec<Range<usize>>);

impl SequenceSet {
    /// Reads a set.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<SequenceSet> {
        let mut ranges = Vec::new();
        loop {
            let first = bound(cursor)?;
            let last = if cursor.eat(b':') { bound(cursor)? } else { first };
            ranges.push((first, last));
            if !cursor.eat(b',') {
                return Ok(SequenceSet(ranges));
            }
        }
    }

    /// Whether every sequence number is one of a mailbox with `messages` messages. RFC 3501 section 9 wants `BAD` else; `*` in
    /// an empty mailbox is none.
    pub(super) fn is_within(&self, messages: usize) -> bool {
        self.0.iter().flat_map(|(a, b)| [a, b]).all(|bound| match bound {
            Bound::Last => messages > 0,
            Bound::Number(n) => usize::try_from(*n).is_ok_and(|n| n <= messages),
        })
    }

    /// The messages meant, `uids` being those of the mailbox in order. What is not there is left out.
    pub(super) fn choose(&self, numbers: Numbers, uids: &[u32]) -> Chosen {
        let Some(&last_uid) = uids.last() else { return Chosen::default() };
        let last = match numbers {
            Numbers::Sequence => u32::try_from(uids.len()).unwrap_or(u32::MAX),
            Numbers::Uid => last_uid,
        };
        let number = |bound: &Bound| match bound {
            Bound::Number(n) => *n,
            Bound::Last => last,
        };
        let indices = self.0.iter().map(|(a, b)| {
            let (a, b) = (number(a), number(b));
            indices(a.min(b), a.max(b), numbers, uids)
        });
        Chosen::merged(indices.filter(|range| !range.is_empty()).collect())
    }
}

fn bound(cursor: &mut Cursor<'_>) -> Parsed<Bound> {
    if cursor.eat(b'*') {
        return Ok(Bound::Last);
    }
    cursor.nz_number().map(Bound::Number).map_err(|_| Malformed("a sequence number is missing or out of range"))
}

fn indices(low: u32, high: u32, numbers: Numbers, uids: &[u32]) -> Range<usize> {
    match numbers {
        Numbers::Uid => uids.partition_point(|uid| *uid < low)..uids.partition_point(|uid| *uid <= high),
        Numbers::Sequence => {
            let index = |n: u32| usize::try_from(n).unwrap_or(usize::MAX).min(uids.len());
            index(low - 1)..index(high)
        }
    }
}

impl Chosen {
    fn merged(mut ranges: Vec<Range<usize>>) -> Chosen {
        ranges.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(before) if range.start <= before.end => before.end = before.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Chosen(merged)
    }

    /// The first chosen index at or behind `from`.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let at = self.0.partition_point(|range| range.end <= from);
        self.0.get(at).map(|range| range.start.max(from))
    }

    /// The UIDs of the chosen messages as ranges, `uids` being those of the mailbox in order.
    pub(super) fn uids(&self, uids: &[u32]) -> Vec<(u32, u32)> {
        let ends = |range: &Range<usize>| Some((*uids.get(range.start)?, *uids.get(range.end.checked_sub(1)?)?));
        self.0.iter().filter_map(ends).collect()
    }

    /// How many messages are chosen.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|range| range.len() as u64).sum()
    }

    /// Whether an index is chosen.
    pub(super) fn contains(&self, index: usize) -> bool {
        self.next(index) == Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<SequenceSet> {
        let mut cursor = Cursor::new(text.as_bytes());
        let set = SequenceSet::parse(&mut cursor).ok()?;
        cursor.remainder().is_empty().then_some(set)
    }

    fn chosen(text: &str, numbers: Numbers, uids: &[u32]) -> Vec<usize> {
        let chosen = parse(text).expect("a set").choose(numbers, uids);
        let listed: Vec<_> = std::iter::successors(chosen.next(0), |at| chosen.next(at + 1)).collect();
        assert!((0..uids.len() + 2).all(|at| chosen.contains(at) == listed.contains(&at)), "{text}");
        listed
    }

    #[test]
    fn sets_choose_in_order_and_once() {
        let uids = [3, 4, 9, 20];
        let check =
            |text: &str, numbers, expected: &[usize]| assert_eq!(chosen(text, numbers, &uids), expected, "{text}");
        check("1", Numbers::Sequence, &[0]);
        check("4:2", Numbers::Sequence, &[1, 2, 3]);
        check("*", Numbers::Sequence, &[3]);
        check("*:1", Numbers::Sequence, &[0, 1, 2, 3]);
        check("3,1:2,2:3,*", Numbers::Sequence, &[0, 1, 2, 3]);
        check("4,1", Numbers::Sequence, &[0, 3]);
        check("5:9", Numbers::Sequence, &[]);
        check("1:4294967295", Numbers::Sequence, &[0, 1, 2, 3]);
        check("4:9", Numbers::Uid, &[1, 2]);
        check("1:2,5:8,10:19", Numbers::Uid, &[]);
        check("21:*", Numbers::Uid, &[3]);
        check("*:4294967295", Numbers::Uid, &[3]);
        assert_eq!(chosen("*", Numbers::Uid, &[]), Vec::<usize>::new());
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for bad in ["", "0", "1:0", "1,", ",1", "1:", ":1", "1::2", "a", "4294967296", "1 "] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sequence_numbers_past_the_end_are_told() {
        let within = |text: &str, count| parse(text).expect("a set").is_within(count);
        assert!(within("1:4", 4) && within("*", 1) && within("4:*", 4));
        assert!(!within("5", 4) && !within("1:5", 4) && !within("*", 0));
    }
}
