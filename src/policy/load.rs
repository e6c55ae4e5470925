//! Loading: policy texts in, a policy or every fault out. Never loads a part: one fault anywhere and there is no policy.

use super::class::Class;
use super::fault::{Document, Fault};
use super::read;
use super::rule::Rule;
use super::words;
use crate::crypto::Sha256;
use crate::mail::retention::CLASS_DEFAULT;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Octets of all policy files together.
pub const POLICY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rules of all policy files together.
pub const RULES_MAX: usize = 10_000;
/// Classes of all policy files together: each makes segments of its own.
pub const CLASSES_MAX: usize = 100;
/// Faults that are reported; more help nobody.
const FAULTS_MAX: usize = 100;

/// One policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path, as faults and explanations name it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// All rules in force, in order. Immutable: a reload makes another.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) rules: Vec<Rule>,
    classes: Vec<Class>,
    digest: [u8; 32],
}

impl Policy {
    /// SHA-256 over the texts in load order, each behind its length as u64 big-endian.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
    /// The classes in the order they stand, `default` among them.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }
    /// The class of this name.
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == name)
    }
    /// Classes that no rule names: no mail gets them.
    pub fn unused_classes(&self) -> Vec<&Class> {
        let names: HashSet<&str> = self.rules.iter().filter_map(|rule| rule.then.class.as_deref()).collect();
        let is_used = |class: &&Class| class.name == CLASS_DEFAULT || names.contains(class.name.as_str());
        self.classes.iter().filter(|class| !is_used(class)).collect()
    }
    /// The rules in the order they are asked.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

/// Reads policy files in the order given, which is the order in which rules are asked. No files: no rule, nothing changed.
pub fn load(sources: &[Source]) -> Result<Policy, Vec<Fault>> {
    let mut faults = Vec::new();
    let (mut found, mut classes) = (Vec::new(), Vec::new());
    let mut octets = 0;
    for source in sources {
        let document = Document::new(&source.name, &source.text);
        octets += source.text.len();
        if octets > POLICY_BYTES_MAX {
            faults.push(document.fault(0..0, format!("the policy is larger than {POLICY_BYTES_MAX} octets"), None));
            break;
        }
        let read::Found { rules, classes: more } = read::read(&document, &source.text, &mut faults);
        found.extend(rules.into_iter().map(|rule| (document.clone(), rule)));
        classes.extend(more.into_iter().map(|class| (document.clone(), class)));
    }
    refuse_classes(&classes, &mut faults);
    refuse_unknown_classes(&found, &classes, &mut faults);
    refuse_too_many(&found, &mut faults);
    refuse_same_names(&found, &mut faults);
    if !faults.is_empty() {
        faults.truncate(FAULTS_MAX);
        return Err(faults);
    }
    let mut classes: Vec<Class> = classes.into_iter().map(|(_, placed)| placed.class).collect();
    if classes.iter().all(|class| class.name != CLASS_DEFAULT) {
        classes.insert(0, Class::default());
    }
    let rules = found.into_iter().map(|(_, placed)| placed.rule).collect();
    Ok(Policy { rules, classes, digest: digest(sources) })
}

/// A rule and where its name stands.
pub(super) struct Placed {
    pub rule: Rule,
    pub name_span: Range<usize>,
    /// Where it names a class.
    pub class_span: Option<Range<usize>>,
}

/// A class and where its name stands.
pub(super) struct PlacedClass {
    pub class: Class,
    pub name_span: Range<usize>,
}

/// Too many, or two of one name.
fn refuse_classes(classes: &[(Document, PlacedClass)], faults: &mut Vec<Fault>) {
    if let Some((document, placed)) = classes.get(CLASSES_MAX) {
        faults.push(document.fault(placed.name_span.clone(), format!("more than {CLASSES_MAX} classes"), None));
    }
    let mut first: HashMap<&str, &Class> = HashMap::new();
    for (document, PlacedClass { class, name_span }) in classes {
        let Some(other) = first.insert(&class.name, class) else { continue };
        let message = format!("a class named \"{}\" stands in {}:{} already", class.name, other.file, other.line);
        faults.push(document.fault(name_span.clone(), message, Some("every name stands for one class".into())));
    }
}

