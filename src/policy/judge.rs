//! Judging: each recipient gets its own ruling. Pure and total: the same facts give the same ruling, and every message one.
//!
//! Order of decision: refuse, then the author's right to sign, then the first format in which all that is required can be
//! done. What a rule requires is never dropped in silence: it is done, or the message is refused, or a `danger_` action says so.

use super::class;
use super::class::Class;
use super::facts::{Already, Facts, KeyFact, Permission, RecipientFacts};
use super::load::Policy;
use super::pattern::Party;
use super::rule::{Message, NoKey, Rule, Then};
use super::{Disposition, Format, Need, RecipientRuling, Ruling, Treatment, Why};
use crate::clock::Timestamp;
use crate::mail::Address;
use crate::mail::Direction;
use crate::mail::Retention;
use crate::mail::retention::CLASS_DEFAULT;
use std::collections::BTreeSet;

/// Public texts. They start with an enhanced status (RFC 3463, RFC 5248) and name no rule, path or mechanism.
const NOT_PERMITTED: &str = "5.7.1 not permitted to send as this author";
const NO_SIGNATURE: &str = "5.7.5 signature required but not possible for this author";
/// The status of a refusal that a rule words itself.
const RULE_STATUS: &str = "5.7.1";

/// What is decided about a message.
#[derive(Clone, Debug)]
pub struct Decision<'p> {
    /// Its ruling.
    pub ruling: Ruling,
    /// The classes of the recipients it is accepted for.
    classes: Vec<&'p Class>,
}

impl Decision<'_> {
    /// How long it is kept, counted from `from`: in the class that keeps longest among its recipients'.
    pub fn retention(&self, from: Timestamp) -> Retention {
        class::longest(self.classes.iter().copied(), from).unwrap_or_else(Retention::forever)
    }
}

impl Policy {
    /// Judges a message: one ruling per recipient, in envelope order.
    pub fn judge(&self, facts: &Facts) -> Ruling {
        self.decide(facts).ruling
    }

    /// Judges a message, and says in which classes.
    pub fn decide(&self, facts: &Facts) -> Decision<'_> {
        let message = Message {
            direction: facts.direction,
            sender: Party::sender(facts.sender.as_ref()),
            subjects: facts.subjects.iter().map(|subject| super::Folded::new(subject)).collect(),
        };
        let standing: Vec<&Rule> = self.rules.iter().filter(|r| r.when.holds_for_message(&message)).collect();
        let judged: Vec<Judged<'_>> = facts.recipients.iter().map(|r| judge_recipient(&standing, facts, r)).collect();
        let names: BTreeSet<&str> = judged.iter().filter_map(|judged| judged.class).collect();
        let classes = self.classes().iter().filter(|class| names.contains(class.name.as_str())).collect();
        let recipients = judged.into_iter().map(|judged| judged.ruling).collect();
        Decision { ruling: Ruling { recipients, policy_digest: self.digest() }, classes }
    }
}

/// A recipient's ruling and class; no class where the message is refused.
struct Judged<'p> {
    ruling: RecipientRuling,
    class: Option<&'p str>,
}

fn judge_recipient<'p>(standing: &[&'p Rule], facts: &Facts, recipient: &RecipientFacts) -> Judged<'p> {
    let party = Party::mailbox(&recipient.address);
    let rules: Vec<&Rule> = standing.iter().copied().filter(|r| r.when.holds_for_recipient(&party)).collect();
    let mut case = Case { facts, recipient, orders: Orders::of(&rules, facts), why: Vec::new() };
    let disposition = case.decide();
    let class = matches!(disposition, Disposition::Deliver(_)).then(|| case.class(&rules));
    Judged { ruling: RecipientRuling { disposition, why: case.why }, class }
}

/// An action's value and the rule that set it, `None` for the default.
#[derive(Clone, Debug)]
struct Order<'p, T> {
    value: T,
    by: Option<&'p Rule>,
}

struct Orders<'p> {
    refuse: Option<(&'p str, &'p Rule)>,
    sign: Order<'p, Need>,
    encrypt: Order<'p, Need>,
    formats: Order<'p, &'p [Format]>,
    no_key: Order<'p, NoKey>,
}

