//! Rulings: tables of facts and what becomes of them, and the promise that required encryption is never dropped in silence.

use super::super::{SigningFacts, Source, load};
use super::*;
use proptest::prelude::*;

fn policy(rules: &[(&str, &str)]) -> Policy {
    let text: String = rules
        .iter()
        .enumerate()
        .map(|(i, (when, then))| format!("[[rule]]\nname = 'r{i}'\nwhen = {{{when}}}\nthen = {{{then}}}\n"))
        .collect();
    load(&[Source { name: "p.toml".into(), text }]).expect("a policy")
}

fn address(text: &str) -> Address {
    Address::parse(text).expect(text)
}

fn key(there: bool) -> KeyFact {
    if there { KeyFact::Usable { key: "k".into() } } else { KeyFact::Missing { reason: "none here".into() } }
}

/// Keys by letter: `s`/`o` the recipient's S/MIME and OpenPGP, `S`/`O` the author's, `!` not permitted to sign.
fn facts(keys: &str) -> Facts {
    let has = |c: char| key(keys.contains(c));
    let author = address("alice@example.org");
    let permitted = if keys.contains('!') {
        Permission::No { reason: "not her address".into() }
    } else {
        Permission::Yes(author.clone())
    };
    Facts {
        direction: Direction::Outbound,
        sender: Some(author),
        subjects: vec!["Hello [Secure] world".into()],
        recipients: vec![RecipientFacts {
            address: address("bob@partner.example"),
            smime: has('s'),
            openpgp: has('o'),
        }],
        signing: SigningFacts { permitted, smime: has('S'), openpgp: has('O') },
        already: Already::Nothing,
    }
}

/// The first recipient's disposition in short: `plain`, `sign smime`, `encrypt openpgp`, `both smime`, or the refusal.
fn short(ruling: &Ruling) -> String {
    match &ruling.recipients[0].disposition {
        Disposition::Refuse { text } => text.clone(),
        Disposition::Deliver(Treatment::Plain) => "plain".into(),
        Disposition::Deliver(Treatment::Sign(f)) => format!("sign {}", name(*f)),
        Disposition::Deliver(Treatment::Encrypt(f)) => format!("encrypt {}", name(*f)),
        Disposition::Deliver(Treatment::SignAndEncrypt(f)) => format!("both {}", name(*f)),
    }
}

fn judged(then: &str, facts: &Facts) -> String {
    short(&policy(&[("", then)]).judge(facts))
}

const NO_KEY: &str = "5.7.5 encryption required but no key for <bob@partner.example>";

#[test]
fn wishes_keys_and_permission_give_the_treatment() {
    for (then, keys, expected) in [
        ("sign='never'", "soSO", "plain"),
        ("sign='if-possible'", "S", "sign smime"),
        ("sign='if-possible'", "O", "sign openpgp"),
        ("sign='if-possible'", "", "plain"),
        ("sign='if-possible'", "S!", "plain"),
        ("sign='required'", "SO", "sign smime"),
        ("sign='required', format=['openpgp','smime']", "SO", "sign openpgp"),
        ("sign='required', format='openpgp'", "S", NO_SIGNATURE),
        ("sign='required'", "", NO_SIGNATURE),
        ("sign='required'", "SO!", NOT_PERMITTED),
        ("encrypt='if-possible'", "", "plain"),
        ("encrypt='if-possible'", "o", "encrypt openpgp"),
        ("encrypt='required'", "so", "encrypt smime"),
        ("encrypt='required'", "o", "encrypt openpgp"),
        ("encrypt='required'", "", NO_KEY),
        ("encrypt='required', format='smime'", "o", NO_KEY),
        ("encrypt='required', no_key='danger_send_plain'", "", "plain"),
        ("encrypt='required', no_key='danger_send_plain'", "o", "encrypt openpgp"),
        ("encrypt='required', sign='if-possible', no_key='danger_send_plain'", "S", "sign smime"),
        ("encrypt='required', sign='required', no_key='danger_send_plain'", "!", NOT_PERMITTED),
        ("encrypt='required', sign='required', no_key='danger_send_plain'", "S", "sign smime"),
        ("encrypt='required', sign='required'", "sS", "both smime"),
        ("encrypt='required', sign='required'", "soO", "both openpgp"),
        ("encrypt='required', sign='required'", "S", NO_KEY),
        (
            "encrypt='required', sign='required', no_key='danger_send_plain'",
            "sO",
            "5.7.5 signature and encryption required but not possible together for <bob@partner.example>",
        ),
        ("encrypt='required', sign='if-possible'", "sO", "encrypt smime"),
        ("encrypt='if-possible', sign='required'", "sO", "sign openpgp"),
        // Nothing is required: encrypting outranks signing, both outrank one, only then the order counts.
        ("encrypt='if-possible', sign='if-possible'", "oS", "encrypt openpgp"),
        ("encrypt='if-possible', sign='if-possible'", "soO", "both openpgp"),
        ("encrypt='if-possible', sign='if-possible'", "soSO", "both smime"),
    ] {
        assert_eq!(judged(then, &facts(keys)), expected, "{then} with {keys}");
    }
}

