//! The keyring: certificates and keys by address, with the reason for every choice. Private keys are sealed on disk.
//! Never signs and never encrypts.
