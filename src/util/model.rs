//! What the loom models have in common. `ci/loom.sh` runs them.
//!
//! A model is a small program over the real code of one protocol. Loom runs it once for each order in which its
//! threads' steps can come, and each value that a weak load may see, up to a number of preemptions. What it finds: a failed assertion, two
//! unordered accesses to a plain cell, and a *deadlock*, which is how a lost wake shows.
//!
//! Loom takes SeqCst on a load or store for AcqRel, so the protocols order by SeqCst *fences*, which it knows.
//! It has no clock: where a deadline is waited for, the model lets the time pass at once.
//!
//! Each model's first lines say which bug was planted to see it fail; `ci/loom.sh planted` plants them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Runs `model` in every order with at most `preemptions` preemptions, and says how many those were.
pub(crate) fn check(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let mut builder = ::loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(preemptions));
    builder.max_branches = 10_000;
    let from = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let runs = runs.load(Ordering::Relaxed);
    assert!(runs > 1, "the model {name} has but one order: it proves nothing");
    println!("loom: {name}: {runs} orders, {} ms", from.elapsed().as_millis());
}
