//! `sealpost policy`: what policies say, before they bite.

use super::args::Policy;
use super::{Failure, Out};
use crate::gateway::files;
use crate::gateway::post::Places;
use serde_json::json;
use std::path::PathBuf;

/// Runs one of the commands.
pub fn run(command: Policy, config: impl Fn() -> Result<PathBuf, files::Error>, out: &Out) -> Result<(), Failure> {
    match command {
        Policy::Check { files: named } => {
            let policy = if named.is_empty() {
                files::policies(&Places::of(&files::configuration(&config()?)?).policies)?
            } else {
                files::policy_files(&named)?
            };
            let digest = crate::crypto::hash::hex(&policy.digest());
            out.record(&["ok", "rules"], &json!({"ok": true, "rules": policy.rules().len(), "digest": digest}))
        }
    }
}
