//! What the threads share: idle batches, and the chunks that cells are cut from.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{BATCH, Batch, CLASSES, Class, Free};
use crate::sys::mem;

/// Bytes of a chunk, and its alignment: so a cell's address tells the chunk.
const CHUNK: usize = 64 << 10;
/// Where the first cell of a chunk begins.
const FIRST: usize = 64;
/// How long a batch must lie in the depot.
const WINDOW_NS: u64 = 1_000_000_000;

/// The head of a chunk. Under the lock of its class's depot.
struct Chunk {
    /// Its neighbours in the depot's list, if it has cells at home.
    next: *mut Chunk,
    prev: *mut Chunk,
    /// Cells that are at home, and were in use before.
    free: *mut Free,
    /// How many cells are at home, in all.
    home: usize,
    /// How many have ever been in use: the first ones.
    begun: usize,
}

/// What there is of one size.
struct Depot {
    /// The newest batch.
    batches: *mut Free,
    /// How many cells the batches have.
    idle: usize,
    /// The least number of them since the window began.
    least: usize,
    /// How many are still to go back into their chunks, for the windows before.
    excess: usize,
    /// Chunks with cells at home.
    chunks: *mut Chunk,
}

// SAFETY: the cells and chunks that it leads to are memory, and its own.
unsafe impl Send for Depot {}

static DEPOTS: [Mutex<Depot>; CLASSES] = [const {
    Mutex::new(Depot { batches: ptr::null_mut(), idle: 0, least: 0, excess: 0, chunks: ptr::null_mut() })
}; CLASSES];
/// How many cells all batches have. Relaxed, as the other two: hints, exact under the locks.
static IDLE: AtomicUsize = AtomicUsize::new(0);
/// How many cells are to go back into chunks.
static EXCESS: AtomicUsize = AtomicUsize::new(0);
/// The end of the present window; `u64::MAX`: there is none.
static UNTIL: AtomicU64 = AtomicU64::new(u64::MAX);

fn depot(class: Class) -> MutexGuard<'static, Depot> {
    DEPOTS[class.0].lock().unwrap_or_else(PoisonError::into_inner)
}

/// A batch that is not empty. None: the system has no memory or no addresses for a chunk.
pub(super) fn take(class: Class) -> Option<Batch> {
    let mut depot_of = depot(class);
    if let Some(batch) = depot_of.pop() {
        depot_of.least = depot_of.least.min(depot_of.idle);
        // Those that were too many are needed after all.
        let needed = depot_of.excess.saturating_sub(depot_of.idle);
        depot_of.no_excess(needed);
        return Some(batch);
    }
    if depot_of.chunks.is_null() {
        // No system call under the lock.
        drop(depot_of);
        let chunk = map(class)?;
        depot_of = depot(class);
        depot_of.link(chunk);
    }
    Some(depot_of.fill(class))
}

/// # Safety
/// The cells are of this class, and the caller's; the batch is not empty.
pub(super) unsafe fn give(class: Class, batch: Batch) {
    let mut depot = depot(class);
    let Batch { top, count } = batch;
    // SAFETY: the first of the caller's cells.
    unsafe { (*top).below = depot.batches };
    // SAFETY: as above.
    unsafe { (*top).count = count };
    depot.batches = top;
    depot.idle += count;
    IDLE.fetch_add(count, Ordering::Relaxed);
}

/// Gives back what lay idle, `slice` cells at most. Returns when to look again; `u64::MAX`: there is nothing to look for.
pub(crate) fn trim(now: u64, slice: usize) -> u64 {
    let until = UNTIL.load(Ordering::Relaxed);
    if until == u64::MAX && IDLE.load(Ordering::Relaxed) == 0 {
        return u64::MAX;
    }
    if until == u64::MAX || now >= until {
        end_window(until, now);
    }
    let mut left = slice;
    for class in (0..CLASSES).map(Class) {
        if EXCESS.load(Ordering::Relaxed) == 0 || left == 0 {
            break;
        }
        give_back(class, &mut left);
    }
    if EXCESS.load(Ordering::Relaxed) > 0 {
        return now;
    }
    if IDLE.load(Ordering::Relaxed) == 0 {
        // Not one wake-up more, only to find this.
        UNTIL.store(u64::MAX, Ordering::Relaxed);
    }
    UNTIL.load(Ordering::Relaxed)
}

