//! Real peers: programs of others that speak with the gateway. A missing one is a failure that names its Debian package.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a program to its end; its output, whatever its exit status.
pub fn run(program: &str, package: &str, command: impl FnOnce(&mut Command) -> &mut Command) -> Output {
    let mut this = Command::new(program);
    command(&mut this);
    this.output().unwrap_or_else(|e| panic!("{program}: {e}; install the Debian package {package}"))
}

/// Runs a program that must succeed; its standard output.
pub fn must(program: &str, package: &str, command: impl FnOnce(&mut Command) -> &mut Command) -> Vec<u8> {
    let output = run(program, package, command);
    assert!(
        output.status.success(),
        "{program} ended with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Runs a Python program with arguments; its standard output as text.
pub fn python(script: &str, arguments: &[&str]) -> String {
    let stdout = must("python3", "python3", |c| c.arg("-c").arg(script).args(arguments));
    String::from_utf8(stdout).expect("UTF-8")
}

/// GnuPG with a home of its own.
pub fn gpg(home: &Path, arguments: &[&str]) -> Output {
    run("gpg", "gnupg", |c| {
        c.env("GNUPGHOME", home)
            .args(["--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", "--trust-model", "always"])
            .args(arguments)
    })
}
