//! The receiving side of a connection: limits what arrives, and holds a decoder while one is
//! needed.

use bytes::Bytes;
use chat_core::{Close, CloseCode};
use tokio::time::Instant;

use super::decoder::{Decoded, Decoder};
use super::idle_frame_limit::IdleFrameLimit;
use crate::config::Config;

/// Decodes what arrives, with a decoder from the first byte of a message to the last.
pub(super) struct Receiver {
    idle_frame_limit: IdleFrameLimit,
    decoder: Option<Box<Decoder>>,
}

impl Receiver {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            idle_frame_limit: IdleFrameLimit::new(now),
            decoder: None,
        }
    }

    /// When the message under way started, if there is one.
    pub(super) fn message_start(&self) -> Option<Instant> {
        self.decoder.as_ref().map(|decoder| decoder.message_start)
    }

    /// Drops what has arrived and is not returned.
    pub(super) fn clear(&mut self) {
        self.decoder = None;
    }

    /// Saves bytes to be decoded by [`decode_saved`](Self::decode_saved).
    pub(super) fn save(&mut self, bytes: &[u8], config: &Config, now: Instant) {
        if !bytes.is_empty() {
            let (decoder, input, _) = self.scan(bytes, config, now);
            decoder.save(input);
        }
    }

    /// Decodes the bytes that earlier calls have left. See [`Decoder::decode`].
    #[inline]
    pub(super) fn decode_saved(
        &mut self,
        send_pong: &mut dyn FnMut(Bytes),
        control_frames_left: &mut u32,
    ) -> Decoded {
        let Some(decoder) = &mut self.decoder else {
            return Decoded::NeedInput;
        };
        let decoded = decoder.decode_saved(send_pong, control_frames_left);
        self.after_decoding(&decoded, Instant::now);
        decoded
    }

    /// Decodes bytes that have arrived, and saves what is left of them. See [`Decoder::decode`].
    #[inline]
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        config: &Config,
        now: Instant,
        send_pong: &mut dyn FnMut(Bytes),
        control_frames_left: &mut u32,
    ) -> Decoded {
        let (decoder, mut input, within_limit) = self.scan(bytes, config, now);
        if !within_limit {
            let reason = "too many control or empty frames";
            return Decoded::Violation(Close::new(CloseCode::POLICY, reason));
        }
        let decoded = decoder.decode(&mut input, send_pong, control_frames_left);
        decoder.save(input);
        self.after_decoding(&decoded, || now);
        decoded
    }

    /// Scans bytes that have arrived. Returns the decoder, its input, and whether the peer keeps to
    /// its limit of frames that carry nothing.
    #[inline]
    fn scan<'a>(
        &mut self,
        bytes: &'a [u8],
        config: &Config,
        now: Instant,
    ) -> (&mut Decoder, &'a [u8], bool) {
        let max_message_bytes = config.message_bytes;
        let decoder = self
            .decoder
            .get_or_insert_with(|| Decoder::acquire(max_message_bytes, now));
        let (input, idle_frames) = decoder.scan(bytes, max_message_bytes);
        let within_limit = self
            .idle_frame_limit
            .allows(idle_frames, config.idle_frames, now);
        (decoder, input, within_limit)
    }

    /// The next message starts now, and a decoder that holds nothing is given back.
    fn after_decoding(&mut self, decoded: &Decoded, now: impl FnOnce() -> Instant) {
        match decoded {
            Decoded::Message(_) => {
                if let Some(decoder) = &mut self.decoder {
                    decoder.message_start = now();
                }
            }
            // The connection ends, and the decoder with it.
            Decoded::Close(_) | Decoded::Violation(_) => return,
            Decoded::NeedInput | Decoded::LimitReached => {}
        }
        if let Some(decoder) = self.decoder.take_if(|decoder| decoder.is_idle()) {
            decoder.release();
        }
    }
}
