//! `yield from`: values, and the result, pass through.

use layby::generator::{Generator, GeneratorState::*};

type Lines<T> = Generator<u32, &'static str, T>;

fn inner() -> Lines<&'static str> {
    Generator::new(|y, _| {
        let received = y.suspend("inner asks");
        println!("inner got {received}");
        let received = y.suspend("inner asks again");
        println!("inner got {received}");
        "inner's result"
    })
}

fn outer() -> Lines<()> {
    Generator::new(|y, _| {
        let first = y.suspend("outer begins");
        let result = y.delegate(inner(), first);
        println!("outer got {result}");
        y.suspend("outer ends");
    })
}

pub(super) fn run() {
    let mut coroutine = outer();
    for sent in [0, 0, 1, 2, 0] {
        match coroutine.resume(sent) {
            Yielded(line) => println!("{line}"),
            Complete(()) => println!("stopped"),
        }
    }
}
