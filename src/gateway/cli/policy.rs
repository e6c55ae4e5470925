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
            let unused = policy.unused_classes();
            for class in &unused {
                // Talk: the policy is good, and does less than it seems to.
                eprintln!(
                    "warning: no rule gives the class \"{}\" ({}:{})\nhelp: then = {{ class = \"{0}\" }}",
                    class.name, class.file, class.line
                );
            }
            let unused: Vec<&str> = unused.iter().map(|class| class.name.as_str()).collect();
            let (rules, classes) = (policy.rules().len(), policy.classes().len());
            let row =
                json!({"ok": true, "rules": rules, "classes": classes, "unused_classes": unused, "digest": digest});
            out.record(&["ok", "rules", "classes"], &row)
        }
    }
}
