//! Streams, datagrams and listeners in memory.

use crate::common::{Rng, watchdog};
use layby::testing::{self, Explore, Link, Network, Stream, stream_pair};
use layby::time::Instant;
use layby::{go, timeout};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// A link with everything that does not break it.
fn troubled() -> Link {
    Link::new().latency(MS..50 * MS).chunk(1..40).capacity(300)
}

#[test]
fn all_bytes_come_in_order_by_any_seed() {
    let _watchdog = watchdog(30);
    Explore::new().seeds(60).run(|| {
        let (mut here, mut there) = troubled().stream_pair();
        let sent = Rng::new(testing::random()).bytes(3_000);
        let expected = sent.clone();
        let writer = go!(move || {
            here.write_all(&sent).unwrap();
            let mut back = Vec::new();
            here.shutdown(Shutdown::Write).unwrap();
            here.read_to_end(&mut back).unwrap();
            back
        });
        let mut received = Vec::new();
        there.read_to_end(&mut received).unwrap();
        assert_eq!(received, expected);
        // The other direction is open still.
        there.write_all(b"thanks").unwrap();
        drop(there);
        assert_eq!(writer.join().unwrap(), b"thanks");
    });
}

#[test]
fn latency_is_virtual_time() {
    let _watchdog = watchdog(30);
    let real = std::time::Instant::now();
    testing::run(4, || {
        let (mut here, mut there) = Link::new().latency(100 * MS..200 * MS).stream_pair();
        go!(move || {
            let mut byte = [0];
            while there.read(&mut byte).unwrap() == 1 {
                there.write_all(&byte).unwrap();
            }
        });
        let start = Instant::now();
        for byte in 0..100 {
            let mut back = [0];
            here.write_all(&[byte]).unwrap();
            here.read_exact(&mut back).unwrap();
            assert_eq!(back, [byte]);
        }
        let took = start.elapsed();
        assert!((20_000 * MS..41_000 * MS).contains(&took), "{took:?}");
    });
    assert!(real.elapsed() < Duration::from_secs(10));
}

/// In a run the seed decides; elsewhere the link's own.
#[test]
fn a_seed_repeats_what_happens() {
    let _watchdog = watchdog(30);
    let pieces = |link: &Link| {
        let (mut here, mut there) = link.stream_pair();
        let mut pieces = Vec::new();
        while pieces.len() < 50 {
            here.write_all(&[7; 10]).unwrap();
            pieces.push(there.read(&mut [0; 10]).unwrap());
        }
        pieces
    };
    let link = Link::new().chunk(1..10);
    let by_seed = |seed| testing::run(seed, || pieces(&link));
    assert_eq!(by_seed(1), by_seed(1));
    assert_ne!(by_seed(1), by_seed(2));
    let own = |seed| pieces(&link.clone().seed(seed));
    assert_eq!(own(1), own(1));
    assert_ne!(own(1), own(2));
    assert_eq!(testing::run(3, || own(1)), own(1));
}

