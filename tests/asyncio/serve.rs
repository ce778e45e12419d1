//! `net::serve`.

use crate::common::{descriptors, on, quiet_panics, watchdog, workers, yield_until};
use layby::net::unix::{self, UnixListener, UnixStream};
use layby::net::{Serve, TcpListener, TcpStream, serve};
use layby::{go, sleep, task};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn listen() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads to the end, and says it again.
fn echo(mut stream: TcpStream, _: std::net::SocketAddr) -> io::Result<()> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    assert!(!text.contains("panic"), "expected: {text}");
    stream.write_all(text.as_bytes())
}

fn ask(address: std::net::SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn connections_are_served_and_panics_counted() {
    let _watchdog = watchdog(60);
    quiet_panics();
    for n in workers() {
        on(n, || {
            let (listener, address) = listen();
            let server = serve(listener, echo);
            let clients: Vec<_> = (0..20)
                .map(|i| {
                    let text = if i % 5 == 0 { "panic".to_owned() } else { format!("hello {i}") };
                    go!(move || (ask(address, &text) == text, i % 5 == 0))
                })
                .collect();
            for client in clients {
                let (answered, panicked) = client.join().unwrap();
                assert_ne!(answered, panicked);
            }
            yield_until(|| server.connections() == 0);
            server.stop();
            let served = server.join().unwrap();
            assert_eq!((served.accepted, served.panicked, served.cancelled), (20, 4, 0));
            assert!(TcpStream::connect(address).is_err(), "the listener is closed");
        });
    }
}

#[test]
fn a_unix_listener_and_a_thread_outside() {
    let _watchdog = watchdog(60);
    let name = format!("layby serve {}", std::process::id());
    let address = unix::SocketAddr::from_abstract_name(name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let builder = task::Builder::new().name("connection".into()).stack_size(1 << 20);
    let server = Serve::new().task(builder).start(listener, |mut stream, _| {
        let name = task::current().name().unwrap().to_owned();
        stream.write_all(name.as_bytes())
    });
    let mut text = String::new();
    UnixStream::connect_addr(&address).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "connection");
    let stopper = server.stopper();
    assert!(!stopper.is_stopping());
    go!(move || stopper.stop()).join().unwrap();
    assert_eq!(server.join().unwrap().accepted, 1);
}

#[test]
fn no_more_than_the_limit_at_once() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let (listener, address) = listen();
            let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (at_once, highest) = (now.clone(), most.clone());
            let server = Serve::new().connections(3).start(listener, move |mut stream, _| {
                highest.fetch_max(at_once.fetch_add(1, SeqCst) + 1, SeqCst);
                sleep(Duration::from_millis(2));
                at_once.fetch_sub(1, SeqCst);
                stream.write_all(b"served")
            });
            let clients: Vec<_> = (0..12).map(|_| go!(move || ask(address, "") == "served")).collect();
            assert!(clients.into_iter().all(|client| client.join().unwrap()));
            assert_eq!(most.load(SeqCst), 3);
            server.stop();
            assert_eq!(server.join().unwrap().accepted, 12);
        });
    }
}

#[test]
fn stopped_it_waits_for_the_grace_period_and_no_longer() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let (listener, address) = listen();
            let server = Serve::new().grace(Duration::from_millis(500)).start(listener, echo);
            let mut quick = TcpStream::connect(address).unwrap();
            let mut stuck = TcpStream::connect(address).unwrap();
            yield_until(|| server.connections() == 2);
            let stopper = server.stopper();
            let asked = Instant::now();
            server.stop();
            stopper.wait();
            yield_until(|| TcpStream::connect(address).is_err());
            // One that is there is still served.
            quick.write_all(b"last words").unwrap();
            quick.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            quick.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "last words");
            let served = server.join().unwrap();
            assert!(asked.elapsed() >= Duration::from_millis(500));
            // Some of those that have only tried may have come through.
            assert!(served.accepted >= 2 && served.cancelled == 1, "{served:?}");
            assert_eq!(stuck.read(&mut [0]).unwrap(), 0, "its stream is dropped");
        });
    }
}

#[test]
fn an_error_that_will_not_pass_ends_it() {
    let _watchdog = watchdog(60);
    on(1, || {
        let (listener, address) = listen();
        let clone = listener.try_clone().unwrap();
        let server = serve(listener, echo);
        assert_eq!(ask(address, "before"), "before");
        // `accept` fails on a socket that does not listen any more.
        socket2::SockRef::from(&clone).shutdown(Shutdown::Both).unwrap();
        let error = server.join().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    });
}

/// It goes with its runtime, and says so.
#[test]
fn the_end_of_the_runtime_ends_it() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let (listener, address) = listen();
        let server = on(n, || {
            let server = serve(listener, echo);
            let _stuck = TcpStream::connect(address).unwrap();
            yield_until(|| server.connections() == 1);
            server
        });
        assert_eq!(server.connections(), 0);
        assert!(server.join().is_err());
    }
}

/// In a process of its own: it uses up its descriptors.
#[test]
fn without_descriptors_it_waits_and_goes_on() {
    use crate::common::{alone, is_child};
    let _watchdog = watchdog(60);
    if !is_child() {
        let test = "without_descriptors_it_waits_and_goes_on";
        let output = alone(test).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    on(1, || {
        let (listener, address) = listen();
        let server = serve(listener, echo);
        assert_eq!(ask(address, "first"), "first");
        assert!(descriptors(64));
        let (soft, hard) = rlimit::Resource::NOFILE.get().unwrap();
        let mut clients = vec![TcpStream::connect(address).unwrap()];
        yield_until(|| server.connections() == 1);
        // The next connection's client end is the last descriptor.
        let last = std::fs::File::open("/dev/null").unwrap();
        use std::os::fd::AsRawFd;
        rlimit::Resource::NOFILE.set(last.as_raw_fd() as u64 + 1, hard).unwrap();
        drop(last);
        let mut waiting = TcpStream::connect(address).unwrap();
        waiting.write_all(b"patience").unwrap();
        waiting.shutdown(Shutdown::Write).unwrap();
        sleep(Duration::from_millis(30)); // some attempts fail
        assert_eq!(server.connections(), 1);
        clients.clear();
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "patience");
        rlimit::Resource::NOFILE.set(soft, hard).unwrap();
        server.stop();
        assert_eq!(server.join().unwrap().accepted, 3);
    });
}
