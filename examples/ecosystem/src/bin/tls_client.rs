//! A TLS client by rustls: `tls_client CA HOST:PORT` sends its standard input and prints the answer, as
//! `openssl s_client -quiet` does.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};

use layby_ecosystem::tls;
use layby_ecosystem::{Error, arguments};

const USAGE: &str = "tls_client CA HOST:PORT    (CA: a PEM file)";

fn main() -> Result<(), Error> {
    let arguments = arguments(2..=2, USAGE)?;
    let config = tls::client_config(&arguments[0])?;
    let address = arguments[1].as_str();
    let name = address.rsplit_once(':').ok_or(USAGE)?.0;
    layby::run(|| {
        let mut stream = tls::connect(address, name, config)?;
        let mut input = Vec::new();
        layby::io::stdin().read_to_end(&mut input)?;
        stream.write_all(&input)?;
        stream.flush()?;
        io::copy(&mut stream, &mut io::stdout())?;
        Ok(())
    })
}
