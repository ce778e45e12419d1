//! WebSockets by tungstenite: `websocket serve [ADDR]` sends back what it is sent; `websocket ask URL TEXT...` sends
//! each text on a connection of its own, all at once, and prints the answers in order.
//!
//! tungstenite is generic over `Read` and `Write`, so a handshake and a message are plain calls that park their task.

#![forbid(unsafe_code)]

use layby::go;
use layby::net::TcpStream;
use layby_ecosystem::{Error, arguments, listen};
use tungstenite::Message;

const USAGE: &str = "websocket serve [ADDR]    (default 127.0.0.1:8080)
       websocket ask ws://HOST:PORT/ TEXT...";

fn main() -> Result<(), Error> {
    let arguments = arguments(1..=usize::MAX, USAGE)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    layby::run(|| match arguments[..] {
        ["serve"] => serve(None),
        ["serve", address] => serve(Some(address)),
        ["ask", url, ref texts @ ..] => ask(url, texts),
        _ => Err(format!("usage: {USAGE}").into()),
    })
}

fn serve(address: Option<&str>) -> Result<(), Error> {
    for stream in listen(address)?.incoming() {
        let stream = stream?;
        go!(move || {
            if let Err(error) = echo(stream) {
                eprintln!("a connection ended: {error}");
            }
        });
    }
    Ok(())
}

fn echo(stream: TcpStream) -> Result<(), Error> {
    // Its error holds the stream, and that is more than an error need be.
    let mut socket = tungstenite::accept(stream).map_err(|error| error.to_string())?;
    loop {
        match socket.read() {
            // Pings are answered, and a close is, by the next call.
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message)?,
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn ask(url: &str, texts: &[&str]) -> Result<(), Error> {
    let host = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).ok_or(USAGE)?;
    let answers = layby::try_gather(texts.iter().map(|text| {
        move || -> Result<String, Error> {
            let stream = TcpStream::connect(host)?;
            let (mut socket, _) = tungstenite::client(url, stream).map_err(|error| error.to_string())?;
            socket.send(Message::text(*text))?;
            let answer = socket.read()?.into_text()?.to_string();
            socket.close(None)?;
            // Until the other end has closed too.
            while socket.read().is_ok() {}
            Ok(answer)
        }
    }))?;
    answers.iter().for_each(|answer| println!("{answer}"));
    Ok(())
}
