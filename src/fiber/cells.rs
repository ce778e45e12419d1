//! Memory for tasks: cells of a few sizes, for blocks that are had on one thread and freed on another, by the hundred
//! thousand, and given back to the system when they are not needed any more.
//!
//! `malloc` does neither well. A block that is freed by another thread than the one that had it goes back to an arena under a
//! lock. And what 100,000 tasks leave stays: 30 of 34 MB that were resident after such a spike were freed headers.
//!
//! # How it works
//! ```text
//!   thread ─ loaded, spare ──full batch──▶ depot ──a batch that lay idle──▶ chunk ──all cells home──▶ the system
//!            (≤ BATCH cells each) ◀──batch──  (a lock) ◀────up to a batch────  (64 KiB)
//! ```
//! * A thread has two batches of free cells for each size. It takes from the loaded one and puts back there; if that is empty or
//!   full the two change places, and only if that does not help a batch goes from or to the depot, under its lock: at most once for
//!   each [`BATCH`] cells, however the threads share them. Nothing in a cell says whose it is, so none needs to go home to its thread.
//! * The depot has whole batches, newest on top. Beneath are the chunks: mappings that are cut into cells of one size. A batch
//!   is filled from a chunk with cells at home; if there is none, from a new one.
//! * [`trim`] finds batches that lay in the depot for the whole of a window, and puts their cells back into the chunks they are of. A
//!   chunk that has all of its cells at home is unmapped. A worker calls it when it looks after its idle stacks, some hundred or thousand
//!   cells at a time.
//!
//! So a cell costs some three loads and stores to have or to free; nothing is paid for giving back before it is done.
//!
//! A chunk with a single cell in use stays, as a page of `malloc`'s would: a spike with a few survivors that are spread all over
//! gives back less. So does one whose last handles were dropped on a thread that is no worker, and keeps some of the
//! cells. Without a runtime nobody calls [`trim`]; the next one's workers do.
//!
//! Rejected: *`malloc_trim` after a spike* (it is glibc's alone, locks the program's arenas, and looks at whatever else the
//! program has freed: nobody knows how long); *a list in each chunk for what other threads free* (an atomic operation for each
//! cell, and a cache miss for the chunk's head); *cells that belong to a worker* (handles are dropped anywhere, also after its end).

mod depot;

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};

pub(crate) use depot::{expel, trim};

/// Cells in a full batch.
const BATCH: usize = 64;
/// The sizes are the multiples of this.
const STEP: usize = 32;
/// The largest.
const LARGEST: usize = 1024;
const CLASSES: usize = LARGEST / STEP;
/// The alignment of a cell.
const ALIGN: usize = 32;

/// A size of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(usize);

impl Class {
    /// The one for blocks of this layout, if there is one.
    pub(crate) const fn of(layout: Layout) -> Option<Class> {
        // The models, and Miri, watch over each allocation.
        let none =
            cfg!(any(loom, miri)) || layout.align() > ALIGN || layout.size() > LARGEST || layout.size() == 0;
        if none { None } else { Some(Class((layout.size() - 1) / STEP)) }
    }

    /// Bytes of a cell.
    const fn size(self) -> usize {
        (self.0 + 1) * STEP
    }
}

/// What a free cell holds. It belongs to whoever has the batch, or the chunk, that it is in.
struct Free {
    next: *mut Free,
    /// Of the first of a batch that is in the depot: the batch below, and how many cells this one has.
    below: *mut Free,
    count: usize,
}

/// A stack of free cells, which belong to whoever has this.
#[derive(Clone, Copy)]
struct Batch {
    top: *mut Free,
    count: usize,
}

impl Batch {
    const EMPTY: Batch = Batch { top: ptr::null_mut(), count: 0 };
    /// Has nothing to give, and takes nothing.
    const CLOSED: Batch = Batch { top: ptr::null_mut(), count: BATCH };

    /// # Safety
    /// The caller owns the batch, and no copy of it is used after this one.
    #[inline(always)]
    unsafe fn pop(&mut self) -> Option<NonNull<Free>> {
        let cell = NonNull::new(self.top)?;
        // SAFETY: a free cell in the caller's batch.
        self.top = unsafe { (*cell.as_ptr()).next };
        self.count -= 1;
        Some(cell)
    }

    /// # Safety
    /// The caller owns the batch and the cell, and gives the cell up.
    #[inline(always)]
    unsafe fn push(&mut self, cell: NonNull<Free>) {
        // SAFETY: the caller's cell, which is large enough and aligned.
        unsafe { (*cell.as_ptr()).next = self.top };
        self.top = cell.as_ptr();
        self.count += 1;
    }
}

