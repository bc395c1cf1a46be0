//! Runs jobs and servers: `trait Compute`, the engine of this host, and what images and instance types mean on it.
//!
//! The engine knows no AWS operation: it is given a [`Workload`] with everything decided (command, mounts, limits, what it can
//! reach) and tells how it goes. Isolation is the `sandbox` crate's, decisions about traffic are the broker's, whose sockets a
//! workload's addresses lead to ([`Outbound`]).

mod builtin;
mod disk;
mod environment;
mod image;
mod instance;
mod interpreter;
mod launch;
mod local;
mod logs;
mod pool;
mod pump;
pub mod quota;
mod runtime;
mod supervise;
mod workload;

pub use environment::{Environment, EnvironmentError, Environments, LOCATION_VARIABLE};
pub use image::{Entry, Image, Images, ImagesError, UnknownImage};
pub use instance::{HostCapacity, InstanceType, MAX_PIDS, instance, limits_on};
pub use local::{LocalConfig, LocalEngine, uid_of};
pub use logs::{BYTES_PER_SECOND, MAX_BYTES, MAX_LINE};
pub use pool::{
    Ask, Class, Demand, ENDING_OVERCOMMIT, FORGOTTEN, Place, Pool, STANDING_ACCOUNT_SHARE, STANDING_CPU_OVERCOMMIT,
    STANDING_MEMORY_OVERCOMMIT, STANDING_SHARE, Waiting, Wake,
};
pub use tenantry_sandbox::{Capabilities, Isolation, files, maybe_become_jailer, prepare_host};
pub use workload::{
    BoxFuture, Compute, ComputeError, Duplex, Host, HostState, Limits, LogLine, Mount, Network, Outbound, WorkStatus, Workload,
    host_address, host_name,
};
