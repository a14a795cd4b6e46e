//! The engine behind us.
