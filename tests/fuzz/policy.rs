//! Policies: every text is a policy or a list of faults with places, and every policy judges every message.

use crate::driver::run;
use sealpost::clock::Timestamp;
use sealpost::mail::{Address, Direction};
use sealpost::policy::{Already, Colour, Facts, KeyFact, Permission, RecipientFacts, SigningFacts, Source, load};

fn facts(subject: &str) -> Facts {
    let missing = || KeyFact::Missing { reason: "none".into() };
    Facts {
        direction: Direction::Outbound,
        sender: Some(Address::parse("alice@example.org").expect("an address")),
        subjects: vec![subject.to_owned()],
        recipients: vec![RecipientFacts {
            address: Address::parse("bob@partner.example").expect("an address"),
            smime: KeyFact::Usable { key: "k".into() },
            openpgp: missing(),
        }],
        signing: SigningFacts {
            permitted: Permission::No { reason: "no".into() },
            smime: missing(),
            openpgp: missing(),
        },
        already: Already::Nothing,
    }
}

fn policy(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    match load(&[Source { name: "fuzz.toml".into(), text: text.clone() }]) {
        Ok(policy) => {
            let facts = facts(&text);
            let ruling = policy.judge(&facts);
            assert_eq!(ruling.recipients.len(), 1);
            assert_eq!(policy.judge(&facts), ruling, "judging is deterministic");
            for from in [i64::MIN, 0, 1_764_000_000_000, i64::MAX].map(Timestamp::from_ms) {
                let retention = policy.decide(&facts).retention(from);
                assert!(
                    policy.class(&retention.class).is_some() && retention.keep_until.is_none_or(|keep| keep >= from)
                );
                assert!(retention.keep_until.is_none() || retention.protected_until <= retention.keep_until);
            }
        }
        Err(faults) => {
            let fault = faults.first().expect("a fault");
            assert!(fault.span.end <= text.len() && fault.line >= 1 && fault.column >= 1);
            assert!(!fault.report(Colour::Plain).is_empty());
        }
    }
}

#[test]
fn policies() {
    let seeds: &[&[u8]] = &[
        b"[[rule]]\nname = \"a\"\nwhen = { direction = \"outbound\", sender = \"*@example.org\", subject = \"*[secure]?*\" }\nthen = { encrypt = \"required\", sign = \"if-possible\", format = [\"smime\", \"openpgp\"], no_key = \"refuse\" }\n",
        b"[[rule]]\nname = 'b'\nwhen.recipient = ['<>', '@partner.example', '?*']\nthen.refuse = 'no'\n[[rule]]\nname = 'c'\nthen = { no_key = 'danger_send_plain' }\n",
        b"[[class]]\nname = 'tax'\nkeep = '6y'\nminimum = '2190d'\n[[rule]]\nname = 'd'\nthen.class = 'tax'\n[[class]]\nname = 'default'\nkeep = 'forever'\n",
    ];
    let tokens: &[&[u8]] = &[
        b"[[rule]]\n",
        b"*",
        b"?",
        b"'",
        b"\"",
        b"\n",
        b"= {",
        b"required",
        b"\\u0000",
        b"\xc3\xbc",
        b"\x1b",
        b"<>",
        b"18m",
        b"1000y",
        b"forever",
        b"[[class]]\n",
    ];
    run("policy", seeds, tokens, policy);
}
