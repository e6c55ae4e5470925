//! Reading: one policy file's TOML into rules and classes. Total: every value is a rule's, or a fault with its place; nothing is skipped.
//!
//! ```toml
//! [[rule]]
//! name = "partners get ciphertext"
//! when = { direction = "outbound", sender = "*@example.org", recipient = ["@partner.example"], subject = "*[secure]*" }
//! then = { encrypt = "required", sign = "if-possible", format = ["smime", "openpgp"], no_key = "refuse" }
//! ```

mod class;

use super::fault::{Document, Fault};
use super::glob::Glob;
use super::load::{Placed, PlacedClass};
use super::pattern::AddressPattern;
use super::rule::{NoKey, Rule, Test, Then, When};
use super::{Format, GLOB_CHARS_MAX, Need, words};
use crate::mail::Direction;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Characters of a rule's name.
const NAME_CHARS_MAX: usize = 100;
/// Characters of a refusal's text: with code and status it fits into one reply line (RFC 5321 section 4.5.3.1.5).
const REFUSE_CHARS_MAX: usize = 400;
/// Entries of one list.
const ENTRIES_MAX: usize = 10_000;

const TOP_KEYS: &[&str] = &["rule", "class"];
const RULE_KEYS: &[&str] = &["name", "when", "then"];
const WHEN_KEYS: &[&str] = &["direction", "sender", "recipient", "subject"];
const THEN_KEYS: &[&str] = &["sign", "encrypt", "format", "no_key", "refuse", "class"];

const DIRECTIONS: &[(&str, Direction)] =
    &[("outbound", Direction::Outbound), ("inbound", Direction::Inbound), ("journal", Direction::Journal)];
const NEEDS: &[(&str, Need)] =
    &[("never", Need::Never), ("if-possible", Need::IfPossible), ("required", Need::Required)];
const FORMATS: &[(&str, Format)] = &[("smime", Format::Smime), ("openpgp", Format::OpenPgp)];
const NO_KEYS: &[(&str, NoKey)] = &[("refuse", NoKey::Refuse), ("danger_send_plain", NoKey::DangerSendPlain)];

type Value<'t> = Spanned<DeValue<'t>>;

/// What stands in a file.
#[derive(Default)]
pub(super) struct Found {
    pub rules: Vec<Placed>,
    pub classes: Vec<PlacedClass>,
}

/// Reads all rules and classes of a file. What is wrong goes to `faults`; the rest is then worth nothing.
pub(super) fn read(document: &Document, text: &str, faults: &mut Vec<Fault>) -> Found {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What recovery made of a broken text would only give faults that are not there.
        faults.extend(errors.iter().map(|e| document.fault(e.span().unwrap_or(0..0), e.message(), None)));
        return Found::default();
    }
    let mut reader = Reader { document, faults };
    reader.refuse_unknown(table.get_ref(), TOP_KEYS);
    Found { rules: reader.rules(table.get_ref()), classes: reader.classes(table.get_ref()) }
}

struct Reader<'d> {
    document: &'d Document,
    faults: &'d mut Vec<Fault>,
}

