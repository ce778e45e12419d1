//! One queue: three channels.

use std::sync::Arc;

use super::items::Items;
use crate::channel::shared::{Channel, Side};
use crate::channel::{RecvError, SendError, TryRecvError, TrySendError};
use crate::park::{self, Deadline, Mask};
use crate::sched;
use crate::util::atomic::{AtomicUsize, Ordering};

pub(super) struct Queue<I> {
    store: Channel<Store<I>>,
    /// Who has the store, as [`me`]; or 0.
    holder: AtomicUsize,
    ready: Channel<()>,
    room: Option<Channel<()>>,
}

/// The caller, as a number that nobody else has who is alive.
fn me() -> usize {
    thread_local! {
        static HERE: u8 = const { 0 };
    }
    match sched::current() {
        Some((worker, _)) => worker.running().addr().get(),
        None => HERE.with(|here| core::ptr::from_ref(here).addr()),
    }
}

/// What the lock guards.
struct Store<I> {
    items: I,
    /// How many were put and are not done.
    unfinished: usize,
    /// Disconnected when `unfinished` becomes 0. Made by the first who waits for that.
    finished: Option<Arc<Channel<()>>>,
    shut: bool,
}

/// The lock. When it goes, it counts.
struct Locked<'a, I: Items> {
    queue: &'a Queue<I>,
    /// Here until the drop.
    store: Option<Store<I>>,
    /// How many items there were.
    before: usize,
    /// How many items `ready` has messages for, with those that are in hands.
    ready: usize,
    /// How many messages `room` has, but for those of others that are in hands.
    places: usize,
    _mask: Mask,
}

impl<I: Items> Queue<I> {
    #[track_caller]
    pub(super) fn new(capacity: Option<usize>) -> Queue<I> {
        assert_ne!(capacity, Some(0), "a queue without room");
        let store = Channel::new(Some(1));
        let empty = Store { items: I::default(), unfinished: 0, finished: None, shut: false };
        let put = store.try_put(empty);
        debug_assert!(put.is_ok(), "it has room for one");
        let room = capacity.map(|places| Channel::new(Some(places)));
        Queue { store, holder: AtomicUsize::new(0), ready: Channel::new(None), room }
    }

