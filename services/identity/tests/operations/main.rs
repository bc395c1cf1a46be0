//! Operations of IAM, STS and Organizations through a kernel over the store in memory. Every answer
//! is held against AWS's model.

#![allow(clippy::unwrap_used, reason = "tests")]

mod access_keys;
mod coverage;
mod groups;
mod logins;
mod mfa;
mod organizations;
mod policies;
mod quotas;
mod reports;
mod roles;
mod sessions;
mod signed;
mod simulate;
mod sts;
mod user_credentials;
mod users;
mod world;
