//! Officers and generations as rows for people and JSON, and what must be said when they change.

use crate::archive::{Archive, Error, Generation, Origin, describe};
use crate::gateway::drills::Drills;
use serde_json::{Value, json};
use std::sync::Arc;

/// Where a generation was made, in a word.
fn origin(generation: &Generation) -> &'static str {
    match generation.origin {
        Origin::Gateway => "gateway",
        Origin::Elsewhere => "elsewhere",
    }
}

/// One row for each officer.
pub fn list(generation: &Generation, drills: &Drills) -> Result<Vec<Value>, Error> {
    let row = |(at, officer): (usize, &crate::archive::keys::Officer)| {
        let described = describe(&officer.certificate)?;
        let proved = drills.of(&officer.fingerprint, generation.number);
        Ok(json!({
            "number": at + 1,
            "fingerprint": officer.fingerprint,
            "user_ids": described.user_ids,
            "encryption": described.encryption,
            "last_drill": proved.map(crate::clock::Timestamp::rfc3339),
            "generation": generation.number,
            "threshold": generation.threshold,
            "origin": origin(generation),
            "created": generation.created.rfc3339(),
        }))
    };
    generation.officers.iter().enumerate().map(row).collect()
}

/// What holds for all of them.
pub fn about(generation: &Generation) -> String {
    let made = match generation.origin {
        Origin::Gateway => "on the gateway's own host, which could have kept its secret",
        Origin::Elsewhere => "on another machine than the gateway",
    };
    format!(
        "generation {}: any {} of {} open it; made at {} {made}. X-Wing (X25519 with ML-KEM-768) is as strong as the weakest \
         encryption key above",
        generation.number,
        generation.threshold,
        generation.officers.len(),
        generation.created.rfc3339()
    )
}

/// What a new generation changes.
pub fn change(former: &Generation, made: &Generation) -> Value {
    let of = |generation: &Generation| -> Vec<String> {
        generation.officers.iter().map(|officer| officer.fingerprint.clone()).collect()
    };
    let (before, after) = (of(former), of(made));
    let without = |some: &[String], others: &[String]| -> Vec<String> {
        some.iter().filter(|officer| !others.contains(officer)).cloned().collect()
    };
    json!({
        "generation": made.number,
        "threshold": made.threshold,
        "origin": origin(made),
        "officers": after,
        "added": without(&after, &before),
        "removed": without(&before, &after),
    })
}

/// What stays open to whom when `made` has taken the place of `former`: nobody's copy can be taken back.
pub fn warnings(archive: &Archive, former: &Generation, made: &Generation) -> Result<Vec<String>, Error> {
    let status = archive.status(None)?;
    let sealed = format!("{} messages in {} segments", status.messages, status.segments);
    let older = archive.generations(former.number)?;
    let is_left = |fingerprint: &String| made.officers.iter().any(|officer| officer.fingerprint == *fingerprint);
    let mut warnings = Vec::new();
    let mut removed: Vec<&String> = older.iter().flat_map(|g| &g.officers).map(|o| &o.fingerprint).collect();
    removed.sort_unstable();
    removed.dedup();
    removed
        .retain(|fingerprint| former.officers.iter().any(|o| o.fingerprint == **fingerprint) && !is_left(fingerprint));
    for fingerprint in removed {
        for generation in taken_part(&older, fingerprint) {
            warnings.push(format!("{fingerprint} can still open {}", still(generation, former, &sealed)));
        }
    }
    if made.threshold > former.threshold {
        warnings.push(format!(
            "any {} of the former officers can still open what was sealed until now ({sealed}), with a copy of the archive or of \
             keys/generation-{}: the new threshold holds for what is sealed from now on",
            former.threshold, former.number
        ));
    }
    if !warnings.is_empty() {
        warnings.push(
            "not touched: sealed segments and their key wraps, all copies of the archive, and on this host journal files begun \
             before the next restart and the catalog, which keeps its key; restart the gateway, and remove catalog/ while it is \
             stopped, to have both made anew"
                .to_owned(),
        );
    }
    Ok(warnings)
}

/// The generations an officer was in, newest first, those left out that give nothing more than a newer one.
fn taken_part<'a>(generations: &'a [Arc<Generation>], fingerprint: &str) -> Vec<&'a Generation> {
    let mut found: Vec<&Generation> = Vec::new();
    for generation in generations.iter().rev() {
        let took_part = generation.officers.iter().any(|officer| officer.fingerprint == fingerprint);
        if took_part && found.iter().all(|newer| generation.threshold < newer.threshold) {
            found.push(generation);
        }
    }
    found
}

fn still(generation: &Generation, former: &Generation, sealed: &str) -> String {
    let what = match generation.number == former.number {
        true => format!("everything sealed until now ({sealed})"),
        false => format!("what was sealed until generation {} began", generation.number + 1),
    };
    let company = match generation.threshold {
        1 => "alone".to_owned(),
        2 => format!("together with one other officer of generation {}", generation.number),
        m => format!("together with {} other officers of generation {}", m - 1, generation.number),
    };
    format!(
        "{what}, {company}, with a copy of the archive; this cannot be taken back. What is sealed from now on stays closed to it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::ArchiveId;
    use crate::archive::keys::Officer;
    use crate::clock::Timestamp;

    fn generation(number: u32, threshold: u8, officers: &[&str]) -> Arc<Generation> {
        let officer = |name: &&str| Officer { fingerprint: (*name).to_owned(), certificate: Vec::new() };
        Arc::new(Generation {
            archive: ArchiveId::from_octets([1; 16]),
            number,
            public: Vec::new(),
            origin: Origin::Elsewhere,
            threshold,
            officers: officers.iter().map(officer).collect(),
            subsets: Vec::new(),
            created: Timestamp::from_s(0),
            older: Vec::new(),
        })
    }

    #[test]
    fn what_stays_open_is_what_gives_more_than_a_newer_generation() {
        let all = [
            generation(1, 1, &["A"]),
            generation(2, 3, &["A", "B", "C"]),
            generation(3, 2, &["A", "B", "C"]),
            generation(4, 2, &["B", "C"]),
        ];
        for (officer, expected) in [("A", vec![3, 1]), ("B", vec![4]), ("D", vec![])] {
            let numbers: Vec<u32> = taken_part(&all, officer).iter().map(|g| g.number).collect();
            assert_eq!(numbers, expected, "{officer}");
        }
        assert!(still(&all[2], &all[2], "x").contains("everything sealed until now (x), together with one other"));
        assert!(
            still(&all[1], &all[2], "x")
                .contains("until generation 3 began, together with 2 other officers of generation 2")
        );
        assert!(still(&all[0], &all[2], "x").contains("until generation 2 began, alone"));
        let changed = change(&all[2], &all[3]);
        assert_eq!((&changed["removed"], &changed["added"]), (&json!(["A"]), &json!([])));
    }
}