impl<'p> Orders<'p> {
    fn of(rules: &[&'p Rule], facts: &Facts) -> Orders<'p> {
        // The null sender is signed only if a rule names it (P11).
        let may_sign = |r: &Rule| facts.sender.is_some() || r.when.names_null_sender();
        let sign = rules.iter().find_map(|rule| {
            let need = rule.then.sign.filter(|need| *need == Need::Never || may_sign(rule))?;
            Some(Order { value: need, by: Some(*rule) })
        });
        Orders {
            refuse: rules.iter().find_map(|rule| Some((rule.then.refuse.as_deref()?, *rule))),
            sign: sign.unwrap_or(Order { value: Need::Never, by: None }),
            encrypt: first(rules, |then| then.encrypt, Need::Never),
            formats: first(rules, |then| then.format.as_deref(), &[Format::Smime, Format::OpenPgp]),
            no_key: first(rules, |then| then.no_key, NoKey::Refuse),
        }
    }
}

/// The first rule that sets an action gives its value.
fn first<'p, T>(rules: &[&'p Rule], pick: impl Fn(&'p Then) -> Option<T>, default: T) -> Order<'p, T> {
    let set = rules.iter().find_map(|rule| Some(Order { value: pick(&rule.then)?, by: Some(*rule) }));
    set.unwrap_or(Order { value: default, by: None })
}

/// What is still wanted of a message, after what it already carries.
#[derive(Clone, Copy, Debug)]
struct Wish {
    sign: Need,
    encrypt: Need,
}

/// What can be done in one format.
#[derive(Clone, Copy, Debug)]
struct Ability {
    format: Format,
    sign: bool,
    encrypt: bool,
}

/// One recipient of one message on its way to a disposition.
struct Case<'p, 'f> {
    facts: &'f Facts,
    recipient: &'f RecipientFacts,
    orders: Orders<'p>,
    why: Vec<Why>,
}

impl Case<'_, '_> {
    fn decide(&mut self) -> Disposition {
        if self.facts.direction == Direction::Journal {
            // Reports are archived, never delivered; a refusal would make their sender stop sending them.
            self.tell("deliver", "never", "journal mail is archived, whatever the rules say".into());
            return Disposition::Deliver(Treatment::Plain);
        }
        if let Some((text, rule)) = self.orders.refuse {
            self.tell("refuse", text, rule.place());
            return Disposition::Refuse { text: with_status(text) };
        }
        let wish = self.wish();
        if (wish.sign, wish.encrypt) == (Need::Never, Need::Never) {
            return Disposition::Deliver(Treatment::Plain);
        }
        self.tell_formats();
        let abilities = self.abilities(wish);
        match best(wish, &abilities) {
            Some(treatment) => Disposition::Deliver(treatment),
            None => self.without(wish, &abilities),
        }
    }

    /// The class that the first rule gives which gives one. What no rule gives is the default, of which nothing is told.
    fn class<'p>(&mut self, rules: &[&'p Rule]) -> &'p str {
        let given = rules.iter().find_map(|rule| Some((rule.then.class.as_deref()?, *rule)));
        if let Some((class, rule)) = given {
            self.tell("class", class, rule.place());
        }
        given.map_or(CLASS_DEFAULT, |(class, _)| class)
    }

    /// What the rules ask for, less what the message carries.
    fn wish(&mut self) -> Wish {
        let (sign, encrypt) = (self.orders.sign.clone(), self.orders.encrypt.clone());
        self.tell("sign", word(sign.value), because(sign.by));
        self.tell("encrypt", word(encrypt.value), because(encrypt.by));
        let wish = match self.facts.already {
            Already::Nothing => Wish { sign: sign.value, encrypt: encrypt.value },
            Already::Signed => Wish { sign: Need::Never, encrypt: encrypt.value },
            Already::Encrypted => Wish { sign: Need::Never, encrypt: Need::Never },
        };
        if wish.sign != sign.value {
            self.tell("sign", "not again", format!("the message is {}", already(self.facts.already)));
        }
        if wish.encrypt != encrypt.value {
            self.tell("encrypt", "not again", format!("the message is {}", already(self.facts.already)));
        }
        wish
    }

    fn tell_formats(&mut self) {
        let names: Vec<&str> = self.orders.formats.value.iter().map(|f| name(*f)).collect();
        self.tell("format", &names.join(", "), because(self.orders.formats.by));
    }

    /// What can be done in each listed format, in order of preference.
    fn abilities(&mut self, wish: Wish) -> Vec<Ability> {
        let permitted = wish.sign != Need::Never && self.permitted();
        let formats = self.orders.formats.value;
        let mut abilities = Vec::new();
        for &format in formats {
            let sign = permitted && self.considered("signing key", format, self.facts.signing.key(format));
            let encrypt =
                wish.encrypt != Need::Never && self.considered("recipient key", format, self.recipient.key(format));
            abilities.push(Ability { format, sign, encrypt });
        }
        abilities
    }

    fn permitted(&mut self) -> bool {
        match &self.facts.signing.permitted {
            Permission::Yes(author) => {
                self.tell("author", &author.to_string(), "this client may sign as it".into());
                true
            }
            Permission::No { reason } => {
                self.tell("author", "not permitted", reason.clone());
                false
            }
        }
    }

    fn considered(&mut self, what: &str, format: Format, key: &KeyFact) -> bool {
        match key {
            KeyFact::Usable { key } => self.tell(what, name(format), format!("key {key}")),
            KeyFact::Missing { reason } => self.tell(what, &format!("no {}", name(format)), reason.clone()),
        }
        key.is_usable()
    }

    /// No format does all that is required.
    fn without(&mut self, wish: Wish, abilities: &[Ability]) -> Disposition {
        if wish.sign == Need::Required && !abilities.iter().any(|a| a.sign) {
            let permitted = matches!(self.facts.signing.permitted, Permission::Yes(_));
            return refuse(if permitted { NO_SIGNATURE } else { NOT_PERMITTED });
        }
        let address = ascii(&self.recipient.address);
        if abilities.iter().any(|a| a.encrypt) {
            self.tell("format", "none", "no listed format has both a signing key and a recipient key".into());
            return refuse(&format!(
                "5.7.5 signature and encryption required but not possible together for <{address}>"
            ));
        }
        self.tell("no_key", self.orders.no_key.value.word(), because(self.orders.no_key.by));
        let danger = Wish { encrypt: Need::Never, ..wish };
        match (self.orders.no_key.value, best(danger, abilities)) {
            (NoKey::DangerSendPlain, Some(treatment)) => Disposition::Deliver(treatment),
            _ => refuse(&format!("5.7.5 encryption required but no key for <{address}>")),
        }
    }

    fn tell(&mut self, action: &str, value: &str, because: String) {
        self.why.push(Why { action: action.to_owned(), value: value.to_owned(), because });
    }
}