impl Reader<'_> {
    fn rules(&mut self, table: &DeTable<'_>) -> Vec<Placed> {
        let Some(value) = table.get("rule") else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(rules) => rules.iter().filter_map(|rule| self.rule(rule)).collect(),
            other => {
                let message = format!("`rule` is {}, not a list of rules", kind(other));
                self.fault(value.span(), message, Some("start each rule with a line `[[rule]]`".into()));
                Vec::new()
            }
        }
    }

    fn rule(&mut self, value: &Value<'_>) -> Option<Placed> {
        let table = self.table(value, "a rule")?;
        self.refuse_unknown(table, RULE_KEYS);
        let (name, name_span) = self.name(table, &value.span());
        let when = table.get("when").map(|w| self.when(w)).unwrap_or_default();
        let then = match table.get("then") {
            Some(then) => self.then(then),
            None => self.missing(
                value.span(),
                "the rule has no `then`",
                "write what it does: then = { sign = \"required\" }",
            ),
        };
        let (file, line) = (self.document.name().to_owned(), self.document.line(value.span().start));
        let then_table = table.get("then").and_then(|then| then.get_ref().as_table());
        let class_span = then_table.and_then(|then| then.get("class")).map(Value::span);
        Some(Placed { rule: Rule { name, file, line, when, then }, name_span, class_span })
    }

    fn name(&mut self, table: &DeTable<'_>, rule: &Range<usize>) -> (String, Range<usize>) {
        let Some(value) = table.get("name") else {
            return self.missing(
                rule.clone(),
                "the rule has no `name`",
                "explanations and logs name rules: name = \"...\"",
            );
        };
        let name = self.string(value, "a rule's name").unwrap_or_default();
        let chars = name.chars().count();
        if value.get_ref().is_str() && (chars == 0 || chars > NAME_CHARS_MAX || name.contains(char::is_control)) {
            let message = format!("a rule's name is one line of 1 to {NAME_CHARS_MAX} characters");
            self.fault(value.span(), message, None);
        }
        (name.to_owned(), value.span())
    }

    fn when(&mut self, value: &Value<'_>) -> When {
        let Some(table) = self.table(value, "`when`") else { return When::default() };
        self.refuse_unknown(table, WHEN_KEYS);
        When {
            direction: self.test(table, "direction", |reader, span, text| reader.word(span, text, DIRECTIONS)),
            sender: self.test(table, "sender", Self::address_pattern),
            recipient: self.test(table, "recipient", |reader, span, text| {
                if text == "<>" {
                    let help = "`<>` is the null sender; use it with `sender`";
                    return reader.missing(span, "no recipient is `<>`", help);
                }
                reader.address_pattern(span, text)
            }),
            subject: self.test(table, "subject", Self::glob),
        }
    }

    fn then(&mut self, value: &Value<'_>) -> Then {
        let Some(table) = self.table(value, "`then`") else { return Then::default() };
        self.refuse_unknown(table, THEN_KEYS);
        if table.is_empty() {
            self.fault(value.span(), "the rule does nothing", Some(format!("actions: {}", THEN_KEYS.join(", "))));
        }
        Then {
            sign: table.get("sign").and_then(|v| self.one_word(v, "`sign`", NEEDS)),
            encrypt: table.get("encrypt").and_then(|v| self.one_word(v, "`encrypt`", NEEDS)),
            format: table.get("format").map(|v| self.formats(v)),
            no_key: table.get("no_key").and_then(|v| self.one_word(v, "`no_key`", NO_KEYS)),
            refuse: table.get("refuse").and_then(|v| self.refusal(v)),
            class: table.get("class").and_then(|v| self.string(v, "`class`")).map(str::to_owned),
        }
    }

    /// Formats in order of preference, each once.
    fn formats(&mut self, value: &Value<'_>) -> Vec<Format> {
        let mut formats = Vec::new();
        for (span, text) in self.strings(value, "`format`") {
            match self.word(span.clone(), text, FORMATS) {
                Some(format) if formats.contains(&format) => {
                    self.fault(span, format!("`{text}` stands in the list already"), None);
                }
                found => formats.extend(found),
            }
        }
        formats
    }

    fn refusal(&mut self, value: &Value<'_>) -> Option<String> {
        let text = self.string(value, "`refuse`")?;
        let printable = text.chars().all(|c| (' '..='~').contains(&c));
        if !printable || text.trim().is_empty() || text.len() > REFUSE_CHARS_MAX {
            let message =
                format!("the text of a refusal is one line of 1 to {REFUSE_CHARS_MAX} printable ASCII characters");
            self.fault(value.span(), message, Some("the sender reads it in the SMTP reply".into()));
            return None;
        }
        Some(text.trim().to_owned())
    }

    /// A condition: unset, one string, or a list of them.
    fn test<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        read: impl Fn(&mut Self, Range<usize>, &str) -> Option<T>,
    ) -> Test<T> {
        let Some(value) = table.get(key) else { return Test::Anything };
        let strings = self.strings(value, &format!("`{key}`"));
        Test::AnyOf(strings.into_iter().filter_map(|(span, text)| read(self, span, text)).collect())
    }

    fn address_pattern(&mut self, span: Range<usize>, text: &str) -> Option<AddressPattern> {
        AddressPattern::parse(text)
            .map_err(|unusable| self.fault(span, unusable.to_string(), Some(unusable.help().into())))
            .ok()
    }

    fn glob(&mut self, span: Range<usize>, text: &str) -> Option<Glob> {
        Glob::parse(text)
            .map_err(|_| self.fault(span, format!("the pattern is longer than {GLOB_CHARS_MAX} characters"), None))
            .ok()
    }

    /// One string, or a list of at least one.
    fn strings<'t>(&mut self, value: &'t Value<'_>, what: &str) -> Vec<(Range<usize>, &'t str)> {
        let DeValue::Array(list) = value.get_ref() else {
            return self.string(value, what).map(|text| (value.span(), text)).into_iter().collect();
        };
        if list.is_empty() {
            self.fault(
                value.span(),
                format!("{what} is an empty list"),
                Some("leave it out, or name something".into()),
            );
        }
        if list.len() > ENTRIES_MAX {
            self.fault(value.span(), format!("{what} has more than {ENTRIES_MAX} entries"), None);
            return Vec::new();
        }
        list.iter().filter_map(|entry| Some((entry.span(), self.string(entry, what)?))).collect()
    }

    fn string<'t>(&mut self, value: &'t Value<'_>, what: &str) -> Option<&'t str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            let message = format!("{what} takes text, this is {}", kind(value.get_ref()));
            self.fault(value.span(), message, Some("put it in quotes".into()));
        }
        text
    }

    fn table<'t, 'v>(&mut self, value: &'t Value<'v>, what: &str) -> Option<&'t DeTable<'v>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let message = format!("{what} is a table, this is {}", kind(value.get_ref()));
            self.fault(value.span(), message, Some("write { key = \"value\" }".into()));
        }
        table
    }

    fn one_word<T: Copy>(&mut self, value: &Value<'_>, what: &str, known: &[(&str, T)]) -> Option<T> {
        let text = self.string(value, what)?;
        self.word(value.span(), text, known)
    }

    fn word<T: Copy>(&mut self, span: Range<usize>, text: &str, known: &[(&str, T)]) -> Option<T> {
        let found = known.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let all: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
            self.fault(span, format!("unknown value \"{text}\""), Some(words::help(text, &all)));
        }
        found
    }

    fn refuse_unknown(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for key in table.keys() {
            let word: &str = key.get_ref();
            if !known.contains(&word) {
                self.fault(key.span(), format!("unknown key `{word}`"), Some(words::help(word, known)));
            }
        }
    }

    /// A fault that leaves nothing to go on with.
    fn missing<T: Default>(&mut self, span: Range<usize>, message: &str, help: &str) -> T {
        self.fault(span, message, Some(help.into()));
        T::default()
    }

    fn fault(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.faults.push(self.document.fault(span, message, help));
    }
}

