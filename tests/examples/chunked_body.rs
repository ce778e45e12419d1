//! The chunked decoder that `examples/http_server` and `examples/fetch` share, alone, so that every
//! way to split its input can be tried.

#[path = "../../examples/support/chunked.rs"]
mod chunked;
use crate::common::watchdog;
use chunked::{Chunked, Malformed};

/// All of `input` through the decoder, in pieces that end at `cuts`; what was decoded, and what is
/// left behind the body.
fn decode(input: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    let (mut chunked, mut decoded, mut waiting) = (Chunked::new(), Vec::new(), Vec::new());
    let mut from = 0;
    for &to in cuts.iter().chain([&input.len()]) {
        waiting.extend_from_slice(&input[from..to]);
        let used = chunked.decode(&waiting, |data| decoded.extend_from_slice(data))?;
        waiting.drain(..used);
        from = to;
    }
    if chunked.is_done() { Ok((decoded, waiting)) } else { Err(Malformed) }
}

#[test]
fn chunks_decode_alike_however_they_arrive() {
    let _watchdog = watchdog(60);
    let input =
        b"5\r\nhello\r\n1;a=b\r\n \r\n000A \t; x=\"y\"\r\nto\r\n0\r\n\r\nu\r\n0\r\nA: b\r\nC: d\r\n\r\nGET /";
    let expected = (b"hello to\r\n0\r\n\r\nu".to_vec(), b"GET /".to_vec());
    assert_eq!(decode(input, &[]).unwrap(), expected);
    for first in 0..input.len() {
        assert_eq!(decode(input, &[first]).unwrap(), expected, "cut at {first}");
        for second in first..input.len() {
            assert_eq!(decode(input, &[first, second]).unwrap(), expected, "cut at {first}, {second}");
        }
    }
    let each_byte: Vec<usize> = (1..input.len()).collect();
    assert_eq!(decode(input, &each_byte).unwrap(), expected);
}

#[test]
fn malformed_chunks_are_refused() {
    let _watchdog = watchdog(60);
    let long = "x".repeat(2_000);
    let trailers = "a: b\r\n".repeat(2_000);
    let cases = [
        "\r\n\r\n".to_owned(),                     // no size is not size 0
        "5\nhello\r\n0\r\n\r\n".to_owned(),        // bare LF
        "5;a\nb\r\nhello\r\n0\r\n\r\n".to_owned(), // bare LF in an extension
        "5;a\rb\r\nhello\r\n0\r\n\r\n".to_owned(),
        "+5\r\nhello\r\n0\r\n\r\n".to_owned(),
        " 5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "0x5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5 5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "-1\r\nhello\r\n0\r\n\r\n".to_owned(),
        "10000000000000000\r\nhello".to_owned(), // 2^64
        "5\r\nhelloX\r\n0\r\n\r\n".to_owned(),
        "5\r\nhello0\r\n\r\n".to_owned(),
        format!("5;{long}\r\nhello\r\n0\r\n\r\n"),
        format!("5\r\nhello\r\n0\r\n{trailers}\r\n"),
        "5\r\nhello\r\n0\r\n".to_owned(), // no end
    ];
    for case in cases {
        assert_eq!(decode(case.as_bytes(), &[]), Err(Malformed), "{case:?}");
    }
}
