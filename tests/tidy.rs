//! House rules a machine can hold: who may import whom, how long files may be, no weakening words without a reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules it may import. This table is the documentation of the floors.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // floor 0
    ("clock", &[]),
    ("crypto", &[]),
    ("durable", &[]),
    ("mail", &["clock"]),
    // floor 1
    ("policy", &["mail", "clock", "crypto"]),
    ("keyring", &["mail", "crypto", "durable", "clock"]),
    ("journal", &["mail", "crypto", "durable", "clock"]),
    // floor 2
    ("protect", &["policy", "keyring", "mail", "crypto", "clock"]),
    ("archive", &["journal", "mail", "crypto", "durable", "clock"]),
    // floor 3
    ("catalog", &["archive", "mail", "crypto", "durable", "clock"]),
    ("access", &["mail", "crypto", "durable", "clock"]),
    // floor 4
    ("smtp", &["mail", "clock"]),
    ("imap", &["catalog", "mail", "clock"]),
    ("pop3", &["catalog", "mail", "clock"]),
    // floor 5
    (
        "gateway",
        &[
            "smtp", "imap", "pop3", "catalog", "access", "protect", "archive", "policy", "keyring", "journal", "mail",
            "crypto", "durable", "clock",
        ],
    ),
];

/// Files over this many lines must stand in `LONG_FILES`, a list that may only shrink.
const FILE_LINES_MAX: usize = 500;
const LONG_FILES: &[(&str, usize)] = &[];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The name relative to the root, and the text.
fn sources() -> BTreeMap<String, String> {
    let src = root().join("src");
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        (name, fs::read_to_string(&path).expect("UTF-8"))
    };
    rust_files(&src).into_iter().map(named).collect()
}

fn module_of(name: &str) -> &str {
    let inside = name.strip_prefix("src/").expect("a source");
    inside.split('/').next().expect("a name").trim_end_matches(".rs")
}

/// Every `crate::module` a text names, comments left out.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + 7..];
            if let Some(group) = rest.strip_prefix('{') {
                found.push((number + 1, format!("(group import `{{{group}`: write one `use crate::module` per line)")));
                continue;
            }
            let module: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push((number + 1, module));
        }
    }
    found
}

#[test]
fn imports_point_down() {
    let table: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let module = module_of(&name);
        if module == "lib" || module == "main" {
            continue;
        }
        let allowed = table.get(module).unwrap_or_else(|| panic!("{name}: module {module} has no floor in the table"));
        for (line, import) in imports(&text) {
            if import != module && !allowed.contains(&import.as_str()) {
                faults.push(format!("{name}:{line}: {module} may not import {import}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_stay_rooms() {
    let excused: BTreeMap<_, _> = LONG_FILES.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        match excused.get(name.as_str()) {
            None if lines > FILE_LINES_MAX => faults.push(format!("{name}: {lines} lines, at most {FILE_LINES_MAX}")),
            Some(&most) if lines > most => faults.push(format!("{name}: grew to {lines} lines from {most}")),
            Some(_) if lines <= FILE_LINES_MAX => faults.push(format!("{name}: no longer long, take it off the list")),
            _ => {}
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "no `//!` on the first line: {silent:?}");
}

#[test]
fn allows_carry_reasons() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let rest: String = text.lines().skip(number).take(6).collect();
            if line.trim_start().starts_with("#[allow(") && !rest.contains("reason = ") {
                faults.push(format!("{name}:{}: allow without a reason", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn tests_are_not_skipped() {
    let tests = root().join("tests");
    let mut all = sources();
    for path in rust_files(&tests) {
        all.insert(path.display().to_string(), fs::read_to_string(&path).expect("UTF-8"));
    }
    let word = ["#[", "ignore"].concat();
    let skipped: Vec<_> = all.iter().filter(|(_, text)| text.contains(&word)).map(|(name, _)| name).collect();
    assert!(skipped.is_empty(), "skipped tests in {skipped:?}");
}
