//! The demonstration ends well.

use std::process::Command;

#[test]
fn the_demo_tells_its_story_and_ends_with_success() {
    let output = Command::new(env!("CARGO_BIN_EXE_sealpost")).arg("demo").output().expect("the demo runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for line in ["Accepted", "signature by Alice is good", "read by IMAP = read by POP3", "\"ok\":true"] {
        assert!(stdout.contains(line), "{line} in\n{stdout}");
    }
    assert!(stdout.lines().any(|line| line.contains("[secure]: 550 ")), "{stdout}");
}
