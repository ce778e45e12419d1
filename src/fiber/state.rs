//! The state word: what anyone may tell a task, and what it has told everyone.
//!
//! ```text
//!   bit        set by                      cleared by
//!   WAKE       the one claimer of its wait  home, when it drains          ┐
//!   NOTIFY     unpark, wakers               home, when it drains          │ pending: the task is in
//!   CANCEL     cancel()                     home, when it drains          ┘ (or on its way to) the inbox
//!   DUMP       home, before it asks         home, after the answer: no message, nobody pushes for it
//!   HELD       creation                     home, when it starts the task
//!   DONE       home, at the end             never
//!   CANCELLED  cancel()                     never (level-triggered)
//!   EXPIRED    whoever trips a frame        home, when it closes the frame (see `park::frames`)
//!   SEEDED     home, in a seeded run        never
//! ```
//!
//! Who turns the first pending bit on pushes the header on the inbox; who finds one on knows that it is
//! there already. A HELD task has no home yet: nobody pushes it, its starter looks at the word. A DONE
//! task is in no inbox for a reason that came later.
//!
//! Every bit but WAKE comes with a reference to the task, given to the drainer by whoever turned that
//! bit on. (A WAKE needs none: a task that somebody has claimed cannot end before it is woken.)
//!
//! | `post` finds | it does | returns |
//! |---|---|---|
//! | DONE | nothing | `Post::Gone`: keep your reference |
//! | the bit on | nothing but the sticky part | `Post::Merged`: keep your reference |
//! | HELD, or another pending bit | sets the bit | `Post::Given`: your reference is given, do not push |
//! | none of these | sets the bit | `Post::Push`: your reference is given, push the header |

use crate::util::atomic::{AtomicU32, Ordering};

/// The wait that the task is in has been claimed, and here is its wake.
pub(crate) const WAKE: u32 = 1;
/// Something that the task may be looking at has changed.
pub(crate) const NOTIFY: u32 = 1 << 1;
/// The task has been cancelled.
pub(crate) const CANCEL: u32 = 1 << 2;
/// The home worker resumes the task to be told what it waits for (see `sched::dump`).
pub(crate) const DUMP: u32 = 1 << 3;
const PENDING: u32 = WAKE | NOTIFY | CANCEL;
const HELD: u32 = 1 << 4;
const DONE: u32 = 1 << 5;
const CANCELLED: u32 = 1 << 6;
const EXPIRED: u32 = 1 << 7;
const SEEDED: u32 = 1 << 8;

/// What to do after [`State::post`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Post {
    /// The reference is given; push the header on the home worker's inbox.
    Push,
    /// The reference is given; somebody else pushes, or the starter will look.
    Given,
    /// Nothing to do, the reference stays with the caller.
    Merged,
    /// The task has ended, the reference stays with the caller.
    Gone,
}

/// The state word of one task.
#[derive(Debug)]
pub(crate) struct State(AtomicU32);

impl State {
    /// A task that has not started.
    pub(crate) fn held() -> State {
        State(AtomicU32::new(HELD))
    }

    /// Leaves a wake. True: push the header on the home worker's inbox.
    ///
    /// Only the one who claimed the task's wait calls this, so the task is started and not done.
    #[must_use]
    pub(crate) fn post_wake(&self) -> bool {
        // AcqRel: Release publishes the outcome that the claimer wrote, to `drain`'s Acquire.
        let before = self.0.fetch_or(WAKE, Ordering::AcqRel);
        debug_assert_eq!(before & (WAKE | HELD | DONE), 0, "two wakes for one wait");
        before & PENDING == 0
    }

    /// Leaves `bit` (NOTIFY or CANCEL); see the table above.
    pub(crate) fn post(&self, bit: u32) -> Post {
        debug_assert!(bit == NOTIFY || bit == CANCEL);
        self.post_with(bit, if bit == CANCEL { CANCELLED } else { 0 })
    }

