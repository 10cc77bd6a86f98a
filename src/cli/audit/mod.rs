//! The record for the auditor: what was inspected when, by what, with what verdict, and what a person said of it.

pub mod chain;
pub mod entry;
pub mod shifts;
