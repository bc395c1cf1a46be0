//! Temporary credentials: a session row, a secret and an opaque token, stored together or not at all.

use serde_json::{Value, json};
use tenantry_core::{Result, Secret};
use tenantry_kernel::{Cx, Ids, directory::Session, store_session};
use tenantry_store::{Batch, CommitError};

/// Characters of a session token.
const TOKEN: usize = 356;

/// Gives a session its keys, stores it with what `batch` holds, and answers the `Credentials` member.
/// `None` where a row that `batch` expects has changed meanwhile.
///
/// # Errors
/// When the store fails.
pub(crate) async fn issue(cx: &Cx, mut session: Session, mut batch: Batch) -> Result<Option<Value>> {
    session.access_key = Ids::access_key("ASIA");
    let (secret, token) = (Ids::secret_key(), Ids::token(TOKEN));
    let credentials = json!({
        "AccessKeyId": session.access_key,
        "SecretAccessKey": secret.expose(),
        "SessionToken": token,
        "Expiration": session.expires,
    });
    store_session(&mut batch, &session, secret, Secret::new(token))?;
    match cx.commit(batch).await {
        Ok(()) => Ok(Some(credentials)),
        Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}
