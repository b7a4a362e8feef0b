//! Rooms that are made, talked in, and end.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chat_memory::Chance;
use rand::Rng;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::member::{Book, Member};
use crate::wire::{Heard, Wire};

/// Who makes short rooms: one identity for many of them.
pub(crate) struct Maker {
    pub(crate) from: Ipv4Addr,
    token: Option<String>,
}

impl Maker {
    pub(crate) fn new(from: Ipv4Addr) -> Self {
        Self { from, token: None }
    }

    /// Makes a room of a second or a few, lets two talk in it to its end, and holds them to all that was acknowledged.
    ///
    /// # Errors
    /// It went otherwise than it should.
    pub(crate) async fn run(
        &mut self,
        to: SocketAddr,
        no: u32,
        book: &Book,
        chance: &mut Chance,
    ) -> Result<(), String> {
        let room = format!("short-{:016x}", chance.random::<u64>());
        let ttl = chance.random_range(1000..4000);
        self.make(to, &room, ttl).await?;
        let mut pair = [no, no + 1].map(|no| Member::new(no, &room, self.from, book));
        for member in &mut pair {
            if !member.enter(to).await {
                let late = member.refusals.contains_key("room_expired");
                return if late {
                    Ok(())
                } else {
                    Err(format!("{room}: {:?}", member.refusals))
                };
            }
        }
        let epoch = pair[0].epoch().unwrap_or_default().to_owned();
        let [one, other] = &mut pair;
        let talk = async {
            tokio::join!(
                talk(one, chance.random_range(20..200)),
                talk(other, chance.random_range(20..200))
            );
        };
        timeout(Duration::from_millis(ttl) + PATIENCE, talk)
            .await
            .map_err(|_| format!("{room} does not end"))?;
        for member in &mut pair {
            if member.removed.as_deref() != Some("expired") {
                return Err(format!(
                    "{room}: not removed, {:?}, {:?}",
                    member.removed, member.closes
                ));
            }
            member.close();
        }
        pair[0].book().end(&room, &epoch);
        // Nobody comes into what has ended.
        let mut late = Member::new(no, &room, self.from, book);
        if late.enter(to).await || !late.refusals.contains_key("room_expired") {
            return Err(format!(
                "{room} was entered after its end: {:?}",
                late.refusals
            ));
        }
        late.close();
        Ok(())
    }

    async fn make(&mut self, to: SocketAddr, room: &str, ttl: u64) -> Result<(), String> {
        let mut wire = Wire::open(self.from, to)
            .await
            .map_err(|error| error.to_string())?;
        let mut hello = json!({"type": "hello"});
        if let Some(token) = &self.token {
            hello["token"] = json!(token);
        }
        wire.say(&hello.to_string());
        wire.say(
            &json!({"type": "create", "room": room, "ttl_ms": ttl, "listed": true}).to_string(),
        );
        loop {
            let Heard::Text(text) = wire.hear().await else {
                return Err("closed before the room was made".into());
            };
            let event: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            match event["type"].as_str() {
                Some("welcome") => self.token = event["token"].as_str().map(str::to_owned),
                Some("created") => break,
                _ => return Err(text),
            }
        }
        wire.close();
        Ok(())
    }
}

/// Speaks and listens until it is removed, or the connection ends.
async fn talk(member: &mut Member, pause: u64) {
    while member.removed.is_none() && member.is_connected() {
        tokio::select! {
            _ = member.hear() => {}
            () = sleep(Duration::from_millis(pause)) => member.say(pause as usize),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
