//! The server session under test, with a driver that decides by names. Words: lmtp starttls auth scram trusted normalize journal recipients=N bytes=N.

use super::{Side, escape, marked};
use crate::mail::{Address, Envelope, Recipient, Tls};
use crate::smtp::Dialect;
use crate::smtp::server::reply;
use crate::smtp::server::{Auth, BareLf, Event, Login, LoginRefusal, Reply, ScramMessage, Session};
use crate::smtp::server::{Settings, StartTls, Unfit};
use std::sync::Arc;

pub struct Server {
    session: Session,
    out: Vec<u8>,
    log: Vec<String>,
    draft: Vec<u8>,
    wants_tls: bool,
}

impl Server {
    pub fn new(words: &[String]) -> Server {
        let has = |word: &str| words.iter().any(|w| w == word);
        let number = |key: &str, default: u64| {
            words.iter().find_map(|w| w.strip_prefix(key)).map_or(default, |n| n.parse().expect("a number"))
        };
        let settings = Settings {
            hostname: "gw.example".into(),
            dialect: if has("lmtp") { Dialect::Lmtp } else { Dialect::Smtp },
            message_bytes_max: number("bytes=", 1000),
            recipients_max: usize::try_from(number("recipients=", 100)).expect("small"),
            starttls: if has("starttls") { StartTls::Offered } else { StartTls::Absent },
            auth: if has("auth") { Auth::InsideTls } else { Auth::Absent },
            bare_lf: if has("normalize") { BareLf::Normalize } else { BareLf::Refuse },
            unfit: if has("journal") { Unfit::Kept } else { Unfit::Refused },
        };
        let mut session = Session::new(Arc::new(settings));
        if has("trusted") {
            session.trust_peer();
        }
        if has("scram") {
            session.offer_scram();
        }
        let mut out = Vec::new();
        session.greeting(&mut out);
        Server { session, out, log: vec![], draft: vec![], wants_tls: false }
    }

    fn note(&mut self, event: &str) {
        self.log.extend(marked("S", &mut self.out));
        self.log.push(format!("E: {event}").trim_end().to_owned());
    }

    fn answer(&mut self, refusal: Option<&Reply>) {
        match refusal {
            None => self.session.accept(&mut self.out),
            Some(reply) => self.session.refuse(reply, &mut self.out),
        }
    }

    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Mail(mail) => {
                self.answer(is_named(mail.envelope.sender.as_ref(), "refused").then_some(&reply::RELAY_DENIED))
            }
            Event::Rcpt(recipient) => {
                self.answer(is_named(Some(&recipient.address), "refused").then_some(&reply::RELAY_DENIED))
            }
            Event::Data => {
                let sender = self.session.envelope().and_then(|e| e.sender.clone());
                self.draft.clear();
                self.answer(is_named(sender.as_ref(), "full").then_some(&reply::STORAGE_FULL));
            }
            Event::Body(octets) => self.body(octets),
            Event::Discard(reply) => self.note(&format!("discard, {}", reply.code())),
            Event::End { envelope, protocol } => self.end(&envelope, protocol),
            Event::Authenticate(login) => self.login(&login),
            Event::Scram(message) => self.scram(&message),
            Event::StartTls => {
                self.note("starttls");
                self.wants_tls = true;
            }
            Event::Close => self.note("close"),
        }
    }

    fn body(&mut self, octets: &[u8]) {
        let sender = self.session.envelope().and_then(|e| e.sender.clone());
        if is_named(sender.as_ref(), "breaks") {
            self.session.refuse_content(reply::STORAGE_UNAVAILABLE.clone());
        }
        self.draft.extend_from_slice(octets);
    }

    /// The password is the name; what is called `later` cannot be checked.
    fn login(&mut self, login: &Login) {
        self.note(&format!("login {login:?}"));
        match login.user.as_str() {
            "later" => self.session.refuse_login(LoginRefusal::Unavailable, &mut self.out),
            user if user.as_bytes() == login.password.as_slice() => self.session.authenticated(user, &mut self.out),
            _ => self.session.refuse_login(LoginRefusal::Credentials, &mut self.out),
        }
    }

    /// Challenges whoever says `first`, then `more`; takes `proof`, and knows nobody else.
    fn scram(&mut self, message: &ScramMessage) {
        let (place, octets) = match message {
            ScramMessage::First(octets) => ("first", octets),
            ScramMessage::Next(octets) => ("next", octets),
        };
        self.note(&format!("scram {place} {}", escape(octets)));
        match message {
            ScramMessage::First(octets) if octets == b"first" => self.session.challenge(b"more", &mut self.out),
            ScramMessage::Next(octets) if octets == b"proof" => self.session.challenge(b"known", &mut self.out),
            ScramMessage::Next(octets) if octets.is_empty() => self.session.authenticated("alice", &mut self.out),
            ScramMessage::First(_) => self.session.refuse_login(LoginRefusal::Malformed, &mut self.out),
            ScramMessage::Next(_) => self.session.refuse_login(LoginRefusal::Credentials, &mut self.out),
        }
    }

    fn end(&mut self, envelope: &Envelope, protocol: &str) {
        let content = escape(&self.draft);
        let ip = self.session.client_ip().map(|ip| format!(" [{ip}]")).unwrap_or_default();
        let origin = self.session.forwarded().map(|origin| format!(", for {origin}")).unwrap_or_default();
        self.note(&format!("{protocol} from {}{ip}{origin}: {content}", self.session.client_name()));
        self.note(&describe(envelope));
        let outcome = |r: &Recipient| {
            if is_named(Some(&r.address), "late") { reply::REFUSED_BY_POLICY.clone() } else { reply::ACCEPTED.clone() }
        };
        let each: Vec<Reply> = envelope.recipients.iter().map(outcome).collect();
        self.session.finish_each(&each, &mut self.out);
    }
}

fn is_named(address: Option<&Address>, name: &str) -> bool {
    address.is_some_and(|a| a.local_part() == name)
}

fn describe(envelope: &Envelope) -> String {
    let mut text = format!("<{}> {:?}", envelope.sender_text(), envelope.body);
    for (key, value) in [("RET", &envelope.ret), ("ENVID", &envelope.envid)] {
        text.extend(value.iter().map(|value| format!(" {key}={value}")));
    }
    if envelope.require_tls.is_some() {
        text.push_str(" REQUIRETLS");
    }
    for recipient in &envelope.recipients {
        text.push_str(&format!(" <{}>", recipient.address));
        for (key, value) in [("NOTIFY", &recipient.notify), ("ORCPT", &recipient.orcpt)] {
            text.extend(value.iter().map(|value| format!(" {key}={value}")));
        }
    }
    text
}

impl Side for Server {
    fn hear(&mut self, octets: &[u8]) {
        let mut rest = octets;
        loop {
            let step = self.session.step(rest, &mut self.out);
            rest = &rest[step.consumed..];
            match step.event {
                Some(event) => self.on(event),
                None => break,
            }
        }
        assert!(rest.is_empty(), "all is consumed when nothing is asked");
    }

    fn settle(&mut self, _lost: Option<&str>) {
        if std::mem::take(&mut self.wants_tls) {
            self.session.tls_started(Tls { version: "TLSv1.3".into(), cipher: "x".into(), certificate: None });
        }
    }

    fn seen(&mut self) -> Vec<String> {
        let said = marked("S", &mut self.out);
        self.log.extend(said);
        std::mem::take(&mut self.log)
    }
}
