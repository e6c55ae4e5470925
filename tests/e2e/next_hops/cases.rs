//! How next hops misbehave, and what has to become of the mail: data, one line or two for each.

use crate::support::script::{Act, Moment, OFFERS, say, say_and_close};
use std::time::Duration;

/// What must be recorded first for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    Delivered,
    /// With these words; delivered once the next hop behaves.
    Deferred(&'static str),
    /// With these words; never delivered.
    Failed(&'static str),
    /// Perhaps delivered: tried again with the same octets.
    InDoubt(&'static str),
}

pub struct Case {
    pub name: &'static str,
    /// Lines of its route.
    pub route: &'static str,
    pub offers: &'static str,
    pub mail: &'static str,
    pub message: &'static [u8],
    /// Local parts and what becomes of them.
    pub recipients: &'static [(&'static str, First)],
    pub play: fn(&Moment<'_>) -> Option<Vec<Act>>,
}

pub const MESSAGE: &[u8] = b"From: alice@example.org\r\nSubject: x\r\n\r\nbody\r\n";
const EIGHT_BIT: &[u8] = b"From: alice@example.org\r\nSubject: x\r\n\r\nbody \xc3\xbc\r\n";
const UTF8: &[u8] = b"From: alice@example.org\r\nSubject: \xc3\xbc\r\n\r\nbody\r\n";

/// One recipient over a route in the clear.
pub fn case(
    name: &'static str,
    recipients: &'static [(&'static str, First)],
    play: fn(&Moment<'_>) -> Option<Vec<Act>>,
) -> Case {
    Case { name, route: "tls = \"none\"", offers: OFFERS, mail: "", message: MESSAGE, recipients, play }
}

/// A reply at every occurrence of a verb.
macro_rules! at {
    ($verb:literal, $acts:expr) => {
        |moment| (moment.verb == $verb).then(|| $acts)
    };
    ($verb:literal in $session:literal, $acts:expr) => {
        |moment| (moment.verb == $verb && moment.session == $session).then(|| $acts)
    };
    ($verb:literal of $nth:pat, $acts:expr) => {
        |moment| (moment.verb == $verb && matches!(moment.nth, $nth)).then(|| $acts)
    };
}

macro_rules! bob {
    ($first:expr) => {
        &[("bob", $first)]
    };
}

fn pause(ms: u64) -> Act {
    Act::Pause(Duration::from_millis(ms))
}

pub fn greetings() -> Vec<Case> {
    use First::{Deferred, Delivered};
    vec![
        case("no-greeting", bob!(Deferred("timed out")), at!("connect", vec![Act::Hush])),
        case("greeting-554", bob!(Deferred("554 5.7.1 go away")), at!("connect", say_and_close("554 5.7.1 go away"))),
        case("greeting-421", bob!(Deferred("421 4.3.2 later")), at!("connect", say_and_close("421 4.3.2 later"))),
        case("greeting-lines", bob!(Delivered), at!("connect", say("220-one\r\n220-two\r\n220 three"))),
        case(
            "greeting-slow",
            bob!(Delivered),
            at!("connect", [vec![pause(700)], say("220-a"), vec![pause(700)], say("220 b")].concat()),
        ),
        case("greeting-garbage", bob!(Deferred("no SMTP reply")), at!("connect", say("SSH-2.0-OpenSSH_9.2"))),
        case("greeting-250", bob!(Deferred("misbehaved")), at!("connect", say("250 hello"))),
        case("close-at-once", bob!(Deferred("connection")), at!("connect", vec![Act::Close])),
        case("close-behind-greeting", bob!(Deferred("connection")), at!("connect", say_and_close("220 x"))),
        case("close-at-ehlo", bob!(Deferred("connection")), at!("EHLO", vec![Act::Close])),
        case("ehlo-502", bob!(Delivered), at!("EHLO", say("502 5.5.1 what"))),
        case("ehlo-421", bob!(Deferred("421")), at!("EHLO", say_and_close("421 4.3.2 busy"))),
        case("helo-550-too", bob!(Deferred("550")), |m| matches!(m.verb, "EHLO" | "HELO").then(|| say("550 5.7.1 no"))),
        case("replies-by-octet", bob!(Delivered), |m| match m.verb {
            "EHLO" => Some(vec![Act::Drip(b"250-x\r\n250-PIPELINING\r\n250 8BITMIME\r\n".to_vec())]),
            "DATA" => Some(vec![Act::Drip(b"354 go\r\n".to_vec())]),
            "dot" | "MAIL" | "RCPT" => Some(vec![Act::Drip(b"250-a\r\n250 b\r\n".to_vec())]),
            _ => None,
        }),
        case("replies-by-octet-for-ever", bob!(Deferred("timed out")), |m| {
            let drip = |_| vec![Act::Say(b"x".to_vec()), pause(300)];
            (m.verb == "MAIL").then(|| [vec![Act::Say(b"250 ".to_vec())], (0..40).flat_map(drip).collect()].concat())
        }),
        case("bare-lf", bob!(Delivered), |m| match m.verb {
            "connect" => Some(vec![Act::Say(b"220 x\n".to_vec())]),
            "EHLO" => Some(vec![Act::Say(b"250-x\n250 PIPELINING\n".to_vec())]),
            "DATA" => Some(vec![Act::Say(b"354 go\n".to_vec())]),
            "dot" | "MAIL" | "RCPT" => Some(vec![Act::Say(b"250 ok\n".to_vec())]),
            _ => None,
        }),
        case("long-lines", bob!(Delivered), |m| {
            matches!(m.verb, "MAIL" | "RCPT" | "dot").then(|| say(&format!("250 {}", "x".repeat(200_000))))
        }),
        case("many-lines", bob!(Delivered), |m| {
            matches!(m.verb, "RCPT" | "dot").then(|| say(&("250-x\r\n".repeat(5000) + "250 x")))
        }),
        case("endless-line", bob!(Deferred("octets")), at!("MAIL", vec![Act::Say(vec![b'2'; 20 << 20])])),
    ]
}

