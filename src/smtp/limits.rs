//! Limits: every bound of the SMTP cores, and how long those who drive them should wait. Decides nothing.

use std::time::Duration;

/// Octets of a command line with its CRLF. RFC 5321 asks for 512, its extensions for up to 1036 more (RFC 3461).
pub const COMMAND_LINE_BYTES_MAX: usize = 2048;
/// Octets of an AUTH command or of a response in its exchange, with CRLF (RFC 4954 section 4).
pub const AUTH_LINE_BYTES_MAX: usize = 12_288;
/// Logins refused in one session; the next AUTH ends it with 421.
pub const LOGINS_REFUSED_MAX: u32 = 5;
/// Octets of the name in EHLO, HELO or LHLO (RFC 1035: a domain name).
pub const CLIENT_NAME_BYTES_MAX: usize = 255;
/// Octets of a line of text without its CRLF. RFC 5321 promises only 998; what is longer is kept as it is, up to here.
pub const TEXT_LINE_BYTES_MAX: usize = 1024 * 1024;
/// Octets from the start of a message to the empty line behind its header, which has to fit in memory to be judged.
pub const HEADER_BYTES_MAX: u64 = 1024 * 1024;
/// Octets of a BDAT chunk that are read and dropped when it cannot be taken, as RFC 3030 section 2 asks; one that says it is
/// longer ends the session.
pub const CHUNK_DROPPED_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Characters of ENVID's value (RFC 3461 section 4.4).
pub const ENVID_BYTES_MAX: usize = 100;
/// Characters of ORCPT's value (RFC 3461 section 4.2).
pub const ORCPT_BYTES_MAX: usize = 500;
/// Characters of the value of MAIL's AUTH (RFC 4954 section 3).
pub const AUTH_PARAMETER_BYTES_MAX: usize = 500;
/// Errors in the protocol that a client may make between two accepted messages; the next one ends the session with 421.
pub const ERRORS_MAX: u32 = 20;
/// Recipients that may be refused to a client between two accepted messages; the next one ends the session with 421.
pub const REFUSED_RECIPIENTS_MAX: u32 = 1000;
/// Octets of text in one line of a reply of ours; with code, status and CRLF it stays below 512 (RFC 5321 section 4.5.3.1.5).
pub const REPLY_TEXT_BYTES_MAX: usize = 480;
/// Lines of one reply of ours; what is longer is cut.
pub const REPLY_LINES_MAX: usize = 32;

/// Octets of one line of a reply from the next hop; the octets behind are read and dropped.
pub const ANSWER_LINE_BYTES_MAX: usize = 1024;
/// Octets of one reply from the next hop, all its lines; one more and it is talking nonsense.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Octets of a reply's text that are kept: room for what a reply to EHLO offers.
pub const ANSWER_TEXT_BYTES_MAX: usize = 16 * 1024;
/// Octets of a reply's text that are shown in the queue and in reports.
pub const ANSWER_SHOWN_BYTES_MAX: usize = 2000;
/// Commands sent ahead of their replies: so few that neither side's socket buffer fills while both write (RFC 2920
/// section 3.1).
pub const COMMANDS_AHEAD_MAX: usize = 64;

/// How long a server waits for a command or for more content (RFC 5321 section 4.5.3.2.7).
pub const SERVER_IDLE: Duration = Duration::from_secs(300);
/// How long a client waits for the greeting (RFC 5321 section 4.5.3.2.1); also for the replies to EHLO, STARTTLS and RSET.
pub const INITIAL: Duration = Duration::from_secs(300);
/// How long a client waits for the reply to MAIL (RFC 5321 section 4.5.3.2.2).
pub const MAIL: Duration = Duration::from_secs(300);
/// How long a client waits for the reply to RCPT (RFC 5321 section 4.5.3.2.3).
pub const RCPT: Duration = Duration::from_secs(300);
/// How long a client waits for the 354 (RFC 5321 section 4.5.3.2.4).
pub const DATA_START: Duration = Duration::from_secs(120);
/// How long a client waits until a block of content is written (RFC 5321 section 4.5.3.2.5).
pub const DATA_BLOCK: Duration = Duration::from_secs(180);
/// How long a client waits for the reply to the final dot (RFC 5321 section 4.5.3.2.6).
pub const DATA_DONE: Duration = Duration::from_secs(600);
/// How long a client waits for the reply to QUIT; nothing depends on it.
pub const QUIT: Duration = Duration::from_secs(5);
