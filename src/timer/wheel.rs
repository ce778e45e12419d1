//! The wheel: nine levels of sixty-four slots, and three lists beside them.
//!
//! The module above explains the layout with a picture.

use std::fmt;
use std::ptr::NonNull;

use super::entry::{Entry, UNLINKED};
use crate::util::list::List;

/// A tick is 2^12 ns. See the module above for why.
const TICK_SHIFT: u32 = 12;
/// The length of a tick in ns: an entry fires less than this after its deadline, if `advance` is
/// called in time.
pub(super) const TICK_NS: u64 = 1 << TICK_SHIFT;
/// The highest tick that a `u64` of nanoseconds can reach.
pub(super) const LAST_TICK: u64 = u64::MAX >> TICK_SHIFT;

/// Bits of a tick number that choose a slot within a level.
const DIGIT_BITS: u32 = 6;
/// Slots of a level: as many as a `u64` of occupancy has bits.
const SLOTS: usize = 1 << DIGIT_BITS;
/// Levels: as many as a tick number has digits. The highest digit never exceeds 15.
const LEVELS: usize = 9;
const _: () = assert!(LEVELS as u32 * DIGIT_BITS + TICK_SHIFT >= u64::BITS);

/// The list of entries whose deadline no time can reach. They lie here until they are removed.
const NEVER: usize = LEVELS * SLOTS;
/// The list of entries whose tick had already passed when they were inserted. A list of its own, so
/// that a loop of `pop_expired` ends even if the ones popped insert themselves again.
const OVERDUE: usize = NEVER + 1;
/// The list of entries that an `advance` found due and nobody has popped yet.
const EXPIRED: usize = OVERDUE + 1;
/// Number of lists.
const PLACES: usize = EXPIRED + 1;
const _: () = assert!(PLACES < UNLINKED as usize);

/// A timing wheel. See the module above; it takes 14 KiB.
pub(crate) struct Wheel {
    /// The tick of the latest time passed to `advance`; it never goes back. Every entry on level `l`
    /// has a tick that agrees with it in all digits above `l`, and is greater in digit `l`.
    now: u64,
    /// Entries linked, in all lists.
    len: usize,
    /// For each level, which slots hold an entry: bit `s` for slot `s`, exactly.
    occupied: [u64; LEVELS],
    /// Slot `s` of level `l` at `l * SLOTS + s`, then the three lists above. An entry's `place` is the
    /// index here of the list that it is in. Every entry in them is alive and pinned (by `insert`).
    places: Box<[Slot; PLACES]>,
}

/// One list of the wheel.
struct Slot {
    list: List<Entry>,
    /// No entry in the list has an earlier tick. Exact when the list was filled; too early when the
    /// entry that set it has been removed since. Meaningless while the list is empty.
    earliest: u64,
}

impl Wheel {
    /// An empty wheel whose time is `now_ns`.
    pub(crate) fn new(now_ns: u64) -> Wheel {
        const EMPTY: Slot = Slot { list: List::EMPTY, earliest: 0 };
        Wheel { now: now_ns >> TICK_SHIFT, len: 0, occupied: [0; LEVELS], places: Box::new([EMPTY; PLACES]) }
    }

    /// How many entries are linked, the expired ones that wait to be popped among them.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether no entry is linked.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Links `entry`, to expire in the first `advance` to `deadline_ns` or up to one tick later.
    /// A deadline that has passed expires in the next `advance`, whatever its time. One within the
    /// last tick of the `u64` range, such as `u64::MAX`, never expires.
    ///
    /// # Safety
    /// `entry` is not linked, in this or another wheel. It is alive, does not move and has no
    /// exclusive reference to it until [`remove`](Wheel::remove) or
    /// [`pop_expired`](Wheel::pop_expired) unlinks it, or this wheel is dropped.
    pub(crate) unsafe fn insert(&mut self, entry: NonNull<Entry>, deadline_ns: u64) {
        // SAFETY: alive and shared, says the caller.
        let new = unsafe { entry.as_ref() };
        debug_assert!(!new.is_linked(), "a timer entry was inserted twice");
        new.deadline.set(deadline_ns);
        self.len += 1;
        let tick = tick_of(deadline_ns);
        let place = if tick <= self.now {
            OVERDUE
        } else if tick > LAST_TICK {
            NEVER
        } else {
            self.occupy(tick)
        };
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { self.link(entry, place) };
    }

