//! An HTTP client by ureq: `download [--ca FILE] URL...` fetches all at once, and prints the status, the length and the
//! URL of each, in order. With `--ca` it trusts the authorities in that file.
//!
//! One agent for all: ureq's own pool keeps connections for the next request to the same host.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use layby_ecosystem::{Error, arguments, transport};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

const USAGE: &str = "download [--ca FILE] URL...";

fn main() -> Result<(), Error> {
    let arguments = arguments(1..=usize::MAX, USAGE)?;
    let mut urls = arguments.as_slice();
    let mut tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    if let [first, file, rest @ ..] = urls
        && first == "--ca"
    {
        urls = rest;
        let pem = std::fs::read(file)?;
        let certificates = parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates.collect::<Vec<_>>()));
    }
    let config = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .build();
    layby::run(|| {
        let agent = &transport::agent(config);
        let get = |url: &String| -> Result<(u16, usize), ureq::Error> {
            let mut answer = agent.get(url).call()?;
            Ok((answer.status().as_u16(), answer.body_mut().read_to_vec()?.len()))
        };
        let mut failed = 0;
        for (url, result) in urls.iter().zip(layby::gather(urls.iter().map(|url| || get(url)))) {
            match result {
                Ok((status, length)) => println!("{status} {length} {url}"),
                Err(error) => {
                    failed += 1;
                    println!("failed {url}: {error}");
                }
            }
        }
        if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} failed", urls.len()).into()) }
    })
}
