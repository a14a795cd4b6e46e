//! Request to receipt.
