//! Select's claim word: one for a wait that is in several queues at once.
//!
//! ```text
//!            claim(i), by the waker of queue i, under that queue's lock
//!   OPEN ────────────────────────────────────────▶ CLAIMED(i)
//!     │      withdraw(), by the waiter
//!     └──────────────────────────────────────────▶ WITHDRAWN
//! ```
//! Each of the select's nodes refers to the word, on the same frame. A waker finds a node in its queue and, still
//! under the lock, claims: won, it unlinks the node, and has the lease (rule 4); lost, it skips the node, which its waiter
//! will unlink. So the word decides what unlinking decides elsewhere (rule 3). The waiter, woken or withdrawn, takes the other
//! nodes out of their queues, under each lock, before the frame goes: from then on nobody sees the word.

use crate::util::atomic::{AtomicUsize, Ordering};

const OPEN: usize = usize::MAX;
const WITHDRAWN: usize = usize::MAX - 1;

/// The word.
#[derive(Debug)]
pub(crate) struct Claim(AtomicUsize);

impl Claim {
    pub(crate) fn new() -> Claim {
        Claim(AtomicUsize::new(OPEN))
    }

    /// Under the lock of queue `index`, in which a node of this wait is. True: the wait is the caller's to end.
    #[must_use]
    pub(crate) fn claim(&self, index: usize) -> bool {
        debug_assert!(index < WITHDRAWN);
        // Relaxed: what the waiter wrote before it linked its nodes comes by the queue's lock, and what the
        // claimer writes goes by the push.
        self.0.compare_exchange(OPEN, index, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// By the waiter. False: a waker has claimed, its wake is coming.
    #[must_use]
    pub(crate) fn withdraw(&self) -> bool {
        // Relaxed: the locks under which the nodes are unlinked order the rest.
        self.0.compare_exchange(OPEN, WITHDRAWN, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether a claim would have won just now.
    pub(crate) fn is_open(&self) -> bool {
        // Relaxed: only a look. Who acts on it claims first.
        self.0.load(Ordering::Relaxed) == OPEN
    }

    /// By the waiter, after its wake: which queue it was.
    pub(crate) fn winner(&self) -> Option<usize> {
        // Relaxed: read after the wake.
        Some(self.0.load(Ordering::Relaxed)).filter(|&word| word < WITHDRAWN)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_picture() {
        let claim = Claim::new();
        assert_eq!(claim.winner(), None);
        assert!(claim.is_open() && claim.claim(3) && !claim.is_open());
        assert!(!claim.claim(4));
        assert!(!claim.withdraw());
        assert_eq!(claim.winner(), Some(3));

        let claim = Claim::new();
        assert!(claim.withdraw());
        assert!(!claim.claim(0));
        assert_eq!(claim.winner(), None);
    }
}
