//! Hosting: models, endpoints that serve them, batch transform, and the runtime API that invokes endpoints.
//!
//! In reading order: `container` (what a model comes to), `model`, `variant`, `config`, `record` (an endpoint's
//! row), `endpoint`, `update`, `deployment`, `serving` (what runs), `instance` (one sandbox that serves), `artifact`,
//! `connection`, `multi` (models of a multi-model container), `reconcile`, `route`, `invoke`, `respond`,
//! `asynchronous`, `capture`, `transform`.

mod artifact;
mod asynchronous;
mod capture;
mod config;
mod connection;
mod container;
mod deployment;
mod endpoint;
mod instance;
mod invoke;
mod model;
mod multi;
mod reconcile;
mod record;
mod respond;
mod route;
mod serving;
#[cfg(test)]
mod tests;
mod transform;
mod update;
mod variant;

use std::sync::Arc;

use tenantry_kernel::{OperationRow, Reconciler};

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    let runtime = vec![
        OperationRow::of::<invoke::InvokeEndpoint>(),
        OperationRow::of::<respond::InvokeEndpointWithResponseStream>(),
        OperationRow::of::<asynchronous::InvokeEndpointAsync>(),
    ];
    [model::table(), config::table(), endpoint::table(), update::table(), transform::table(), runtime].concat()
}

/// The reconcilers of this module.
#[must_use]
pub fn reconcilers(machinery: &Arc<crate::Machinery>) -> Vec<Arc<dyn Reconciler>> {
    vec![
        Arc::new(reconcile::Endpoints::new(machinery)),
        Arc::new(asynchronous::Invocations::default()),
        Arc::new(transform::Transforms::new(machinery)),
    ]
}
