//! Frames as a client sends them: masked, and with the length in its shortest form.
//!
//! The unit tests of the crate use this file too.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test uses some of it"
)]

/// The first bytes of whole messages and of control frames.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;
/// The first bytes of fragments.
pub const TEXT_START: u8 = 0x01;
pub const CONTINUE: u8 = 0x00;
pub const CONTINUE_END: u8 = 0x80;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame with that first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64);
    out.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    out
}

/// The header of such a frame, with its mask.
pub fn header(first: u8, len: u64) -> Vec<u8> {
    let mut out = vec![first];
    match len {
        0..126 => out.push(0x80 | len as u8),
        126..65_536 => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend(MASK);
    out
}

/// A close frame.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, &close_payload(code, reason))
}

pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}
