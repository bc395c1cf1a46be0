//! What temporary credentials of users may not call, whatever policies say.
//!
//! GetSessionToken's call no operation of IAM unless an MFA code was given for them, and of STS only
//! AssumeRole and GetCallerIdentity; GetFederationToken's call none of IAM, and of STS only
//! GetCallerIdentity. Sessions of roles are free of this. IAM answers as if it did not know the token.
//!
//! Source: "Compare AWS STS credentials", IAM User Guide.

use tenantry_core::{AwsError, Result};

use crate::{authenticate, cx::Caller, directory::SessionKind};

/// Refuses what the caller's kind of credentials may never call.
///
/// # Errors
/// `InvalidClientTokenId` of IAM, `AccessDenied` of STS.
pub(crate) fn refuse(caller: &Caller, service: &str, operation: &str) -> Result<()> {
    let Some(session) = &caller.session else { return Ok(()) };
    let federated = match &session.kind {
        SessionKind::Role { .. } => return Ok(()),
        SessionKind::Federated { .. } => true,
        SessionKind::User { .. } => false,
    };
    let denied = |text: String| Err(AwsError::new(403, "AccessDenied", text));
    match service {
        "iam" if federated || !session.mfa => Err(authenticate::invalid_key()),
        "sts" if operation == "GetCallerIdentity" => Ok(()),
        "sts" if federated => denied(format!("Cannot call {operation} with federated session credentials")),
        "sts" if operation != "AssumeRole" => denied(format!("Cannot call {operation} with session credentials")),
        _ => Ok(()),
    }
}
