//! `start_server`, `open_connection`, `readline`.

use layby::gather;
use layby::net::{TcpListener, TcpStream, serve};
use std::io::{self, BufRead, BufReader, Write};

fn handle(stream: &TcpStream) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let mut writer = stream;
        writer.write_all(format!("echo: {}\n", line?).as_bytes())?;
    }
    Ok(())
}

pub(super) fn run() {
    layby::run(|| -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = serve(listener, |stream, _peer| handle(&stream));
        let ask = |name: &str| -> io::Result<String> {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(format!("{name}\n").as_bytes())?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer)?;
            Ok(answer.trim().to_owned())
        };
        let (one, two, three) = gather!(ask("one"), ask("two"), ask("three"));
        println!("{:?}", [one?, two?, three?]);
        server.stop();
        server.join()?;
        println!("closed");
        Ok(())
    })
    .expect("a loopback interface");
}
