//! The kernel: the only request path.
//!
//! A request enters at [`Kernel::serve`] and an internal call at [`Kernel::call`]; both run an
//! [`Operation`] of a service's table, whose handler cannot be reached without the [`Permit`] that only
//! authorization makes. Long-running work enters at [`Reconciler::step`] and acts by internal calls.
//!
//! What is not here: sockets (the front), wire formats (wire), the judging of policies (policy),
//! SQL (store), and every AWS service.

mod access;
mod addressing;
pub mod audit;
mod authenticate;
mod authorize;
mod body;
mod clock;
mod context;
mod credential;
mod cx;
mod declared;
pub mod directory;
mod door;
mod explain;
mod form_policy;
mod form_upload;
mod kernel;
mod last_used;
mod operation;
mod payload;
mod permit;
mod policies;
pub mod reconcile;
mod remembered;
mod sessions;
mod site;
mod temporary;

pub use access::{Check, Checks, Key, ResourcePolicy, tags_of};
pub use addressing::is_region;
pub use audit::DENIAL;
pub use authenticate::user_caller;
pub use body::{Body, channel, channel_with_trailers, collect, empty, full};
pub use clock::{Clock, Ids, ManualClock, SystemClock};
pub use credential::{Admission, Credential};
pub use cx::{Caller, Cx, NetworkOrigin, RequestInfo, SignedAs};
pub use declared::ARN_FORMATS;
pub use door::{Arrival, MAX_BUFFERED, MAX_DOCUMENT};
pub use explain::{CanReach, Reach, about_resource, lines, of_resource, role_caller, seen_by};
pub use kernel::{BrokerHandle, BrokerSpec, Brokers, CredentialsSource, Kernel, KernelBuilder};
pub use last_used::{KEY_USED, PRINCIPAL_USED, SERVICE_USED, Used};
pub use operation::{Access, Operation, OperationRow, Reply};
pub use permit::Permit;
pub use policies::{OrganizationView, PrincipalLayers, StoredPolicy};
pub use reconcile::{Next, Reconciler, StepFuture};
pub use sessions::{EXPIRY_QUEUE, SANDBOX_CREDENTIALS, ServiceSession, SessionExpiry, session_tags, store_session};
pub use site::{Page, PageFuture, Site, Visit};