pub fn codes() -> Vec<Case> {
    use First::{Deferred, Delivered, Failed, InDoubt};
    vec![
        case("mixed-codes-yes", bob!(Deferred("two codes")), at!("RCPT", say("550-no\r\n250 yes"))),
        case("mixed-codes-no", bob!(Failed("550 yes / no")), at!("RCPT", say("250-yes\r\n550 no"))),
        case("code-299", bob!(Delivered), at!("MAIL", say("299 odd"))),
        case("code-600", bob!(Deferred("no SMTP reply")), at!("RCPT", say("600 odd"))),
        case("code-999-at-dot", bob!(InDoubt("no SMTP reply")), at!("dot", say("999 odd"))),
        case("code-199", bob!(Deferred("no SMTP reply")), at!("MAIL", say("199 odd"))),
        case("mail-354", bob!(Deferred("3xx")), at!("MAIL", say("354 go on"))),
        case("dot-354", bob!(InDoubt("3xx")), at!("dot", say("354 go on"))),
        case("data-250", bob!(Deferred("DATA answered")), at!("DATA", say("250 ok"))),
        case("data-451", bob!(Deferred("451 4.3.0 no")), at!("DATA", say("451 4.3.0 no"))),
        case("data-554", bob!(Failed("554 5.6.0 no")), at!("DATA", say("554 5.6.0 no"))),
        case("yes-with-no-inside", bob!(Delivered), at!("dot", say("250 5.1.1 kept"))),
        case("no-with-yes-inside", bob!(Failed("550 2.0.0 no")), at!("RCPT", say("550 2.0.0 no"))),
        case(
            "strange-text",
            bob!(Failed("550 5.1.1 a b")),
            at!("RCPT", { vec![Act::Say(b"550 5.1.1 a\0b\x1b[31m\xff\xfe\xe2\x80\xa8 \r\n".to_vec())] }),
        ),
        case("mail-550", bob!(Failed("550 5.7.1 not you")), at!("MAIL", say("550 5.7.1 not you"))),
        case("mail-452", bob!(Deferred("452 4.3.1 full")), at!("MAIL", say("452 4.3.1 full"))),
        case(
            "recipients-mixed",
            &[("bob", Delivered), ("gone", Failed("550 5.1.1")), ("later", Deferred("450 4.2.1")), ("dan", Delivered)],
            |m| match m.line {
                line if line.contains("gone") => Some(say("550 5.1.1 gone")),
                line if line.contains("later") => Some(say("450 4.2.1 later")),
                _ => None,
            },
        ),
        case("nobody-and-354", &[("a", Failed("550")), ("b", Failed("550"))], |m| match m.verb {
            "RCPT" => Some(say("550 5.1.1 no")),
            "DATA" => Some(say("354 go")),
            "dot" => Some(say("554 5.5.1 nobody")),
            _ => None,
        }),
        case("nobody-and-250", &[("a", Failed("550")), ("b", Deferred("450"))], |m| match m.verb {
            "RCPT" => Some(say(if m.line.contains("a@") { "550 5.1.1 no" } else { "450 4.2.1 no" })),
            "DATA" => Some(say("250 ok")),
            _ => None,
        }),
        case(
            "too-many-recipients",
            &[("a", Delivered), ("b", Delivered), ("c", Delivered), ("d", Delivered), ("e", Delivered)],
            |m| (m.verb == "RCPT" && matches!(m.nth, 3..=5 | 8)).then(|| say("452 4.5.3 too many")),
        ),
        case("too-many-and-close", &[("a", Delivered), ("b", Delivered), ("c", Delivered)], |m| match m.verb {
            "RCPT" if m.nth > 1 => Some(say("452 too many")),
            "dot" => Some(say_and_close("250 2.0.0 kept, and bye")),
            _ => None,
        }),
        case("too-many-552", &[("a", Delivered), ("b", Delivered)], at!("RCPT" of 2, say("552 5.5.3 too many"))),
        case("one-552", bob!(Deferred("552 too many")), at!("RCPT", say("552 too many"))),
    ]
}

