//! Policies: every text is a policy or a list of faults with places, and every policy judges every message.

use crate::driver::run;
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
    ];
    let tokens: &[&[u8]] =
        &[b"[[rule]]\n", b"*", b"?", b"'", b"\"", b"\n", b"= {", b"required", b"\\u0000", b"\xc3\xbc", b"\x1b", b"<>"];
    run("policy", seeds, tokens, policy);
}
