//! What asyncio has, in layby: tasks that begin later or at once, waiting for some of several, values that children inherit,
//! servers; the behaviour of Python's own tests where it applies; and the examples' output beside Python's.

#[path = "../common/mod.rs"]
mod common;

mod examples;
mod inherit;
mod later;
mod locks;
mod prefork;
mod queues;
mod runners;
mod serve;
mod wait;
