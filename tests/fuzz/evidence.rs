//! What comes from a time stamping authority: its HTTP answer, its time stamp.

use crate::driver::run;
use sealpost::archive::timestamp::{NONCE_BYTES, Response, request};
use sealpost::crypto::sha256;
use sealpost::gateway::anchoring::http::{self, Read};

#[path = "../e2e/support/tsa.rs"]
mod tsa;

fn answers(input: &[u8]) {
    let (now, at_the_end) = (http::parse(input, false), http::parse(input, true));
    assert_ne!(at_the_end, Ok(Read::Unfinished), "no more will come");
    if let Ok(Read::Whole(answer)) = &now {
        assert!(answer.body.len() <= input.len(), "nothing is added");
        assert_eq!(now, at_the_end, "what is whole stays as it is");
    }
}

/// Whether a bent one is believed is the room's own tests' affair: here that it is read or refused.
fn time_stamps(input: &[u8]) {
    if let Ok(response) = Response::parse(input) {
        let _ = response.verify(&sha256(b"x"), None);
        let _ = response.answers(&[7; NONCE_BYTES]);
        let _ = (response.certificates(), response.authority());
    }
}

#[test]
fn authority_answers() {
    let lengths = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\r\n\r\nx";
    let tokens: &[&[u8]] = &[b"\r\n", b"\r\n\r\n", b"ffffffffffffffff", b"-1", b"HTTP/1.1 ", b"0"];
    run("authority_answers", &[lengths, chunked, interim], tokens, answers);
}

#[test]
fn time_stamp_responses() {
    let stamped = tsa::Tsa::proper().reply(&request(&sha256(b"x"), &[7; NONCE_BYTES]).expect("a request"));
    let tokens: &[&[u8]] = &[&[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0xa0, 0], &[0x31, 0], &[2, 1, 2]];
    run("time_stamp_responses", &[&stamped], tokens, time_stamps);
}
