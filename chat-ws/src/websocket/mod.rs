//! An established WebSocket as a transport of `chat-core`.
//!
//! [`transport`] is the top of the layer, and each file uses only those below it in this table:
//!
//! | file | what it does |
//! |---|---|
//! | `transport` | [`WebSocket`]: the `Stream` and the `Sink` over a byte stream |
//! | `closing_handshake` | the closing handshake, whichever side starts it |
//! | `receiver` | the receiving side: limits, and a decoder while one is needed |
//! | `decoder` | bytes to messages, with tungstenite's protocol machine |
//! | `frame_scanner` | where frames begin and end, and which headers are violations |
//! | `write_queue` | frames that wait to be written |
//! | `heartbeat` | pings, and the timeout of a silent peer |
//! | `idle_frame_limit` | the limit on control frames and empty data frames |
//! | `message`, `control_frames` | the frames that the server sends |
//! | `memory_stream`, `read_buffer` | the byte buffers behind `decoder` and the socket |

mod closing_handshake;
mod control_frames;
mod decoder;
mod frame_scanner;
mod heartbeat;
mod idle_frame_limit;
mod memory_stream;
mod message;
mod read_buffer;
mod receiver;
mod transport;
mod write_queue;

pub use message::Message;
pub use transport::WebSocket;
