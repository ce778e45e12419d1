//! A stack for signal handlers: a handler for a stack overflow cannot run on the stack that has none left.
//!
//! Each thread has at most one, which the kernel switches to for handlers with `SA_ONSTACK`. std gives
//! one to the main thread and to those that it starts; a thread that C code has made usually has none.

use std::io;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::mem;

/// What handlers need beside the kernel's own frame. The overflow report takes 1.0 KiB in a release build and 1.7
/// in a debug build (measured on x86-64); std's handler, which it may pass on to, is made for as little.
const ROOM: usize = 4096;

/// What one of ours offers instead: it costs addresses, and the pages that are touched.
const AMPLE: usize = 64 * 1024;

/// While it lives, the thread has a signal stack that is large enough. What was there before comes back.
#[derive(Debug)]
pub(crate) struct SignalStack {
    /// `None`: the one that was there will do.
    own: Option<Own>,
    /// It is a thread's: neither `Send` nor `Sync`.
    _here: PhantomData<*mut ()>,
}

#[derive(Debug)]
struct Own {
    /// The mapping; its first page is a guard.
    map: NonNull<u8>,
    len: usize,
    /// What was there before.
    before: libc::stack_t,
}

impl SignalStack {
    /// Keeps the calling thread's signal stack, or gives it one.
    ///
    /// # Errors
    /// `ENOMEM`: no address space, or no mapping, is left for one.
    pub(crate) fn ensure() -> io::Result<SignalStack> {
        let keep = SignalStack { own: None, _here: PhantomData };
        let before = exchange(None)?;
        // One that is in use (this runs in a signal handler) cannot be exchanged.
        let in_use = before.ss_flags & libc::SS_ONSTACK != 0;
        let there = before.ss_flags & libc::SS_DISABLE == 0;
        if in_use || there && before.ss_size >= kernel_frame() + ROOM {
            return Ok(keep);
        }
        let page = mem::page_size();
        let len = page + (kernel_frame() + AMPLE).next_multiple_of(page);
        let map = mem::reserve(len)?;
        match arm(map, page, len) {
            Ok(()) => Ok(SignalStack { own: Some(Own { map, len, before }), ..keep }),
            Err(error) => {
                // SAFETY: our mapping, which has not come to be used.
                unsafe { mem::unmap(map, len) };
                Err(error)
            }
        }
    }
}

/// Makes the fresh mapping the thread's signal stack, but for its first page, which becomes the guard.
fn arm(map: NonNull<u8>, page: usize, len: usize) -> io::Result<()> {
    // SAFETY: the first page of the caller's mapping, which nobody uses yet.
    unsafe { mem::guard_protect(map, page) }?;
    // SAFETY: the mapping is longer than a page.
    let start = unsafe { map.add(page) };
    let new = libc::stack_t { ss_sp: start.as_ptr().cast(), ss_flags: 0, ss_size: len - page };
    exchange(Some(&new)).map(drop)
}

impl Own {
    /// Whether the thread's signal stack is still this one.
    fn is_current(&self, now: &libc::stack_t) -> bool {
        let range = self.map.addr().get()..self.map.addr().get() + self.len;
        now.ss_flags & libc::SS_DISABLE == 0 && range.contains(&now.ss_sp.addr())
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let Some(own) = &self.own else { return };
        let free = match exchange(None) {
            Ok(now) if own.is_current(&now) => exchange(Some(&own.before)).is_ok(),
            // Somebody has put his own in front, and may want to put this one back: to leak it is the
            // harmless mistake.
            _ => false,
        };
        if free {
            // SAFETY: our mapping; the kernel has just been told another stack, so no handler runs on it.
            unsafe { mem::unmap(own.map, own.len) };
        }
    }
}

/// The thread's signal stack, replaced by `new` if that is given.
fn exchange(new: Option<&libc::stack_t>) -> io::Result<libc::stack_t> {
    let mut old = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or says a range that is mapped and unused, or what was in force before;
    // `old` is a place for the answer.
    if unsafe { libc::sigaltstack(new, &raw mut old) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(old)
}

/// What the kernel puts on a signal stack before the handler runs: with wide vector registers, more than
/// C's constant says.
fn kernel_frame() -> usize {
    // SAFETY: takes a number; 0 if the kernel says nothing of it.
    let told = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    libc::MINSIGSTKSZ.max(usize::try_from(told).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn set(size: usize, flags: libc::c_int) -> libc::stack_t {
        let memory = Vec::leak(vec![0_u8; size]);
        let new = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: flags, ss_size: size };
        exchange(Some(&new)).unwrap();
        exchange(None).unwrap()
    }

    fn now() -> (usize, libc::c_int, usize) {
        let now = exchange(None).unwrap();
        (now.ss_sp.addr(), now.ss_flags, now.ss_size)
    }

    /// On a thread of its own, so that std's stack there is free to be replaced.
    fn on_a_thread(f: fn()) {
        thread::spawn(move || {
            let std = exchange(None).unwrap();
            f();
            exchange(Some(&std)).unwrap();
        })
        .join()
        .unwrap();
    }

    #[test]
    fn one_that_is_large_enough_is_kept() {
        on_a_thread(|| {
            set(kernel_frame() + ROOM, 0);
            let before = now();
            let stack = SignalStack::ensure().unwrap();
            assert!(stack.own.is_none());
            assert_eq!(now(), before);
            drop(stack);
            assert_eq!(now(), before);
        });
    }

    #[test]
    fn none_and_a_small_one_are_replaced_and_come_back() {
        on_a_thread(|| {
            for (size, flags) in [(0, libc::SS_DISABLE), (kernel_frame() + ROOM - 1, 0)] {
                set(size, flags);
                let before = now();
                let stack = SignalStack::ensure().unwrap();
                let (addr, flags, len) = now();
                assert_eq!(flags, 0);
                assert!(len >= kernel_frame() + AMPLE);
                assert!(mem::write_kills(addr - 1) && !mem::write_kills(addr));
                assert!(!mem::write_kills(addr + len - 1));
                drop(stack);
                assert_eq!(now(), before);
            }
        });
    }

    #[test]
    fn one_that_somebody_has_put_in_front_stays() {
        on_a_thread(|| {
            set(0, libc::SS_DISABLE);
            let stack = SignalStack::ensure().unwrap();
            let (ours, ..) = now();
            set(1 << 16, 0);
            let theirs = now();
            drop(stack);
            assert_eq!(now(), theirs);
            assert!(!mem::write_kills(ours));
        });
    }
}
