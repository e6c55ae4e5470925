//! The catalog over a real archive: what is accepted and sealed is read through a view, octet for octet, and a catalog that was
//! thrown away comes back the same.

use sealpost::archive::{Archive, Certificate, CreateOptions, Unlocked, generate, passphrase};
use sealpost::catalog::{Catalog, Mailbox, OpenedArchive, Query, Row, View, Viewer};
use sealpost::clock::{Clock, SystemClock, Timestamp};
use sealpost::crypto::{Secret, random};
use sealpost::durable::{Disk, RealDisk};
use sealpost::journal::{self, AcceptDraft, Journal, Outcome, RecipientResult};
use sealpost::mail::{Address, BodyType, Client, Direction, Envelope, MailId, Recipient};
use sealpost::mail::{RecipientKind, Reported, ReportedEnvelope, ReportedRecipient, Retention, Slice};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};

fn address(text: &str) -> Address {
    Address::parse(text).expect(text)
}

struct Gateway {
    dir: tempfile::TempDir,
    archive: Archive,
    journal: Journal,
    unlocked: Unlocked,
}

impl Gateway {
    fn new() -> Gateway {
        let dir = tempfile::tempdir().expect("a directory");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let (host_key, now) = (Secret::new([7; 32]), SystemClock.now());
        let passphrase = passphrase().expect("a passphrase");
        let officer = generate("Officer <officer@example.org>", &passphrase, now).expect("an officer");
        let officers = [Certificate::parse(&officer.certificate, now).expect("a certificate")];
        let options = CreateOptions { officers: &officers, threshold: 1, uid_base: 0, now };
        let archive =
            Archive::create(disk.clone(), &dir.path().join("archive"), &host_key, &options).expect("an archive");
        let settings = journal::Settings {
            dir: dir.path().join("journal"),
            mirror: None,
            file_bytes: 1 << 20,
            spares: 0,
            low_space_bytes: 0,
            kept_bytes: 1 << 40,
            danger_volatile_filesystem: true,
        };
        let keys = journal::Keys { host: host_key, archive: archive.public_key() };
        let leaves = (archive.log_size(), archive.sealed_through());
        let journal =
            Journal::open(disk, Arc::new(SystemClock), settings, keys, leaves.0, leaves.1).expect("a journal").0;
        let unlocked = archive.unlock(officer.key.expose(), &passphrase).expect("unlocked");
        Gateway { dir, archive, journal, unlocked }
    }

    fn accept(&self, octets: &[u8], recipient: &str) -> MailId {
        self.accept_draft(octets, accept_draft(SystemClock.now(), recipient))
    }

    fn accept_draft(&self, octets: &[u8], accept: AcceptDraft) -> MailId {
        let id = MailId::new(accept.accepted_at, random::bytes().expect("random"));
        let mut draft = self.journal.draft(id).expect("a draft");
        draft.append(octets).expect("appended");
        let (sender, receiver) = mpsc::channel();
        draft.commit(accept, Box::new(move |r| sender.send(r).expect("sent")));
        receiver.recv().expect("an answer").expect("accepted")
    }

    fn deliver(&self, id: MailId) {
        let outcome = Outcome::Delivered { reply: "250 ok".into() };
        let result = RecipientResult { recipient: 0, at: SystemClock.now(), next_hop: String::new(), outcome };
        let (sender, receiver) = mpsc::channel();
        let done: journal::Done<()> = Box::new(move |r| sender.send(r).expect("sent"));
        self.journal.record_results(id, vec![result], journal::Sync::Now, Some(done)).expect("recorded");
        receiver.recv().expect("an answer").expect("durable");
    }

    fn seal(&self) {
        self.archive.seal(&self.journal, &SystemClock).expect("sealed");
    }

    fn opened(&self) -> Arc<OpenedArchive> {
        Arc::new(OpenedArchive::new(self.unlocked.clone()))
    }

    fn catalog_dir(&self) -> PathBuf {
        self.dir.path().join("catalog")
    }

    fn catalog(&self) -> Catalog {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Catalog::open(Arc::new(RealDisk), clock, &self.catalog_dir(), self.opened()).expect("a catalog")
    }
}

fn accept_draft(now: Timestamp, recipient: &str) -> AcceptDraft {
    AcceptDraft {
        accepted_at: now,
        envelope: Envelope {
            sender: Some(address("alice@example.org")),
            recipients: vec![Recipient::new(address(recipient))],
            body: BodyType::SevenBit,
            ret: None,
            envid: None,
            smtputf8: false,
            require_tls: None,
        },
        client: Client {
            ip: std::net::IpAddr::from([127, 0, 0, 1]),
            ehlo: "client.example".into(),
            protocol: "ESMTP".into(),
            tls: None,
            account: None,
            direction: Direction::Outbound,
            at: now,
        },
        ruling: vec![],
        retention: Retention::forever(),
        renditions: vec![journal::RenditionDraft { recipients: vec![0], prefix: vec![], content: None }],
        reported: None,
    }
}

fn message(n: usize) -> Vec<u8> {
    let head =
        format!("From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: list@example.net\r\nMessage-ID: <{n}@id>\r\n");
    format!("{head}Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= {n}\r\n\r\nText {n}\r\n").into_bytes()
}

fn everything(catalog: &Catalog) -> (Vec<Mailbox>, Box<dyn View>) {
    let view = catalog.reader().view(&Viewer::Everything).expect("a view");
    (view.mailboxes().expect("mailboxes"), view)
}

fn rows(catalog: &Catalog, query: &str) -> Vec<Row> {
    let listing = catalog.reader().listing().expect("lists");
    listing.page(&Query::parse(query).expect(query), 0, 100).expect("rows")
}

