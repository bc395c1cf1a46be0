//! Statements signed by a key made here: good ones, wrong ones, and mutations of good ones.

#![allow(clippy::unwrap_used, reason = "tests")]

mod jwt;
mod mutations;
mod saml;
mod signer;
mod wrapping;
