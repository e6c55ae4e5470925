//! Header fields as octet ranges.