    /// Unlinks `entry`, be it in a slot or among the expired. Does nothing if it is not linked.
    ///
    /// # Safety
    /// `entry` is alive, and if it is linked, then in this wheel.
    pub(crate) unsafe fn remove(&mut self, entry: NonNull<Entry>) {
        // SAFETY: alive, says the caller; while linked nobody has it exclusively (by `insert`).
        let old = unsafe { entry.as_ref() };
        if !old.is_linked() {
            return;
        }
        let place = usize::from(old.place.replace(UNLINKED));
        let list = &mut self.places[place].list;
        // SAFETY: linked, in this wheel; then `place` is the list that holds it.
        unsafe { list.unlink(entry) };
        if list.is_empty() && place < NEVER {
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
        self.len -= 1;
    }

    /// Sets the time to `now_ns`, and moves every entry whose tick it has reached to the list that
    /// [`pop_expired`](Wheel::pop_expired) takes from: first those that were overdue when inserted,
    /// in order of insertion, then the others in order of their ticks, and of insertion within a tick.
    /// A time before the latest one counts as the latest one.
    ///
    /// Takes as long as there are entries to expire and to cascade, whatever the time passed.
    pub(crate) fn advance(&mut self, now_ns: u64) {
        self.relink(OVERDUE, |_, _| EXPIRED);
        let target = self.now.max(now_ns >> TICK_SHIFT);
        while let Some((level, digit)) = self.first_slot() {
            let start = self.slot_start(level, digit);
            if start > target {
                break;
            }
            // Nothing is due before `start`, so jumping there breaks no promise of `now` but this
            // slot's, which is emptied: what is due at `start` expires, the rest moves down. That may
            // be due by `target` too; it comes round again, in order.
            self.now = start;
            self.occupied[level] &= !(1 << digit);
            self.relink(
                level * SLOTS + digit,
                |wheel, tick| {
                    if tick <= start { EXPIRED } else { wheel.occupy(tick) }
                },
            );
        }
        // The slots left begin after `target`. As they agree with the old `now` above their level,
        // so does everything in between: the promise of `now` holds for the new one.
        self.now = target;
    }

    /// Unlinks the next expired entry and returns its owner. In between, entries may be inserted
    /// (they wait for the next `advance`, even if overdue) and removed (also expired ones).
    pub(crate) fn pop_expired(&mut self) -> Option<NonNull<()>> {
        let entry = self.places[EXPIRED].list.pop_front()?;
        self.len -= 1;
        // SAFETY: it was linked until now, so it is alive and shared.
        let entry = unsafe { entry.as_ref() };
        entry.place.set(UNLINKED);
        Some(entry.owner())
    }

    /// When to call `advance` next, in ns; `None` if nothing will ever be due.
    ///
    /// It is the tick at which the next entry expires, so never later than that; earlier only if an
    /// entry was removed that had been the earliest of its slot. After `advance(now)` and popping
    /// everything it is later than `now`, and calling `advance` at that time always gets on. If an
    /// entry is overdue, or expired and not popped, it is a time that has passed.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if !self.places[OVERDUE].list.is_empty() || !self.places[EXPIRED].list.is_empty() {
            return Some(self.now << TICK_SHIFT);
        }
        let (level, digit) = self.first_slot()?;
        Some(self.places[level * SLOTS + digit].earliest << TICK_SHIFT)
    }

    /// Level and digit of the slot with the earliest entries: the first of the lowest level in use.
    #[inline]
    fn first_slot(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    /// The first tick of an occupied slot: the current one's digits above, its own, then zeros.
    fn slot_start(&self, level: usize, digit: usize) -> u64 {
        let below = DIGIT_BITS * level as u32;
        let above = below + DIGIT_BITS;
        (self.now >> above << above) | ((digit as u64) << below)
    }

    /// Chooses the slot of an entry that is due at `tick`, after `now`, and notes it there.
    fn occupy(&mut self, tick: u64) -> usize {
        debug_assert!(self.now < tick && tick <= LAST_TICK);
        let level = ((tick ^ self.now).ilog2() / DIGIT_BITS) as usize;
        let digit = (tick >> (DIGIT_BITS * level as u32)) as usize % SLOTS;
        let bit = 1 << digit;
        let place = level * SLOTS + digit;
        let earliest = &mut self.places[place].earliest;
        if self.occupied[level] & bit == 0 || tick < *earliest {
            *earliest = tick;
        }
        self.occupied[level] |= bit;
        place
    }

    /// Empties the list `from`, and appends each of its entries to the list that `choose` names for
    /// its tick (any but `from`). The occupancy of `from` is the caller's to clear, beforehand.
    fn relink(&mut self, from: usize, choose: impl Fn(&mut Wheel, u64) -> usize) {
        let mut list = self.places[from].list.take();
        while let Some(entry) = list.pop_front() {
            // SAFETY: it was in a list of this wheel, so it is alive and shared.
            let deadline = unsafe { entry.as_ref() }.deadline();
            let place = choose(self, tick_of(deadline));
            debug_assert_ne!(place, from);
            // SAFETY: it has just been taken out, and what `insert` was promised goes on.
            unsafe { self.link(entry, place) };
        }
    }

    /// Appends `entry` to the list `place`.
    ///
    /// # Safety
    /// As for [`List::push_back`].
    unsafe fn link(&mut self, entry: NonNull<Entry>, place: usize) {
        // SAFETY: alive and shared, says the caller.
        let new = unsafe { entry.as_ref() };
        // Below `UNLINKED`, so it fits.
        new.place.set(place as u16);
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { self.places[place].list.push_back(entry) };
    }
}

/// The first tick that begins at or after `deadline_ns`; for the last, incomplete tick of the range it
/// is one that no time reaches.
fn tick_of(deadline_ns: u64) -> u64 {
    deadline_ns.div_ceil(TICK_NS)
}

impl Drop for Wheel {
    /// Unlinks what is left, so that no entry believes in a wheel that is gone.
    fn drop(&mut self) {
        for slot in self.places.iter_mut() {
            while let Some(entry) = slot.list.pop_front() {
                // SAFETY: it was linked until now, so it is alive and shared.
                unsafe { entry.as_ref() }.place.set(UNLINKED);
            }
        }
    }
}

impl fmt::Debug for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.occupied.map(u64::count_ones);
        f.debug_struct("Wheel")
            .field("now_ns", &(self.now << TICK_SHIFT))
            .field("next_deadline", &self.next_deadline())
            .field("len", &self.len)
            .field("slots_occupied", &slots)
            .finish_non_exhaustive()
    }
}
