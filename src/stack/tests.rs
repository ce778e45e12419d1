//! The pool as its users see it, on both kinds of guard.

mod limits;

use std::collections::HashSet;
use std::io;
use std::ptr::{self, NonNull};

use super::slab::Slab;
use super::*;
use crate::sys::mem;

/// The kinds of guard that can be tested here.
fn guards() -> Vec<Guard> {
    if mem::markers_supported() {
        vec![Guard::Protect, Guard::Marker]
    } else {
        println!("guard markers skipped: this kernel has none");
        vec![Guard::Protect]
    }
}

fn write(addr: usize, value: u8) {
    // SAFETY: the tests pass addresses inside stacks that they own and nobody else uses.
    unsafe { ptr::with_exposed_provenance_mut::<u8>(addr).write_volatile(value) }
}

fn read(addr: usize) -> u8 {
    // SAFETY: the tests pass addresses inside stacks that they own and nobody else writes.
    unsafe { ptr::with_exposed_provenance::<u8>(addr).read_volatile() }
}

#[test]
fn stack_is_small_and_stays_on_its_thread() {
    /// Has two candidates for `is`, so that the call is ambiguous, for types that are `Send`.
    trait NotSend<A> {
        fn is() {}
    }
    impl<T: ?Sized> NotSend<()> for T {}
    impl<T: ?Sized + Send> NotSend<u8> for T {}
    /// The same for `Sync`.
    trait NotSync<A> {
        fn is() {}
    }
    impl<T: ?Sized> NotSync<()> for T {}
    impl<T: ?Sized + Sync> NotSync<u8> for T {}

    <Pool as NotSend<_>>::is();
    <Pool as NotSync<_>>::is();
    <Stack as NotSend<_>>::is();
    <Stack as NotSync<_>>::is();
    assert!(size_of::<Stack>() <= 24);
    assert_eq!(size_of::<Option<Stack>>(), size_of::<Stack>());
}

#[test]
fn guard_faults_and_the_stack_does_not() {
    for guard in guards() {
        let mut pool = Pool::new(guard);
        // The second slot: it has a neighbour below that must survive.
        let below = pool.take(DEFAULT_SIZE).unwrap();
        let stack = pool.take(DEFAULT_SIZE).unwrap();
        let limit = stack.limit();
        assert!(below.base() <= limit - GUARD_SIZE);
        assert!(mem::write_kills(limit - 1), "{guard:?}");
        assert!(mem::write_kills(limit - GUARD_SIZE), "{guard:?}");
        assert!(!mem::write_kills(limit), "{guard:?}");
        assert!(!mem::write_kills(stack.base() - 1), "{guard:?}");
        assert!(!mem::write_kills(below.base() - 1), "{guard:?}");
        // The guard outlasts the stack's first owner.
        pool.give(stack);
        let stack = pool.take(DEFAULT_SIZE).unwrap();
        assert_eq!(stack.limit(), limit);
        assert!(mem::write_kills(limit - 1), "{guard:?} after give");
        assert!(!mem::write_kills(limit), "{guard:?} after give");
        pool.give(stack);
        pool.give(below);
    }
}

#[test]
fn colours_go_on_across_slabs_and_the_size_is_honoured() {
    let page = mem::page_size();
    for guard in guards() {
        let mut pool = Pool::new(guard);
        // Slabs of 16, 64 and 256: the boundaries are at 16 and 80.
        let stacks: Vec<Stack> = (0..130).map(|_| pool.take(DEFAULT_SIZE).unwrap()).collect();
        let colour = |s: &Stack| s.base().next_multiple_of(page) - s.base();
        for window in stacks.windows(32) {
            let mut colours: Vec<usize> = window.iter().map(colour).collect();
            colours.sort_unstable();
            assert_eq!(colours, (0..32).map(|i| i * 64).collect::<Vec<_>>());
        }
        for s in &stacks {
            assert_eq!(s.size(), DEFAULT_SIZE);
            assert!(s.base() - s.limit() >= DEFAULT_SIZE);
            assert_eq!(s.base() % 64, 0);
            assert_eq!(s.limit() % page, 0);
            write(s.limit(), 1);
            write(s.base() - 1, 1);
        }
        let stride = stacks[1].limit() - stacks[0].limit();
        assert_eq!(stride % page, 0);
        assert_eq!(stride / page % 2, 1);
        stacks.into_iter().for_each(|s| pool.give(s));
    }
}

