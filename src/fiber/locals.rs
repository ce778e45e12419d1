//! Where a task's locals are: the table behind one pointer of the header.
//!
//! ```text
//!   Header.locals ──▶ Table                         Local<T>, a box of its own for each value
//!    (null until       entries ─▶ 0: ─              ┌───────────────────────────┬───────┐
//!     the first use)              1: ──────────────▶│ older · index · free      │ value │
//!                                 2: DESTROYED      └──│────────────────────────┴───────┘
//!                                 3: ──▶ …             ▼
//!                      newest ─▶ those with a destructor, linked from the newest to the oldest
//! ```
//!
//! A key has an index, the same in every task, which it gets when it is first used in any. So a lookup is three
//! loads, and a table is as long as the highest index that its task has used: 8 bytes for each. Values are boxed,
//! so that a reference stays good while the table grows.
//!
//! Destructors run from the newest to the oldest, as std's do on Linux. While its destructor runs, and after it, a
//! key is DESTROYED. A value that has no destructor is there until the table goes, as in std.
//!
//! A key may be *inherited*: then a task's children begin with copies of its values. Their spawner makes the table, before
//! anybody else knows of them.
//!
//! All of it is the task's own: only code on the task's stack comes here. Nothing here parks, and no code of the user's
//! runs here; the initialiser, the destructors and `clone` are called from a layer above, between two calls.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem;
use core::ptr::{self, NonNull};

use core::sync::atomic::{AtomicU32, Ordering};

/// What identifies a local, and the type of its values.
///
/// Not `Clone`, and invariant: an index belongs to one key, so the values at it are of one type.
#[derive(Debug)]
pub(crate) struct Key<T> {
    /// 0: none yet.
    index: AtomicU32,
    /// `None`: its values are not inherited.
    copy: Option<CopyValue>,
    values: PhantomData<fn(T) -> T>,
}

/// Clones the value of a [`Local`], into a box of its own.
///
/// # Safety
/// The head is that of a boxed `Local` of the function's type, which stays meanwhile.
type CopyValue = unsafe fn(NonNull<Head>) -> Doomed;

impl<T> Key<T> {
    pub(crate) const fn new() -> Key<T> {
        Key { index: AtomicU32::new(0), copy: None, values: PhantomData }
    }

    /// One whose values are inherited. (`Send`: a child may start on another thread.)
    pub(crate) const fn inherited() -> Key<T>
    where
        T: Clone + Send,
    {
        Key { index: AtomicU32::new(0), copy: Some(copy::<T>), values: PhantomData }
    }

    /// The place in the tables; 0, where nothing ever is, if the key was not used yet.
    #[inline(always)]
    fn index(&self) -> usize {
        // Relaxed: a number and nothing else. Who does not see it yet has used the key in no task of this thread.
        self.index.load(Ordering::Relaxed) as usize
    }

    #[cold]
    fn assign(&self) -> u32 {
        static LAST: AtomicU32 = AtomicU32::new(0);
        // Relaxed, in all three: only uniqueness matters.
        let fresh = LAST.fetch_add(1, Ordering::Relaxed).checked_add(1).expect("2^32 task-local keys");
        match self.index.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            // Another thread was first; an index is lost, which is no harm.
            Err(there) => there,
        }
    }
}

/// One value, in its box.
#[repr(C)]
struct Local<T> {
    head: Head,
    value: T,
}

/// The part of a [`Local`] that does not depend on its type.
struct Head {
    /// The one that was initialised before it, of those that have destructors.
    older: *mut Head,
    index: u32,
    has_destructor: bool,
    /// Drops the value and frees the box.
    free: unsafe fn(NonNull<Head>),
    copy: Option<CopyValue>,
}

/// `Head::free`.
///
/// # Safety
/// `head` is that of a boxed `Local<T>`, which is not used again.
unsafe fn free<T>(head: NonNull<Head>) {
    // SAFETY: made from a box of this type, in `put`; the last use.
    drop(unsafe { Box::from_raw(head.cast::<Local<T>>().as_ptr()) });
}

