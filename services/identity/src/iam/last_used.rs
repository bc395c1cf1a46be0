//! When keys, roles and services were last used, as the kernel has recorded it.
//!
//! A time is up to a few minutes old ([`tenantry_kernel::Used`]); it is never made up.

use serde_json::{Value, json};
use tenantry_core::{Result, Scope};
use tenantry_kernel::{Cx, KEY_USED, PRINCIPAL_USED, SERVICE_USED, Used};
use tenantry_store::{Batch, Expect, Kind, List, Row};

async fn read(cx: &Cx, scope: &Scope, kind: Kind, id: &str) -> Result<Option<Used>> {
    let row = cx.kernel.store().get(kind, scope, id).await?;
    Ok(row.as_ref().map(Row::body).transpose()?)
}

/// Of an access key.
///
/// # Errors
/// Internal.
pub(crate) async fn key(cx: &Cx, scope: &Scope, id: &str) -> Result<Option<Used>> {
    read(cx, scope, KEY_USED, id).await
}

/// Of a role, as `RoleLastUsed`: empty where its sessions never called anything.
///
/// # Errors
/// Internal.
pub(crate) async fn role(cx: &Cx, scope: &Scope, id: &str) -> Result<Value> {
    let used = read(cx, scope, PRINCIPAL_USED, id).await?;
    Ok(used.map_or_else(|| json!({}), |used| json!({ "LastUsedDate": used.time, "Region": used.region })))
}

/// Of services, by a user or a role.
///
/// # Errors
/// Internal.
pub(crate) async fn services(cx: &Cx, scope: &Scope, principal: &str) -> Result<Vec<Used>> {
    let rows = cx.kernel.store().list(&List::of(SERVICE_USED, scope).parent(principal)).await?;
    rows.iter().map(|row| Ok(row.body()?)).collect()
}

/// Forgets the uses of a key that goes away.
pub(crate) fn forget_key(batch: &mut Batch, scope: &Scope, id: &str) {
    batch.delete(KEY_USED, scope, id, Expect::Any);
}

/// Forgets the uses of a user or a role that goes away.
///
/// # Errors
/// Internal.
pub(crate) async fn forget_principal(cx: &Cx, batch: &mut Batch, scope: &Scope, id: &str) -> Result<()> {
    batch.delete(PRINCIPAL_USED, scope, id, Expect::Any);
    for row in cx.kernel.store().list(&List::of(SERVICE_USED, scope).parent(id)).await? {
        batch.delete(SERVICE_USED, scope, row.id, Expect::Any);
    }
    Ok(())
}
