//! Globs: `*` any run of characters, `?` exactly one, ASCII case-insensitive. Matching takes time linear in the text, whatever
//! the pattern: no backtracking.

/// Characters of a pattern.
pub const GLOB_CHARS_MAX: usize = 383;
/// A state stands before each character of a pattern and behind the last.
const WORDS: usize = (GLOB_CHARS_MAX + 1) / 64;

/// A text in the form that globs are matched against: ASCII letters in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded(String);

impl Folded {
    /// Folds a text.
    pub fn new(text: &str) -> Folded {
        Folded(text.to_ascii_lowercase())
    }
    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Glob(Shape);

/// The pattern is longer than [`GLOB_CHARS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Most patterns have one star or none and need no automaton.
#[derive(Clone, Debug)]
enum Shape {
    Exactly(String),
    Around { prefix: String, suffix: String },
    Automaton(Box<Automaton>),
}

impl Glob {
    /// Compiles a pattern.
    pub(super) fn parse(pattern: &str) -> Result<Glob, TooLong> {
        if pattern.chars().count() > GLOB_CHARS_MAX {
            return Err(TooLong);
        }
        let pattern = pattern.to_ascii_lowercase();
        let shape = match pattern.split_once('*') {
            _ if pattern.contains('?') => Shape::Automaton(Box::new(Automaton::new(&pattern))),
            None => Shape::Exactly(pattern),
            Some((_, rest)) if rest.contains('*') => Shape::Automaton(Box::new(Automaton::new(&pattern))),
            Some((prefix, suffix)) => Shape::Around { prefix: prefix.to_owned(), suffix: suffix.to_owned() },
        };
        Ok(Glob(shape))
    }

    /// Whether the pattern covers the whole text.
    pub fn matches(&self, text: &Folded) -> bool {
        let text = text.as_str();
        match &self.0 {
            Shape::Exactly(pattern) => text == pattern,
            Shape::Around { prefix, suffix } => {
                text.strip_prefix(&**prefix).is_some_and(|rest| rest.ends_with(&**suffix))
            }
            Shape::Automaton(automaton) => automaton.matches(text),
        }
    }
}

type States = [u64; WORDS];

/// The pattern's position automaton, run on all states at once (Baeza-Yates and Gonnet 1992, "shift-and").
#[derive(Clone, Debug)]
struct Automaton {
    /// Characters that stand in the pattern, sorted, each with the states it leads to.
    by_char: Vec<(char, States)>,
    /// States that any other character leads to: those behind a `?`.
    by_any: States,
    /// States in front of which a `*` stands: they keep themselves.
    stay: States,
    last: usize,
}

impl Automaton {
    fn new(pattern: &str) -> Automaton {
        let (mut by_any, mut stay) = ([0; WORDS], [0; WORDS]);
        let mut placed: Vec<(char, usize)> = Vec::new();
        let mut state = 0;
        for c in pattern.chars() {
            match c {
                '*' => set(&mut stay, state),
                _ => {
                    state += 1;
                    if c == '?' { set(&mut by_any, state) } else { placed.push((c, state)) }
                }
            }
        }
        let mut by_char: Vec<(char, States)> = placed.iter().map(|(c, _)| (*c, by_any)).collect();
        by_char.sort_unstable_by_key(|(c, _)| *c);
        by_char.dedup_by_key(|(c, _)| *c);
        for (c, state) in placed {
            if let Ok(at) = by_char.binary_search_by_key(&c, |(k, _)| *k) {
                set(&mut by_char[at].1, state);
            }
        }
        Automaton { by_char, by_any, stay, last: state }
    }

    fn matches(&self, text: &str) -> bool {
        let mut states: States = [0; WORDS];
        set(&mut states, 0);
        for c in text.chars() {
            let led = match self.by_char.binary_search_by_key(&c, |(k, _)| *k) {
                Ok(at) => &self.by_char[at].1,
                Err(_) => &self.by_any,
            };
            let mut carry = 0;
            for word in 0..=self.last / 64 {
                let shifted = states[word] << 1 | carry;
                carry = states[word] >> 63;
                states[word] = (shifted & led[word]) | (states[word] & self.stay[word]);
            }
        }
        states[self.last / 64] >> (self.last % 64) & 1 == 1
    }
}

fn set(states: &mut States, state: usize) {
    states[state / 64] |= 1 << (state % 64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::parse(pattern).expect(pattern).matches(&Folded::new(text))
    }

    #[test]
    fn stars_and_marks() {
        for (pattern, fits, fails) in [
            ("", &[""][..], &["a"][..]),
            ("*", &["", "a", "ü"], &[]),
            ("?", &["a", "ü"], &["", "ab"]),
            ("a*", &["a", "AB"], &["", "ba"]),
            ("*[secure]*", &["[secure]", "x [SECURE] y"], &["secure", "[secure"]),
            ("*@example.org", &["a@Example.ORG", "@example.org"], &["a@example.org.evil", "a@sub.example.org"]),
            ("a?c*e?g", &["abcdefg", "aXcefg"], &["abcdef", "abcg"]),
            ("ab*ba", &["abba", "abxba"], &["aba", "ab"]),
            ("**a**", &["a", "xay"], &["", "b"]),
            ("?*?", &["ab", "abc"], &["", "a"]),
            ("Ä*", &["Äx"], &["äx"]),
        ] {
            for text in fits {
                assert!(matches(pattern, text), "{pattern} covers {text}");
            }
            for text in fails {
                assert!(!matches(pattern, text), "{pattern} does not cover {text}");
            }
        }
    }

    #[test]
    fn length_holds_at_its_bound() {
        let longest = format!("{}*?", "a".repeat(GLOB_CHARS_MAX - 2));
        let text = "a".repeat(GLOB_CHARS_MAX - 1);
        assert!(matches(&longest, &text) && !matches(&longest, &text[1..]));
        assert_eq!(Glob::parse(&format!("{longest}a")).err(), Some(TooLong));
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_another() {
        let pattern = "a*".repeat(150) + "b";
        assert!(!matches(&pattern, &"a".repeat(100_000)));
    }

    /// The definition, word by word; exponential, so only for short inputs.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => defined(rest, text),
            (Some(('*', rest)), Some((_, behind))) => defined(rest, text) || defined(pattern, behind),
            (Some((p, rest)), Some((t, behind))) if *p == '?' || p == t => defined(rest, behind),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), defined(&chars(&pattern), &chars(&text)));
        }
    }
}