/// Among the formats that do all that is required: one that encrypts before one that does not, then one that signs, then the
/// preferred. `None` when no format does all that is required.
fn best(wish: Wish, abilities: &[Ability]) -> Option<Treatment> {
    let mut best: Option<((bool, bool), Treatment)> = None;
    for ability in abilities {
        let (Some(encrypts), Some(signs)) = (done(wish.encrypt, ability.encrypt), done(wish.sign, ability.sign)) else {
            continue;
        };
        if best.is_none_or(|(rank, _)| (encrypts, signs) > rank) {
            best = Some(((encrypts, signs), treatment(ability.format, signs, encrypts)));
        }
    }
    best.map(|(_, treatment)| treatment)
}

/// Whether an action is done; `None` when it is required and cannot be.
fn done(need: Need, able: bool) -> Option<bool> {
    match (need, able) {
        (Need::Never, _) => Some(false),
        (Need::Required, false) => None,
        (_, able) => Some(able),
    }
}

fn treatment(format: Format, signs: bool, encrypts: bool) -> Treatment {
    match (signs, encrypts) {
        (false, false) => Treatment::Plain,
        (true, false) => Treatment::Sign(format),
        (false, true) => Treatment::Encrypt(format),
        (true, true) => Treatment::SignAndEncrypt(format),
    }
}

fn refuse(text: &str) -> Disposition {
    Disposition::Refuse { text: text.to_owned() }
}

/// A rule's text behind a status, unless it brings one: `5.subject.detail` (RFC 3463 section 2).
fn with_status(text: &str) -> String {
    let status = text.split(' ').next().unwrap_or_default();
    let mut numbers = status.split('.');
    let is_number =
        |n: Option<&str>| n.is_some_and(|n| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()));
    let brings = numbers.next() == Some("5") && is_number(numbers.next()) && is_number(numbers.next());
    let alone = status.len() == text.len();
    if brings && numbers.next().is_none() && !alone { text.to_owned() } else { format!("{RULE_STATUS} {text}") }
}

/// An address in a reply line, which is ASCII.
fn ascii(address: &Address) -> String {
    address.to_string().chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

fn because(by: Option<&Rule>) -> String {
    by.map_or_else(|| "default".to_owned(), Rule::place)
}

fn word(need: Need) -> &'static str {
    match need {
        Need::Never => "never",
        Need::IfPossible => "if-possible",
        Need::Required => "required",
    }
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Smime => "smime",
        Format::OpenPgp => "openpgp",
    }
}

fn already(already: Already) -> &'static str {
    match already {
        Already::Nothing => "unprotected",
        Already::Signed => "signed already",
        Already::Encrypted => "encrypted already",
    }
}

#[cfg(test)]
mod tests;
