use std::alloc::Layout;
use std::collections::HashSet;
use std::ptr::NonNull;
use std::thread;

use super::depot::census;
use super::*;

const SECOND: u64 = 1_000_000_000;

/// A cell that may go to another thread.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Sent(NonNull<u8>);

// SAFETY: memory that no thread has a reference to.
unsafe impl Send for Sent {}

/// Of a size that no task of these tests has; each test has its own.
fn class(size: usize) -> Class {
    Class::of(Layout::from_size_align(size, 16).unwrap()).unwrap()
}

fn have(class: Class, count: usize) -> Vec<Sent> {
    let cells: Vec<_> = (0..count)
        .map(|i| {
            let cell = alloc(class).unwrap();
            // SAFETY: a cell of at least so many bytes, just had.
            unsafe { cell.write_bytes(i as u8, class.size()) };
            Sent(cell)
        })
        .collect();
    let distinct: HashSet<_> = cells.iter().copied().collect();
    assert_eq!(distinct.len(), count);
    for (i, cell) in cells.iter().enumerate() {
        for offset in [0, class.size() - 1] {
            // SAFETY: within the cell.
            let byte = unsafe { cell.0.add(offset) };
            // SAFETY: written above.
            let byte = unsafe { byte.read() };
            assert_eq!(byte, i as u8, "somebody else has written here");
        }
    }
    cells
}

fn give(class: Class, cells: impl IntoIterator<Item = Sent>) {
    // SAFETY: had of this class, and given back once.
    cells.into_iter().for_each(|cell| unsafe { free(class, cell.0) });
}

#[test]
fn classes_fit() {
    for size in 1..=LARGEST {
        let class = class(size);
        assert!((size..size + STEP).contains(&class.size()));
    }
    assert_eq!(Class::of(Layout::new::<[u8; LARGEST + 1]>()), None);
    assert_eq!(Class::of(Layout::from_size_align(64, 64).unwrap()), None);
    assert_eq!(Class::of(Layout::new::<()>()), None);
}

/// In any order, by the thread that had them or by others that end.
#[test]
fn cells_are_used_again_whoever_frees_them() {
    let class = class(LARGEST);
    let mut first = HashSet::new();
    for round in 0..4 {
        let mut cells = have(class, 1000);
        if round == 0 {
            first.extend(cells.iter().copied());
        }
        assert!(cells.iter().all(|cell| cell.0.addr().get() % ALIGN == 0));
        let known = cells.iter().filter(|cell| first.contains(cell)).count();
        assert!(known + 2 * BATCH >= 1000, "only {known} were used before");
        let half = cells.split_off(500);
        thread::spawn(move || give(class, half)).join().unwrap();
        give(class, cells.into_iter().rev());
    }
}

/// Also a thread-local that is dropped after the thread's batches were closed may have and free cells.
#[test]
fn the_last_destructors_of_a_thread_lose_none() {
    struct Late(Class, Cell<Option<Sent>>);
    impl Drop for Late {
        fn drop(&mut self) {
            give(self.0, self.1.take());
            let more = have(self.0, 3);
            give(self.0, more);
        }
    }
    thread_local!(static LATE: Late = Late(class(LARGEST - STEP), Cell::new(None)));
    for _ in 0..2 {
        thread::spawn(|| {
            // First in, last out.
            LATE.with(|late| late.1.set(Some(have(late.0, 1)[0])));
        })
        .join()
        .unwrap();
    }
    let (_, idle) = census(class(LARGEST - STEP));
    assert!((1..=2 * BATCH).contains(&idle), "{idle} cells in the depot");
}

/// What lay idle for a window goes back, all of it if nothing is in use.
#[test]
fn idle_cells_go_back() {
    let class = class(LARGEST - 2 * STEP);
    let mut now = SECOND;
    let mut pass = |more: u64| {
        now += more;
        while trim(now, 100) == now {}
    };
    let cells = have(class, 5000);
    give(class, cells);
    flush();
    // A batch may have been filled with more than were wanted.
    assert!((5000..5000 + BATCH).contains(&census(class).1));
    pass(0);
    pass(SECOND / 2);
    assert!(census(class).1 >= 5000, "the window is not over");
    // Other tests have their own cells, and look at no clock.
    pass(SECOND);
    pass(SECOND);
    assert_eq!(census(class), (0, 0));
    // One that stays keeps its chunk alone.
    let mut cells = have(class, 5000);
    let stays = cells.swap_remove(2500);
    give(class, cells);
    flush();
    pass(SECOND);
    pass(SECOND);
    pass(SECOND);
    assert_eq!(census(class), (1, 0));
    give(class, [stays]);
}
