//! Which renditions a message needs: one per distinct treatment, and one of its own for every hidden recipient, so that neither a
//! key id nor an envelope shared with others betrays him (P5). Never renders.

use crate::policy::{Disposition, RecipientRuling, Treatment};

/// Whether a recipient is named where the others can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// In To or Cc.
    Named,
    /// In the envelope alone (Bcc).
    Hidden,
}

/// One rendition to make: these recipients get the same octets in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Indices into the envelope's recipients.
    pub recipients: Vec<u32>,
    /// What is done to the octets.
    pub treatment: Treatment,
}

/// Groups the recipients that a ruling delivers to. `visibility` goes with the ruling entry by entry.
pub fn plan(ruling: &[RecipientRuling], visibility: &[Visibility]) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    let mut shared: Vec<usize> = Vec::new();
    for (index, (entry, visible)) in (0u32..).zip(ruling.iter().zip(visibility)) {
        let Disposition::Deliver(treatment) = entry.disposition else { continue };
        if *visible == Visibility::Hidden {
            planned.push(Planned { recipients: vec![index], treatment });
            continue;
        }
        match shared.iter().find(|&&at| planned[at].treatment == treatment) {
            Some(&at) => planned[at].recipients.push(index),
            None => {
                shared.push(planned.len());
                planned.push(Planned { recipients: vec![index], treatment });
            }
        }
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Format::{OpenPgp, Smime};
    use Visibility::{Hidden, Named};

    fn check(entries: &[(Disposition, Visibility)], expected: &[(&[u32], Treatment)]) {
        let ruling: Vec<_> =
            entries.iter().map(|(d, _)| RecipientRuling { disposition: d.clone(), why: Vec::new() }).collect();
        let visibility: Vec<_> = entries.iter().map(|(_, v)| *v).collect();
        let expected: Vec<_> =
            expected.iter().map(|(r, t)| Planned { recipients: r.to_vec(), treatment: *t }).collect();
        assert_eq!(plan(&ruling, &visibility), expected);
    }

    #[test]
    fn one_rendition_per_distinct_treatment() {
        let to = |t| Disposition::Deliver(t);
        check(
            &[
                (to(Treatment::Plain), Named),
                (to(Treatment::Encrypt(Smime)), Named),
                (to(Treatment::Plain), Named),
                (to(Treatment::Encrypt(OpenPgp)), Named),
                (to(Treatment::Encrypt(Smime)), Named),
            ],
            &[(&[0, 2], Treatment::Plain), (&[1, 4], Treatment::Encrypt(Smime)), (&[3], Treatment::Encrypt(OpenPgp))],
        );
    }

    #[test]
    fn hidden_recipients_stand_alone() {
        let to = |t| Disposition::Deliver(t);
        check(
            &[
                (to(Treatment::SignAndEncrypt(Smime)), Hidden),
                (to(Treatment::SignAndEncrypt(Smime)), Named),
                (to(Treatment::SignAndEncrypt(Smime)), Hidden),
                (to(Treatment::Sign(Smime)), Hidden),
                (to(Treatment::Sign(Smime)), Named),
                (to(Treatment::SignAndEncrypt(Smime)), Named),
                (to(Treatment::Plain), Hidden),
                (to(Treatment::Plain), Hidden),
            ],
            &[
                (&[0], Treatment::SignAndEncrypt(Smime)),
                (&[1, 5], Treatment::SignAndEncrypt(Smime)),
                (&[2], Treatment::SignAndEncrypt(Smime)),
                (&[3], Treatment::Sign(Smime)),
                (&[4], Treatment::Sign(Smime)),
                (&[6], Treatment::Plain),
                (&[7], Treatment::Plain),
            ],
        );
    }

    #[test]
    fn refused_recipients_get_nothing() {
        check(&[(Disposition::Refuse { text: "no".into() }, Named)], &[]);
    }
}
