//! The archive: segments, keys, evidence log. Append-only but for key slots; never delivers and never judges.