    /// As [`post`](State::post) of CANCEL, but what is behind it is a frame of the task's, not the task.
    pub(crate) fn post_expired(&self) -> Post {
        self.post_with(CANCEL, EXPIRED)
    }

    fn post_with(&self, bit: u32, sticky: u32) -> Post {
        let mut post = Post::Gone;
        // AcqRel: Release publishes what the poster wrote before (a token, a value), to `drain`'s and
        // `start`'s Acquire. Relaxed on failure: the closure looks at nothing else.
        let _ = self.0.try_update(Ordering::AcqRel, Ordering::Relaxed, |now| {
            post = match now {
                _ if now & DONE != 0 => Post::Gone,
                _ if now & bit != 0 => Post::Merged,
                _ if now & (HELD | PENDING) != 0 => Post::Given,
                _ => Post::Push,
            };
            match post {
                Post::Gone => None,
                // Written even when merged: the Release above must reach the drainer.
                _ => Some(now | bit | sticky),
            }
        });
        post
    }

    /// The home worker has taken the header out of its inbox: the pending bits, now cleared.
    pub(crate) fn drain(&self) -> u32 {
        // AcqRel: Acquire pairs with the Release in `post` and `post_wake`; Release so that a poster who
        // finds no pending bit, and pushes again, does so after the inbox link was read.
        self.0.fetch_and(!PENDING, Ordering::AcqRel) & PENDING
    }

    /// The home worker starts the task: the bits that were left for it meanwhile.
    pub(crate) fn start(&self) -> u32 {
        // As in `drain`.
        self.0.fetch_and(!(PENDING | HELD), Ordering::AcqRel) & PENDING
    }

    /// The task has ended.
    pub(crate) fn finish(&self) {
        // Relaxed: the bit publishes nothing; results travel through the join slot.
        self.0.fetch_or(DONE, Ordering::Relaxed);
    }

    /// Whether `cancel` was ever called.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        // Relaxed: a flag to act on, nothing is read because of it.
        self.0.load(Ordering::Relaxed) & CANCELLED != 0
    }

    /// Whether there may be something to throw: the task is cancelled, or a frame of it has expired.
    #[inline(always)]
    pub(crate) fn is_interrupted(&self) -> bool {
        // Relaxed: who acts on it looks closer.
        self.0.load(Ordering::Relaxed) & (CANCELLED | EXPIRED) != 0
    }

    /// As [`is_interrupted`](State::is_interrupted), or the task is asked what it is doing.
    #[inline(always)]
    pub(crate) fn is_interrupted_or_asked(&self) -> bool {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed) & (CANCELLED | EXPIRED | DUMP) != 0
    }

    /// The home worker is about to ask the suspended task what it is doing; or has its answer.
    pub(crate) fn set_asked(&self, asked: bool) {
        // Relaxed, both: the home worker's own.
        match asked {
            true => self.0.fetch_or(DUMP, Ordering::Relaxed),
            false => self.0.fetch_and(!DUMP, Ordering::Relaxed),
        };
    }

    /// Whether a suspension point that need not wait has more to do than to go on: as [`is_interrupted`](State::is_interrupted),
    /// or the task is one of a seeded run. (One test for both, so that seeded runs cost nothing where there are none.)
    #[inline(always)]
    pub(crate) fn is_of_interest(&self) -> bool {
        // Relaxed: as above; SEEDED is the home worker's own.
        self.0.load(Ordering::Relaxed) & (CANCELLED | EXPIRED | SEEDED) != 0
    }

    /// The home worker is a simulated one.
    pub(crate) fn set_seeded(&self) {
        // Relaxed: as in `is_of_interest`.
        self.0.fetch_or(SEEDED, Ordering::Relaxed);
    }

    /// Whether some frame of the task may have expired.
    #[inline]
    pub(crate) fn is_expired(&self) -> bool {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed) & EXPIRED != 0
    }

    /// A frame of the task has expired: says the home worker, which delivers by itself.
    pub(crate) fn set_expired(&self) {
        // Relaxed: the home worker's own, like what it stands for.
        self.0.fetch_or(EXPIRED, Ordering::Relaxed);
    }

    /// The home worker takes EXPIRED off, and then looks whether it should still be on.
    pub(crate) fn clear_expired(&self) {
        // Acquire pairs with the Release in `post_with`: either the look that follows sees the flag of who has tripped
        // a frame, or his bit comes after this.
        self.0.fetch_and(!EXPIRED, Ordering::Acquire);
    }

    /// Sets the sticky bit alone, from the home worker, which delivers by itself.
    pub(crate) fn set_cancelled(&self) {
        // Relaxed: as in `is_cancelled`.
        self.0.fetch_or(CANCELLED, Ordering::Relaxed);
    }
}