/// A thread's batches of one size. The spare one is empty or full; or was filled less, by the depot.
struct Magazine {
    loaded: Cell<Batch>,
    spare: Cell<Batch>,
}

/// What a thread has.
struct Local {
    magazines: [Magazine; CLASSES],
    is_open: Cell<bool>,
}

thread_local! {
    /// Without a destructor, so that it is there for the destructors of all other thread-locals. Closed at first, and in the end.
    static LOCAL: Local = const {
        let magazines = [const {
            Magazine { loaded: Cell::new(Batch::CLOSED), spare: Cell::new(Batch::EMPTY) }
        }; CLASSES];
        Local { magazines, is_open: Cell::new(false) }
    };
    static AT_EXIT: AtExit = const { AtExit };
}

/// Closes the thread's batches when the thread ends.
struct AtExit;

impl Drop for AtExit {
    fn drop(&mut self) {
        LOCAL.with(Local::close);
    }
}

/// A cell, whose contents are anything. None: there is no memory, or there are no addresses.
#[inline]
pub(crate) fn alloc(class: Class) -> Option<NonNull<u8>> {
    LOCAL.with(|local| {
        let loaded = &local.magazines[class.0].loaded;
        let mut batch = loaded.get();
        // SAFETY: the thread's, and the copy replaces it.
        match unsafe { batch.pop() } {
            Some(cell) => {
                loaded.set(batch);
                Some(cell.cast())
            }
            None => local.alloc_from_depot(class),
        }
    })
}

/// Takes a cell back, on any thread.
///
/// # Safety
/// It came from [`alloc`] for this class, and is not used any more.
#[inline]
pub(crate) unsafe fn free(class: Class, cell: NonNull<u8>) {
    let cell = cell.cast();
    LOCAL.with(|local| {
        let loaded = &local.magazines[class.0].loaded;
        let mut batch = loaded.get();
        if batch.count < BATCH {
            // SAFETY: the batch is the thread's, and the copy replaces it; the cell is the caller's.
            unsafe { batch.push(cell) };
            loaded.set(batch);
        } else {
            // SAFETY: by this function's contract.
            unsafe { local.free_to_depot(class, cell) };
        }
    })
}

/// Gives the depot what this thread has.
fn flush() {
    LOCAL.with(Local::flush);
}

impl Local {
    #[cold]
    #[inline(never)]
    fn alloc_from_depot(&self, class: Class) -> Option<NonNull<u8>> {
        let open = self.open();
        let Magazine { loaded, spare } = &self.magazines[class.0];
        let mut batch = spare.replace(Batch::EMPTY);
        if batch.count == 0 {
            batch = depot::take(class)?;
        }
        // SAFETY: the thread's, and the copies of it are gone.
        let cell = unsafe { batch.pop() };
        if open {
            loaded.set(batch);
        } else if batch.count > 0 {
            // SAFETY: of this class, and the caller's no more.
            unsafe { depot::give(class, batch) };
        }
        cell.map(NonNull::cast)
    }

    /// # Safety
    /// As [`free`].
    #[cold]
    #[inline(never)]
    unsafe fn free_to_depot(&self, class: Class, cell: NonNull<Free>) {
        let open = self.open();
        let Magazine { loaded, spare } = &self.magazines[class.0];
        let mut batch = if open { loaded.get() } else { Batch::EMPTY };
        if batch.count == BATCH {
            let older = spare.replace(batch);
            if older.count > 0 {
                // SAFETY: of this class, and the thread's no more.
                unsafe { depot::give(class, older) };
            }
            batch = Batch::EMPTY;
        }
        // SAFETY: the batch is the thread's, and its copies are replaced below; the cell is the caller's.
        unsafe { batch.push(cell) };
        if open {
            loaded.set(batch);
        } else {
            // SAFETY: of this class, and the thread's no more.
            unsafe { depot::give(class, batch) };
        }
    }

    /// False: the thread ends.
    fn open(&self) -> bool {
        if !self.is_open.get() && AT_EXIT.try_with(|_| ()).is_ok() {
            self.magazines.iter().for_each(|magazine| magazine.loaded.set(Batch::EMPTY));
            self.is_open.set(true);
        }
        self.is_open.get()
    }

    fn close(&self) {
        self.flush();
        self.is_open.set(false);
        self.magazines.iter().for_each(|magazine| magazine.loaded.set(Batch::CLOSED));
    }

    fn flush(&self) {
        if !self.is_open.get() {
            return;
        }
        for (class, magazine) in self.magazines.iter().enumerate() {
            for place in [&magazine.loaded, &magazine.spare] {
                let batch = place.replace(Batch::EMPTY);
                if batch.count > 0 {
                    // SAFETY: of this class, and the thread's no more.
                    unsafe { depot::give(Class(class), batch) };
                }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
