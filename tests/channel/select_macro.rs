//! `select!` and `select_biased!`: every form of a case, and whose `break`, `?` and borrows the bodies' are.

use crate::common::watchdog;
use layby::channel::{self, RecvError, SendError, after, bounded, never, select_biased, unbounded};
use layby::select;
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn every_form_of_a_case() {
    let (s, r) = bounded(1);
    select! {
        recv(r) -> _ => unreachable!(),
        default => {}
    }
    select! { default() => () }
    select! { send(s, 1) -> sent => sent.unwrap() }
    select! {
        send(s, 2,) -> _sent => unreachable!(),
        default(MS,) => {},
    };
    select!(
        recv(r,) -> message => {
            assert_eq!(message, Ok(1));
        }
        default(MS) => unreachable!()
    );
    let value = select! {
        default => if r.is_empty() { 1 } else { 2 },
        recv(r) -> message => message.unwrap(),
    };
    assert_eq!(value, 1);
    select! { default(MS) => () }
    channel::select! { send(&s, 3) -> (Ok(()) | Err(SendError(_))) => () }
    layby::channel::select_biased! { recv(&&r) -> m => assert_eq!(m, Ok(3)), send(s, 4) -> _ => () }
}

#[test]
fn handles_are_any_expression() {
    struct Both {
        s: Arc<channel::Sender<u32>>,
        r: Box<channel::Receiver<u32>>,
    }
    let (s, r) = unbounded();
    let both = Both { s: Arc::new(s), r: Box::new(r) };
    let mut list = vec![both];
    let none: Option<&channel::Receiver<()>> = list.get(1).and(None);
    select! { send(list[0].s, 5) -> sent => sent.unwrap() }
    select! {
        recv(list.first().unwrap().r) -> message => assert_eq!(message, Ok(5)),
        recv(after(1000 * MS)) -> _ => unreachable!(),
        recv(none.unwrap_or(&never())) -> _ => unreachable!(),
    }
    // When a body runs, nothing is borrowed any more.
    select! {
        recv(list[0].r) -> _ => unreachable!(),
        send(list[0].s, 1) -> _ => list.clear(),
    }
    assert!(list.is_empty());
}

#[test]
fn the_message_is_made_only_when_it_is_sent() {
    let (s, r) = bounded(1);
    s.send(0).unwrap();
    let mut made = 0;
    let mut message = || {
        made += 1;
        made
    };
    select! {
        send(s, message()) -> _ => unreachable!(),
        default => (),
    }
    r.recv().unwrap();
    select! { send(s, message()) -> sent => sent.unwrap() }
    assert_eq!((r.recv(), made), (Ok(1), 1));
}

#[test]
fn break_continue_return_and_question_mark_are_the_users() {
    fn sum(r: &channel::Receiver<u32>, give_up: &channel::Receiver<()>) -> Result<u32, RecvError> {
        let mut sum = 0;
        'all: loop {
            for _ in 0..2 {
                select! {
                    recv(r) -> number => {
                        let number = number?;
                        if number % 2 == 1 {
                            continue;
                        }
                        if number == 100 {
                            break 'all;
                        }
                        sum += number;
                    },
                    recv(give_up) -> _ => return Ok(0),
                }
            }
        }
        Ok(sum)
    }
    let (s, r) = unbounded();
    [1, 2, 3, 4, 100, 6].into_iter().for_each(|i| s.send(i).unwrap());
    let (_never, give_up) = bounded(0);
    assert_eq!(sum(&r, &give_up), Ok(6));
    drop(s);
    assert_eq!(sum(&r, &give_up), Err(RecvError));
    // An expression for the message that leaves: the place is given back.
    let (s, r) = bounded(1);
    let leave = |message: Option<u32>| -> Option<()> {
        select! { send(s, message?) -> sent => sent.ok() }
    };
    assert_eq!((leave(None), leave(Some(1)), r.len()), (None, Some(()), 1));
}

#[test]
fn biased_takes_the_first_that_is_ready() {
    let (s, r) = unbounded();
    let (s2, r2) = unbounded();
    (0..100).for_each(|i| s.send(i).and(s2.send(i)).unwrap());
    for i in 0..100 {
        select_biased! {
            recv(r) -> first => assert_eq!(first, Ok(i)),
            recv(r2) -> _ => unreachable!(),
        }
    }
    let mut counts = [0, 0];
    (0..100).for_each(|i| s.send(i).unwrap());
    while !r.is_empty() && !r2.is_empty() {
        select! {
            recv(r) -> _ => counts[0] += 1,
            recv(r2) -> _ => counts[1] += 1,
        }
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

#[test]
fn twenty_cases_and_one_in_another() {
    let _watchdog = watchdog(20);
    layby::Builder::new().workers(2).run(|| {
        let channels: Vec<_> = (0..20).map(|_| bounded::<usize>(0)).collect();
        let c: Vec<_> = channels.iter().map(|(_, r)| r.clone()).collect();
        let sender =
            layby::go!(move || channels.iter().enumerate().for_each(|(i, (s, _))| s.send(i).unwrap()));
        for want in 0..19 {
            let got = select! {
                recv(c[0]) -> m => m, recv(c[1]) -> m => m, recv(c[2]) -> m => m, recv(c[3]) -> m => m,
                recv(c[4]) -> m => m, recv(c[5]) -> m => m, recv(c[6]) -> m => m, recv(c[7]) -> m => m,
                recv(c[8]) -> m => m, recv(c[9]) -> m => m, recv(c[10]) -> m => m, recv(c[11]) -> m => m,
                recv(c[12]) -> m => m, recv(c[13]) -> m => m, recv(c[14]) -> m => m, recv(c[15]) -> m => m,
                recv(c[16]) -> m => m, recv(c[17]) -> m => m, recv(c[18]) -> m => m,
            };
            assert_eq!(got, Ok(want));
        }
        let nested = select! {
            recv(c[19]) -> message => select! {
                recv(c[0]) -> other => (message, other),
            },
        };
        assert_eq!(nested, (Ok(19), Err(RecvError)));
        sender.join().unwrap();
    });
}
