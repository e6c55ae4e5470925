//! The text of the `sealpost.toml` that `init` writes: what was asked for, and every other key as a comment with its default.

use super::{Domain, HostPort, Hostname};

/// What `init` was asked for.
#[derive(Debug)]
pub struct Wishes<'a> {
    /// Our host name.
    pub hostname: &'a Hostname,
    /// Our domains.
    pub domains: &'a [Domain],
    /// Where accepted mail goes.
    pub next_hop: &'a HostPort,
    /// Whether an officer's key was made in `officer/`.
    pub officer_key: OfficerKey,
}

/// Where the officer's private key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfficerKey {
    /// Made here, in `officer/`.
    Here,
    /// With the officer.
    Elsewhere,
}

/// The whole file.
pub fn text(wishes: &Wishes<'_>) -> String {
    let list = |items: Vec<String>| items.join(", ");
    let domains = list(wishes.domains.iter().map(|d| quoted(d.as_str())).collect());
    let sign_for = list(wishes.domains.iter().map(|d| quoted(&format!("*@{}", d.as_str()))).collect());
    let view = match wishes.officer_key {
        OfficerKey::Here => VIEW_OPEN,
        OfficerKey::Elsewhere => VIEW_LOCKED,
    };
    TEMPLATE
        .replace("@HOSTNAME@", &quoted(wishes.hostname.as_str()))
        .replace("@DOMAINS@", &domains)
        .replace("@SIGN_FOR@", &sign_for)
        .replace("@NEXT_HOP@", &quoted(&wishes.next_hop.to_string()))
        .replace("@VIEW@", view)
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

const TEMPLATE: &str = r#"# Sealpost. Commented keys show their defaults. After an edit: `sealpost check`, then SIGHUP (systemctl reload sealpost).
hostname = @HOSTNAME@
data_dir = "."                      # relative to this file
local_domains = [@DOMAINS@]         # ours: an inbound listener takes these from anyone and nothing else;
                                    # empty: only relay_networks may send, on every listener

# Mail from our users to the world: signed and encrypted as policies say.
[[listener]]
protocol = "smtp"
bind = "127.0.0.1:2525"
tls = "starttls"                    # none | starttls | implicit
direction = "outbound"
relay_networks = ["127.0.0.0/8", "::1"]
sign_for = [@SIGN_FOR@]
# relay_certificates = []           # these relay too: "sha256:FINGERPRINT", or names of certificates under client_ca_file
# client_ca_file = "tls/clients-ca.pem"
# client_certificate = "optional"   # asked for when the two above are given; or "required"
# loop_header = "none"              # or "add": mail is marked and refused when it comes the same way again
# xclient_networks = []             # proxies and filters that are believed when they name their client (XCLIENT, XFORWARD)
# account_senders = "own"           # the sender is an address of the account that logged in, if that has any; or "any"
# bare_lf = "refuse"                # or "normalize", for printers and scripts that end lines in LF alone

# Mail from the world to our users.
[[listener]]
protocol = "smtp"
bind = "127.0.0.1:2524"
tls = "starttls"
direction = "inbound"
relay_networks = ["127.0.0.0/8", "::1"]

# Readers of the archive. Plain-text logins are never taken without TLS.
[[listener]]
protocol = "imap"
bind = "127.0.0.1:1143"
tls = "starttls"

[[listener]]
protocol = "imap"
bind = "127.0.0.1:1993"
tls = "implicit"

[[listener]]
protocol = "pop3"
bind = "127.0.0.1:1110"
tls = "starttls"

[[listener]]
protocol = "pop3"
bind = "127.0.0.1:1995"
tls = "implicit"

[[route]]
domains = ["*"]                     # recipient domains: "*", "example.org", "*.example.org"; the first route that matches is taken
next_hop = @NEXT_HOP@               # host:port, or a list for failover, or "mx" (DNS decides)
tls = "opportunistic"               # none | opportunistic | required | verified
# ca_file = "tls/partner-ca.pem"    # whom `verified` trusts; without it, the system's authorities
# pinned_keys = ["sha256:..."]      # or these keys, whatever their certificates say
# client_certificate = "tls/client.pem"     # shown to next hops that ask, with
# client_key = "tls/client-key.pem"
# credentials = { user = "gw", password_file = "secret/password" }   # or systemd_credential = "name"; inside TLS alone
# ehlo_name = "gw.example.org"      # instead of hostname
# source_address = ["192.0.2.1"]    # of ours, to connect from
# marker = "..."                    # secret that next hops know us by, in the field X-Sealpost-Marker
# resolver = ["127.0.0.1:53"]       # DNS servers for mx, instead of those of /etc/resolv.conf
# protocol = "smtp"                 # smtp | lmtp
# mx_port = 25
# connections = 20                  # at most; a quick next hop gets six

# [tls]
# certificate = "tls/cert.pem"
# key = "tls/key.pem"

# [queue]
# retry_s = [60, 300, 900, 3600]    # the last repeats
# lifetime_s = 432000
# delay_warning_s = 14400

# [timeouts]
# initial_s = 300
# mail_s = 300
# rcpt_s = 300
# data_start_s = 120
# data_block_s = 180
# data_done_s = 600
# server_idle_s = 300

# [limits]
# message_bytes = 104857600
# recipients = 1000
# connections = 2000
# connections_per_address = 100
# connections_per_minute = 300      # these four: of one address, to smtp and lmtp; none for loopback and listed networks
# messages_per_minute = 600
# recipients_per_minute = 6000
# errors_per_minute = 100           # in the protocol, recipients denied, logins refused

# [journal]
# file_bytes = 67108864
# spares = 1                        # made ahead; up to eight used ones are kept while there is space
# low_space_bytes = 268435456
# kept_bytes = 8589934592           # of journal files not yet sealed and delivered; beyond it new mail gets 452
# danger_volatile_filesystem = false
# And mirror, without a default: a directory on another disk, which must exist, for twins synced before the 250.

# [archive]
# seal_after_s = 300
# seal_bytes = 268435456
# erase_signatures = 1              # officers who must sign an order of erasure
# key_backup_days = 30              # how long a backup of the archive is kept, for the receipts of erasures
# checkpoint_to = []                # once a day: "mail:officer@example.org", "file:/mnt/other/checkpoints" (a directory that exists), "tsa"
# scrub = "daily"                   # every octet is read and compared with the log; or "off"
# scrub_mb_s = 20                   # at most so fast
# And without a default: tsa, the URL of a time stamping authority (RFC 3161), and tsa_ca, a PEM file of whom to believe as one.

@VIEW@"#;

const VIEW_OPEN: &str = r#"[view]
officer_key = "officer/key.pgp"     # on this machine the archive is protected against theft of copies, not of the host:
passphrase_file = "officer/passphrase"   # move officer/ off it when set up; the gateway works without, the view says UNAVAILABLE
"#;

const VIEW_LOCKED: &str = r#"# [view]
# officer_key = "officer/key.pgp"
# passphrase_file = "officer/passphrase"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::config::{AccountSenders, Config};
    use crate::smtp::server::BareLf;

    fn written(domains: &[&str], next_hop: &str, officer_key: OfficerKey) -> String {
        let hostname = Hostname::try_from("gw.example.org".to_owned()).expect("a host name");
        let domains: Vec<Domain> =
            domains.iter().map(|name| Domain::try_from((*name).to_owned()).expect("a domain")).collect();
        let next_hop = HostPort::parse(next_hop).expect("host:port");
        text(&Wishes { hostname: &hostname, domains: &domains, next_hop: &next_hop, officer_key })
    }

    #[test]
    fn what_init_writes_is_a_configuration() {
        for domains in [&[][..], &["example.org", "example.net"]] {
            let config = Config::parse(&written(domains, "[::1]:25", OfficerKey::Here)).expect("valid");
            assert_eq!(config.local_domains.len(), domains.len());
            assert_eq!(config.listener.len(), 6);
            assert!(config.view.officer_key.is_some());
        }
    }

    /// Keys of a route that have no default but an example.
    const OPTIONS: [&str; 10] = [
        "ca_file",
        "pinned_keys",
        "client_certificate",
        "client_key",
        "client_ca_file",
        "credentials",
        "ehlo_name",
        "source_address",
        "marker",
        "resolver",
    ];

    #[test]
    fn every_commented_default_is_true() {
        let plain = written(&[], "mx.example:25", OfficerKey::Elsewhere);
        let opened: String = plain
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|l| l.starts_with('[') || l.contains(" = ")).unwrap_or(line))
            .filter(|line| !OPTIONS.iter().any(|key| line.starts_with(key)))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_ne!(plain, opened);
        let (mut shown, silent) =
            (Config::parse(&opened).expect("valid with defaults shown"), Config::parse(&plain).expect("valid"));
        shown.view = silent.view.clone();
        // Not given and given as the default are one; only what takes mail may have it.
        let first = &mut shown.listener[0];
        first.bare_lf = first.bare_lf.filter(|b| *b != BareLf::default());
        first.account_senders = first.account_senders.filter(|s| *s != AccountSenders::default());
        assert_eq!(format!("{shown:?}"), format!("{silent:?}"));
    }
}
