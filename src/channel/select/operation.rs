//! What `select` returns: an operation that has been promised, to be completed.

use core::fmt;
use core::ptr;

use super::handle::{Got, Handle};
use super::room::Room;
use crate::channel::{Receiver, RecvError, SendError, Sender};
use crate::park;

/// A selected operation, which is to be completed: by [`send`](SelectedOperation::send) or
/// [`recv`](SelectedOperation::recv), with the very sender or receiver that was added to the [`Select`](super::Select).
///
/// Like [`crossbeam_channel::SelectedOperation`], except: until it is completed the task may wait for other things. A peer
/// that waits for it meanwhile is parked; a place that was promised to a send is neither free nor has a message. Dropped by an unwind, it is given back: a received message is the channel's
/// next, a peer looks for another partner. Forgotten, its message is leaked and its peer waits for ever.
///
/// # Panics
/// If it is dropped uncompleted, unless by an unwind. It is given back first.
///
/// # Examples
/// ```
/// use layby::channel::{Select, bounded};
///
/// let (s, r) = bounded(1);
/// let mut select = Select::new();
/// let sending = select.send(&s);
/// let operation = select.select();
/// assert_eq!(operation.index(), sending);
/// operation.send(&s, 5).unwrap();
/// assert_eq!(r.recv(), Ok(5));
/// ```
#[must_use = "dropped uncompleted it panics"]
pub struct SelectedOperation<'a> {
    handle: &'a dyn Handle,
    index: usize,
    got: Got,
    room: Room,
    /// Dropped uncompleted it is given back, and that is all.
    quiet: bool,
}

impl<'a> SelectedOperation<'a> {
    #[inline]
    pub(super) fn new(handle: &'a dyn Handle, index: usize, got: Got, room: &Room) -> SelectedOperation<'a> {
        SelectedOperation { handle, index, got, room: room.take(), quiet: false }
    }

    /// For the macros: the user's expression for the message may leave by `?` or `break`.
    #[inline]
    pub(super) fn quietly(mut self) -> SelectedOperation<'a> {
        self.quiet = true;
        self
    }

    /// The number that adding the operation returned.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// s.send(1).unwrap();
    /// let mut select = Select::new();
    /// let receiving = select.recv(&r);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), receiving);
    /// operation.recv(&r).unwrap();
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }

    fn is_for<H>(&self, handle: &H) -> bool {
        ptr::eq(ptr::from_ref(self.handle).cast::<()>(), ptr::from_ref(handle).cast())
    }

    /// Completes a send. Never waits.
    ///
    /// # Errors
    /// With the message, if there is no receiver any more.
    ///
    /// # Panics
    /// If the operation is not a send by `s`.
    ///
    /// # Examples
    /// See [`SelectedOperation`].
    #[inline]
    pub fn send<T>(mut self, s: &Sender<T>, message: T) -> Result<(), SendError<T>> {
        assert!(self.is_for(s), "passed a sender that was not selected");
        match core::mem::replace(&mut self.got, Got::Completed) {
            Got::Place => s.0.put_reserved(message),
            Got::Peer(receiver) => {
                // SAFETY: the select that this is the outcome of has claimed it, by the queue of `s`.
                unsafe { s.0.hand_over(receiver, message) };
                Ok(())
            }
            _ => Err(SendError(message)),
        }
    }

    /// Completes a receive. Never waits.
    ///
    /// # Errors
    /// If there is no message, and no sender any more.
    ///
    /// # Panics
    /// If the operation is not a receive by `r`.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{RecvError, Select, bounded};
    ///
    /// let (s, r) = bounded::<u32>(0);
    /// drop(s);
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert_eq!(select.select().recv(&r), Err(RecvError));
    /// ```
    #[inline]
    pub fn recv<T>(mut self, r: &Receiver<T>) -> Result<T, RecvError> {
        assert!(self.is_for(r), "passed a receiver that was not selected");
        match core::mem::replace(&mut self.got, Got::Completed) {
            // SAFETY: a message of `r`, so a `T`, is there; and it is taken once.
            Got::Message => Ok(unsafe { self.room.place::<T>().read() }),
            _ => Err(RecvError),
        }
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        let got = core::mem::replace(&mut self.got, Got::Completed);
        if got == Got::Completed {
            return;
        }
        // SAFETY: this select has got it, and it is not completed.
        unsafe { self.handle.give_back(got, &self.room) };
        if !self.quiet && !park::panicking() {
            panic!("dropped a `SelectedOperation` without completing the operation");
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}