pub fn endings() -> Vec<Case> {
    use First::{Deferred, Delivered, Failed, InDoubt};
    vec![
        case("close-at-mail", bob!(Deferred("connection")), at!("MAIL", vec![Act::Close])),
        case("close-at-rcpt", bob!(Deferred("connection")), at!("RCPT", vec![Act::Close])),
        case("close-at-data", bob!(Deferred("connection")), at!("DATA", vec![Act::Close])),
        case("close-behind-354", bob!(Deferred("connection")), at!("DATA", say_and_close("354 go"))),
        case("421-at-mail", bob!(Deferred("421 4.3.2")), at!("MAIL", say_and_close("421 4.3.2 down"))),
        case("421-at-rcpt", bob!(Deferred("421 4.3.2")), at!("RCPT", say_and_close("421 4.3.2 down"))),
        case("421-at-data", bob!(Deferred("421 4.3.2")), at!("DATA", say_and_close("421 4.3.2 down"))),
        case("421-at-dot", bob!(Deferred("421 4.3.2")), at!("dot", say_and_close("421 4.3.2 down"))),
        case("451-at-dot", bob!(Deferred("451 4.3.0")), at!("dot", say("451 4.3.0 no"))),
        case("554-at-dot", bob!(Failed("554 5.7.1 spam")), at!("dot", say("554 5.7.1 spam"))),
        case("slow-dot", bob!(Delivered), at!("dot", [vec![pause(1500)], say("250 2.0.0 kept")].concat())),
        case("silent-mail", bob!(Deferred("MAIL")), at!("MAIL", vec![Act::Hush])),
        case("silent-rcpt", bob!(Deferred("RCPT")), at!("RCPT", vec![Act::Hush])),
        case("silent-data", bob!(Deferred("DATA")), at!("DATA", vec![Act::Hush])),
        case("silent-dot", bob!(InDoubt("timed out")), at!("dot" in 1, vec![Act::Hush])),
        case("close-at-dot", bob!(InDoubt("connection")), at!("dot" in 1, vec![Act::Close])),
        case("early-yes", bob!(Deferred("misbehaved")), at!("DATA", say("354 go\r\n250 2.0.0 kept"))),
        Case {
            // Long enough to be read while it is written.
            message: LONG,
            ..case("early-yes-in-data", bob!(Deferred("misbehaved")), at!("data" of 3, say("250 2.0.0 kept")))
        },
        Case {
            message: LONG,
            ..case("refused-in-data", bob!(Failed("552 5.3.4")), at!("data" of 3, say_and_close("552 5.3.4 too big")))
        },
        Case {
            message: LONG,
            ..case("silent-in-data", bob!(Deferred("did not read")), at!("data" of 1, vec![pause(8000), Act::Close]))
        },
        Case {
            message: LONG,
            ..case("close-in-data", bob!(Deferred("connection")), at!("data" of 3, vec![Act::Close]))
        },
        case("answers-in-one-packet", bob!(Delivered), |m| match m.verb {
            "MAIL" => Some(vec![]),
            "RCPT" => Some(vec![]),
            "DATA" => Some(say("250 m\r\n250 r\r\n354 go")),
            _ => None,
        }),
        case("answers-out-of-order", bob!(Deferred("3xx")), |m| match m.verb {
            "MAIL" => Some(say("354 go\r\n250 m\r\n250 r")),
            "RCPT" | "DATA" => Some(vec![]),
            _ => None,
        }),
        case("surplus-answer", bob!(Delivered), at!("dot", say("250 2.0.0 kept\r\n250 again"))),
    ]
}

