//! What drivers may do besides following the conversation.

use super::super::login::LoginRefusal;
use super::*;

fn session(dialect: Dialect) -> Session {
    let settings = Settings {
        hostname: "gw.example".into(),
        dialect,
        message_bytes_max: 1000,
        recipients_max: 10,
        starttls: StartTls::Offered,
        auth: Auth::InsideTls,
        bare_lf: BareLf::Refuse,
        unfit: Unfit::Refused,
    };
    Session::new(Arc::new(settings))
}

fn names(event: &Event<'_>) -> String {
    format!("{event:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

/// Feeds `input`, taking everything that is asked, until the session asks `until` or has consumed it all.
fn feed(session: &mut Session, mut input: &[u8], until: &str, out: &mut Vec<u8>) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let step = session.step(input, out);
        input = &input[step.consumed..];
        let Some(event) = step.event else { return seen };
        seen.push(names(&event));
        if seen.last().is_some_and(|name| name == until) {
            return seen;
        }
        session.accept(out);
    }
}

fn text(out: &mut Vec<u8>) -> String {
    String::from_utf8(std::mem::take(out)).expect("ASCII")
}

const HELLO: &[u8] = b"EHLO x\r\n";
const TO_TWO: &[u8] = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\n";

/// A session whose message of one empty line waits for its outcome.
fn at_end(dialect: Dialect, out: &mut Vec<u8>) -> Session {
    let mut session = session(dialect);
    let hello = if dialect == Dialect::Lmtp { b"LHLO x\r\n" } else { HELLO };
    let seen = feed(&mut session, &[hello, TO_TWO, b"\r\n.\r\n"].concat(), "End", out);
    assert_eq!(seen, ["Mail", "Rcpt", "Rcpt", "Data", "Body", "End"]);
    out.clear();
    session
}

#[test]
fn an_open_question_stops_everything() {
    let (mut session, mut out) = (session(Dialect::Smtp), Vec::new());
    feed(&mut session, &[HELLO, b"MAIL FROM:<>\r\n"].concat(), "Mail", &mut out);
    let step = session.step(b"QUIT\r\n", &mut out);
    assert_eq!((step.consumed, step.event.is_none()), (0, true));
    session.accept(&mut out);
    assert_eq!(feed(&mut session, b"QUIT\r\n", "Close", &mut out), ["Close"]);
}

#[test]
fn answers_without_a_question_do_nothing() {
    let (mut session, mut out) = (session(Dialect::Smtp), Vec::new());
    session.accept(&mut out);
    session.refuse(&reply::RELAY_DENIED, &mut out);
    session.finish(&reply::ACCEPTED, &mut out);
    session.finish_each(&[], &mut out);
    session.refuse_content(reply::LOCAL_ERROR.clone());
    assert_eq!((text(&mut out), session.is_idle()), (String::new(), true));
}

#[test]
fn a_missing_outcome_is_a_deferral() {
    let mut out = Vec::new();
    at_end(Dialect::Lmtp, &mut out).finish_each(std::slice::from_ref(&reply::ACCEPTED), &mut out);
    assert_eq!(text(&mut out), "250 2.0.0 Accepted\r\n451 4.3.0 Local error, try again later\r\n");
    at_end(Dialect::Smtp, &mut out).finish_each(std::slice::from_ref(&reply::ACCEPTED), &mut out);
    assert_eq!(text(&mut out), "451 4.3.0 Local error, try again later\r\n");
    let too_many = vec![reply::ACCEPTED.clone(); 3];
    at_end(Dialect::Lmtp, &mut out).finish_each(&too_many, &mut out);
    assert_eq!(text(&mut out), "250 2.0.0 Accepted\r\n".repeat(2));
    at_end(Dialect::Smtp, &mut out).finish_each(&too_many, &mut out);
    assert_eq!(text(&mut out), "250 2.0.0 Accepted\r\n");
}

#[test]
fn one_outcome_is_said_to_each_in_lmtp() {
    let mut out = Vec::new();
    at_end(Dialect::Lmtp, &mut out).finish(&reply::STORAGE_UNAVAILABLE, &mut out);
    assert_eq!(text(&mut out), "451 4.3.0 Storage unavailable, try again later\r\n".repeat(2));
}

#[test]
fn a_421_ends_the_session_whoever_says_it() {
    let (mut refused, mut out) = (session(Dialect::Smtp), Vec::new());
    feed(&mut refused, &[HELLO, b"MAIL FROM:<>\r\n"].concat(), "Mail", &mut out);
    refused.refuse(&reply::SHUTTING_DOWN, &mut out);
    assert_eq!(feed(&mut refused, b"", "Close", &mut out), ["Close"]);
    let mut idle = session(Dialect::Smtp);
    out.clear();
    idle.hang_up(&reply::IDLE, &mut out);
    idle.hang_up(&reply::IDLE, &mut out);
    assert_eq!(feed(&mut idle, b"NOOP\r\n", "Close", &mut out), ["Close"]);
    assert_eq!(feed(&mut idle, b"NOOP\r\n", "Close", &mut out), [""; 0]);
    assert_eq!(text(&mut out), "421 4.4.2 Timeout, closing connection\r\n");
    let mut ended = at_end(Dialect::Smtp, &mut out);
    ended.finish(&reply::SHUTTING_DOWN, &mut out);
    assert_eq!(feed(&mut ended, b"", "Close", &mut out), ["Close"]);
}