/// `Head::copy`.
///
/// # Safety
/// As [`CopyValue`] says.
unsafe fn copy<T: Clone>(head: NonNull<Head>) -> Doomed {
    // SAFETY: a `Local<T>` that is there, by this function's contract.
    let Local { head, value } = unsafe { head.cast::<Local<T>>().as_ref() };
    let value = value.clone();
    Doomed::new(Local { head: Head { older: ptr::null_mut(), ..*head }, value })
}

/// In the place of a value that is being dropped, or was. No box has this address.
const DESTROYED: *mut Head = ptr::without_provenance_mut(1);

#[derive(Default)]
struct Table {
    /// By index: null, DESTROYED, or a `Local` of the type of the key with that index.
    entries: Vec<*mut Head>,
    /// Null, or the one that is to be dropped next.
    newest: *mut Head,
    /// Some of the values are inherited.
    has_heirlooms: bool,
}

/// What is there for a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup<'a, T> {
    Value(&'a T),
    /// Not initialised yet.
    Absent,
    /// Dropped already, or just now.
    Destroyed,
}

/// The locals of one task, which is a pointer until there are any.
#[derive(Debug)]
pub(crate) struct Locals(Cell<*mut Table>);

impl Locals {
    pub(crate) const fn new() -> Locals {
        Locals(Cell::new(ptr::null_mut()))
    }

    /// Whether there is no table.
    #[inline(always)]
    pub(crate) fn is_unused(&self) -> bool {
        self.0.get().is_null()
    }

    /// Whether some of the values are inherited.
    #[inline(always)]
    pub(crate) fn has_heirlooms(&self) -> bool {
        // SAFETY: as in `get`.
        unsafe { self.0.get().as_ref() }.is_some_and(|table| table.has_heirlooms)
    }

    #[inline(always)]
    pub(crate) fn get<T>(&self, key: &Key<T>) -> Lookup<'_, T> {
        // SAFETY: null, or the table, which only `put`, `take_newest` and `clear` change, none of them now.
        let Some(table) = (unsafe { self.0.get().as_ref() }) else { return Lookup::Absent };
        let entry = table.entries.get(key.index()).copied().unwrap_or_default();
        if entry.is_null() {
            return Lookup::Absent;
        }
        if entry == DESTROYED {
            return Lookup::Destroyed;
        }
        // SAFETY: a box that is there. Of this type: the index is this key's alone. It stays until `take_newest`
        // or `clear`, and as it is until `put`, whose callers know that no reference is left.
        Lookup::Value(unsafe { &(*entry.cast::<Local<T>>()).value })
    }

    /// Stores the value of a key that is not destroyed, and returns the one that was there: its initialiser may
    /// have initialised it.
    ///
    /// # Safety
    /// No reference to the key's value is alive.
    pub(crate) unsafe fn put<T>(&self, key: &Key<T>, value: T) -> Option<T> {
        let index = match key.index() {
            0 => key.assign(),
            index => index as u32,
        };
        let place = index as usize;
        let table = self.table();
        // SAFETY: there is one; nobody else has a reference to it, since none leaves this file, and in this file
        // nothing is called back.
        let table = unsafe { &mut *table };
        let entry = table.place(place);
        assert!(entry != DESTROYED, "a task-local value was initialised while it was destroyed");
        if !entry.is_null() {
            // SAFETY: of this type, as in `get`; no reference to the value is alive, says the caller.
            let there = unsafe { &mut (*entry.cast::<Local<T>>()).value };
            return Some(mem::replace(there, value));
        }
        let has_destructor = mem::needs_drop::<T>();
        let head = Head { older: ptr::null_mut(), index, has_destructor, free: free::<T>, copy: key.copy };
        table.adopt(Doomed::new(Local { head, value }));
        None
    }

    /// The table, which is made if there is none.
    fn table(&self) -> *mut Table {
        if self.is_unused() {
            self.0.set(Box::into_raw(Box::default()));
        }
        self.0.get()
    }

    /// Of the values that are inherited, the first at `from` or after it; and where to look for the next.
    pub(crate) fn heirloom(&self, from: usize) -> Option<(Heirloom, usize)> {
        // SAFETY: as in `get`.
        let table = unsafe { self.0.get().as_ref() }?;
        let entries = if table.has_heirlooms { table.entries.get(from..)? } else { return None };
        let mut there =
            entries.iter().zip(from..).filter(|(entry, _)| !entry.is_null() && **entry != DESTROYED);
        there.find_map(|(entry, place)| {
            let head = NonNull::new(*entry)?;
            // SAFETY: a box that is there.
            let copy = unsafe { head.as_ref() }.copy?;
            Some((Heirloom { head, copy }, place + 1))
        })
    }

    /// Takes over a copy of a value of another task's.
    pub(crate) fn inherit(&self, copy: Doomed) {
        let table = self.table();
        // SAFETY: as in `put`.
        unsafe { &mut *table }.adopt(copy);
    }

    /// Takes out the newest value that has a destructor, to be dropped by the caller. Its key is destroyed from here on.
    ///
    /// # Safety
    /// No reference to it is alive.
    pub(crate) unsafe fn take_newest(&self) -> Option<Doomed> {
        // SAFETY: as in `put`.
        let table = unsafe { self.0.get().as_mut() }?;
        let newest = NonNull::new(table.newest)?;
        // SAFETY: what is linked is there.
        let head = unsafe { newest.as_ref() };
        table.newest = head.older;
        table.entries[head.index as usize] = DESTROYED;
        Some(Doomed(newest))
    }

    /// Frees the table. What has no destructor goes with it.
    ///
    /// # Safety
    /// No reference to a value is alive, and [`take_newest`](Locals::take_newest) has returned `None`.
    pub(crate) unsafe fn clear(&self) {
        let table = self.0.replace(ptr::null_mut());
        if table.is_null() {
            return;
        }
        // SAFETY: made from a box in `put`, and not reachable any more.
        let table = unsafe { Box::from_raw(table) };
        debug_assert!(table.newest.is_null(), "a task-local value would never be dropped");
        for entry in table.entries.into_iter().filter(|entry| *entry != DESTROYED) {
            // Those that are left have no destructor: this frees them.
            NonNull::new(entry).map(Doomed);
        }
    }
}

