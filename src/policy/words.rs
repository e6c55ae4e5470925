//! The nearest known word, for faults that help. Never guesses on its own: the reader still refuses the unknown word.

/// Letters of a word that is compared; longer ones are no misspelling of ours.
const WORD_CHARS_MAX: usize = 40;

/// `did you mean ...?`, or all that is known.
pub(super) fn help(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let word: Vec<char> = word.to_lowercase().replace('-', "_").chars().collect();
    if word.len() > WORD_CHARS_MAX {
        return None;
    }
    let scored = known.iter().map(|k| (distance(&word, &k.replace('-', "_").chars().collect::<Vec<_>>()), *k));
    scored.min_by_key(|(d, _)| *d).filter(|(d, k)| *d <= k.len().div_ceil(3)).map(|(_, k)| k)
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours count one.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 { i + j } else { cheapest(&rows, a, b, i, j) };
        }
    }
    rows[a.len()][b.len()]
}

fn cheapest(rows: &[Vec<usize>], a: &[char], b: &[char], i: usize, j: usize) -> usize {
    let substitute = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
    let best = substitute.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
    if swapped { best.min(rows[i - 2][j - 2] + 1) } else { best }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_find_their_word_and_others_the_list() {
        let known = ["sign", "encrypt", "if-possible", "no_key"];
        for (word, near) in [
            ("encypt", Some("encrypt")),
            ("sgin", Some("sign")),
            ("Encrypt", Some("encrypt")),
            ("if_possible", Some("if-possible")),
            ("no-key", Some("no_key")),
            ("quarantine", None),
            ("", None),
            (&"e".repeat(41), None),
        ] {
            assert_eq!(nearest(word, &known), near, "{word}");
        }
        assert_eq!(help("x", &["a-word", "b-word"]), "known here: a-word, b-word");
    }
}
