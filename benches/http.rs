//! Small HTTP requests over connections that stay open: layby beside tokio, may and a thread a connection, in one report.
//!
//! Every server does the same: it reads until the empty line, looks for nothing, and answers 13 bytes. The load is one OS thread in
//! this process that writes a request on each connection and then reads each answer, so the time of a request holds its
//! share of that, the same for all. Two CPUs are shared by the load and one worker of layby, tokio or may; the threads spread over all there
//! are. See the yardstick's rows in docs/BENCHMARKS.md for the server's part alone.
//!
//! ```text
//! cargo bench --bench http
//! ```

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const CONNECTIONS: usize = 100;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!";

/// One connection, to its end, with any blocking stream.
fn serve(mut stream: impl Read + Write) -> io::Result<()> {
    let (mut buffer, mut filled) = ([0; 1024], 0);
    loop {
        match stream.read(&mut buffer[filled..])? {
            0 => return Ok(()),
            length => filled += length,
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            stream.write_all(ANSWER)?;
            filled = 0;
        }
    }
}

async fn serve_async(mut stream: tokio::net::TcpStream) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut buffer, mut filled) = ([0; 1024], 0);
    loop {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Ok(()),
            length => filled += length,
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            stream.write_all(ANSWER).await?;
            filled = 0;
        }
    }
}

/// Connections to a server, and rounds over all of them.
struct Load(Vec<TcpStream>);

impl Load {
    fn to(server: SocketAddr) -> Load {
        let connect = |_| {
            let stream = TcpStream::connect(server).expect("the server listens");
            stream.set_nodelay(true).expect("an open socket");
            stream
        };
        Load((0..CONNECTIONS).map(connect).collect())
    }

    fn round(&mut self) {
        for stream in &mut self.0 {
            stream.write_all(REQUEST).expect("the server reads");
        }
        let mut answer = [0; ANSWER.len()];
        for stream in &mut self.0 {
            stream.read_exact(&mut answer).expect("the server answers");
            assert_eq!(answer, ANSWER);
        }
    }
}

/// A listener of std's, on a port of its own.
fn listen() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

fn http(c: &mut Criterion) {
    let mut group = c.benchmark_group("http");
    group.throughput(Throughput::Elements(CONNECTIONS as u64));
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    let mut row = |name: &str, server: SocketAddr| {
        let mut load = Load::to(server);
        group.bench_function(BenchmarkId::new(name, CONNECTIONS), |b| b.iter(|| load.round()));
    };

    let layby = layby::Builder::new().workers(1).build().expect("a runtime");
    let (listener, address) = listen();
    let accept = layby.spawn(move || {
        let listener = layby::net::TcpListener::from(listener);
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            stream.set_nodelay(true).expect("an open socket");
            layby::go!(move || serve(stream));
        }
    });
    row("layby", address);
    accept.cancel();
    drop(layby);

    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build().expect("a runtime");
    let (listener, address) = listen();
    tokio.spawn(async move {
        listener.set_nonblocking(true).expect("an open socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a registration");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("an open socket");
            tokio::spawn(serve_async(stream));
        }
    });
    row("tokio", address);
    tokio.shutdown_background();

    may::config().set_workers(1);
    let listener = may::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let accept = may::go!(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            stream.set_nodelay(true).expect("an open socket");
            may::go!(move || serve(stream));
        }
    });
    row("may", address);
    // SAFETY: what it holds, a listener, may go at any of its waits.
    unsafe { accept.coroutine().cancel() };

    let (listener, address) = listen();
    // Both these threads and those of the connections end with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            stream.set_nodelay(true).expect("an open socket");
            std::thread::spawn(move || serve(stream));
        }
    });
    row("a thread a connection", address);
    group.finish();
}

criterion_group!(benches, http);
criterion_main!(benches);