/// A value's type with its article.
fn kind(value: &DeValue<'_>) -> String {
    let word = value.type_str();
    let article = if word.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {word}")
}

#[cfg(test)]
mod tests {
    use super::super::{Source, load};
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let found = load(&[Source { name: "p".into(), text: text.into() }]).err().unwrap_or_default();
        found
            .iter()
            .map(|f| format!("{}:{} {} | {}", f.line, f.column, f.message, f.help.as_deref().unwrap_or("-")))
            .collect()
    }

    /// One rule around `when` and `then`; faults lie in its third line (`when`) or fourth.
    fn rule(when: &str, then: &str) -> String {
        format!("[[rule]]\nname = 'n'\nwhen = {{ {when} }}\nthen = {{ {then} }}\n")
    }

    fn check(text: &str, expected: &[&str]) {
        let found = faults(text);
        assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
        for (fault, piece) in found.iter().zip(expected) {
            assert!(fault.contains(piece), "{piece} in {fault}\n{text}");
        }
    }

    #[test]
    fn the_whole_language_is_read() {
        for (when, then) in [
            ("", "sign = 'never'"),
            ("direction = 'outbound'", "encrypt = 'if-possible'"),
            ("direction = ['inbound', 'journal']", "refuse = 'no'"),
            ("sender = ['<>', '*@a', '@b'], recipient = '*'", "sign = 'required', format = 'smime'"),
            ("subject = ''", "format = ['openpgp', 'smime'], no_key = 'danger_send_plain'"),
        ] {
            check(&rule(when, then), &[]);
        }
        check("[[rule]]\nname='n'\n[rule.when]\nsender='@a'\n[rule.then]\nsign='never'\n", &[]);
    }

    #[test]
    fn unknown_words_name_their_place_and_neighbour() {
        for (text, expected) in [
            ("[[rules]]\n", "1:3 unknown key `rules` | did you mean `rule`?"),
            ("[list.x]\na = 1", "1:2 unknown key `list` | known here: rule, class"),
            (&rule("sneder = 'a'", "sign = 'never'"), "3:10 unknown key `sneder` | did you mean `sender`?"),
            (&rule("", "quarantine = 'a'"), "4:10 unknown key `quarantine` | known here: sign, encrypt"),
            (&rule("", "decrypt = 'required'"), "4:10 unknown key `decrypt` | did you mean `encrypt`?"),
            (&rule("", "sign = 'always'"), "4:17 unknown value \"always\" | known here: never, if-possible"),
            (&rule("", "sign = 'if_possible'"), "4:17 unknown value \"if_possible\" | did you mean `if-possible`?"),
            (&rule("", "no_key = 'send_plain'"), "4:19 unknown value \"send_plain\""),
            (
                &rule("direction = ['outbond']", "sign = 'never'"),
                "3:23 unknown value \"outbond\" | did you mean `outbound`?",
            ),
        ] {
            check(text, &[expected]);
        }
    }

    #[test]
    fn shapes_are_held() {
        for (text, expected) in [
            ("rule = 1", "1:8 `rule` is an integer"),
            ("rule = [1]", "1:9 a rule is a table"),
            ("[[rule]]\nthen = {sign='never'}", "1:1 the rule has no `name`"),
            ("[[rule]]\nname = ''\nthen = {sign='never'}", "2:8 a rule's name is one line"),
            ("[[rule]]\nname = 1\nthen = {sign='never'}", "2:8 a rule's name takes text"),
            ("[[rule]]\nname = 'n'", "1:1 the rule has no `then`"),
            (&rule("", ""), "4:8 the rule does nothing"),
            (&rule("sender = []", "sign = 'never'"), "3:19 `sender` is an empty list"),
            (&rule("sender = [1]", "sign = 'never'"), "3:20 `sender` takes text, this is an integer"),
            (&rule("sender = 'example.org'", "sign = 'never'"), "3:19 no address can match this"),
            (&rule("recipient = '<>'", "sign = 'never'"), "3:22 no recipient is `<>`"),
            (&rule("", "sign = true"), "4:17 `sign` takes text, this is a boolean"),
            (&rule("", "format = []"), "4:19 `format` is an empty list"),
            (&rule("", "format = ['smime', 'smime']"), "4:29 `smime` stands in the list already"),
            (&rule("", "refuse = ''"), "4:19 the text of a refusal"),
            (&rule("", "refuse = 'nö'"), "4:19 the text of a refusal"),
            (&rule("", "refuse = \"a\\r\\n250 ok\""), "4:19 the text of a refusal"),
            (&rule("", "refuse = true"), "4:19 `refuse` takes text"),
            ("[[rule]]\nname = 'n'\nname = 'm'", "3:1 duplicate key"),
            ("[[rule", "1:7"),
        ] {
            check(text, &[expected]);
        }
    }

    #[test]
    fn all_faults_come_at_once() {
        let text = rule("sneder = 'a'", "sign = 'always'") + "[[rule]]\nname = 'n'\nthen = {}\n";
        check(&text, &["3:10", "4:17", "7:8", "6:8 a rule named \"n\""]);
    }

    #[test]
    fn lengths_hold_at_their_bounds() {
        let name = |n: usize| format!("[[rule]]\nname = '{}'\nthen = {{sign='never'}}", "n".repeat(n));
        let refuse = |n: usize| rule("", &format!("refuse = '{}'", "n".repeat(n)));
        let subject = |n: usize| rule(&format!("subject = '{}'", "n".repeat(n)), "sign = 'never'");
        let entries = |n: usize| rule(&format!("subject = [{}]", "'',".repeat(n)), "sign = 'never'");
        let all: [(&dyn Fn(usize) -> String, usize); 4] =
            [(&name, NAME_CHARS_MAX), (&refuse, REFUSE_CHARS_MAX), (&subject, GLOB_CHARS_MAX), (&entries, ENTRIES_MAX)];
        for (text, bound) in all {
            check(&text(bound), &[]);
            assert_eq!(faults(&text(bound + 1)).len(), 1);
        }
    }
}