#[test]
fn what_takes_too_long_would_block() {
    let _watchdog = watchdog(30);
    testing::run(1, || {
        let (mut here, there) = Link::new().latency(50 * MS..50 * MS).capacity(10).stream_pair();
        here.set_read_timeout(Some(20 * MS)).unwrap();
        here.set_write_timeout(Some(30 * MS)).unwrap();
        assert_eq!(here.read_timeout().unwrap(), Some(20 * MS));
        assert_eq!(here.write_timeout().unwrap(), Some(30 * MS));
        assert_eq!(kind(here.set_read_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
        let start = Instant::now();
        assert_eq!(kind(here.read(&mut [0])), ErrorKind::WouldBlock);
        assert!((20 * MS..21 * MS).contains(&start.elapsed()));
        assert_eq!(here.write(&[1; 20]).unwrap(), 10);
        let start = Instant::now();
        assert_eq!(kind(here.write(&[1])), ErrorKind::WouldBlock);
        assert!((30 * MS..31 * MS).contains(&start.elapsed()));
        there.set_nonblocking(true).unwrap();
        assert_eq!(kind((&there).read(&mut [0])), ErrorKind::WouldBlock);
        layby::sleep(30 * MS);
        assert_eq!(there.peek(&mut [0; 20]).unwrap(), 10);
        assert_eq!((&there).read(&mut [0; 20]).unwrap(), 10);
        assert_eq!(here.write(&[]).unwrap(), 0);
        assert_eq!((&there).read(&mut []).unwrap(), 0);
        assert!(there.peer_addr().unwrap() == here.local_addr().unwrap());
    });
}

/// As with sockets, a timeout around a read or a write costs no byte.
#[test]
fn a_cancellation_loses_nothing() {
    let _watchdog = watchdog(30);
    Explore::new().seeds(60).run(|| {
        let (here, there) = troubled().stream_pair();
        let sent = Rng::new(testing::random()).bytes(500);
        let expected = sent.clone();
        go!(move || {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let limit = Duration::from_micros(testing::random() % 60_000);
                if let Ok(count) = timeout(limit, || (&here).write(rest).unwrap()) {
                    rest = &rest[count..];
                }
            }
        });
        let mut received = Vec::new();
        loop {
            let mut buf = [0; 50];
            let limit = Duration::from_micros(testing::random() % 60_000);
            match timeout(limit, || (&there).read(&mut buf).unwrap()) {
                Ok(0) => break,
                Ok(count) => received.extend_from_slice(&buf[..count]),
                Err(_) => {}
            }
        }
        assert_eq!(received, expected);
    });
}

#[test]
fn closing() {
    let _watchdog = watchdog(30);
    // The last clone closes, and what was sent arrives.
    let (mut here, mut there) = stream_pair();
    let clone = here.try_clone().unwrap();
    here.write_all(b"x").unwrap();
    drop(here);
    there.write_all(b"y").unwrap();
    (&clone).read_exact(&mut [0]).unwrap();
    drop(clone);
    assert_eq!(there.read(&mut [0; 9]).unwrap(), 1);
    assert_eq!(there.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(kind(there.write(b"z")), ErrorKind::BrokenPipe);
    // With bytes unread, it is a reset.
    let (mut here, mut there) = stream_pair();
    there.write_all(b"unread").unwrap();
    here.write_all(b"x").unwrap();
    drop(here);
    assert_eq!(there.read(&mut [0; 9]).unwrap(), 1);
    assert_eq!(kind(there.read(&mut [0; 9])), ErrorKind::ConnectionReset);
    // Half closed.
    let (mut here, mut there) = stream_pair();
    here.shutdown(Shutdown::Write).unwrap();
    assert_eq!(kind(here.write(b"x")), ErrorKind::BrokenPipe);
    assert_eq!(there.read(&mut [0]).unwrap(), 0);
    there.write_all(b"x").unwrap();
    assert_eq!(here.read(&mut [0; 9]).unwrap(), 1);
    here.shutdown(Shutdown::Read).unwrap();
    assert_eq!(here.read(&mut [0]).unwrap(), 0);
    assert_eq!(kind(there.write(b"x")), ErrorKind::BrokenPipe);
}

#[test]
fn a_worn_out_link_breaks_after_so_many_bytes() {
    let _watchdog = watchdog(30);
    testing::run(1, || {
        let (mut here, mut there) =
            Link::new().latency(MS..9 * MS).chunk(1..7).reset_after(100).stream_pair();
        assert_eq!(kind(here.write_all(&[1; 200])), ErrorKind::ConnectionReset);
        let mut received = Vec::new();
        assert_eq!(kind(there.read_to_end(&mut received)), ErrorKind::ConnectionReset);
        assert_eq!(received, [1; 100]);
        assert_eq!(kind(there.write(b"x")), ErrorKind::ConnectionReset);
        assert_eq!(kind(here.read(&mut [0])), ErrorKind::ConnectionReset);
    });
}

/// A stream that loses is cut: what arrives is a beginning of what was sent, and writes that had gone well may be lost.
#[test]
fn loss_cuts_a_stream_anywhere() {
    let _watchdog = watchdog(30);
    let mut lengths = std::collections::HashSet::new();
    let mut lost = 0;
    for seed in 0..50 {
        let (written, received) = testing::run(seed, || {
            let (here, mut there) = Link::new().latency(MS..9 * MS).chunk(1..9).loss(0.05).stream_pair();
            let writer = go!(move || {
                let mut written = 0;
                while let Ok(count) = (&here).write(&[written as u8; 1]) {
                    written += count;
                    layby::sleep(MS);
                }
                written
            });
            let mut received = Vec::new();
            assert_eq!(kind(there.read_to_end(&mut received)), ErrorKind::ConnectionReset);
            (writer.join().unwrap(), received)
        });
        assert!(received.iter().enumerate().all(|(i, byte)| *byte == i as u8));
        assert!(received.len() <= written + 1);
        lost += written.saturating_sub(received.len());
        lengths.insert(received.len());
    }
    assert!(lengths.len() > 10 && lost > 20, "{lengths:?}, {lost} lost");
}

/// Plain threads, and real time.
#[test]
fn threads_use_them_too() {
    let _watchdog = watchdog(30);
    let (mut here, there) = Link::new().latency(MS..2 * MS).chunk(1..100).capacity(200).stream_pair();
    let echo = std::thread::spawn(move || {
        let (mut from, mut to) = (&there, &there);
        io::copy(&mut from, &mut to).unwrap()
    });
    let mut back = here.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        back.read_to_end(&mut all).unwrap();
        all
    });
    let start = std::time::Instant::now();
    here.write_all(&[5; 1_000]).unwrap();
    here.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reader.join().unwrap(), [5; 1_000]);
    assert_eq!(echo.join().unwrap(), 1_000);
    assert!(start.elapsed() >= 2 * MS);
}