#[test]
fn a_report_stands_by_what_it_states() {
    let gateway = Gateway::new();
    let inner = message(7);
    let octets = [&b"Subject: report\r\n\r\n"[..], &inner, b"\r\n--b--\r\n"].concat();
    let hidden = ReportedRecipient {
        address: address("hidden@example.org"),
        kind: RecipientKind::Bcc,
        expanded_from: Some(address("list@partner.example")),
        forwarded_from: None,
    };
    let envelope =
        ReportedEnvelope { sender: Some(address("author@example.org")), on_behalf_of: None, recipients: vec![hidden] };
    let readable = Some(Slice { offset: 19, bytes: inner.len() as u64 });
    let reported = Reported::Report { envelope, readable, problems: Vec::new() };
    let draft = AcceptDraft { reported: Some(reported), ..accept_draft(SystemClock.now(), "journal@example.org") };
    let id = gateway.accept_draft(&octets, draft);
    gateway.seal();
    let mut catalog = gateway.catalog();
    catalog.index().expect("indexed");
    let row = rows(&catalog, "").remove(0);
    assert_eq!((row.id, row.size, row.readable_size()), (id, octets.len() as u64, inner.len() as u64));
    assert_eq!((row.sender.as_str(), row.recipients), ("author@example.org", vec!["hidden@example.org".to_owned()]));
    for (query, found) in [
        ("to:list@partner.example", 1),
        ("to:journal@example.org", 0),
        ("from:author@example.org", 1),
        ("msgid:7@id", 1),
    ] {
        assert_eq!(rows(&catalog, query).len(), found, "{query}");
    }
    for (viewer, sees) in [
        ("hidden@example.org", true),
        ("author@example.org", true),
        ("j@example.org", true),
        ("journal@example.org", false),
        ("alice@example.org", false),
        ("list@partner.example", false),
    ] {
        let view = catalog.reader().view(&Viewer::Addresses(vec![address(viewer)])).expect("a view");
        let found = view.message(&row.mailbox, row.uid).expect("read");
        assert_eq!(found.map(|message| message.size), sees.then_some(inner.len() as u64), "{viewer}");
        let octets = view.octets(&row.mailbox, row.uid).expect("read");
        assert_eq!(octets, sees.then(|| inner.clone()), "{viewer}");
    }
}

#[test]
fn sealed_mail_is_read_through_views_octet_for_octet() {
    let gateway = Gateway::new();
    let mails: Vec<Vec<u8>> = (0..3).map(message).collect();
    let recipients = ["bob@partner.example", "eve@x.example", "bob@partner.example"];
    let ids: Vec<MailId> = mails.iter().zip(recipients).map(|(mail, to)| gateway.accept(mail, to)).collect();
    let mut catalog = gateway.catalog();
    assert_eq!(catalog.index().expect("indexed").messages, 0, "only sealed mail is shown");
    gateway.seal();
    let indexed = catalog.index().expect("indexed");
    assert_eq!((indexed.segments, indexed.messages, indexed.damage.len()), (1, 3, 0));

    let (mailboxes, view) = everything(&catalog);
    assert_eq!(mailboxes.len(), 2);
    let uids = view.uids("INBOX", 0).expect("uids");
    assert_eq!(view.uids(&mailboxes[0].name, 0).expect("uids"), uids);
    for ((uid, mail), id) in uids.iter().zip(&mails).zip(&ids) {
        let message = view.message("INBOX", *uid).expect("read").expect("there");
        assert_eq!((message.id, message.size), (*id, mail.len() as u64));
        assert_eq!(view.octets("INBOX", *uid).expect("read").as_ref(), Some(mail));
    }
    let bob = catalog.reader().view(&Viewer::Addresses(vec![address("Bob@partner.example")])).expect("a view");
    assert_eq!(bob.uids("INBOX", 0).expect("uids"), [uids[0], uids[2]]);

    let found = rows(&catalog, "from:jürgen subject:\"GRÜSSE 1\" OR subject:\"grüße 1\" to:eve@x.example");
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[1]]);
    let meta = gateway.opened().meta(&found[0].segment, found[0].slot).expect("meta");
    assert_eq!(meta.accept().expect("a record").id, ids[1]);
}

#[test]
fn a_catalog_thrown_away_comes_back_the_same() {
    let gateway = Gateway::new();
    let first = gateway.accept(&message(0), "bob@partner.example");
    gateway.seal();
    gateway.deliver(first);
    gateway.accept(&message(1), "bob@partner.example");
    gateway.seal();
    let read = || {
        let mut catalog = gateway.catalog();
        let segments = catalog.index().expect("indexed").segments;
        let found = rows(&catalog, "");
        let events = catalog.reader().listing().expect("lists").events(found[0].uid).expect("events");
        (segments, everything(&catalog).0, found, events)
    };
    let (segments, mailboxes, found, events) = read();
    assert_eq!((segments, found.len()), (2, 2));
    let info = gateway.opened().info(&events[0]).expect("a segment");
    assert_eq!(gateway.unlocked.events(&info).expect("events")[0].id, first);
    assert_eq!(read(), (0, mailboxes.clone(), found.clone(), events.clone()), "kept");
    std::fs::remove_dir_all(gateway.catalog_dir()).expect("removed");
    assert_eq!(read(), (2, mailboxes.clone(), found.clone(), events.clone()), "lost");

    let other = Gateway::new();
    drop(other.catalog());
    std::fs::copy(other.catalog_dir().join("key"), gateway.catalog_dir().join("key")).expect("copied");
    assert_eq!(read(), (2, mailboxes, found, events), "a key sealed to another archive opens nothing");
}