#[test]
fn sizes_are_rounded_and_kept_apart() {
    let page = mem::page_size();
    let mut pool = Pool::new(Guard::Protect);
    let asked = [0, 1, MIN_SIZE, MIN_SIZE + 1, 100_000, DEFAULT_SIZE - 1, DEFAULT_SIZE, ROOT_SIZE];
    for size in asked {
        let stack = pool.take(size).unwrap();
        assert_eq!(stack.size(), size.max(MIN_SIZE).next_multiple_of(page));
        assert!(stack.base() - stack.limit() >= stack.size());
        let limit = stack.limit();
        pool.give(stack);
        // One of the same class is the same; one of another class is another.
        let same = pool.take(size).unwrap();
        let other = pool.take(size + 3 * page + MIN_SIZE).unwrap();
        assert_eq!(same.limit(), limit);
        assert_ne!(other.limit(), limit);
        pool.give(same);
        pool.give(other);
    }
}

#[test]
fn large_classes_start_with_one_slot() {
    let mut pool = Pool::new(Guard::detect());
    let root = pool.take(ROOT_SIZE).unwrap();
    assert_eq!(root.slab().count(), 1);
    let task = pool.take(DEFAULT_SIZE).unwrap();
    assert_eq!(task.slab().count(), 16);
    pool.give(root);
    pool.give(task);
}

#[test]
fn used_slots_come_before_new_ones() {
    let mut pool = Pool::new(Guard::detect());
    let mut stacks: Vec<Stack> = (0..100).map(|_| pool.take(DEFAULT_SIZE).unwrap()).collect();
    let bases: HashSet<usize> = stacks.iter().map(Stack::base).collect();
    // Some of each slab, then all of them: a slab that is empty starts again from its first.
    for (step, from) in [(3, 0), (2, 1), (7, 5), (1, 0)] {
        let (home, out): (Vec<_>, Vec<_>) =
            stacks.drain(..).enumerate().partition(|(i, _)| *i >= from && i % step == 0);
        let count = home.len();
        home.into_iter().for_each(|(_, stack)| pool.give(stack));
        stacks.extend(out.into_iter().map(|(_, stack)| stack));
        stacks.extend((0..count).map(|_| pool.take(DEFAULT_SIZE).unwrap()).inspect(|stack| {
            assert!(stack.occupant().is_null());
        }));
        assert_eq!(stacks.iter().map(Stack::base).collect::<HashSet<_>>(), bases);
        stacks.iter().for_each(|stack| stack.set_occupant(ptr::without_provenance_mut(stack.base())));
        let mut seen = HashSet::new();
        pool.for_each_occupant(|occupant| assert!(seen.insert(occupant.addr().get())));
        assert_eq!(seen, bases);
    }
    stacks.into_iter().for_each(|stack| pool.give(stack));
    pool.for_each_occupant(|_| panic!("nobody is there"));
}

/// The table of a slab goes back with the stacks.
#[test]
fn an_empty_slab_holds_no_memory() {
    let mut pool = Pool::new(Guard::detect());
    let mut most = 0;
    for _ in 0..3 {
        let stacks: Vec<Stack> = (0..6000).map(|_| pool.take(DEFAULT_SIZE).unwrap()).collect();
        let tables: usize = pool.slabs().iter().map(Slab::resident_table).sum();
        assert!(tables >= 6000 * size_of::<*const ()>());
        most = most.max(pool.slots(DEFAULT_SIZE).1);
        stacks.into_iter().for_each(|stack| pool.give(stack));
        assert!(pool.slabs().iter().all(|slab| slab.resident_table() <= 4096));
    }
    assert_eq!(most, 6000, "the old ones are used again");
}

#[test]
fn a_reused_stack_reads_zero() {
    for guard in guards() {
        let mut pool = Pool::new(guard);
        let stack = pool.take(DEFAULT_SIZE).unwrap();
        let (limit, base) = (stack.limit(), stack.base());
        for addr in [limit, limit + DEFAULT_SIZE / 2, base - 1] {
            write(addr, 0xaa);
        }
        pool.give(stack);
        let stack = pool.take(DEFAULT_SIZE).unwrap();
        assert_eq!((stack.limit(), stack.base()), (limit, base));
        for addr in [limit, limit + DEFAULT_SIZE / 2, base - 1] {
            assert_eq!(read(addr), 0);
        }
        pool.give(stack);
    }
}

