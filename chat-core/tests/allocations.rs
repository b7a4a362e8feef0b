//! How often the way of a message allocates.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use chat_core::{Chat, Connection, Hooks, Incoming, Limits, Outgoing, Policy, async_trait};
use futures::{Sink, Stream};

/// A transport that gives what was queued, and drops what it is given.
#[derive(Clone, Default)]
struct Wire {
    commands: Rc<RefCell<VecDeque<Bytes>>>,
    delivered: Rc<RefCell<usize>>,
}

impl Stream for Wire {
    type Item = Result<Incoming, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.commands.borrow_mut().pop_front() {
            Some(command) => Poll::Ready(Some(Ok(Incoming::Text(command)))),
            None => {
                // So that the next poll of the connection asks again.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Sink<Outgoing> for Wire {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, outgoing: Outgoing) -> Result<(), Infallible> {
        if let Outgoing::Frames(frames) = outgoing {
            *self.delivered.borrow_mut() += frames.len();
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

struct Member {
    wire: Wire,
    connection: Connection<Wire>,
    waker: Waker,
}

/// A task that is polled whether it is woken or not.
struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

impl Member {
    fn join(chat: &Chat) -> Self {
        let wire = Wire::default();
        let connection = chat.admit(None).unwrap().serve(wire.clone());
        let waker = Waker::from(Arc::new(Task));
        let mut member = Self {
            wire,
            connection,
            waker,
        };
        member.queue(r#"{"type":"join","room":"r"}"#);
        member.run();
        member
    }

    fn queue(&self, command: &'static str) {
        self.wire
            .commands
            .borrow_mut()
            .push_back(Bytes::from_static(command.as_bytes()));
    }

    /// Polls often enough for commands to be received and everything to be delivered.
    fn run(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        for _ in 0..3 {
            assert!(Pin::new(&mut self.connection).poll(&mut cx).is_pending());
        }
    }
}

/// How often one more call of `work` allocates, once everything has grown to its size.
fn allocations(mut work: impl FnMut()) -> u64 {
    (0..50).for_each(|_| work());
    // Chunks of the log and maps grow now and then, so the usual number counts.
    let mut counts: Vec<u64> = (0..51)
        .map(|_| allocation_counter::measure(&mut work).count_total)
        .collect();
    counts.sort_unstable();
    counts[25]
}

#[tokio::test]
async fn a_publish_and_its_deliveries_allocate_as_little_as_they_must() {
    let limits = Limits::default().without_rates();
    let chat = Chat::builder().limits(limits).open_rooms(true).build();
    let mut ann = Member::join(&chat);
    let mut ben = Member::join(&chat);

    let publish = allocations(|| {
        ann.queue(r#"{"type":"send","room":"r","text":"hello"}"#);
        ann.run();
    });
    assert_eq!(publish, PUBLISH);

    let repeat = allocations(|| {
        ann.queue(r#"{"type":"send","room":"r","text":"hello","key":"k"}"#);
        ann.run();
    });
    assert_eq!(repeat, REPEAT);

    // A delivery shares what the publish has made.
    ben.run();
    let before = *ben.wire.delivered.borrow();
    let delivery = allocations(|| ben.run());
    assert_eq!((delivery, *ben.wire.delivered.borrow()), (0, before));
    let publish_and_delivery = allocations(|| {
        ann.queue(r#"{"type":"send","room":"r","text":"hello"}"#);
        ann.run();
        ben.run();
    });
    assert_eq!(publish_and_delivery, PUBLISH);
    assert!(*ben.wire.delivered.borrow() > before);
}

/// A policy of which only some hooks exist.
struct JoinsOnly(Hooks);

#[async_trait]
impl Policy for JoinsOnly {
    fn hooks(&self) -> Hooks {
        self.0
    }
}

#[tokio::test]
async fn a_policy_costs_nothing_for_the_hooks_that_it_does_not_have() {
    let publish_with = |hooks| {
        let limits = Limits::default().without_rates();
        let chat = Chat::builder().limits(limits).open_rooms(true);
        let chat = chat.policy(JoinsOnly(hooks)).build();
        let mut ann = Member::join(&chat);
        allocations(|| {
            ann.queue(r#"{"type":"send","room":"r","text":"hello"}"#);
            ann.run();
        })
    };
    assert_eq!(publish_with(Hooks::NONE.with_create().with_join()), PUBLISH);
    // The copy of the message and the future that the host's answer needs.
    assert!(publish_with(Hooks::ALL) > PUBLISH);
}

/// A message: its reply, its place in the log, and the chunk of the log that its sender is
/// delivered.
const PUBLISH: u64 = 5;
/// A message that is known by its key already: the reply, and the key to look for.
const REPEAT: u64 = 3;
