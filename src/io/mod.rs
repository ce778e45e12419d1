//! Descriptors that park the task, not the thread.

pub(crate) mod descriptor;