impl Table {
    /// What is at that place, which is made.
    fn place(&mut self, place: usize) -> *mut Head {
        if self.entries.len() <= place {
            self.entries.resize((place + 1).next_multiple_of(4), ptr::null_mut());
        }
        self.entries[place]
    }

    /// Stores a value of a key that has none.
    fn adopt(&mut self, value: Doomed) {
        let mut local = value.0;
        mem::forget(value);
        // SAFETY: it owned the box, which nobody else knows.
        let head = unsafe { local.as_mut() };
        self.place(head.index as usize);
        self.entries[head.index as usize] = local.as_ptr();
        self.has_heirlooms |= head.copy.is_some();
        if head.has_destructor {
            head.older = mem::replace(&mut self.newest, local.as_ptr());
        }
    }
}

/// A value that a task's children are to have a copy of.
#[derive(Debug)]
pub(crate) struct Heirloom {
    head: NonNull<Head>,
    copy: CopyValue,
}

impl Heirloom {
    /// Calls `clone`.
    ///
    /// # Safety
    /// On the task's stack, before its locals are dropped; nothing replaces the value meanwhile.
    pub(crate) unsafe fn copy(&self) -> Doomed {
        // SAFETY: `copy` is that of its type; it is there, by this function's contract.
        unsafe { (self.copy)(self.head) }
    }
}

/// A value that is dropped with this.
#[derive(Debug)]
pub(crate) struct Doomed(NonNull<Head>);