/// What a server is, in short: generic over its listener's streams.
fn serve(streams: impl Iterator<Item = io::Result<Stream>>) {
    for stream in streams {
        go!(move || {
            let mut stream = stream?;
            let mut name = String::new();
            stream.read_to_string(&mut name)?;
            stream.write_all(format!("hello {name}").as_bytes())
        });
    }
}

#[test]
fn a_server_and_many_clients() {
    let _watchdog = watchdog(30);
    Explore::new().seeds(20).run(|| {
        let network = Network::new(troubled());
        let addr = ([10, 0, 0, 1], 80);
        assert_eq!(kind(network.connect(addr)), ErrorKind::ConnectionRefused);
        let listener = network.listen(addr).unwrap();
        assert_eq!(kind(network.listen(addr)), ErrorKind::AddrInUse);
        assert_eq!(listener.local_addr().unwrap(), addr.into());
        let server = go!(move || serve(listener.incoming()));
        let clients: Vec<_> = (0..20)
            .map(|i| {
                let network = network.clone();
                go!(move || {
                    let mut stream = network.connect(addr)?;
                    write!(stream, "client {i}")?;
                    stream.shutdown(Shutdown::Write)?;
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer)?;
                    assert_eq!(answer, format!("hello client {i}"));
                    io::Result::Ok(())
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap().unwrap());
        server.cancel();
        assert!(server.join().unwrap_err().is_cancelled());
        assert_eq!(kind(network.connect(addr)), ErrorKind::ConnectionRefused);
        let any = network.listen(([10, 0, 0, 1], 0)).unwrap();
        let stream = network.connect(any.local_addr().unwrap()).unwrap();
        assert_eq!(any.accept().unwrap().1, stream.local_addr().unwrap());
    });
}

#[test]
fn datagrams_are_lost_doubled_and_overtake_each_other() {
    let _watchdog = watchdog(30);
    let send = |seed, link: &Link| {
        testing::run(seed, || {
            let (here, there) = link.datagram_pair();
            for number in 0..100 {
                here.send(&[number]).unwrap();
                layby::sleep(MS);
            }
            there.set_read_timeout(Some(1_000 * MS)).unwrap();
            let mut received = Vec::new();
            let end = loop {
                let mut byte = [0; 4];
                match there.recv(&mut byte) {
                    Ok(1) => received.push(byte[0]),
                    Ok(other) => panic!("{other} bytes"),
                    Err(error) => break error.kind(),
                }
            };
            assert_eq!(end, ErrorKind::WouldBlock);
            drop(here);
            assert_eq!(kind(there.recv(&mut [0])), ErrorKind::ConnectionRefused);
            assert_eq!(kind(there.send(&[0])), ErrorKind::ConnectionRefused);
            received
        })
    };
    let all: Vec<u8> = (0..100).collect();
    assert_eq!(send(1, &Link::new()), all);
    assert_eq!(send(1, &Link::new().latency(9 * MS..9 * MS)), all);
    let lossy = send(1, &Link::new().loss(0.3));
    assert!(lossy.is_sorted() && (50..90).contains(&lossy.len()), "{lossy:?}");
    assert_eq!(lossy, send(1, &Link::new().loss(0.3)));
    assert_ne!(lossy, send(2, &Link::new().loss(0.3)));
    let doubled = send(1, &Link::new().duplication(0.3));
    assert!(doubled.is_sorted() && (110..160).contains(&doubled.len()), "{doubled:?}");
    let mut late = send(1, &Link::new().latency(MS..20 * MS));
    assert!(!late.is_sorted());
    late.sort_unstable();
    assert_eq!(late, all);
}

#[test]
fn a_datagram_that_does_not_fit_is_lost() {
    let _watchdog = watchdog(30);
    let (here, there) = Link::new().capacity(10).datagram_pair();
    there.set_nonblocking(true).unwrap();
    for number in 0..20 {
        assert_eq!(here.send(&[number, 0, 0]).unwrap(), 3);
    }
    let mut buf = [9; 2];
    assert_eq!(there.recv(&mut buf).unwrap(), 2); // cut off
    assert_eq!(buf, [0, 0]);
    assert_eq!(there.recv(&mut buf).unwrap(), 2);
    assert_eq!(kind(there.recv(&mut buf)), ErrorKind::WouldBlock);
}
