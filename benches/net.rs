//! An echo of 64 bytes over TCP, Unix sockets and UDP, beside tokio and OS threads.
//!
//! `cargo bench --bench net`. A hundred clients, each with a connection and a server of its own, all in one process: layby
//! on one worker, tokio's current-thread runtime, and two hundred threads of std's. A figure is one round trip: a write
//! and a read at each end. The kernel's part of that is the same for all.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Barrier};
use std::thread;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CLIENTS: usize = 100;
/// Of each client, in one round.
const TRIPS: usize = 10;
const BYTES: usize = 64;

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// Two ends, connected with each other, of whichever library.
macro_rules! udp_pair {
    ($socket:ty $(, $wait:tt)*) => {{
        let near = <$socket>::bind("127.0.0.1:0")$(.$wait)*.unwrap();
        let far = <$socket>::bind("127.0.0.1:0")$(.$wait)*.unwrap();
        near.connect(far.local_addr().unwrap())$(.$wait)*.unwrap();
        far.connect(near.local_addr().unwrap())$(.$wait)*.unwrap();
        (near, far)
    }};
}
macro_rules! tcp_pair {
    ($listener:ty, $stream:ty $(, $wait:tt)*) => {{
        let listener = <$listener>::bind("127.0.0.1:0")$(.$wait)*.unwrap();
        let near = <$stream>::connect(listener.local_addr().unwrap())$(.$wait)*.unwrap();
        let far = listener.accept()$(.$wait)*.unwrap().0;
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        (near, far)
    }};
}

fn stream_echo<S>(stream: S) -> impl FnOnce()
where
    for<'a> &'a S: Read + Write,
{
    move || {
        let mut buffer = [0; BYTES];
        while (&stream).read_exact(&mut buffer).is_ok() {
            (&stream).write_all(&buffer).unwrap();
        }
    }
}

fn stream_trips<S>(stream: &S)
where
    for<'a> &'a S: Read + Write,
{
    let (mut stream, mut buffer) = (stream, [7; BYTES]);
    for _ in 0..TRIPS {
        stream.write_all(&buffer).unwrap();
        stream.read_exact(&mut buffer).unwrap();
    }
}

/// `pair` makes the ends, `echo` serves one until it is told to end, `trips` uses the other.
fn on_layby<S: Send + Sync + 'static, E: FnOnce() + Send + 'static>(
    group: &mut Group<'_>,
    pair: impl Fn() -> (S, S),
    echo: impl Fn(S) -> E,
    trips: impl Fn(&S) + Sync,
) {
    group.bench_function(BenchmarkId::from_parameter("layby"), |b| {
        layby::Builder::new().workers(1).run(|| {
            let (clients, servers): (Vec<S>, Vec<S>) = (0..CLIENTS).map(|_| pair()).unzip();
            servers.into_iter().for_each(|server| drop(layby::go!(echo(server))));
            let trips = &trips;
            b.iter(|| layby::gather(clients.iter().map(|client| move || trips(client))));
        });
    });
}

fn on_threads<S: Send + Sync + 'static, E: FnOnce() + Send + 'static>(
    group: &mut Group<'_>,
    pair: impl Fn() -> (S, S),
    echo: impl Fn(S) -> E,
    trips: fn(&S),
    end: fn(&S),
) {
    group.bench_function(BenchmarkId::from_parameter("threads"), |b| {
        let round = Arc::new(Barrier::new(CLIENTS + 1));
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let threads: Vec<_> = (0..CLIENTS)
            .flat_map(|_| {
                let (client, server) = pair();
                let (round, over) = (round.clone(), over.clone());
                let client = thread::spawn(move || {
                    loop {
                        round.wait();
                        if over.load(std::sync::atomic::Ordering::Relaxed) {
                            return end(&client);
                        }
                        trips(&client);
                        round.wait();
                    }
                });
                [client, thread::spawn(echo(server))]
            })
            .collect();
        b.iter(|| {
            round.wait();
            round.wait();
        });
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        round.wait();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

macro_rules! on_tokio {
    ($group:expr, $pair:expr, $echo:expr, $trips:expr) => {
        $group.bench_function(BenchmarkId::from_parameter("tokio"), |b| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            let mut clients = Vec::new();
            runtime.block_on(async {
                for _ in 0..CLIENTS {
                    let (client, server) = $pair;
                    clients.push(client);
                    tokio::spawn($echo(server));
                }
            });
            b.iter(|| {
                runtime.block_on(async {
                    let mut set = tokio::task::JoinSet::new();
                    clients.drain(..).for_each(|client| drop(set.spawn($trips(client))));
                    clients = set.join_all().await;
                });
            });
        })
    };
}

macro_rules! tokio_stream {
    ($group:expr, $stream:ty, $pair:expr) => {
        on_tokio!(
            $group,
            $pair,
            |mut stream: $stream| async move {
                let mut buffer = [0; BYTES];
                while stream.read_exact(&mut buffer).await.is_ok() {
                    stream.write_all(&buffer).await.unwrap();
                }
            },
            |mut stream: $stream| async move {
                let mut buffer = [7; BYTES];
                for _ in 0..TRIPS {
                    stream.write_all(&buffer).await.unwrap();
                    stream.read_exact(&mut buffer).await.unwrap();
                }
                stream
            }
        )
    };
}

fn begin<'a>(c: &'a mut Criterion, name: &str) -> Group<'a> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements((CLIENTS * TRIPS) as u64));
    group
}

