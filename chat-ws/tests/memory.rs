//! The size of a connection in memory.

use chat_ws::{Socket, WebSocket};
use tokio::net::TcpStream;

#[test]
fn a_connection_is_small() {
    let sizes = [
        size_of::<WebSocket<TcpStream>>(),
        size_of::<WebSocket<Socket>>(),
    ];
    assert!(sizes.iter().all(|size| *size <= 256), "{sizes:?}");
}
