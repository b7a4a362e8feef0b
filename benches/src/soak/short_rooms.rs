//! Rooms that are created, used for a short conversation, and end.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chat_memory::Chance;
use rand::Rng;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::member::{Member, SharedOracle};
use crate::socket::{RawSocket, Received};

/// Creates short rooms, many of them under one identity.
pub(crate) struct RoomCreator {
    pub(crate) from: Ipv4Addr,
    token: Option<String>,
}

impl RoomCreator {
    pub(crate) fn new(from: Ipv4Addr) -> Self {
        Self { from, token: None }
    }

    /// Creates a room with a lifetime of one to four seconds, lets two members converse in it until
    /// it ends, and checks everything that was acknowledged.
    ///
    /// # Errors
    /// The room behaved differently than it must.
    pub(crate) async fn run(
        &mut self,
        to: SocketAddr,
        no: u32,
        oracle: &SharedOracle,
        chance: &mut Chance,
    ) -> Result<(), String> {
        let room = format!("short-{:016x}", chance.random::<u64>());
        let ttl = chance.random_range(1000..4000);
        self.create(to, &room, ttl).await?;
        let mut pair = [no, no + 1].map(|no| Member::new(no, &room, self.from, oracle));
        for member in &mut pair {
            if !member.connect(to).await {
                let is_expired = member.refusals.contains_key("room_expired");
                return if is_expired {
                    Ok(())
                } else {
                    Err(format!("{room}: {:?}", member.refusals))
                };
            }
        }
        let epoch = pair[0].epoch().unwrap_or_default().to_owned();
        let [one, other] = &mut pair;
        let conversation = async {
            tokio::join!(
                converse(one, chance.random_range(20..200)),
                converse(other, chance.random_range(20..200))
            );
        };
        timeout(Duration::from_millis(ttl) + TIMEOUT, conversation)
            .await
            .map_err(|_| format!("{room} did not end in time"))?;
        for member in &mut pair {
            if member.removed.as_deref() != Some("expired") {
                return Err(format!(
                    "{room}: the member was not removed: {:?}, {:?}",
                    member.removed, member.closes
                ));
            }
            member.close();
        }
        pair[0].oracle().end(&room, &epoch);
        // A room that has ended cannot be joined.
        let mut late = Member::new(no, &room, self.from, oracle);
        if late.connect(to).await || !late.refusals.contains_key("room_expired") {
            return Err(format!(
                "{room} was joined after its end: {:?}",
                late.refusals
            ));
        }
        late.close();
        Ok(())
    }

    async fn create(&mut self, to: SocketAddr, room: &str, ttl: u64) -> Result<(), String> {
        let mut socket = RawSocket::open(self.from, to)
            .await
            .map_err(|error| error.to_string())?;
        let mut hello = json!({"type": "hello"});
        if let Some(token) = &self.token {
            hello["token"] = json!(token);
        }
        socket.send_text(&hello.to_string());
        socket.send_text(
            &json!({"type": "create", "room": room, "ttl_ms": ttl, "listed": true}).to_string(),
        );
        loop {
            let Received::Text(text) = socket.receive().await else {
                return Err("the connection ended before the room was created".into());
            };
            let event: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            match event["type"].as_str() {
                Some("welcome") => self.token = event["token"].as_str().map(str::to_owned),
                Some("created") => break,
                _ => return Err(text),
            }
        }
        socket.close();
        Ok(())
    }
}

/// Sends and receives until the member is removed or the connection ends.
async fn converse(member: &mut Member, pause: u64) {
    while member.removed.is_none() && member.is_connected() {
        tokio::select! {
            _ = member.receive() => {}
            () = sleep(Duration::from_millis(pause)) => member.send_new(pause as usize),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(30);
