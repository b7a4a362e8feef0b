//! The engine under the bench: a room whose members' transports count.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use chat_core::{Chat, Incoming, Limits, Outgoing};
use futures_util::{Sink, Stream};

use crate::{Counter, TEXT};

/// A room with members, one of which speaks.
pub struct Ours {
    chat: Chat,
    speaker: Arc<Mutex<Commands>>,
    counter: Counter,
    members: usize,
}

/// What the speaker is about to say.
#[derive(Default)]
struct Commands {
    queue: VecDeque<String>,
    waker: Option<Waker>,
    ended: bool,
}

/// A transport of given commands that counts the `message` events it is handed.
struct Counting {
    commands: Arc<Mutex<Commands>>,
    counter: Counter,
}

impl Ours {
    /// Lets `members` join a room, and waits until they have.
    ///
    /// # Panics
    /// Outside of a current-thread runtime.
    pub async fn start(members: usize) -> Self {
        let limits = Limits::default().without_rates();
        let chat = Chat::builder().open_rooms(true).limits(limits).build();
        let counter = Counter::default();
        let commands: Vec<_> = (0..members).map(|_| join(&chat, &counter)).collect();
        while chat.room("bench").members().map_or(0, |(count, _)| count) == 0 {
            tokio::task::yield_now().await;
        }
        let speaker = Arc::clone(&commands[0]);
        let ours = Self {
            chat,
            speaker,
            counter,
            members,
        };
        while ours.chat.room("bench").info().map_or(0, |info| info.count) < members {
            tokio::task::yield_now().await;
        }
        ours.publish(1).await;
        ours
    }

    /// Says something `burst` times and waits until every member has all of it.
    pub async fn publish(&self, burst: usize) {
        self.say(burst);
        self.delivered(burst).await;
    }

    /// Says something `burst` times.
    pub fn say(&self, burst: usize) {
        let mut commands = self.speaker.lock().expect("not poisoned");
        for _ in 0..burst {
            commands.push(format!(
                r#"{{"type":"send","room":"bench","text":"{TEXT}"}}"#
            ));
        }
    }

    /// Waits until every member has `burst` more messages.
    pub async fn delivered(&self, burst: usize) {
        self.counter.reach(self.members * burst).await;
    }

    /// One more member joins and leaves.
    pub async fn come_and_go(&self) {
        let commands = join(&self.chat, &Counter::default());
        let here = || self.chat.room("bench").info().map_or(0, |info| info.count);
        while here() == self.members {
            tokio::task::yield_now().await;
        }
        {
            let mut commands = commands.lock().expect("not poisoned");
            commands.push(r#"{"type":"leave","room":"bench"}"#.into());
            commands.ended = true;
        }
        while here() > self.members {
            tokio::task::yield_now().await;
        }
    }
}

fn join(chat: &Chat, counter: &Counter) -> Arc<Mutex<Commands>> {
    let commands = Arc::new(Mutex::new(Commands::default()));
    commands
        .lock()
        .expect("not poisoned")
        .push(r#"{"type":"join","room":"bench"}"#.into());
    let transport = Counting {
        commands: Arc::clone(&commands),
        counter: counter.clone(),
    };
    tokio::spawn(chat.admit(None).expect("no limit").serve(transport));
    commands
}

impl Commands {
    fn push(&mut self, command: String) {
        self.queue.push_back(command);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Stream for Counting {
    type Item = Result<Incoming, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut commands = self.commands.lock().expect("not poisoned");
        match commands.queue.pop_front() {
            Some(command) => Poll::Ready(Some(Ok(Incoming::Text(command.into())))),
            None if commands.ended => Poll::Ready(None),
            None => {
                commands.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Sink<Outgoing> for Counting {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: Outgoing) -> Result<(), Infallible> {
        if let Outgoing::Frames(frames) = item {
            let messages = frames
                .payloads()
                .filter(|json| json.starts_with(br#"{"type":"message""#));
            self.counter.add(messages.count(), frames.len());
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}