#[test]
fn what_is_protected_already_is_not_wrapped_again() {
    for (already, then, expected) in [
        (Already::Signed, "sign='required'", "plain"),
        (Already::Signed, "sign='required', encrypt='required'", "encrypt smime"),
        (Already::Encrypted, "sign='required', encrypt='required'", "plain"),
        (Already::Encrypted, "refuse='no'", "5.7.1 no"),
    ] {
        assert_eq!(judged(then, &Facts { already, ..facts("sS") }), expected, "{already:?} {then}");
    }
}

#[test]
fn for_each_action_the_first_matching_rule_wins() {
    for (rules, expected) in [
        (&[("", "sign='never'"), ("", "sign='required', encrypt='required'")][..], "encrypt smime"),
        (&[("sender='@other.example'", "encrypt='never'"), ("", "encrypt='required'")], "encrypt smime"),
        (&[("recipient='@partner.example'", "encrypt='required'"), ("", "encrypt='never'")], "encrypt smime"),
        (&[("recipient='@artner.example'", "encrypt='required'")], "plain"),
        (&[("direction='inbound'", "refuse='no'")], "plain"),
        (&[("direction=['inbound','outbound']", "refuse='no'")], "5.7.1 no"),
        (&[("subject='*[secure]*'", "encrypt='required'")], "encrypt smime"),
        (&[("subject='*[secure]'", "encrypt='required'")], "plain"),
        (&[("subject='*[secure]*', sender='bob@*'", "encrypt='required'")], "plain"),
        (&[("", "sign='required'"), ("", "refuse='no'"), ("", "refuse='later'")], "5.7.1 no"),
        (&[("", "refuse='5.7.25 x'")], "5.7.25 x"),
        (&[("", "refuse='5.7.1'")], "5.7.1 5.7.1"),
        (&[("", "refuse='4.7.1 x'")], "5.7.1 4.7.1 x"),
        (&[], "plain"),
    ] {
        assert_eq!(short(&policy(rules).judge(&facts("sS"))), expected, "{rules:?}");
    }
}

#[test]
fn the_null_sender_is_signed_only_by_name() {
    let null = Facts { sender: None, ..facts("sS") };
    for (rules, expected) in [
        (&[("", "sign='required'")][..], "plain"),
        (&[("", "encrypt='required'")], "encrypt smime"),
        (&[("sender='*'", "encrypt='required'")], "plain"),
        (&[("sender='<>'", "sign='required'")], "sign smime"),
        (&[("", "sign='required'"), ("sender=['@a','<>']", "sign='if-possible'")], "sign smime"),
        (&[("", "sign='never'"), ("sender='<>'", "sign='required'")], "plain"),
    ] {
        assert_eq!(short(&policy(rules).judge(&null)), expected, "{rules:?}");
    }
}

