//! A sidecar in this process, a scripted engine behind it, a client that sees raw bytes.

mod client;
mod engine;
mod process;
mod sidecar;

pub(crate) use client::{Conn, Response, get, post, sha256_hex};
pub(crate) use engine::{Engine, Step, chunk_event, sse, whole};
pub(crate) use process::Process;
pub(crate) use sidecar::{MODEL, Sidecar, api_key};
