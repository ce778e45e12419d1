//! Stacks: address space, cut into slots, handed out and taken back.
//!
//! A task's stack must be there in full from the start, since frames cannot be moved, yet cost no
//! more than the pages that it touches. So a stack is a range of *addresses* for which the kernel
//! finds memory page by page. Addresses come in *slabs*, one mapping each, so that a million
//! stacks are some 250 mappings of the 65,530 that a process may have:
//!
//! ```text
//!   slab     | slot 0 | slot 1 | slot 2 | ...  (16, 64, 256, 1024, then 4096 slots)
//!            ^ low addresses
//!
//!   slot     |<---------------- stride: an odd number of pages ----------------->|
//!            |  guard, 64 KiB   |        usable                  | colour, 1 page|
//!            |  any touch of it |<------------ size ------------>|               |
//!            |  is a SIGSEGV    |                                     |          |
//!            ^ guard            ^ limit                          base ^          ^ next slot
//!                                 ... <- the stack grows this way <-- |
//!                                                                     |<-------->|
//!                                                              (ordinal % 32) * 64 bytes
//! ```
//!
//! *Guard.* The last thing a runaway recursion should do is write over its neighbour, so the slot
//! below ends where this one's guard begins, and a guard is longer than the frames of C code that
//! does not probe its stack. Guards are set when a slot is first handed out, and last. See
//! [`Guard`] for the two kinds.
//!
//! *Colour.* The top of a stack is what a switch touches. All slots start on a page boundary, so
//! without colours all tops would compete for the same few sets of the L1 cache: a round of 1,000
//! tasks took 15.4 ns a switch so, and 3.5 with colours. The ordinal counts the slots of a size
//! through all its slabs. The page that colours take from is added to the size, so the size asked
//! for is always there.
//!
//! *Stride.* With a power of two, the page-table entries of all tops would in turn compete for the
//! same sets: 35 ns a switch among 30,000 in random order, against 25 at an odd number of pages.
//! Where guard, size and colour come to an even number, a page is added, which is usable too.
//!
//! # Who may do what
//!
//! A [`Pool`] and its [`Stack`]s belong to one thread and stay there, as started tasks do; nothing
//! here is shared but by a signal handler on that same thread, which gets [`Slabs`] and may call
//! [`Slabs::find`]. A `Stack` owns its slot: slots are in use by one owner at a time because
//! `Stack` is not `Clone`. Slabs are never unmapped while a slot of theirs is out.
//!
//! A stack that was given back is *cold*: its memory has gone back to the kernel, and to touch it
//! again costs a page fault. Reuse of warm stacks is worth 4 µs against 13 ns, but is the business
//! of the layer above, which keeps idle coroutines whole.
//!
//! # Limits
//!
//! A slot of the default size takes 324 KiB of the 128 TiB of addresses: 1,000,000 take 0.3 %.
//! `MAP_NORESERVE` keeps them out of the commit limit (overcommit modes 0 and 1). What can run out,
//! and what the error then names, is `ulimit -v`, mode 2's commit limit, and on the protection path
//! `vm.max_map_count`.

mod error;
mod guard;
mod layout;
mod pool;
mod room;
mod slab;
#[expect(clippy::module_inception, reason = "the type is what the module is about")]
mod stack;
#[cfg(test)]
mod tests;

pub(crate) use guard::Guard;
pub(crate) use pool::Pool;
pub(crate) use room::Room;
pub(crate) use slab::{Cursor, Slabs, Slot};
pub(crate) use stack::Stack;

/// Usable bytes of a task's stack unless its builder says otherwise.
pub(crate) const DEFAULT_SIZE: usize = 256 * 1024;

/// Bytes below each stack that fault. Rust and most C compilers probe each page of a large frame;
/// C code that does not may jump over one page, hardly over sixteen.
pub(crate) const GUARD_SIZE: usize = 64 * 1024;

/// Usable bytes of the stack that the root of `run` gets: what a main thread has, since ported
/// programs may be deep there.
pub(crate) const ROOT_SIZE: usize = 8 * 1024 * 1024;

/// The smallest stack there is; smaller requests get this.
///
/// Any task may panic, and a panic with its message takes 14 KiB; a dump may then have to capture
/// a backtrace, 5 KiB; and a signal handler without a stack of its own may come at any time, whose
/// frame is 3 KiB with AVX-512 registers. Together 22 KiB; the rest, 10 KiB, is for the task.
/// 16 KiB would turn the first panic into an overflow, that is into an abort.
pub(crate) const MIN_SIZE: usize = 32 * 1024;

/// The most that can be asked for: above it one stack would take a good part of a 47-bit address space.
pub(crate) const MAX_SIZE: usize = 1 << 40;

const _: () = assert!(MIN_SIZE <= DEFAULT_SIZE && DEFAULT_SIZE <= ROOT_SIZE);
