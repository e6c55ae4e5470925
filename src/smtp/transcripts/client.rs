//! The client under test, with a driver that delivers a message and says goodbye. Words: lmtp tls dsn utf8 requiretls 8bit
//! (declared), login (as `gw`, password `pw`), verified (the certificate), from=ADDRESS to=ADDRESS,... content=OCTETS (escaped) times=N.

use super::{Side, marked, unescape};
use crate::mail::{Address, BodyType, Envelope, Recipient, RequireTls};
use crate::smtp::Dialect;
use crate::smtp::client;
use crate::smtp::client::{Event, Next, Report, Survey, Trust};

pub struct Client {
    client: client::Client,
    envelope: Envelope,
    content: Vec<u8>,
    times: usize,
    wants_tls: bool,
    wants_login: bool,
    trust: Trust,
    handshakes: bool,
    out: Vec<u8>,
    log: Vec<String>,
}

impl Client {
    pub fn new(words: &[String]) -> Client {
        let has = |word: &str| words.iter().any(|w| w == word);
        let value = |key: &str| words.iter().find_map(|w| w.strip_prefix(key));
        Client {
            client: client::Client::new("gw.example", if has("lmtp") { Dialect::Lmtp } else { Dialect::Smtp }),
            envelope: envelope(value("from=").unwrap_or("a@b.example"), value("to=").unwrap_or("c@d.example"), &has),
            content: unescape(value("content=").unwrap_or("S:\\r\\n\\r\\n.\\r\\n")),
            times: value("times=").map_or(1, |n| n.parse().expect("a number")),
            wants_tls: has("tls"),
            wants_login: has("login"),
            trust: if has("verified") { Trust::Verified } else { Trust::Unverified },
            handshakes: false,
            out: vec![],
            log: vec![],
        }
    }

    fn note(&mut self, event: &str) {
        self.log.extend(marked("C", &mut self.out));
        self.log.push(format!("E: {event}"));
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Ready => self.ready(),
            Event::NoStartTls(answer) => {
                self.note(&format!("no tls: {answer}"));
                self.ready();
            }
            Event::StartTls => {
                self.note("starttls");
                self.handshakes = true;
            }
            Event::Content => self.write(),
            Event::Done(report) => self.done(report),
            Event::Broken(failure) => self.note(&format!("broken: {failure:?}")),
            Event::Closed => self.note("closed"),
        }
    }

    fn ready(&mut self) {
        if std::mem::take(&mut self.wants_tls) && self.client.offers_tls() {
            return self.client.start_tls(&mut self.out);
        }
        if std::mem::take(&mut self.wants_login) {
            let credentials = client::Credentials::new("gw", "pw".to_owned().into()).expect("no NUL");
            if let Some(event) = self.client.login(credentials, &mut self.out) {
                self.on(event);
            }
            return;
        }
        if self.times == 0 {
            return self.client.quit(&mut self.out);
        }
        self.times -= 1;
        let survey = Survey::of(&self.content);
        if let Some(event) = self.client.deliver(self.envelope.clone(), survey, &mut self.out) {
            self.on(event);
        }
    }

    fn write(&mut self) {
        self.note("content");
        for chunk in self.content.chunks(3) {
            assert!(self.client.content(chunk, &mut self.out).is_none());
        }
        assert!(self.client.end_content(&mut self.out).is_none());
    }

    fn done(&mut self, report: Report) {
        for outcome in &report.outcomes {
            self.note(&format!("{:?} {} {:?}: {}", outcome.verdict, outcome.status, outcome.origin, outcome.text));
        }
        match report.next {
            Next::Reuse => self.ready(),
            Next::Close if report.chunking == client::Chunking::Refused => self.note("close, BDAT refused"),
            Next::Close => self.note("close"),
        }
    }
}

fn envelope(from: &str, to: &str, has: &dyn Fn(&str) -> bool) -> Envelope {
    let given = |text: &str| has("dsn").then(|| text.to_owned());
    let recipient = |text: &str| Recipient {
        notify: given("SUCCESS,DELAY"),
        orcpt: given("rfc822;x+2By"),
        address: Address::parse(text).expect("an address"),
    };
    Envelope {
        sender: Address::parse(from).ok(),
        recipients: to.split(',').map(recipient).collect(),
        body: if has("8bit") { BodyType::EightBitMime } else { BodyType::SevenBit },
        ret: given("HDRS"),
        envid: given("Q+20Q"),
        smtputf8: has("utf8"),
        require_tls: has("requiretls").then_some(RequireTls::EveryHop),
    }
}

impl Side for Client {
    fn hear(&mut self, octets: &[u8]) {
        if let Some(event) = self.client.receive(octets, &mut self.out) {
            self.on(event);
        }
    }

    fn settle(&mut self, lost: Option<&str>) {
        if std::mem::take(&mut self.handshakes) {
            self.client.tls_started(self.trust, &mut self.out);
        }
        if let Some(why) = lost {
            let event = self.client.lose(why);
            self.on(event);
        }
    }

    fn seen(&mut self) -> Vec<String> {
        let said = marked("C", &mut self.out);
        self.log.extend(said);
        std::mem::take(&mut self.log)
    }
}
