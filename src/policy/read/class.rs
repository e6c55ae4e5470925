//! Reading `[[class]]`.
//!
//! ```toml
//! [[class]]
//! name = "tax"
//! keep = "6y"         # or "18m", "90d", "forever"
//! minimum = "6y"
//! ```

use super::super::class::{Class, Keep, Span};
use super::super::load::PlacedClass;
use super::{Reader, Value, kind};
use crate::mail::retention::is_class_name;
use toml::de::{DeTable, DeValue};

const CLASS_KEYS: &[&str] = &["name", "keep", "minimum"];
const FOREVER: &str = "forever";

impl Reader<'_> {
    pub(super) fn classes(&mut self, table: &DeTable<'_>) -> Vec<PlacedClass> {
        let Some(value) = table.get("class") else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(classes) => classes.iter().filter_map(|class| self.class(class)).collect(),
            other => {
                let message = format!("`class` is {}, not a list of classes", kind(other));
                self.missing(value.span(), &message, "start each class with a line `[[class]]`")
            }
        }
    }

    fn class(&mut self, value: &Value<'_>) -> Option<PlacedClass> {
        let table = self.table(value, "a class")?;
        self.refuse_unknown(table, CLASS_KEYS);
        let name = match table.get("name") {
            Some(name) => self.class_name(name),
            None => self.missing(value.span(), "the class has no `name`", "rules name it: name = \"tax\""),
        };
        let keep = match table.get("keep") {
            Some(keep) => self.keep(keep),
            None => {
                let help = "write how long its mail is kept: keep = \"6y\", or \"forever\"";
                self.missing(value.span(), "the class has no `keep`", help)
            }
        };
        let minimum = table.get("minimum").and_then(|minimum| self.minimum(minimum, keep));
        let (file, line) = (self.document.name().to_owned(), self.document.line(value.span().start));
        let class = Class { name: name?, keep: keep?, minimum, file, line };
        let name_span = table.get("name").map_or(value.span(), Value::span);
        Some(PlacedClass { class, name_span })
    }

    fn class_name(&mut self, value: &Value<'_>) -> Option<String> {
        let name = self.string(value, "a class's name")?;
        if !is_class_name(name) {
            let help = "it stands in the clear in the archive's log, for ever: name no person";
            return self.missing(value.span(), "a class's name is 1 to 32 of a-z, 0-9 and -", help);
        }
        Some(name.to_owned())
    }

    fn keep(&mut self, value: &Value<'_>) -> Option<Keep> {
        let text = self.string(value, "`keep`")?;
        if text == FOREVER {
            return Some(Keep::Forever);
        }
        self.span(value, text, "a number with y, m or d, at most 1000y: \"6y\", \"18m\", \"90d\"; or \"forever\"")
            .map(Keep::For)
    }

    fn minimum(&mut self, value: &Value<'_>, keep: Option<Keep>) -> Option<Span> {
        let text = self.string(value, "`minimum`")?;
        if text == FOREVER {
            let help = "write how long no order may erase: minimum = \"6y\"";
            return self.missing(value.span(), "a minimum cannot be for ever", help);
        }
        let minimum = self.span(value, text, "a number with y, m or d, at most 1000y: \"6y\", \"18m\", \"90d\"")?;
        if let Some(Keep::For(keep)) = keep
            && minimum.average() > keep.average()
        {
            let message = format!("the minimum {minimum} is longer than the keep {keep}");
            return self.missing(value.span(), &message, "what expires earlier cannot be protected longer");
        }
        Some(minimum)
    }

    fn span(&mut self, value: &Value<'_>, text: &str, help: &str) -> Option<Span> {
        let span = Span::parse(text);
        if span.is_none() {
            self.fault(value.span(), format!("\"{text}\" is no length of time"), Some(help.to_owned()));
        }
        span
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Source, load};

    fn check(text: &str, expected: &[&str]) {
        let found = load(&[Source { name: "p".into(), text: text.into() }]).err().unwrap_or_default();
        let found: Vec<String> = found
            .iter()
            .map(|f| format!("{}:{} {} | {}", f.line, f.column, f.message, f.help.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
        for (fault, piece) in found.iter().zip(expected) {
            assert!(fault.contains(piece), "{piece} in {fault}\n{text}");
        }
    }

    /// One class; its faults lie in the lines from 2.
    fn class(lines: &str) -> String {
        format!("[[class]]\n{lines}\n")
    }

    #[test]
    fn classes_are_read_and_their_faults_have_places() {
        for good in [
            "name = 'tax'\nkeep = '6y'\nminimum = '6y'",
            "name = 'a'\nkeep = '90d'",
            "name = 'b'\nkeep = 'forever'\nminimum = '10y'",
            "name = 'default'\nkeep = '18m'",
            "name = 'c'\nkeep = '6y'\nminimum = '2191d'",
            "name = 'd'\nkeep = '2192d'\nminimum = '6y'",
        ] {
            check(&class(good), &[]);
        }
        for (bad, expected) in [
            ("keep = '6y'", "1:1 the class has no `name`"),
            ("name = 'a'", "1:1 the class has no `keep` | write how long"),
            ("name = 'Tax'\nkeep = '6y'", "2:8 a class's name is 1 to 32 of a-z"),
            ("name = 1\nkeep = '6y'", "2:8 a class's name takes text"),
            ("name = 'a'\nkeep = '6 years'", "3:8 \"6 years\" is no length of time | a number with y, m or d"),
            ("name = 'a'\nkeep = 6", "3:8 `keep` takes text, this is an integer"),
            ("name = 'a'\nkeep = '1001y'", "3:8 \"1001y\" is no length of time"),
            ("name = 'a'\nkeep = '6y'\nminimum = '7y'", "4:11 the minimum 7y is longer than the keep 6y"),
            ("name = 'a'\nkeep = '6y'\nminimum = '2192d'", "4:11 the minimum 2192d is longer than the keep 6y"),
            ("name = 'a'\nkeep = '90d'\nminimum = '3m'", "4:11 the minimum 3m is longer than the keep 90d"),
            ("name = 'a'\nkeep = '6y'\nminimum = 'forever'", "4:11 a minimum cannot be for ever"),
            ("name = 'a'\nkeep = '6y'\nminium = '1y'", "4:1 unknown key `minium` | did you mean `minimum`?"),
        ] {
            check(&class(bad), &[expected]);
        }
        check("class = 'a'", &["1:9 `class` is a string, not a list of classes"]);
        check("class = ['a']", &["1:10 a class is a table"]);
    }

    #[test]
    fn rules_name_classes_that_are_there() {
        let rule = "[[rule]]\nname = 'n'\nthen = { class = 'tax' }\n";
        check(&(class("name = 'tax'\nkeep = '6y'") + rule), &[]);
        check(&(rule.to_owned() + &class("name = 'tax'\nkeep = '6y'")), &[]);
        check(rule, &["3:18 no class is named \"tax\" | known here: default"]);
        check(
            &(class("name = 'taxi'\nkeep = '6y'") + rule),
            &["6:18 no class is named \"tax\" | did you mean `taxi`?"],
        );
        check("[[rule]]\nname = 'n'\nthen = { class = 'default' }\n", &[]);
        check("[[rule]]\nname = 'n'\nthen = { class = ['a'] }\n", &["3:18 `class` takes text"]);
    }

    #[test]
    fn a_class_stands_once() {
        let one = class("name = 'tax'\nkeep = '6y'");
        check(&(one.clone() + &one), &["5:8 a class named \"tax\" stands in p:1 already"]);
        let source = |name: &str| Source { name: name.into(), text: one.clone() };
        let faults = load(&[source("a"), source("b")]).expect_err("a fault");
        assert_eq!((faults[0].file.as_str(), faults[0].line), ("b", 2));
        assert!(faults[0].message.contains("a:1"));
    }

    #[test]
    fn classes_hold_at_their_bound() {
        let classes = |n: usize| (0..n).map(|i| class(&format!("name = 'c{i}'\nkeep = '1y'"))).collect::<String>();
        check(&classes(super::super::super::CLASSES_MAX), &[]);
        check(&classes(super::super::super::CLASSES_MAX + 1), &["more than 100 classes"]);
    }
}