#[test]
fn an_accepted_message_forgives_errors() {
    let (mut session, mut out) = (session(Dialect::Smtp), Vec::new());
    let errors = |count: u32| b"X\r\n".repeat(usize::try_from(count).expect("small"));
    feed(&mut session, &[HELLO, &errors(limits::ERRORS_MAX), TO_TWO, b".\r\n"].concat(), "End", &mut out);
    session.finish(&reply::ACCEPTED, &mut out);
    assert_eq!(feed(&mut session, &errors(limits::ERRORS_MAX), "Close", &mut out), [""; 0]);
    assert_eq!(feed(&mut session, &errors(1), "Close", &mut out), ["Close"]);
}

#[test]
fn nothing_behind_starttls_is_ever_run() {
    let (mut session, mut out) = (session(Dialect::Smtp), Vec::new());
    let input = [HELLO, b"STARTTLS\r\nMAIL FROM:<evil@b.example>\r\nNO"].concat();
    let step = session.step(&input, &mut out);
    assert_eq!(step.consumed, input.len(), "what is left is gone");
    assert!(matches!(step.event, Some(Event::StartTls)));
    assert!(text(&mut out).ends_with("220 2.0.0 Ready to start TLS\r\n"));
    session.tls_started(Tls { version: "TLSv1.3".into(), cipher: "x".into(), certificate: None });
    assert_eq!(feed(&mut session, b"OP\r\n", "", &mut out), [""; 0]);
    assert_eq!(text(&mut out), "500 5.5.1 Command not recognized\r\n");
    assert_eq!((session.client_name(), session.tls().is_some()), ("", true));
}

/// The reply to one line of `length` octets, inside TLS, where logins are taken.
fn reply_to(start: &str, length: usize) -> String {
    let (mut session, mut out) = (session(Dialect::Smtp), Vec::new());
    session.tls_started(Tls { version: "TLSv1.3".into(), cipher: "x".into(), certificate: None });
    feed(&mut session, HELLO, "", &mut out);
    out.clear();
    let last = start.rsplit('\n').next().unwrap_or_default();
    let line = format!("{start}{}\r\n", "A".repeat(length - last.len() - 2));
    assert_eq!(feed(&mut session, line.as_bytes(), "", &mut out), [""; 0]);
    text(&mut out)
}

#[test]
fn only_logins_may_be_long() {
    let malformed = "501 5.5.2 Malformed authentication response\r\n";
    let too_long = "500 5.5.2 Line too long\r\n";
    assert_eq!(reply_to("NOOP ", limits::COMMAND_LINE_BYTES_MAX), "250 2.0.0 Ok\r\n");
    assert_eq!(reply_to("NOOP ", limits::COMMAND_LINE_BYTES_MAX + 1), too_long);
    assert_eq!(reply_to("AUTH PLAIN ", limits::AUTH_LINE_BYTES_MAX), malformed);
    assert_eq!(reply_to("auth PLAIN ", limits::AUTH_LINE_BYTES_MAX + 1), too_long);
    let response = "AUTH PLAIN\r\n";
    assert_eq!(reply_to(response, limits::AUTH_LINE_BYTES_MAX), format!("334 \r\n{malformed}"));
    let past = "334 \r\n500 5.5.6 Authentication response too long\r\n";
    assert_eq!(reply_to(response, limits::AUTH_LINE_BYTES_MAX + 1), past);
}

#[test]
fn a_login_is_answered_once_and_forgotten_by_tls() {
    let (mut session, mut out) = (session(Dialect::Smtp), Vec::new());
    session.tls_started(Tls { version: "TLSv1.3".into(), cipher: "x".into(), certificate: None });
    session.authenticated("nobody asked", &mut out);
    session.refuse_login(LoginRefusal::Credentials, &mut out);
    assert_eq!((text(&mut out).as_str(), session.account()), ("", None));
    feed(&mut session, &[HELLO, b"AUTH PLAIN AGEAYg==\r\n"].concat(), "Authenticate", &mut out);
    session.authenticated("a", &mut out);
    assert_eq!(session.account(), Some("a"));
    session.tls_started(Tls { version: "TLSv1.3".into(), cipher: "x".into(), certificate: None });
    assert_eq!(session.account(), None);
}

#[test]
fn a_client_that_only_tries_recipients_is_sent_away() {
    let (mut session, mut out) = (session(Dialect::Smtp), Vec::new());
    feed(&mut session, &[HELLO, b"MAIL FROM:<>\r\n"].concat(), "", &mut out);
    for n in 0..=limits::REFUSED_RECIPIENTS_MAX {
        out.clear();
        feed(&mut session, b"RCPT TO:<a@b.example>\r\n", "Rcpt", &mut out);
        session.refuse(&reply::RELAY_DENIED, &mut out);
        let expected = if n < limits::REFUSED_RECIPIENTS_MAX { "550" } else { "421" };
        assert_eq!(&text(&mut out)[..3], expected, "{n}");
    }
    assert_eq!(feed(&mut session, b"", "Close", &mut out), ["Close"]);
}