impl Doomed {
    fn new<T>(local: Local<T>) -> Doomed {
        Doomed(NonNull::from(Box::leak(Box::new(local))).cast())
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        // SAFETY: there, and in no table any more.
        let free = unsafe { self.0.as_ref() }.free;
        // SAFETY: `free` is that of its type; nobody else has it.
        unsafe { free(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn a_table_from_its_first_value_to_its_end() {
        let (number, text) = (Key::<u8>::new(), Key::<Rc<str>>::new());
        let locals = Locals::new();
        assert!(locals.is_unused());
        assert_eq!(locals.get(&number), Lookup::Absent);
        // SAFETY: no references are held here, nor below.
        unsafe { assert_eq!(locals.put(&number, 7), None) };
        assert_eq!(locals.get(&number), Lookup::Value(&7));
        assert_eq!(locals.get(&text), Lookup::Absent);
        let rc: Rc<str> = "seven".into();
        // SAFETY: as above.
        unsafe { assert_eq!(locals.put(&text, rc.clone()), None) };
        // SAFETY: as above.
        unsafe { assert_eq!(locals.put(&text, rc.clone()), Some(rc.clone())) };
        assert_eq!(Rc::strong_count(&rc), 2);
        // SAFETY: as above.
        let doomed = unsafe { locals.take_newest() }.unwrap();
        assert_eq!(locals.get(&text), Lookup::Destroyed);
        drop(doomed);
        assert_eq!(Rc::strong_count(&rc), 1);
        // SAFETY: as above.
        assert!(unsafe { locals.take_newest() }.is_none(), "a number has no destructor");
        assert_eq!(locals.get(&number), Lookup::Value(&7));
        // SAFETY: as above, and nothing is left to take.
        unsafe { locals.clear() };
        assert!(locals.is_unused());
        assert_eq!(locals.get(&text), Lookup::Absent);
    }

    #[test]
    fn children_begin_with_copies_of_what_is_inherited() {
        let (own, text, number) = (Key::<Rc<u8>>::new(), Key::<String>::inherited(), Key::<u64>::inherited());
        let (parent, child) = (Locals::new(), Locals::new());
        assert!(parent.heirloom(0).is_none());
        // SAFETY: no references are held here, nor below.
        unsafe { parent.put(&own, Rc::new(1)) };
        assert!(parent.heirloom(0).is_none());
        // SAFETY: as above.
        unsafe { parent.put(&text, "parent".into()) };
        // SAFETY: as above.
        unsafe { parent.put(&number, 7) };
        let mut from = 0;
        while let Some((heirloom, next)) = parent.heirloom(from) {
            // SAFETY: the values are there.
            child.inherit(unsafe { heirloom.copy() });
            from = next;
        }
        assert_eq!(child.get(&own), Lookup::Absent);
        assert_eq!(child.get(&number), Lookup::Value(&7));
        // SAFETY: as above.
        unsafe { parent.put(&text, "changed".into()) };
        assert_eq!(child.get(&text), Lookup::Value(&"parent".into()));
        assert!(child.heirloom(0).is_some(), "and the children's children");
        for locals in [parent, child] {
            // SAFETY: as above.
            while unsafe { locals.take_newest() }.is_some() {}
            // SAFETY: as above, and nothing is left to take.
            unsafe { locals.clear() };
        }
    }

    #[test]
    fn the_newest_goes_first_and_references_outlive_growth() {
        let keys: Vec<Key<Rc<usize>>> = (0..200).map(|_| Key::new()).collect();
        let locals = Locals::new();
        let values: Vec<Rc<usize>> = (0..200).map(Rc::new).collect();
        // SAFETY: no references are held.
        unsafe { locals.put(&keys[150], values[150].clone()) };
        let Lookup::Value(first) = locals.get(&keys[150]) else { panic!("just put") };
        for n in (0..200).filter(|n| *n != 150) {
            // SAFETY: `first` refers to another key's value.
            unsafe { locals.put(&keys[n], values[n].clone()) };
        }
        assert_eq!(**first, 150);
        for n in (0..200).rev().filter(|n| *n != 150).chain([150]) {
            // SAFETY: `first` is used no more.
            drop(unsafe { locals.take_newest() });
            assert_eq!(Rc::strong_count(&values[n]), 1, "{n}");
        }
        // SAFETY: no references are held; all were taken.
        unsafe { locals.clear() };
    }

    #[test]
    fn one_key_has_one_index_whoever_is_first() {
        let key = Key::<u8>::new();
        let indices: Vec<u32> = std::thread::scope(|s| {
            let threads: Vec<_> = (0..8).map(|_| s.spawn(|| key.assign())).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(indices.iter().all(|index| *index as usize == key.index() && *index != 0));
    }
}
