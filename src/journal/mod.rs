//! The journal: the durable queue and the hot tail of the archive in one. Never interprets a ruling, never opens a segment.
