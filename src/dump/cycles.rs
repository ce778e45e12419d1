//! Tasks that wait for each other in a circle.
//!
//! An edge leads from a task to each task without which its wait cannot end: the one that holds the lock, the one that it joins, each of
//! the children that its scope waits for. All of them are needed, so any circle of edges is a deadlock of those on it, if none of them is
//! cancelled meanwhile or gives up at a deadline.

#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};

use super::details::Holder;
use super::record::{RunState, TaskRecord};

/// The circles, each from its lowest id on, each once.
pub(super) fn find(tasks: &[TaskRecord]) -> Vec<Vec<u64>> {
    let needs: HashMap<u64, Vec<u64>> = tasks.iter().map(|task| (task.id, needed_by(task, tasks))).collect();
    let mut done = HashSet::new();
    let mut found = Vec::new();
    for task in tasks {
        walk(task.id, &needs, &mut done, &mut found);
    }
    found
}

/// Whom the task waits for, as far as that is known for sure.
pub(super) fn needed_by(task: &TaskRecord, tasks: &[TaskRecord]) -> Vec<u64> {
    if task.run != RunState::Waits {
        return Vec::new();
    }
    let mut needed = task.details.tasks.clone();
    needed.extend(holder_of(task, tasks));
    needed
}

/// The task that holds the lock that this one waits for, if it is the only one that it can be.
pub(super) fn holder_of(task: &TaskRecord, tasks: &[TaskRecord]) -> Option<u64> {
    let holder = task.details.lock?.holder;
    if !matches!(holder, Holder::Task(_)) {
        return None;
    }
    // A task's id has more bits than a lock has room for.
    let step = 1 << Holder::BITS;
    let Holder::Task(low) = holder else { return None };
    let most = tasks.last()?.id;
    let mut candidates = (u64::from(low)..=most).step_by(step).filter(|id| {
        tasks.binary_search_by_key(id, |task| task.id).is_ok_and(|index| holder.may_be(tasks[index].id))
    });
    let first = candidates.next()?;
    candidates.next().is_none().then_some(first)
}

/// Depth first, without recursion: 100,000 tasks may wait in a row.
fn walk(start: u64, needs: &HashMap<u64, Vec<u64>>, done: &mut HashSet<u64>, found: &mut Vec<Vec<u64>>) {
    let mut path: Vec<(u64, usize)> = vec![(start, 0)];
    let mut on_path: HashMap<u64, usize> = HashMap::from([(start, 0)]);
    while let Some((id, next)) = path.last_mut() {
        let id = *id;
        let target = match needs.get(&id) {
            Some(targets) if !done.contains(&id) => targets.get(*next).copied(),
            _ => None,
        };
        *next += 1;
        let Some(target) = target else {
            done.insert(id);
            on_path.remove(&id);
            path.pop();
            continue;
        };
        if let Some(&begin) = on_path.get(&target) {
            let mut circle: Vec<u64> = path[begin..].iter().map(|(id, _)| *id).collect();
            let lowest = circle.iter().enumerate().min_by_key(|(_, id)| **id).map_or(0, |(index, _)| index);
            circle.rotate_left(lowest);
            found.push(circle);
        } else if !done.contains(&target) {
            on_path.insert(target, path.len());
            path.push((target, 0));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::details::{Details, LockAt};
    use super::*;
    use core::panic::Location;

    fn waits_for(id: u64, tasks: &[u64], lock: Option<Holder>) -> TaskRecord {
        let mut record = TaskRecord::new(id, Location::caller(), RunState::Waits);
        let lock = lock.map(|holder| LockAt { address: 0x10, holder });
        record.details = Details { text: String::new(), lock, tasks: tasks.to_vec() };
        record
    }

    #[test]
    fn circles_are_found_once() {
        let held_by = |id| Some(Holder::Task(Holder::bits(id)));
        let tasks = [
            waits_for(1, &[2, 3], None),
            waits_for(2, &[], held_by(4)),
            waits_for(3, &[3], None),
            waits_for(4, &[], held_by(2)),
            waits_for(5, &[6], None), // a row, no circle; 6 is gone
        ];
        let mut found = find(&tasks);
        found.sort();
        assert_eq!(found, [vec![2, 4], vec![3]]);
    }

    #[test]
    fn a_long_row_is_no_recursion() {
        let last = 100_000;
        let tasks: Vec<_> = (1..=last).map(|id| waits_for(id, &[id % last + 1], None)).collect();
        let found = find(&tasks);
        assert_eq!((found.len(), found[0].len()), (1, last as usize));
    }

    #[test]
    fn a_holder_that_could_be_two_tasks_is_not_named() {
        let far = (1 << Holder::BITS) + 7;
        let waiter = waits_for(8, &[], Some(Holder::Task(7)));
        let of = |ids: &[u64]| {
            let mut tasks: Vec<_> = ids.iter().map(|&id| waits_for(id, &[], None)).collect();
            tasks.push(waiter.clone());
            tasks.sort_by_key(|task| task.id);
            holder_of(&waiter, &tasks)
        };
        assert_eq!(of(&[7]), Some(7));
        assert_eq!(of(&[far]), Some(far));
        assert_eq!(of(&[7, far]), None);
        assert_eq!(of(&[1, 2]), None);
    }
}
