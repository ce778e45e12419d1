//! Coroutines with `yield` and `send`; iteration; `close`.

use layby::generator::{Generator, GeneratorState::*, gen_iter};

/// Its destructor is the `finally`.
struct Count(u32);

impl Drop for Count {
    fn drop(&mut self) {
        println!("closed after {}", self.0);
    }
}

pub(super) fn run() {
    // The first resume brings the first value: nothing has to be primed with `next`.
    let mut coroutine = Generator::new(|y, first: f64| -> () {
        let (mut total, mut count, mut value) = (0.0, Count(0), first);
        loop {
            total += value;
            count.0 += 1;
            value = y.suspend(total / f64::from(count.0));
        }
    });
    for value in [10.0, 20.0, 60.0] {
        let Yielded(mean) = coroutine.resume(value) else { unreachable!() };
        println!("sent {value} got {mean:?}");
    }
    coroutine.close();

    for n in gen_iter(|y| (1..=3).rev().for_each(|n| y.suspend(n))) {
        println!("{n}");
    }
}
