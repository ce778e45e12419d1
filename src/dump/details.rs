//! What a waiting task says of what it waits for.

#![forbid(unsafe_code)]

use core::fmt;

/// What it says. `write!` to it: the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    pub(crate) text: String,
    pub(crate) lock: Option<LockAt>,
    /// Tasks that all have to end before the wait can.
    pub(crate) tasks: Vec<u64>,
}

/// A lock that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockAt {
    pub(crate) address: usize,
    pub(crate) holder: Holder,
}

/// Who holds a lock, as the lock itself knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The task whose id has these low 24 bits.
    Task(u32),
    /// A thread that is no task.
    Thread,
    /// So many share it.
    Readers(u32),
    /// Nobody, at this moment.
    Nobody,
}

impl Holder {
    /// How many bits of an id a lock has room for.
    pub(crate) const BITS: u32 = 24;
    const MASK: u64 = (1 << Holder::BITS) - 1;
    /// What a lock keeps for a thread that is no task. (Tasks with these bits in their ids are shown as such a thread; one in 16 million.)
    pub(crate) const THREAD: u32 = Holder::MASK as u32;

    /// What a lock keeps for a task.
    #[inline(always)]
    pub(crate) fn bits(id: u64) -> u32 {
        (id & Holder::MASK) as u32
    }

    /// Whether the task of that id may be it.
    pub(crate) fn may_be(self, id: u64) -> bool {
        self == Holder::Task(Holder::bits(id))
    }

    /// Out of what a lock has kept.
    pub(crate) fn of_bits(bits: u32) -> Holder {
        if bits == Holder::THREAD { Holder::Thread } else { Holder::Task(bits) }
    }
}

impl fmt::Write for Details {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.push_str(text);
        Ok(())
    }
}