#[test]
fn each_recipient_has_its_own_ruling() {
    let mut facts = facts("s");
    facts.recipients.push(RecipientFacts { address: address("eve@x.example"), smime: key(false), openpgp: key(false) });
    let ruling = policy(&[("recipient='@partner.example'", "encrypt='required'")]).judge(&facts);
    let dispositions: Vec<&Disposition> = ruling.recipients.iter().map(|r| &r.disposition).collect();
    let expected = [Treatment::Encrypt(Format::Smime), Treatment::Plain].map(Disposition::Deliver);
    assert_eq!(dispositions, expected.iter().collect::<Vec<_>>());
}

#[test]
fn reasons_name_rules_and_keys_and_public_texts_do_not() {
    let policy = policy(&[("subject='*secure*'", "encrypt='required', sign='required'")]);
    let ruling = policy.judge(&facts("!"));
    let told: Vec<String> =
        ruling.recipients[0].why.iter().map(|w| format!("{} = {}: {}", w.action, w.value, w.because)).collect();
    assert_eq!(
        told,
        [
            "sign = required: rule \"r0\" (p.toml:1)",
            "encrypt = required: rule \"r0\" (p.toml:1)",
            "format = smime, openpgp: default",
            "author = not permitted: not her address",
            "recipient key = no smime: none here",
            "recipient key = no openpgp: none here",
        ]
    );
    assert_eq!(short(&ruling), NOT_PERMITTED);
}

#[test]
fn public_texts_are_ascii() {
    let mut facts = facts("");
    facts.recipients[0].address = address("grüße@bücher.example");
    assert_eq!(judged("encrypt='required'", &facts), "5.7.5 encryption required but no key for <gr??e@b?cher.example>");
}

fn then() -> impl Strategy<Value = (String, String)> {
    let when =
        prop::sample::select(vec!["", "sender='<>'", "sender='@example.org'", "recipient='b*'", "subject='*x*'"]);
    let need = || prop::sample::select(vec!["never", "if-possible", "required"]);
    let format = prop::sample::select(vec!["['smime']", "['openpgp']", "['openpgp','smime']"]);
    let action = prop_oneof![
        need().prop_map(|n| format!("sign='{n}'")),
        need().prop_map(|n| format!("encrypt='{n}'")),
        format.prop_map(|f| format!("format={f}")),
        prop::sample::select(vec!["no_key='refuse'", "no_key='danger_send_plain'"]).prop_map(str::to_owned),
    ];
    (when.prop_map(str::to_owned), action)
}

proptest! {
    /// Searched over random policies and facts: plain text leaves only where encryption was not required, a `danger_` action
    /// said so, or the message came encrypted. And judging twice gives the same.
    #[test]
    fn required_encryption_is_never_dropped_in_silence(
        rules in prop::collection::vec(then(), 0..6),
        keys in "[soSO!]{0,5}",
        null in any::<bool>(),
        already in prop::sample::select(vec![Already::Nothing, Already::Signed, Already::Encrypted]),
    ) {
        let rules: Vec<(&str, &str)> = rules.iter().map(|(w, t)| (w.as_str(), t.as_str())).collect();
        let policy = policy(&rules);
        let mut facts = Facts { already, ..facts(&keys) };
        if null {
            facts.sender = None;
        }
        let ruling = policy.judge(&facts);
        prop_assert_eq!(&ruling, &policy.judge(&facts));
        let RecipientRuling { disposition, why } = &ruling.recipients[0];
        let set = |action: &str, value: &str| why.iter().any(|w| w.action == action && w.value == value);
        if let Disposition::Deliver(treatment) = disposition {
            let excused = already == Already::Encrypted || set("no_key", "danger_send_plain");
            prop_assert!(!set("encrypt", "required") || treatment.encrypts() || excused, "{:?}", why);
            prop_assert!(!set("sign", "required") || treatment.signs() || already != Already::Nothing, "{:?}", why);
            prop_assert!(!treatment.signs() || !keys.contains('!'), "signed without permission");
        }
    }
}

