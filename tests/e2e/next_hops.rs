//! Next hops that misbehave: whatever they do, no mail is lost, none is reported as something it is not, and the next one gets
//! through. All cases of a test share one gateway, each has a route and a next hop of its own.

mod cases;

use crate::support::script::{OFFERS, Script};
use crate::support::{Client, Gateway, Options, Sink, eventually};
use cases::{Case, First, MESSAGE};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What the audit trail says: by id and recipient, event and detail.
type Trail = HashMap<(String, String), Vec<(String, String)>>;

fn trail(gateway: &Gateway) -> Trail {
    let text = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
    let mut trail = Trail::new();
    for line in text.lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let word = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        if word("event") != "accepted" {
            trail.entry((word("id"), word("recipient"))).or_default().push((word("event"), word("detail")));
        }
    }
    trail
}

fn send(gateway: &Gateway, case: &Case) -> String {
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let parameters = format!("MAIL FROM:<alice@example.org> BODY=8BITMIME{}", case.mail);
    assert!(client.command(&parameters).starts_with("250"), "{}", case.name);
    // Who is not named gets a transaction of his own.
    let mut named = String::new();
    for (local, _) in case.recipients {
        named.push_str(if named.is_empty() { "To: " } else { ",\r\n\t" });
        named.push_str(&format!("{local}@{}.example", case.name));
        let reply = client.command(&format!("RCPT TO:<{local}@{}.example>", case.name));
        assert!(reply.starts_with("250"), "{}: {reply}", case.name);
    }
    named.push_str("\r\n");
    client.command("DATA");
    client.send(&crate::support::smtp::stuffed(&[named.as_bytes(), case.message].concat()));
    let reply = client.reply();
    assert!(reply.starts_with("250 "), "{}: {reply}", case.name);
    reply.rsplit(' ').next().expect("an id").to_owned()
}

/// Whether the first thing recorded is what was expected; `None` while nothing is.
fn verdict(trail: &Trail, id: &str, recipient: &str, first: First) -> Option<Result<(), String>> {
    let events = trail.get(&(id.to_owned(), recipient.to_owned()))?;
    let (event, detail) = events.first()?;
    let (expected, words) = match first {
        First::Delivered => ("delivered", ""),
        First::Deferred(words) => ("deferred", words),
        First::Failed(words) => ("failed", words),
        First::InDoubt(words) => ("in-doubt", words),
    };
    let fits = event == expected && detail.contains(words);
    let is_sane = detail.len() <= 2200 && !detail.chars().any(char::is_control);
    Some(if fits && is_sane {
        Ok(())
    } else {
        Err(format!("{recipient}: {event}: {}", detail.chars().take(300).collect::<String>()))
    })
}

/// Each of these times is waited out by a case.
const SHORT: &str =
    "[timeouts]\ninitial_s = 2\nmail_s = 2\nrcpt_s = 2\ndata_start_s = 2\ndata_block_s = 3\ndata_done_s = 3\n";

/// A gateway with a route for each case.
fn gateway(sink: &Sink, cases: &[Case], hops: &[Script], timeouts: &str) -> Gateway {
    let more = format!("[queue]\nretry_s = [1]\n{timeouts}");
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), more, ..Options::default() });
    gateway.edit_config(|text| {
        let routes: String = cases.iter().zip(hops).map(|(case, hop)| route(case, hop)).collect();
        text.replacen("[[route]]", &format!("{routes}[[route]]"), 1)
    });
    gateway.serve();
    gateway
}