fn tcp(c: &mut Criterion) {
    let group = &mut begin(c, "echo_tcp");
    let pair = || tcp_pair!(layby::net::TcpListener, layby::net::TcpStream);
    on_layby(group, pair, stream_echo::<layby::net::TcpStream>, stream_trips::<layby::net::TcpStream>);
    tokio_stream!(
        group,
        tokio::net::TcpStream,
        tcp_pair!(tokio::net::TcpListener, tokio::net::TcpStream, await)
    );
    let pair = || tcp_pair!(std::net::TcpListener, std::net::TcpStream);
    on_threads(group, pair, stream_echo::<std::net::TcpStream>, stream_trips::<std::net::TcpStream>, |_| {});
}

fn unix(c: &mut Criterion) {
    let group = &mut begin(c, "echo_unix");
    on_layby(
        group,
        || layby::net::unix::UnixStream::pair().unwrap(),
        stream_echo::<layby::net::unix::UnixStream>,
        stream_trips::<layby::net::unix::UnixStream>,
    );
    tokio_stream!(group, tokio::net::UnixStream, tokio::net::UnixStream::pair().unwrap());
    let pair = || UnixStream::pair().unwrap();
    on_threads(group, pair, stream_echo::<UnixStream>, stream_trips::<UnixStream>, |_| {});
}

/// Datagrams have no end: an empty one stands for it.
macro_rules! udp_echo {
    ($socket:ty) => {
        |socket: $socket| {
            move || {
                let mut buffer = [0; BYTES];
                while let Ok(length @ 1..) = socket.recv(&mut buffer) {
                    socket.send(&buffer[..length]).unwrap();
                }
            }
        }
    };
}
macro_rules! udp_trips {
    ($socket:ty) => {
        |socket: &$socket| {
            let mut buffer = [7; BYTES];
            for _ in 0..TRIPS {
                socket.send(&buffer).unwrap();
                assert_eq!(socket.recv(&mut buffer).unwrap(), BYTES);
            }
        }
    };
}

fn udp(c: &mut Criterion) {
    let group = &mut begin(c, "echo_udp");
    on_layby(
        group,
        || udp_pair!(layby::net::UdpSocket),
        udp_echo!(layby::net::UdpSocket),
        udp_trips!(layby::net::UdpSocket),
    );
    on_tokio!(
        group,
        udp_pair!(tokio::net::UdpSocket, await),
        |socket: tokio::net::UdpSocket| async move {
            let mut buffer = [0; BYTES];
            while let Ok(length @ 1..) = socket.recv(&mut buffer).await {
                socket.send(&buffer[..length]).await.unwrap();
            }
        },
        |socket: tokio::net::UdpSocket| async move {
            let mut buffer = [7; BYTES];
            for _ in 0..TRIPS {
                socket.send(&buffer).await.unwrap();
                assert_eq!(socket.recv(&mut buffer).await.unwrap(), BYTES);
            }
            socket
        }
    );
    on_threads(
        group,
        || udp_pair!(std::net::UdpSocket),
        udp_echo!(std::net::UdpSocket),
        udp_trips!(std::net::UdpSocket),
        |socket| drop(socket.send(&[])),
    );
}

criterion_group!(benches, tcp, unix, udp);
criterion_main!(benches);
