//! Several closures at once, all results together.
//!
//! Each closure is a task of its own; the caller waits for all of them, so they may borrow from it. A panic of one
//! reaches the caller when all have ended: the first in order of input. If the caller is cancelled while it waits,
//! so are they, and it still waits for their end.
//!
//! All of it is made of scopes, which is what makes the borrowing sound.

#![forbid(unsafe_code)]

mod fallible;
mod iter;
mod tuple;

pub use self::fallible::try_gather;
pub use self::iter::{gather, gather_limit, gather_results};
#[doc(hidden)]
pub use self::tuple::{TryTuple, Tuple, TupleLocal};
