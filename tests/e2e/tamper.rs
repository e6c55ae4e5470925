//! Tampering shows: a flipped bit anywhere in the archive makes `archive verify` exit 1 and name what was changed. And the
//! gateway's files without the officer's open nothing.

use crate::support::{Client, Gateway, Options, Sink};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECRET: &str = "a sentence that must not be readable on disk";

fn stopped_gateway(messages: usize) -> (Gateway, Sink) {
    let sink = Sink::start();
    let mut gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    for n in 0..messages {
        let message = format!("From: alice@example.org\r\nSubject: {SECRET} {n}\r\n\r\n{SECRET}\r\n");
        assert!(client.deliver("alice@example.org", &["bob@partner.example"], message.as_bytes()).starts_with("250 "));
    }
    sink.wait_for(messages, Duration::from_secs(30));
    gateway.seal();
    gateway.stop();
    (gateway, sink)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_flipped_bit_in_any_object_is_found_and_named() {
    let (gateway, _sink) = stopped_gateway(3);
    assert_eq!(gateway.verified("0")["ok"], true);
    let archive = gateway.dir().join("archive");
    let mut tried = 0;
    for path in files_below(&archive) {
        let name = path.strip_prefix(&archive).expect("below").display().to_string();
        // The log key is sealed under the host key, which a keyless check does not have.
        if name == "keys/log" {
            check_names_the_log_key(&gateway, &path);
            continue;
        }
        // No evidence: copies that the next start makes anew.
        if name == "recover.py" || name == "RECOVERY.md" {
            continue;
        }
        let octets = std::fs::read(&path).expect("readable");
        let places = [0, octets.len() / 3, octets.len() / 2, octets.len() - 1];
        for place in places {
            let mut bent = octets.clone();
            bent[place] ^= 0x04;
            std::fs::write(&path, &bent).expect("write");
            let output = gateway.cli(&["archive", "verify", "--level", "0", "--json"]);
            let stdout = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(1), "octet {place} of {name}: {stdout}");
            assert!(stdout.contains(&file_name(&path)), "octet {place} of {name} is named: {stdout}");
            tried += 1;
        }
        std::fs::write(&path, &octets).expect("write");
    }
    assert!(tried > 30, "segments, key objects, cover, tiles, checkpoint: {tried}");
    assert_eq!(gateway.verified("2")["ok"], true, "everything is as it was");
}

fn check_names_the_log_key(gateway: &Gateway, path: &Path) {
    let octets = std::fs::read(path).expect("readable");
    let mut bent = octets.clone();
    bent[octets.len() / 2] ^= 0x04;
    std::fs::write(path, &bent).expect("write");
    let output = gateway.cli(&["check"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains("keys/log"), "{stderr}");
    std::fs::write(path, &octets).expect("write");
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn a_missing_object_is_found() {
    let (gateway, _sink) = stopped_gateway(2);
    for path in files_below(&gateway.dir().join("archive/segments")) {
        let octets = std::fs::read(&path).expect("readable");
        std::fs::remove_file(&path).expect("remove");
        let output = gateway.cli(&["archive", "verify", "--json"]);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{}: {stdout}", path.display());
        assert!(stdout.contains(&file_name(&path)), "{}: {stdout}", path.display());
        std::fs::write(&path, &octets).expect("write");
    }
}

#[test]
fn without_the_officers_files_nothing_opens_and_nothing_is_in_the_clear() {
    let (gateway, _sink) = stopped_gateway(3);
    std::fs::remove_dir_all(gateway.dir().join("officer")).expect("the officer's files are gone");
    for command in
        [&["archive", "list"][..], &["archive", "export", "--output", "out"], &["archive", "verify", "--level", "2"]]
    {
        let output = gateway.cli(command);
        assert!(!output.status.success(), "{command:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains(SECRET), "{command:?}");
    }
    for path in files_below(gateway.dir()) {
        let octets = std::fs::read(&path).expect("readable");
        let found = octets.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{} holds mail in the clear", path.display());
    }
    opens_with_no_key_of_the_gateway(&gateway);
}

/// The host key and the archive's public parts are all the gateway has: neither is an archive secret.
fn opens_with_no_key_of_the_gateway(gateway: &Gateway) {
    use sealpost::archive::Archive;
    use sealpost::crypto::{Secret, SecretBytes, hash};
    use sealpost::durable::RealDisk;
    let text = std::fs::read_to_string(gateway.dir().join("host.key")).expect("host key");
    let host_key = Secret::from_slice(&hash::unhex(text.trim()).expect("hex")).expect("32 octets");
    let archive =
        Archive::open(std::sync::Arc::new(RealDisk), &gateway.dir().join("archive"), &host_key).expect("opens");
    for path in files_below(gateway.dir()) {
        let octets = std::fs::read(&path).expect("readable");
        assert!(archive.unlock(&octets, &SecretBytes::new(Vec::new())).is_err(), "{}", path.display());
    }
    let public = archive.public_key();
    let as_private = sealpost::crypto::hpke::PrivateKey::new(host_key);
    assert_ne!(as_private.public().expect("a public half").octets(), public.octets());
}