fn refuse_unknown_classes(found: &[(Document, Placed)], classes: &[(Document, PlacedClass)], faults: &mut Vec<Fault>) {
    let known: Vec<&str> = classes.iter().map(|(_, placed)| placed.class.name.as_str()).collect();
    let known = [&[CLASS_DEFAULT], &known[..]].concat();
    for (document, placed) in found {
        let (Some(name), Some(span)) = (&placed.rule.then.class, &placed.class_span) else { continue };
        if !known.contains(&name.as_str()) {
            let help = words::help(name, &known);
            faults.push(document.fault(span.clone(), format!("no class is named \"{name}\""), Some(help)));
        }
    }
}

fn refuse_too_many(found: &[(Document, Placed)], faults: &mut Vec<Fault>) {
    if let Some((document, placed)) = found.get(RULES_MAX) {
        faults.push(document.fault(placed.name_span.clone(), format!("more than {RULES_MAX} rules"), None));
    }
}

fn refuse_same_names(found: &[(Document, Placed)], faults: &mut Vec<Fault>) {
    let mut first: HashMap<&str, &Rule> = HashMap::new();
    for (document, Placed { rule, name_span, .. }) in found {
        if rule.name.is_empty() {
            continue;
        }
        if let Some(other) = first.get(rule.name.as_str()) {
            let message = format!("a rule named \"{}\" stands in {}:{} already", rule.name, other.file, other.line);
            let help = "explanations name rules, so every name stands for one".to_owned();
            faults.push(document.fault(name_span.clone(), message, Some(help)));
        } else {
            first.insert(&rule.name, rule);
        }
    }
}

fn digest(sources: &[Source]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for source in sources {
        hasher.update(&(source.text.len() as u64).to_be_bytes());
        hasher.update(source.text.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source { name: name.into(), text: text.into() }
    }

    #[test]
    fn no_files_are_a_policy_that_changes_nothing() {
        assert!(load(&[]).expect("a policy").rules().is_empty());
        assert!(load(&[source("a", "# nothing\n")]).expect("a policy").rules().is_empty());
    }

    #[test]
    fn rules_keep_their_order_and_places_over_files() {
        let a = source("a.toml", "\n[[rule]]\nname = 'one'\nthen = {sign='never'}\n");
        let b = source("b.toml", "[[rule]]\nname = 'two'\nthen = {sign='never'}\n");
        let policy = load(&[a, b]).expect("a policy");
        let places: Vec<String> = policy.rules().iter().map(Rule::place).collect();
        assert_eq!(places, ["rule \"one\" (a.toml:2)", "rule \"two\" (b.toml:1)"]);
    }

    #[test]
    fn the_digest_depends_on_every_text_and_its_end() {
        let digest = |texts: &[&str]| {
            let sources: Vec<Source> = texts.iter().map(|t| source("n", t)).collect();
            load(&sources).expect("a policy").digest()
        };
        assert_eq!(digest(&["#a"]), digest(&["#a"]));
        assert_ne!(digest(&["#a", "#b"]), digest(&["#b", "#a"]));
        assert_ne!(digest(&["#a#", "#b"]), digest(&["#a", "##b"]));
    }

    #[test]
    fn names_are_unique_over_files() {
        let text = "[[rule]]\nname = 'same'\nthen = {sign='never'}\n";
        let faults = load(&[source("a", text), source("b", text)]).expect_err("a fault");
        assert_eq!((faults.len(), faults[0].file.as_str(), faults[0].line, faults[0].column), (1, "b", 2, 8));
        assert!(faults[0].message.contains("a:1"), "{}", faults[0]);
    }

    #[test]
    fn size_and_count_hold_at_their_bounds() {
        let full = "#".repeat(POLICY_BYTES_MAX);
        assert!(load(&[source("a", &full)]).is_ok());
        assert!(load(&[source("a", &full), source("b", "#")]).is_err());
        let rules =
            |n: usize| -> String { (0..n).map(|i| format!("[[rule]]\nname='{i}'\nthen={{sign='never'}}\n")).collect() };
        assert_eq!(load(&[source("a", &rules(RULES_MAX))]).expect("a policy").rules().len(), RULES_MAX);
        assert_eq!(load(&[source("a", &rules(RULES_MAX + 1))]).expect_err("a fault").len(), 1);
    }
}
