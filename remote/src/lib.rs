//! The remotes of `pipe`: stores elsewhere, in a folder or in object storage, to which studies are pushed and from which they are
//! pulled.
//!
//! Everything asynchronous stays inside: each [`Remote`] has a runtime of its own on the thread that calls it.

#![warn(missing_docs)]
#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests damage files"))]

mod bucket;
mod closure;
mod connect;
mod error;
mod fetch;
mod format;
mod gc;
mod keys;
mod layout;
mod meter;
mod object;
mod place;
mod probe;
#[cfg(any(test, feature = "cloud"))]
mod profile;
mod pull;
mod push;
mod reach;
mod read_through;
mod remote;
mod remotes;
mod sign;
mod staged;
mod studies;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod upload;

pub use closure::Without;
pub use error::{Conflict, RemoteError};
pub use fetch::{Fetched, fetch_study};
pub use gc::{GcDone, GcOptions};
pub use keys::{SecretKey, Signer};
pub use meter::Progress;
pub use place::Place;
pub use probe::Probe;
pub use pull::Pulled;
pub use push::{PushOptions, Pushed};
pub use read_through::{Came, ReadThrough};
pub use remote::Remote;
pub use remotes::{Record, Remotes};
pub use studies::RemoteStudy;
