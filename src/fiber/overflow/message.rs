//! What the report says, put together without `core::fmt` and without a heap.

#![forbid(unsafe_code)]

use crate::fiber::Header;
use crate::sys::signal;

/// A task has come to the end of its own stack, of `size` bytes.
pub(super) fn task(task: &Header, size: usize) {
    let mut text = Text::new();
    text.add("\nlayby: ");
    text.task(task);
    text.add(" has overflowed its stack of ");
    text.size(size);
    text.add(
        "\nlayby: what recurses so deeply, or has such large frames, needs a larger stack: set \
         task::Builder::stack_size for a task, Builder::stack_size or LAYBY_STACK_SIZE (in bytes) for \
         all that ask for nothing else. The root of `run` has 8 MiB: give the deep part a task of its \
         own.\n",
    );
    text.flush();
}

/// A generator has come to the end of its stack; `within` is the task that resumed it.
pub(super) fn generator(within: Option<&Header>, size: usize) {
    let mut text = Text::new();
    text.add("\nlayby: a generator");
    if let Some(task) = within {
        text.add(", resumed by ");
        text.task(task);
    }
    text.add(" has overflowed its stack of ");
    text.size(size);
    text.add(
        "\nlayby: what recurses so deeply, or has such large frames, needs a larger stack: make it by \
         Generator::with_stack_size, or set LAYBY_STACK_SIZE (in bytes) for all that ask for nothing else.\n",
    );
    text.flush();
}

/// Bytes on their way to stderr. What does not fit goes out before the rest, so only its length limits
/// a message; but one that fits is one write, which other threads' output does not cut.
struct Text {
    bytes: [u8; Text::ROOM],
    len: usize,
}

impl Text {
    /// More than a message with names and paths of usual length. It lies on the signal stack.
    const ROOM: usize = 768;

    fn new() -> Text {
        Text { bytes: [0; Text::ROOM], len: 0 }
    }

    fn add(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            if self.len == Text::ROOM {
                self.flush();
            }
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
    }

    fn number(&mut self, number: u64) {
        // Enough for `u64::MAX`.
        let mut digits = [0; 20];
        let mut rest = number;
        let mut start = digits.len();
        for place in digits.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            start -= 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let digits = digits.get(start..).unwrap_or_default();
        self.add(core::str::from_utf8(digits).unwrap_or_default());
    }

    /// `task 'name' (#17), spawned at src/main.rs:5:9,`
    fn task(&mut self, task: &Header) {
        self.add("task ");
        if let Some(name) = &task.name {
            self.add("'");
            self.add(name);
            self.add("' (#");
            self.number(task.id);
            self.add(")");
        } else {
            self.add("#");
            self.number(task.id);
        }
        self.add(", spawned at ");
        self.add(task.spawned_at.file());
        self.add(":");
        self.number(task.spawned_at.line().into());
        self.add(":");
        self.number(task.spawned_at.column().into());
        self.add(",");
    }

    /// `262144 bytes (256 KiB)`. Sizes are whole pages.
    fn size(&mut self, bytes: usize) {
        self.number(bytes as u64);
        self.add(" bytes (");
        self.number(bytes as u64 / 1024);
        self.add(" KiB)");
    }

    fn flush(&mut self) {
        signal::write_stderr(self.bytes.get(..self.len).unwrap_or_default());
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 4096, u64::MAX] {
            let mut text = Text::new();
            text.number(number);
            assert_eq!(text.bytes[..text.len], *number.to_string().as_bytes());
        }
    }
}
