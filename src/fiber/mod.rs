//! A task as the scheduler sees it: a [`Header`], reached through counted [`FiberRef`]s, with its state
//! word, its join slot and, while it is started, the coroutine it runs on.
//!
//! ```text
//!   one allocation: TaskCell<F, T>                           the stack, from the home worker's pool
//!   ┌───────────────────────────────────────────────┐       ┌──────────────────────────────┐ high
//!   │ Header                                        │       │ carrier body (`carrier.rs`)  │
//!   │  home worker only: link, coroutine, locals, … │──────▶│  the task's closure          │
//!   │  anyone: state word, inbox link, refs, join   │       │   …                          │
//!   │  never written again: vtable, id, name, place │       │    park → suspend            │
//!   ├───────────────────────────────────────────────┤       │                              │
//!   │ closure, later result                         │       │ guard                        │
//!   └───────────────────────────────────────────────┘       └──────────────────────────────┘ low
//! ```
//!
//! Nothing here parks or schedules; that is for the layers above.

mod carrier;
pub(crate) mod cells;
mod header;
mod join;
mod locals;
#[cfg(all(test, loom))]
pub(crate) mod loom;
mod nest;
pub(crate) mod overflow;
mod reason;
mod state;

pub(crate) use carrier::{Carrier, Signal};
pub(crate) use header::{Attributes, FiberRef, Header, Run, Signals, TaskYielder, Vtable};
pub(crate) use join::{JoinSlot, Settled};
pub(crate) use locals::{Key, Locals, Lookup};
pub(crate) use nest::{Batch, Brood, Nest};
pub(crate) use reason::Reason;
pub(crate) use state::{CANCEL, NOTIFY, Post, State};