/// Nobody has needed what lies here, or in this thread's batches, for a window: the caller knows. It goes back at the next
/// [`trim`].
pub(crate) fn expel() {
    super::flush();
    for class in (0..CLASSES).map(Class) {
        depot(class).expel();
    }
}

/// The window that ends at `until` is over, and the next one begins, if there is something to look for.
#[cold]
fn end_window(until: u64, now: u64) {
    let next = if IDLE.load(Ordering::Relaxed) == 0 { u64::MAX } else { now + WINDOW_NS };
    if UNTIL.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    if until != u64::MAX && IDLE.load(Ordering::Relaxed) > 0 {
        // Whoever has a batch that lay idle has a few cells of his own, too, which may be the last of their chunks.
        super::flush();
    }
    for class in (0..CLASSES).map(Class) {
        let mut depot = depot(class);
        if until != u64::MAX && depot.least > 0 {
            depot.expel();
        }
        depot.least = depot.idle;
    }
}

/// Puts batches' cells back into their chunks, and unmaps those that are complete.
fn give_back(class: Class, left: &mut usize) {
    let mut complete: *mut Chunk = ptr::null_mut();
    let mut depot = depot(class);
    while depot.excess > 0 && *left > 0 {
        let Some(mut batch) = depot.pop() else { break };
        depot.least = depot.least.min(depot.idle);
        *left = left.saturating_sub(batch.count);
        let less = depot.excess.min(batch.count);
        depot.no_excess(less);
        // SAFETY: the batch was the depot's, under the lock.
        while let Some(cell) = unsafe { batch.pop() } {
            depot.bring_home(class, cell, &mut complete);
        }
    }
    drop(depot);
    while let Some(chunk) = NonNull::new(complete) {
        // SAFETY: complete, and in no list but this.
        complete = unsafe { (*chunk.as_ptr()).next };
        // SAFETY: its own mapping; all cells are home, and no list has them.
        unsafe { mem::unmap(chunk.cast(), CHUNK) };
    }
}

/// A new chunk, all of whose cells are home.
fn map(class: Class) -> Option<NonNull<Chunk>> {
    let start = aligned()?;
    // Cells are freed by their addresses.
    start.expose_provenance();
    let chunk: NonNull<Chunk> = start.cast();
    // SAFETY: at the start of a mapping of our own.
    unsafe {
        chunk.write(Chunk {
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
            free: ptr::null_mut(),
            home: cells(class),
            begun: 0,
        });
    }
    Some(chunk)
}

/// How many cells a chunk has.
fn cells(class: Class) -> usize {
    (CHUNK - FIRST) / class.size()
}

/// A mapping of [`CHUNK`] bytes, aligned to as many.
fn aligned() -> Option<NonNull<u8>> {
    let start = mem::reserve(CHUNK).ok()?;
    // The kernel maps beside what it has mapped last: after the first, this is the rule.
    if start.addr().get() % CHUNK == 0 {
        return Some(start);
    }
    // SAFETY: mapped just now, and nobody knows of it.
    unsafe { mem::unmap(start, CHUNK) };
    let start = mem::reserve(2 * CHUNK).ok()?;
    let before = start.addr().get().next_multiple_of(CHUNK) - start.addr().get();
    // SAFETY: within the mapping, of twice the length.
    let chunk = unsafe { start.add(before) };
    // SAFETY: as above: to its end, if there is anything behind.
    let behind = unsafe { chunk.add(CHUNK) };
    if before > 0 {
        // SAFETY: the first part of the mapping, which nobody knows of; chunks are whole pages.
        unsafe { mem::unmap(start, before) };
    }
    if before < CHUNK {
        // SAFETY: the last part, likewise.
        unsafe { mem::unmap(behind, CHUNK - before) };
    }
    Some(chunk)
}

impl Depot {
    /// The newest batch.
    fn pop(&mut self) -> Option<Batch> {
        let top = NonNull::new(self.batches)?;
        // SAFETY: the first cell of a batch of this depot, as `give` has left it.
        let Free { below, count, .. } = unsafe { top.read() };
        self.batches = below;
        self.idle -= count;
        IDLE.fetch_sub(count, Ordering::Relaxed);
        Some(Batch { top: top.as_ptr(), count })
    }

