//! What is in a program that cargo built, told for those who get it: a bill of materials
//! (CycloneDX) and the notices that the licences of its parts ask for.
//!
//! It reads what cargo says, and the licence files that packages bring along; nothing else. The
//! same lock file and the same sources give the same papers, to the byte.

mod bundled;
mod linked;
pub mod notices;
pub mod sbom;

pub use bundled::Bundled;
pub use linked::{Linked, Package};