#[test]
fn occupants_are_found_by_walk_and_by_address() {
    let mut pool = Pool::new(Guard::detect());
    let things: Vec<u64> = (0..40).collect();
    let mut stacks = Vec::new();
    for (i, thing) in things.iter().enumerate() {
        let stack = pool.take(if i % 2 == 0 { DEFAULT_SIZE } else { MIN_SIZE }).unwrap();
        assert!(stack.occupant().is_null());
        if i != 7 {
            stack.set_occupant(ptr::from_ref(thing).cast_mut().cast());
        }
        stacks.push(stack);
    }
    // Given back: nobody's any more.
    pool.give(stacks.pop().unwrap());
    let mut seen = Vec::new();
    pool.for_each_occupant(|p: NonNull<()>| {
        // SAFETY: the occupants are elements of `things`.
        seen.push(unsafe { *p.cast::<u64>().as_ref() });
    });
    seen.sort_unstable();
    assert_eq!(seen, (0..39).filter(|&i| i != 7).collect::<Vec<u64>>());

    let slabs = pool.slabs();
    for stack in &stacks {
        let (limit, base) = (stack.limit(), stack.base());
        for addr in [limit - GUARD_SIZE, limit - 1, limit, base - 1] {
            let slot = slabs.find(addr).unwrap();
            assert_eq!(Some(slot), pool.find(addr));
            assert_eq!(slot.occupant, stack.occupant());
            assert_eq!((slot.limit, slot.base, slot.size), (limit, base, stack.size()));
            assert_eq!(slot.is_guard(addr), addr < limit);
        }
    }
    assert_eq!(pool.find(ptr::from_ref(&things).addr()), None);
    assert_eq!(pool.find(0), None);
    assert_eq!(pool.find(usize::MAX), None);
    stacks.into_iter().for_each(|s| pool.give(s));
}

#[test]
fn impossible_sizes_are_errors() {
    let mut pool = Pool::new(Guard::detect());
    for size in [usize::MAX, usize::MAX - 70_000, usize::MAX / 2, isize::MAX as usize - 1] {
        let error = pool.take(size).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(&format!("{size} bytes")), "{error}");
    }
    for size in [1 << 60, 1 << 50] {
        let error = pool.take(size).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("ulimit -v"), "{error}");
        assert!(error.get_ref().unwrap().source().is_some());
    }
    let stack = pool.take(DEFAULT_SIZE).unwrap();
    pool.give(stack);
}

#[test]
#[should_panic(expected = "not of")]
fn a_stack_of_another_pool_is_refused() {
    let stack = Pool::new(Guard::detect()).take(DEFAULT_SIZE).unwrap();
    Pool::new(Guard::detect()).give(stack);
}

/// What is reserved can be had with no more addresses, and is not mapped twice.
#[test]
fn what_was_reserved_or_promised_is_there() {
    for guard in guards() {
        for size in [DEFAULT_SIZE, MIN_SIZE] {
            let mut pool = Pool::new(guard);
            pool.reserve(size, 100).unwrap();
            let (mapped, used) = pool.slots(size);
            assert!(mapped >= 100 && used == 0, "{mapped}, {used}");
            let mut stacks: Vec<_> = (0..50).map(|_| pool.take(size).unwrap()).collect();
            pool.reserve(size, 100).unwrap();
            assert_eq!(pool.slots(size), (mapped, 50));
            // Of all those that are left, each can be promised once.
            for open in 0..mapped - 50 {
                pool.promise(size, open).unwrap();
            }
            assert_eq!(pool.slots(size), (mapped, 50));
            stacks.extend((50..mapped).map(|_| pool.take(size).unwrap()));
            assert_eq!(pool.slots(size), (mapped, mapped));
            // One more slot than there are, by a promise, by another thread's room, and by taking it.
            pool.promise(size, 0).unwrap();
            let (promised, _) = pool.slots(size);
            assert!(promised > mapped);
            let room = std::thread::spawn(move || Room::new(size, 3).unwrap()).join().unwrap();
            pool.adopt(room).unwrap();
            assert_eq!(pool.slots(size), (promised + 3, mapped));
            stacks.extend((0..promised + 3 - mapped).map(|_| pool.take(size).unwrap()));
            assert_eq!(pool.slots(size), (promised + 3, promised + 3));
            // No two of them are the same, and each is a whole stack.
            stacks.sort_by_key(Stack::limit);
            assert!(stacks.windows(2).all(|pair| pair[0].base() <= pair[1].limit() - GUARD_SIZE));
            stacks.into_iter().for_each(|stack| pool.give(stack));
        }
    }
}