    /// All that lies here is to go back into the chunks.
    fn expel(&mut self) {
        EXCESS.fetch_add(self.idle - self.excess, Ordering::Relaxed);
        self.excess = self.idle;
    }

    /// So many cells less are to go back into their chunks.
    fn no_excess(&mut self, cells: usize) {
        self.excess -= cells;
        EXCESS.fetch_sub(cells, Ordering::Relaxed);
    }

    /// A batch of cells that are home in the first of the chunks; there is one.
    fn fill(&mut self, class: Class) -> Batch {
        let chunk = NonNull::new(self.chunks).expect("a chunk with cells at home");
        // SAFETY: a chunk of this depot, under its lock; there is no other reference.
        let head = unsafe { &mut *chunk.as_ptr() };
        let mut batch = Batch::EMPTY;
        while let Some(cell) = NonNull::new(head.free).filter(|_| batch.count < BATCH) {
            // SAFETY: a cell at home.
            head.free = unsafe { (*cell.as_ptr()).next };
            // SAFETY: the batch is this function's, and now the cell.
            unsafe { batch.push(cell) };
        }
        // New ones, so that those at lower addresses are on top.
        let more = (BATCH - batch.count).min(cells(class) - head.begun);
        for index in (head.begun..head.begun + more).rev() {
            // SAFETY: one of the cells of the chunk.
            let cell = unsafe { chunk.cast::<u8>().add(FIRST + index * class.size()) };
            // SAFETY: the batch is this function's, and so is a cell that nobody had so far.
            unsafe { batch.push(cell.cast()) };
        }
        head.begun += more;
        head.home -= batch.count;
        if head.home == 0 {
            self.unlink(chunk);
        }
        batch
    }

    /// A cell goes back into its chunk; that goes to `complete`, if it was the last.
    fn bring_home(&mut self, class: Class, cell: NonNull<Free>, complete: &mut *mut Chunk) {
        let address = cell.addr().get() & !(CHUNK - 1);
        let chunk: *mut Chunk = ptr::with_exposed_provenance_mut(address);
        let chunk = NonNull::new(chunk).expect("nothing is mapped at address 0");
        // SAFETY: the chunk that the cell was cut from, under its lock; there is no other reference.
        let head = unsafe { &mut *chunk.as_ptr() };
        // SAFETY: the cell is the caller's, and from now on the chunk's.
        unsafe { (*cell.as_ptr()).next = head.free };
        head.free = cell.as_ptr();
        head.home += 1;
        if head.home == 1 {
            self.link(chunk);
        }
        if head.home == cells(class) {
            self.unlink(chunk);
            // SAFETY: as above; `head` is not used any more.
            unsafe { (*chunk.as_ptr()).next = *complete };
            *complete = chunk.as_ptr();
        }
    }

    /// `chunk` has cells at home from now on.
    fn link(&mut self, chunk: NonNull<Chunk>) {
        // SAFETY: a chunk of this depot, under its lock.
        unsafe { (*chunk.as_ptr()).next = self.chunks };
        // SAFETY: as above.
        unsafe { (*chunk.as_ptr()).prev = ptr::null_mut() };
        if let Some(next) = NonNull::new(self.chunks) {
            // SAFETY: as above.
            unsafe { (*next.as_ptr()).prev = chunk.as_ptr() };
        }
        self.chunks = chunk.as_ptr();
    }

    fn unlink(&mut self, chunk: NonNull<Chunk>) {
        // SAFETY: a chunk of this depot, under its lock.
        let Chunk { next, prev, .. } = unsafe { chunk.read() };
        match NonNull::new(prev) {
            // SAFETY: as above.
            Some(prev) => unsafe { (*prev.as_ptr()).next = next },
            None => self.chunks = next,
        }
        if let Some(next) = NonNull::new(next) {
            // SAFETY: as above.
            unsafe { (*next.as_ptr()).prev = prev };
        }
    }
}

/// How many chunks have cells at home, and how many cells lie in batches.
#[cfg(all(test, not(loom)))]
pub(super) fn census(class: Class) -> (usize, usize) {
    let depot = depot(class);
    let mut chunks = 0;
    let mut next = depot.chunks;
    while let Some(chunk) = NonNull::new(next) {
        // SAFETY: a chunk of this depot, under its lock.
        next = unsafe { (*chunk.as_ptr()).next };
        chunks += 1;
    }
    (chunks, depot.idle)
}