fn run(cases: Vec<Case>) {
    let sink = Sink::start();
    let hops: Vec<Script> = cases.iter().map(|case| Script::start(case.offers, case.play)).collect();
    let gateway = gateway(&sink, &cases, &hops, SHORT);
    let ids: Vec<String> = cases.iter().map(|case| send(&gateway, case)).collect();
    let begun = Instant::now();
    let expected: Vec<(&str, String, First)> = cases
        .iter()
        .zip(&ids)
        .flat_map(|(case, id)| {
            let of = |(local, first): &(&str, First)| (id.as_str(), format!("{local}@{}.example", case.name), *first);
            case.recipients.iter().map(of)
        })
        .collect();
    eventually("every recipient has a first result", Duration::from_secs(60), || {
        let trail = trail(&gateway);
        expected.iter().all(|(id, to, first)| verdict(&trail, id, to, *first).is_some()).then_some(())
    });
    let first = trail(&gateway);
    let faults: Vec<String> =
        expected.iter().filter_map(|(id, to, first_one)| verdict(&first, id, to, *first_one)?.err()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    let again: Vec<String> = cases
        .iter()
        .zip(&hops)
        .map(|(case, hop)| {
            hop.be_good();
            let plain = Case { mail: "", message: MESSAGE, offers: OFFERS, ..*case };
            send(&gateway, &plain)
        })
        .collect();
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("small") + 2;
    for (case, hop) in cases.iter().zip(&hops) {
        // A try a second, each of up to two sessions for opportunistic TLS.
        assert!(
            hop.sessions() <= 2 * seconds * case.recipients.len() + 4,
            "{}: {} sessions",
            case.name,
            hop.sessions()
        );
    }
    let must_arrive = |case: &Case| {
        let delivered = |(_, first): &&(&str, First)| !matches!(first, First::Failed(_)) && !case.needs_tls();
        case.recipients
            .iter()
            .filter(delivered)
            .map(|(local, _)| format!("{local}@{}.example", case.name))
            .collect::<Vec<_>>()
    };
    eventually("everything is delivered once the next hops behave", Duration::from_secs(60), || {
        let trail = trail(&gateway);
        let is_delivered = |id: &str, to: &str| {
            let events = trail.get(&(id.to_owned(), to.to_owned()));
            events.is_some_and(|events| events.iter().any(|(event, _)| event == "delivered"))
        };
        let missing: Vec<String> = cases
            .iter()
            .zip(ids.iter().zip(&again))
            .flat_map(|(case, (one, two))| {
                let all = case.recipients.iter().map(|(local, _)| format!("{local}@{}.example", case.name));
                let second = all.filter(|to| case.ends_well() && !is_delivered(two, to)).collect::<Vec<_>>();
                let first = must_arrive(case).into_iter().filter(|to| !is_delivered(one, to)).collect::<Vec<_>>();
                [first, second].concat()
            })
            .collect();
        missing.is_empty().then_some(())
    });
    let waiting = gateway.must(&["queue", "list", "--json"]);
    for (case, (hop, id)) in cases.iter().zip(hops.iter().zip(&ids)) {
        arrived(case, hop, id);
        assert_eq!(waiting.contains(id.as_str()), case.needs_tls(), "{}: {waiting}", case.name);
    }
}

impl Case {
    /// A next hop that offers too little still does so when it behaves.
    fn ends_well(&self) -> bool {
        !self.offers.starts_with("SIZE 10") && !self.needs_tls()
    }
    /// These have none in earnest, so their mail waits.
    fn needs_tls(&self) -> bool {
        self.route.contains("required")
    }
}

fn route(case: &Case, hop: &Script) -> String {
    format!(
        "[[route]]\ndomains = [\"{}.example\"]\nnext_hop = \"127.0.0.1:{}\"\n{}\n\n",
        case.name,
        hop.port(),
        case.route
    )
}

/// Each recipient of the first mail got it once, or with the same octets more than once if in doubt.
fn arrived(case: &Case, hop: &Script, id: &str) {
    let seen = hop.seen();
    for (local, first) in case.recipients {
        let to = format!("{local}@{}.example", case.name);
        let mine: Vec<_> = seen
            .iter()
            .filter(|one| one.recipients.contains(&to) && String::from_utf8_lossy(&one.octets).contains(id))
            .collect();
        let kept = mine.iter().filter(|one| one.kept_for.contains(&to)).count();
        match first {
            First::Failed(_) => {}
            First::Deferred(_) if case.needs_tls() => assert!(mine.is_empty(), "{}: in the clear", case.name),
            First::InDoubt(_) => {
                assert!(mine.len() >= 2 && mine.iter().all(|one| one.octets == mine[0].octets), "{}", case.name);
            }
            First::Delivered | First::Deferred(_) => assert_eq!(kept, 1, "{}: {to}", case.name),
        }
    }
}

#[test]
fn greetings_and_replies_of_any_shape() {
    run(cases::greetings());
}

#[test]
fn codes_that_mean_nothing_or_too_much() {
    run(cases::codes());
}

#[test]
fn connections_that_end_anywhere() {
    run(cases::endings());
}

#[test]
fn next_hops_that_offer_too_little_or_lie_about_it() {
    run(cases::downgrades());
}

/// Two mails, one after the other: the second comes when the first one's connection is idle, dead or spoilt.
#[test]
fn a_connection_that_was_spoilt_while_idle_costs_nobody_anything() {
    let cases = cases::idle();
    let sink = Sink::start();
    let hops: Vec<Script> = cases.iter().map(|case| Script::start(case.offers, case.play)).collect();
    let gateway = gateway(&sink, &cases, &hops, "");
    const GONE: &[(&str, First)] = &[("gone", First::Failed(""))];
    let first_of = |case: &Case| if case.name.starts_with("rset") { GONE } else { case.recipients };
    let firsts: Vec<(String, String)> = cases
        .iter()
        .map(|case| {
            let recipients = first_of(case);
            (send(&gateway, &Case { recipients, ..*case }), format!("{}@{}.example", recipients[0].0, case.name))
        })
        .collect();
    eventually("the first ones are done", Duration::from_secs(30), || {
        let trail = trail(&gateway);
        firsts.iter().all(|first| trail.contains_key(first)).then_some(())
    });
    std::thread::sleep(Duration::from_millis(800));
    let seconds: Vec<String> = cases.iter().map(|case| send(&gateway, case)).collect();
    let verdicts = eventually("the second ones have a result", Duration::from_secs(30), || {
        let trail = trail(&gateway);
        let of =
            |(case, id): (&Case, &String)| verdict(&trail, id, &format!("bob@{}.example", case.name), First::Delivered);
        cases.iter().zip(&seconds).map(of).collect::<Option<Vec<_>>>()
    });
    for ((case, hop), verdict) in cases.iter().zip(&hops).zip(verdicts) {
        assert_eq!(verdict, Ok(()), "{}", case.name);
        assert_eq!(hop.sessions(), if case.name == "reused" { 1 } else { 2 }, "{}", case.name);
    }
}
