//! The page that shows studies while they run: a server on this machine alone, which reads the store and changes nothing.

mod request;
mod server;

pub(crate) use server::Server;
