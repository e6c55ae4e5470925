//! A real Dovecot on loopback, with a mailbox for whoever knows the password. Runs as whoever runs the tests.

use super::{Gateway, eventually, free_port};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Its password, for every user.
pub const PASSWORD: &str = "a-secret-phrase";

/// A running Dovecot; it ends with this.
pub struct Dovecot {
    home: tempfile::TempDir,
    child: Child,
    /// STARTTLS.
    pub imap: u16,
    /// TLS from the start.
    pub imaps: u16,
}

impl Dovecot {
    /// Starts one with the certificate of a gateway.
    pub fn start(gateway: &Gateway) -> Dovecot {
        let home = tempfile::tempdir().expect("a directory");
        let (imap, imaps) = (free_port(), free_port());
        let dir = home.path();
        for name in ["run", "state", "mail"] {
            std::fs::create_dir(dir.join(name)).expect("made");
        }
        let config = dir.join("dovecot.conf");
        std::fs::write(&config, configuration(dir, gateway, imap, imaps)).expect("written");
        let child = Command::new("dovecot")
            .args(["-F", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("dovecot: {e}; install the Debian package dovecot-imapd"));
        let dovecot = Dovecot { home, child, imap, imaps };
        let answers = || std::net::TcpStream::connect(("127.0.0.1", imap)).ok();
        eventually("dovecot listens", Duration::from_secs(30), answers);
        dovecot
    }

    /// The Maildir of a user's mailbox; `""` is INBOX.
    pub fn maildir(&self, user: &str, mailbox: &str) -> PathBuf {
        let below = if mailbox.is_empty() { String::new() } else { format!(".{mailbox}") };
        self.home.path().join("mail").join(user).join(below)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // Its master ends the others; ended already is as good.
            let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- log of dovecot\n{}", self.log());
        }
    }
}

fn configuration(dir: &Path, gateway: &Gateway, imap: u16, imaps: u16) -> String {
    let id = |flag: &str| {
        let stdout = super::peers::must("id", "coreutils", |c| c.arg(flag));
        String::from_utf8(stdout).expect("UTF-8").trim().to_owned()
    };
    let is_root = id("-u") == "0";
    // Dovecot gives no mail to root, and needs users of its own to drop to.
    let (uid, gid) = if is_root { ("65534".to_owned(), "65534".to_owned()) } else { (id("-u"), id("-g")) };
    let users = match is_root {
        true => {
            use std::os::unix::fs::PermissionsExt;
            let open = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(dir, open.clone()).expect("opened");
            std::fs::set_permissions(dir.join("mail"), open).expect("opened");
            String::new()
        }
        false => {
            let (user, group) = (
                super::peers::must("id", "coreutils", |c| c.arg("-un")),
                super::peers::must("id", "coreutils", |c| c.arg("-gn")),
            );
            let (user, group) =
                (String::from_utf8_lossy(&user).trim().to_owned(), String::from_utf8_lossy(&group).trim().to_owned());
            format!(
                "default_internal_user = {user}\ndefault_login_user = {user}\ndefault_internal_group = {group}\nservice anvil {{\n chroot =\n}}\n"
            )
        }
    };
    let (dir, tls) = (dir.display(), gateway.dir().join("tls").display().to_string());
    format!(
        "base_dir = {dir}/run\nstate_dir = {dir}/state\nlog_path = {dir}/log\nprotocols = imap\nlisten = 127.0.0.1\n{users}\
         ssl = required\nssl_cert = <{tls}/cert.pem\nssl_key = <{tls}/key.pem\nssl_dh =\nauth_mechanisms = plain\n\
         passdb {{\n driver = static\n args = password={PASSWORD}\n}}\n\
         userdb {{\n driver = static\n args = uid={uid} gid={gid} home={dir}/mail/%u\n}}\n\
         mail_location = maildir:~\nmail_save_crlf = yes\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n\
         service imap-login {{\n chroot =\n inet_listener imap {{\n port = {imap}\n }}\n inet_listener imaps {{\n port = {imaps}\n ssl = yes\n }}\n}}\n"
    )
}
