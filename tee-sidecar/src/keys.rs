//! Where keys are born.