#[cfg(all(test, loom))]
impl State {
    pub(super) fn check_last_use(&mut self) {
        self.0.with_mut(|_| {});
    }
}

/// How many references came with the bits that `drain` or `start` returned.
pub(crate) fn references(bits: u32) -> u32 {
    (bits & !WAKE).count_ones()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Every state word against every transition, by the table in the module's documentation.
    #[test]
    fn every_transition() {
        for word in 0..1u32 << 9 {
            let state = || State(AtomicU32::new(word));
            for bit in [NOTIFY, CANCEL] {
                let s = state();
                let post = s.post(bit);
                let after = s.0.into_inner();
                if word & DONE != 0 {
                    assert_eq!((post, after), (Post::Gone, word));
                    continue;
                }
                let sticky = if bit == CANCEL { CANCELLED } else { 0 };
                assert_eq!(after, word | bit | sticky);
                let want = if word & bit != 0 {
                    Post::Merged
                } else if word & (HELD | PENDING) != 0 {
                    Post::Given
                } else {
                    Post::Push
                };
                assert_eq!(post, want, "word {word:b} bit {bit:b}");
            }
            let s = state();
            let post = s.post_expired();
            let gone = word & DONE != 0;
            assert_eq!(post == Post::Gone, gone);
            assert_eq!(s.0.into_inner(), if gone { word } else { word | CANCEL | EXPIRED });
            let s = state();
            assert_eq!(s.drain(), word & PENDING);
            assert_eq!(s.0.into_inner(), word & !PENDING);
            let s = state();
            assert_eq!(s.start(), word & PENDING);
            assert_eq!(s.0.into_inner(), word & !PENDING & !HELD);
            let s = state();
            s.finish();
            assert_eq!(s.0.into_inner(), word | DONE);
            assert_eq!(state().is_cancelled(), word & CANCELLED != 0);
            assert_eq!(state().is_expired(), word & EXPIRED != 0);
            assert_eq!(state().is_interrupted(), word & (CANCELLED | EXPIRED) != 0);
            assert_eq!(state().is_interrupted_or_asked(), word & (CANCELLED | EXPIRED | DUMP) != 0);
            let s = state();
            s.set_asked(true);
            s.set_asked(false);
            assert_eq!(s.0.into_inner(), word & !DUMP);
            assert_eq!(state().is_of_interest(), word & (CANCELLED | EXPIRED | SEEDED) != 0);
            let s = state();
            s.set_seeded();
            assert_eq!(s.0.into_inner(), word | SEEDED);
            let s = state();
            s.clear_expired();
            assert!(!s.is_expired());
            assert_eq!(s.0.into_inner(), word & !EXPIRED);
            if word & (WAKE | HELD | DONE) == 0 {
                let s = state();
                assert_eq!(s.post_wake(), word & PENDING == 0);
                assert_eq!(s.0.into_inner(), word | WAKE);
            }
        }
    }

    #[test]
    fn a_reference_for_each_bit_but_wake() {
        assert_eq!(references(0), 0);
        assert_eq!(references(WAKE), 0);
        assert_eq!(references(WAKE | NOTIFY), 1);
        assert_eq!(references(NOTIFY | CANCEL), 2);
    }
}
