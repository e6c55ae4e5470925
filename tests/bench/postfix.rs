//! Postfix beside it: an instance with configuration, queue and ports of its own, tuned for throughput, started in the foreground
//! and ended by its process id. Never touches the system's instance.

use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = "/usr/sbin/postfix";
const DAEMONS: &str = "/usr/lib/postfix/sbin";
/// How long its start may take.
const START: Duration = Duration::from_secs(30);

/// A running instance; its processes and directory go with it.
#[derive(Debug)]
pub struct Postfix {
    child: Child,
    port: u16,
    home: tempfile::TempDir,
}

impl Postfix {
    /// Makes one below `dir` that delivers to `next_hop`; or says why there is none.
    pub fn start(dir: &Path, next_hop: u16) -> Result<Postfix, String> {
        if !Path::new(PROGRAM).exists() {
            return Err("Postfix is not installed (Debian package postfix)".to_owned());
        }
        if !geteuid().is_root() {
            return Err("Postfix can only be started by root".to_owned());
        }
        let home = tempfile::Builder::new().prefix("postfix-").tempdir_in(dir).map_err(|e| e.to_string())?;
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).map_err(|e| e.to_string())?.port();
        prepare(home.path(), port, next_hop).map_err(|e| e.to_string())?;
        let mut command = Command::new(format!("{DAEMONS}/master"));
        command.arg("-c").arg(home.path().join("etc")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut this = Postfix { child: command.spawn().map_err(|e| e.to_string())?, port, home };
        this.wait_until_ready()?;
        Ok(this)
    }

    /// Where it takes mail.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// Its master process, whose descendants do the work.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let end = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().map_err(|e| e.to_string())?;
            if ended.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(self.home.path().join("maillog")).unwrap_or_default();
                return Err(format!("Postfix did not start: {log}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // The master ends its own processes; ended already is as good.
        let _told = pid.map(|pid| kill_process(pid, Signal::TERM));
        drop(self.child.wait());
    }
}

/// Directories and both configuration files. The daemons drop privileges, so the way to the queue must be open to them.
fn prepare(home: &Path, port: u16, next_hop: u16) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o755))?;
    for name in ["etc", "queue", "data"] {
        std::fs::create_dir(home.join(name))?;
    }
    let owned = Command::new("chown").arg("postfix").arg(home.join("data")).status()?;
    if !owned.success() {
        return Err(std::io::Error::other("chown postfix failed"));
    }
    let main = MAIN.replace("@HOME@", &home.display().to_string()).replace("@NEXT_HOP@", &next_hop.to_string());
    std::fs::write(home.join("etc/main.cf"), main)?;
    std::fs::write(home.join("etc/master.cf"), MASTER.replace("@PORT@", &port.to_string()))?;
    // Makes the queue's directories.
    let checked = Command::new(PROGRAM).arg("-c").arg(home.join("etc")).arg("check").status()?;
    if checked.success() { Ok(()) } else { Err(std::io::Error::other("`postfix check` failed")) }
}

/// Relays everything to the next hop. Tuned: no lookups, no limits in the way, connections to the next hop are reused.
const MAIN: &str = "\
compatibility_level = 3.6
queue_directory = @HOME@/queue
data_directory = @HOME@/data
maillog_file = @HOME@/maillog
maillog_file_prefixes = /
myhostname = postfix.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
relayhost = [127.0.0.1]:@NEXT_HOP@
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_tls_security_level = none
smtp_tls_security_level = none
in_flow_delay = 0
default_process_limit = 100
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = [127.0.0.1]:@NEXT_HOP@
qmgr_message_active_limit = 50000
message_size_limit = 104857600
enable_long_queue_ids = yes
max_use = 10000
strict_smtputf8 = no
smtputf8_enable = no
biff = no
";

const MASTER: &str = "\
127.0.0.1:@PORT@ inet n - n - 100 smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - 40 smtp
relay unix - - n - 40 smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";
