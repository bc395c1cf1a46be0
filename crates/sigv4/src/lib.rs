//! AWS Signature Version 4: verifying what clients present, and signing what the platform sends. Version 2 is verified where S3
//! still takes it: in the query ([`verify_v2`]) and under a browser's form.
//!
//! Pure: no I/O, no clock, no randomness. The caller hands in the request as it was received ([`Parts`]), looks the access
//! key up, and says what time it is. The steps are kept apart because the secret is only known after the access key:
//!
//! 1. [`present`] says what the request presents: nothing, a signature, or a fault. An unknown or doubled scheme is a
//!    fault and never "anonymous": a caller that only looks at the `Ok(None)` arm cannot let one through.
//! 2. [`SigningKey::derive`] makes the day's key from the secret that belongs to the presented access key.
//! 3. [`verify`] checks clock, scope, what had to be signed, and the signature itself in constant time.
//!
//! Git's credentials for CodeCommit are SigV4 in disguise and have their own type, [`GitPassword`].
//!
//! A body is the caller's to check where the signature covers only what the client *said* of it: see [`Payload`] and
//! [`ChunkDecoder`].
//!
//! Not here: looking keys up, binding a session token to its access key, whether the region and service of the scope are
//! those of the endpoint, and SigV4a, SigV2 in a header, or bearer tokens, which are refused.

mod canonical;
mod chunked;
mod fault;
mod git;
mod key;
mod policy;
mod present;
mod sign;
mod v2;
mod verify;

pub use canonical::normal_path;
pub use chunked::ChunkDecoder;
pub use fault::{Dialect, Fault};
pub use git::GitPassword;
pub use key::{SigningKey, constant_time_eq, sha256_hex};
pub use policy::{PostScope, verify_post_policy, verify_post_policy_v2};
pub use present::{Credentials, Form, Parts, Payload, Presented, present};
pub use sign::{Signer, presign, sign};
pub use v2::{PresentedV2, verify_v2};
pub use verify::verify;

/// The only algorithm that is served.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// SHA-256 of nothing, in hexadecimal: the payload hash of a request without a body.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// What stands for the payload's hash when the payload is not signed (S3 only).
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The services whose paths are encoded once and never normalised, and whose payload may be left unsigned.
#[must_use]
pub fn is_s3(service: &str) -> bool {
    matches!(service, "s3" | "s3express" | "s3-object-lambda" | "s3-outposts")
}
