//! Tests of the keyring as a whole: what is imported is stored, loaded and chosen.

mod files;
mod make;
mod openpgp;
mod smime;
mod stored;
