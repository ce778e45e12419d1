//! A generator is not suspended out of what belongs to the task that has resumed it; and what was refused leaves it whole.

use crate::common::{Drops, message, on, quiet_panics_that_say, watchdog, workers};
use layby::generator::{Generator, GeneratorState, Yielder, gen_iter};
use layby::{
    gather, race, scope, shield, sleep, spawn_local, timeout, timeout_with, try_gather, try_scope, yield_now,
};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

layby::task_local!(static NAME: Cell<u32> = const { Cell::new(0) });

const OUT_OF: &str = "a generator cannot be suspended out of a timeout, scope, gather, shield or `with`";
const HOUR: Duration = Duration::from_secs(3600);

/// On tasks, and on a thread that is no task.
fn everywhere(f: impl Fn() + Sync) {
    for n in workers() {
        on(n, &f);
    }
    std::thread::scope(|scope| scope.spawn(&f).join().expect("the same on a thread"));
}

fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

/// That `f` cannot suspend, that all is dropped then, and that nothing stays open.
#[track_caller]
fn refused<T>(f: impl FnOnce(&Yielder<(), u32>) -> T + 'static) {
    let drops = Drops::new();
    let token = drops.token();
    let mut generator = gen_iter(move |y: &Yielder<(), u32>| {
        let _token = token;
        y.suspend(1);
        f(y);
        unreachable!("it was suspended");
    });
    assert_eq!(generator.next(), Some(1));
    let text = caught(|| generator.next()).expect_err("it was suspended");
    assert!(text.starts_with(OUT_OF), "{text}");
    assert!(generator.is_finished() && drops.count() == 1);
    drop(generator);
    // Nothing is left of the frame: no deadline, no mask, no count.
    assert!(timeout(Duration::from_millis(1), || sleep(HOUR)).is_err());
    assert_eq!(timeout(HOUR, || gen_iter(|y| y.suspend(2)).next()), Ok(Some(2)));
}

#[test]
fn out_of_each_kind_of_frame() {
    let _watchdog = watchdog(30);
    quiet_panics_that_say(OUT_OF);
    everywhere(|| {
        refused(|y| timeout(HOUR, || y.suspend(2)));
        refused(|y| timeout(Duration::MAX, || y.suspend(2)));
        refused(|y| timeout_with(HOUR, |_| y.suspend(2)));
        refused(|y| shield(|| y.suspend(2)));
        refused(|y| scope(|_| y.suspend(2)));
        refused(|y| {
            scope(|s| {
                // It is cancelled, and has ended when the refusal comes out.
                s.spawn(|| sleep(HOUR));
                y.suspend(2);
            });
        });
        refused(|y| {
            try_scope(|s| {
                s.spawn(|| {
                    sleep(HOUR);
                    Ok::<(), ()>(())
                });
                y.suspend(2);
                Ok(())
            })
        });
        refused(|y| {
            gather((0..3).map(|n| {
                y.suspend(n);
                || ()
            }))
        });
        refused(|y| {
            try_gather((0..3).map(|n| {
                y.suspend(n);
                || Ok::<(), ()>(())
            }))
        });
        refused(|y| {
            race((0..3).map(|n| {
                y.suspend(n);
                || sleep(HOUR)
            }))
        });
        refused(|y| NAME.with(|_| y.suspend(2)));
        // Through another frame, and through another generator.
        refused(|y| timeout(HOUR, || shield(|| NAME.with(|_| y.suspend(2)))));
        refused(|y| timeout(HOUR, || y.delegate(gen_iter(|y| y.suspend(2)), ())));
        refused(|y| y.delegate(gen_iter(|y| scope(|_| y.suspend(2))), ()));
    });
}

/// One around the resumes belongs to the resumer, and one that is closed again is nobody's.
#[test]
fn frames_around_and_frames_that_were_closed() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let mut generator = gen_iter(|y: &Yielder<(), u32>| {
            for n in 0..20 {
                assert_eq!(timeout(HOUR, || shield(yield_now)), Ok(()));
                scope(|s| drop(s.spawn(yield_now).join()));
                y.suspend(n);
            }
        });
        assert_eq!(timeout(HOUR, || generator.next()), Ok(Some(0)));
        assert_eq!(generator.next(), Some(1));
        assert_eq!(shield(|| scope(|_| NAME.with(|_| generator.next()))), Some(2));
        assert_eq!(try_scope(|_| Ok::<_, ()>(generator.next())).unwrap(), Some(3));
        assert_eq!(generator.next(), Some(4));
    });
}

/// Who catches the refusal has closed the frame, and goes on.
#[test]
fn a_refusal_may_be_caught() {
    let _watchdog = watchdog(30);
    quiet_panics_that_say(OUT_OF);
    everywhere(|| {
        let mut generator = gen_iter(|y: &Yielder<(), u32>| {
            for n in 0..6 {
                let refusal = match n % 3 {
                    0 => caught(|| timeout(HOUR, || y.suspend(99)).unwrap()),
                    1 => caught(|| shield(|| y.suspend(99))),
                    _ => caught(|| scope(|_| y.suspend(99))),
                };
                assert!(refusal.is_err());
                y.suspend(n);
            }
        });
        assert_eq!(generator.by_ref().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    });
}

/// A timeout of the resumer reaches what waits in the generator, which is unwound by it; one inside of it reaches only that.
#[test]
fn timeouts_reach_into_a_generator() {
    let _watchdog = watchdog(30);
    let short = Duration::from_millis(2);
    everywhere(|| {
        let drops = Drops::new();
        let token = drops.token();
        let mut generator = gen_iter(move |y: &Yielder<(), u32>| {
            let _token = token;
            assert!(timeout(short, || sleep(HOUR)).is_err());
            y.suspend(1);
            sleep(HOUR);
        });
        assert_eq!(generator.next(), Some(1));
        assert!(timeout(short, || generator.next()).is_err());
        assert!(generator.is_finished() && drops.count() == 1);
        yield_now();
    });
}

/// Its frames closed, it goes on in another task, with that one's deadlines, and is cancelled with that one.
#[test]
fn another_task_resumes_it() {
    let _watchdog = watchdog(30);
    quiet_panics_that_say(OUT_OF);
    for n in workers() {
        on(n, || {
            let drops = Drops::new();
            let token = drops.token();
            let body = move |y: &Yielder<(), u32>, ()| {
                let _token = token;
                let outer = NAME.get();
                assert!(caught(|| timeout(HOUR, || y.suspend(99)).unwrap()).is_err());
                y.suspend(outer);
                assert_eq!(timeout(HOUR, || NAME.get()), Ok(2));
                assert!(caught(|| scope(|_| y.suspend(99))).is_err());
                y.suspend(NAME.get());
                sleep(HOUR);
            };
            let generator = Rc::new(RefCell::new(Generator::new(body)));
            for name in 1..3 {
                let generator = generator.clone();
                let task = spawn_local(move || {
                    NAME.set(name);
                    // Inside of a deadline that is over, and of a frame that is gone, when the next one resumes it.
                    let step =
                        timeout(Duration::from_secs(20), || generator.borrow_mut().resume(())).unwrap();
                    assert_eq!(step, GeneratorState::Yielded(name));
                });
                task.join().unwrap();
            }
            let last = generator.clone();
            let task = spawn_local(move || last.borrow_mut().resume(()));
            while generator.try_borrow().is_ok() {
                yield_now();
            }
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            assert!(generator.borrow().is_finished());
            assert_eq!(drops.count(), 1);
        });
    }
}