    /// No suspension point.
    #[track_caller]
    fn lock(&self) -> Locked<'_, I> {
        let (mask, me) = (Mask::new(), me());
        let store = self.store.try_take().unwrap_or_else(|_| {
            // Relaxed: the caller's number is there only if the caller has written it.
            let held_by_me = self.holder.load(Ordering::Relaxed) == me;
            assert!(!held_by_me, "the `Ord` of a queue's items uses that queue");
            match self.store.recv(|| Deadline::NEVER) {
                Ok(store) => store,
                Err(_) => unreachable!("nobody leaves the store's channel"),
            }
        });
        self.holder.store(me, Ordering::Relaxed); // as above
        let len = store.items.len();
        Locked { queue: self, store: Some(store), before: len, ready: len, places: len, _mask: mask }
    }

    pub(super) fn put(&self, item: I::Item) -> Result<(), SendError<I::Item>> {
        match &self.room {
            None => park::spend_budget(1),
            Some(room) => {
                if room.send((), || Deadline::NEVER).is_err() {
                    return Err(SendError(item));
                }
            }
        }
        self.put_into_place(item)
    }

    pub(super) fn try_put(&self, item: I::Item) -> Result<(), TrySendError<I::Item>> {
        match &self.room {
            None => park::spend_budget(1),
            Some(room) => match room.try_send(()) {
                Ok(()) => {}
                Err(TrySendError::Full(())) => return Err(TrySendError::Full(item)),
                Err(TrySendError::Disconnected(())) => return Err(TrySendError::Disconnected(item)),
            },
        }
        self.put_into_place(item).map_err(|SendError(item)| TrySendError::Disconnected(item))
    }

    /// The place is the caller's.
    fn put_into_place(&self, item: I::Item) -> Result<(), SendError<I::Item>> {
        let mut locked = self.lock();
        locked.places += 1;
        let store = locked.store();
        if store.shut {
            return Err(SendError(item));
        }
        store.items.push(item);
        Ok(())
    }

    pub(super) fn get(&self) -> Result<I::Item, RecvError> {
        self.ready.recv(|| Deadline::NEVER).map_err(|_| RecvError)?;
        self.get_what_is_next().ok_or(RecvError)
    }

    pub(super) fn try_get(&self) -> Result<I::Item, TryRecvError> {
        self.ready.try_recv()?;
        self.get_what_is_next().ok_or(TryRecvError::Disconnected)
    }

    /// The caller has the right to an item. `None`: `shutdown_now` has taken all.
    fn get_what_is_next(&self) -> Option<I::Item> {
        let mut locked = self.lock();
        locked.ready = locked.ready.saturating_sub(1);
        locked.store().items.pop()
    }

    #[track_caller]
    pub(super) fn task_done(&self) {
        let was_there = self.lock().finish_one();
        assert!(was_there, "`task_done` was called more often than items were put");
    }

    pub(super) fn join(&self) {
        park::spend_budget(1);
        let mut locked = self.lock();
        let store = locked.store();
        if store.unfinished == 0 {
            return;
        }
        let finished = store.finished.get_or_insert_with(|| Arc::new(Channel::new(Some(0)))).clone();
        drop(locked);
        // Nothing is sent: it ends when the sender leaves.
        let _ = finished.recv(|| Deadline::NEVER);
    }

    pub(super) fn shutdown(&self) {
        self.lock().shut_down();
    }

    pub(super) fn shutdown_now(&self) -> Vec<I::Item> {
        let mut locked = self.lock();
        locked.shut_down();
        let mut left = Vec::new();
        while let Some(item) = locked.store().items.pop() {
            left.push(item);
            let counted = locked.finish_one();
            debug_assert!(counted, "each was put");
        }
        // Their messages. Who has one in hand finds nothing.
        while self.ready.try_take().is_ok() {}
        left
    }

    /// Those that nobody has a right to yet.
    pub(super) fn len(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.room.as_ref().is_some_and(Channel::is_full)
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.room.as_ref().and_then(Channel::capacity)
    }
}

impl<I: Items> Locked<'_, I> {
    fn store(&mut self) -> &mut Store<I> {
        self.store.as_mut().expect("here until the drop")
    }

    /// False: all were done.
    fn finish_one(&mut self) -> bool {
        let store = self.store();
        let Some(left) = store.unfinished.checked_sub(1) else { return false };
        store.unfinished = left;
        if left == 0
            && let Some(finished) = store.finished.take()
        {
            finished.leave(Side::Send);
        }
        true
    }

    /// From here on nothing is put: who waits for room goes, and what is under way is refused under the lock. Who waits for an
    /// item goes, since none will come; what `ready` has left is still received.
    fn shut_down(&mut self) {
        if core::mem::replace(&mut self.store().shut, true) {
            return;
        }
        self.queue.ready.leave(Side::Send);
        if let Some(room) = &self.queue.room {
            room.leave(Side::Receive);
        }
    }
}

impl<I: Items> Drop for Locked<'_, I> {
    fn drop(&mut self) {
        let Some(mut store) = self.store.take() else { return };
        let len = store.items.len();
        store.unfinished += len.saturating_sub(self.before);
        for _ in self.ready..len {
            let put = self.queue.ready.try_put(());
            debug_assert!(put.is_ok(), "its receiver does not leave, and it is unbounded");
        }
        if let Some(room) = &self.queue.room {
            for _ in len..self.places {
                // (Nothing is there after a shutdown.)
                let _ = room.try_take();
            }
        }
        self.queue.holder.store(0, Ordering::Relaxed); // as in `lock`
        let put = self.queue.store.try_put(store);
        debug_assert!(put.is_ok(), "there is one store, and it was here");
    }
}
