//! The mutating loop: takes seeds, bends them, calls the target. Deterministic for a given seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const ROUNDS: u64 = 4000;
const INPUT_BYTES_MAX: usize = 64 * 1024;

struct Random(u64);

impl Random {
    /// splitmix64 (Steele, Lea, Flood 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).expect("below n")
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs `target` on every seed, then on bent seeds. `tokens` are octets that matter to the grammar.
pub fn run(name: &str, seeds: &[&[u8]], tokens: &[&[u8]], target: fn(&[u8])) {
    let first = setting("SEALPOST_FUZZ_SEED").unwrap_or(1);
    let until = setting("SEALPOST_FUZZ_SECONDS").map(|s| Instant::now() + Duration::from_secs(s));
    let call = |input: &[u8], seed: u64| {
        if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
            let hex: String = input.iter().map(|b| format!("{b:02x}")).collect();
            panic!("{name}: seed {seed}, {} octets: {hex}", input.len());
        }
    };
    for seed in seeds {
        call(seed, 0);
        for end in 0..seed.len().min(512) {
            call(&seed[..end], 0);
        }
    }
    let mut round = 0;
    while until.map_or(round < ROUNDS, |end| Instant::now() < end) {
        let seed = first.wrapping_add(round);
        call(&bent(&mut Random(seed), seeds, tokens), seed);
        round += 1;
    }
}

fn bent(random: &mut Random, seeds: &[&[u8]], tokens: &[&[u8]]) -> Vec<u8> {
    let mut input = seeds.get(random.below(seeds.len())).map_or_else(Vec::new, |s| s.to_vec());
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        match random.below(7) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = u8::try_from(random.below(256)).expect("an octet"),
            2 => input.truncate(at),
            3 => {
                let end = (at + random.below(16)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let end = (at + random.below(64)).min(input.len());
                let copy = input[at..end].to_vec();
                for _ in 0..random.below(4) {
                    input.splice(at..at, copy.iter().copied());
                }
            }
            5 if !tokens.is_empty() => {
                let token = tokens[random.below(tokens.len())];
                input.splice(at..at, token.iter().copied());
            }
            _ => {
                let other = seeds.get(random.below(seeds.len())).copied().unwrap_or_default();
                let from = random.below(other.len() + 1);
                input.splice(at..at, other[from..].iter().copied().take(256));
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}