pub fn downgrades() -> Vec<Case> {
    use First::{Deferred, Delivered, Failed, InDoubt};
    let opportunistic = |case: Case| Case { route: "tls = \"opportunistic\"", offers: "PIPELINING\nSTARTTLS", ..case };
    let required = |case: Case| Case { route: "tls = \"required\"", offers: "PIPELINING\nSTARTTLS", ..case };
    vec![
        opportunistic(case("tls-454", bob!(Delivered), at!("STARTTLS", say("454 4.7.0 no")))),
        opportunistic(case("tls-garbage", bob!(Delivered), at!("STARTTLS", say("what?")))),
        opportunistic(case("tls-close", bob!(Delivered), at!("STARTTLS", vec![Act::Close]))),
        opportunistic(case("tls-no-handshake", bob!(Delivered), at!("STARTTLS", say_and_close("220 go")))),
        opportunistic(case("tls-injected", bob!(Delivered), at!("STARTTLS", say("220 go\r\n250 injected")))),
        required(case("must-tls-454", bob!(Deferred("454 4.7.0")), at!("STARTTLS", say("454 4.7.0 no")))),
        required(case("must-tls-garbage", bob!(Deferred("no SMTP reply")), at!("STARTTLS", say("what?")))),
        required(case(
            "must-tls-no-handshake",
            bob!(Deferred("TLS handshake")),
            at!("STARTTLS", say_and_close("220 go")),
        )),
        required(case("must-tls-injected", bob!(Deferred("octets behind")), {
            at!("STARTTLS", say("220 go\r\n250 injected"))
        })),
        Case { offers: "SIZE 10", ..case("size-10", bob!(Failed("at most 10")), |_| None) },
        Case { offers: "SMTPUTF8", message: EIGHT_BIT, ..case("no-8bitmime", bob!(Failed("8BITMIME")), |_| None) },
        Case {
            offers: "8BITMIME",
            mail: " SMTPUTF8",
            message: UTF8,
            ..case("no-smtputf8", bob!(Failed("SMTPUTF8")), |_| None)
        },
        Case {
            route: "tls = \"none\"\nprotocol = \"lmtp\"",
            ..case("lmtp", &[("a", Delivered), ("b", Failed("550 5.2.0")), ("c", Deferred("452 4.2.2"))], {
                at!("dot" of 1, say("250 2.0.0 kept\r\n550 5.2.0 no\r\n452 4.2.2 full"))
            })
        },
        Case {
            route: "tls = \"none\"\nprotocol = \"lmtp\"",
            ..case("lmtp-lost", &[("a", Delivered), ("b", InDoubt("connection"))], {
                at!("dot" in 1, say_and_close("250 2.0.0 kept"))
            })
        },
        Case { offers: "CHUNKING\n8BITMIME", ..case("bdat", bob!(Delivered), |_| None) },
        Case { offers: "CHUNKING", ..case("bdat-502", bob!(Delivered), at!("BDAT", say_and_close("502 5.5.1 what"))) },
        Case { offers: "CHUNKING", ..case("bdat-550", bob!(Failed("550 5.7.1")), at!("dot", say("550 5.7.1 spam"))) },
        Case {
            offers: "CHUNKING",
            ..case("bdat-lost", bob!(InDoubt("connection")), at!("dot" in 1, vec![Act::Close]))
        },
    ]
}

/// More than the buffers between two sockets hold.
const LONG: &[u8] = &{
    let mut octets = [b'x'; 4 << 20];
    let header = b"From: alice@example.org\r\nSubject: x\r\n\r\n";
    let mut at = 0;
    while at < header.len() {
        octets[at] = header[at];
        at += 1;
    }
    at += 64;
    while at + 1 < octets.len() {
        octets[at] = b'\r';
        octets[at + 1] = b'\n';
        at += 64;
    }
    octets[octets.len() - 2] = b'\r';
    octets[octets.len() - 1] = b'\n';
    octets
};

/// Plays of a next hop that spoils a connection while it is idle. Those called `rset-` refuse the only recipient first.
pub fn idle() -> Vec<Case> {
    let of = |name, play| case(name, bob!(First::Delivered), play);
    vec![
        of("reused", |_| None),
        of("closed-while-idle", at!("dot" in 1, [say("250 2.0.0 kept"), vec![pause(200), Act::Close]].concat())),
        of(
            "421-while-idle",
            at!("dot" in 1, [say("250 2.0.0 kept"), vec![pause(200)], say_and_close("421 4.4.2 idle")].concat()),
        ),
        of(
            "chatter-while-idle",
            at!("dot" in 1, [say("250 2.0.0 kept"), vec![pause(200)], say("250 2.0.0 hello?")].concat()),
        ),
        of("closed-at-second-mail", at!("MAIL" of 2, vec![Act::Close])),
        of("421-at-second-mail", at!("MAIL" of 2, say_and_close("421 4.7.0 one each"))),
        of("rset-refused", |m| match m.verb {
            "RCPT" if m.line.contains("gone") => Some(say("550 5.1.1 gone")),
            "RSET" => Some(say("502 5.5.1 what")),
            _ => None,
        }),
        of("rset-closes", |m| match m.verb {
            "RCPT" if m.line.contains("gone") => Some(say("550 5.1.1 gone")),
            "RSET" => Some(vec![Act::Close]),
            _ => None,
        }),
    ]
}
