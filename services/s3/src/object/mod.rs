//! Objects: their versions, what is stored beside the bytes, and the operations on one of them.

pub(crate) mod acl;
pub(crate) mod attributes;
pub(crate) mod condition;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod details;
pub(crate) mod get;
pub(crate) mod install;
pub(crate) mod put;
pub(crate) mod range;
pub(crate) mod remove;
pub(crate) mod tagging;
pub(crate) mod version;