#[test]
fn journal_mail_is_never_refused() {
    let facts = Facts { direction: Direction::Journal, ..facts("!") };
    for then in ["refuse='no'", "encrypt='required'", "sign='required'", "sign='never'"] {
        assert_eq!(judged(then, &facts), "plain", "{then}");
        let inbound = Facts { direction: Direction::Inbound, ..facts.clone() };
        assert_eq!(judged(then, &inbound) == "plain", then == "sign='never'", "{then}");
    }
}

/// Two classes and the default, and what of them a message to these recipients gets.
fn retained(rules: &str, recipients: &[&str]) -> (String, Option<Timestamp>, Option<Timestamp>) {
    let classes = "[[class]]\nname='tax'\nkeep='6y'\nminimum='5y'\n[[class]]\nname='short'\nkeep='90d'\n";
    let policy = load(&[Source { name: "p.toml".into(), text: format!("{classes}{rules}") }]).expect("a policy");
    let missing = || KeyFact::Missing { reason: "none".into() };
    let recipient = |text: &&str| RecipientFacts { address: address(text), smime: missing(), openpgp: missing() };
    let facts = Facts { recipients: recipients.iter().map(recipient).collect(), ..facts("") };
    let retention = policy.decide(&facts).retention(Timestamp::parse_date("2026-11-24").expect("a day"));
    (retention.class, retention.keep_until, retention.protected_until)
}

#[test]
fn a_message_gets_the_class_that_keeps_longest_among_its_recipients() {
    let day = |text| Timestamp::parse_date(text);
    let rules = "[[rule]]\nname='a'\nwhen={recipient='@tax.example'}\nthen={class='tax'}\n\
                 [[rule]]\nname='r'\nwhen={recipient='no@x.example'}\nthen={refuse='no'}\n\
                 [[rule]]\nname='b'\nwhen={recipient='@short.example'}\nthen={class='short'}\n\
                 [[rule]]\nname='c'\nwhen={recipient='@tax.example'}\nthen={class='short'}\n";
    let tax = ("tax".to_owned(), day("2032-11-24"), day("2031-11-24"));
    assert_eq!(retained(rules, &["a@tax.example"]), tax, "the first rule that gives one");
    assert_eq!(retained(rules, &["a@short.example"]), ("short".into(), day("2027-02-22"), None));
    assert_eq!(retained(rules, &["a@short.example", "a@tax.example"]), tax);
    assert_eq!(retained(rules, &["a@tax.example", "a@short.example"]), tax);
    let forever = ("default".to_owned(), None, day("2031-11-24"));
    assert_eq!(retained(rules, &["a@tax.example", "a@other.example"]), forever, "default keeps for ever");
    assert_eq!(retained(rules, &["no@x.example", "a@short.example"]).0, "short", "refused recipients do not count");
    let finite = format!("[[class]]\nname='default'\nkeep='1y'\n{rules}");
    assert_eq!(retained(&finite, &["a@other.example"]), ("default".into(), day("2027-11-24"), None));
    assert_eq!(retained(&finite, &["a@other.example", "a@tax.example"]), tax);
    assert_eq!(retained("", &["a@x.example"]), ("default".into(), None, None));
}

#[test]
fn the_explanation_says_who_gave_the_class() {
    let text = "[[class]]\nname='tax'\nkeep='6y'\n[[rule]]\nname='n'\nthen={class='tax'}\n";
    let policy = load(&[Source { name: "p.toml".into(), text: text.into() }]).expect("a policy");
    let why = policy.judge(&facts("")).recipients.remove(0).why;
    let expected = Why { action: "class".into(), value: "tax".into(), because: "rule \"n\" (p.toml:4)".into() };
    assert_eq!(why.last(), Some(&expected));
    assert_eq!(policy.unused_classes().len(), 0);
    let journal = Facts { direction: Direction::Journal, ..facts("") };
    assert_eq!(policy.decide(&journal).retention(Timestamp::from_s(0)).class, "tax", "copies for the record too");
}
