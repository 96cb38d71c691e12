//! The messages of a stream on their way to a reader who may be slow, or gone, or waiting for a slow store.
//!
//! A body is asked for its next piece only while the connection has room. So a task asks for the messages, and notices
//! when nobody takes them.

use super::message::Message;
use super::reading::Sending;
use super::status::refuse;
use crate::stream::{Cursor, OrderHash};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use std::time::Duration;
use tarn_schemas::code::ErrorCode;
use tokio::sync::mpsc;
use tokio::time::{error::Elapsed, timeout};
use tonic::Status;

/// After which time a reader who takes nothing is left.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Messages with what they say was sent.
type Sendings = BoxStream<'static, Result<Sending, Status>>;

/// The same messages. After `heartbeat` without one comes a message without rows; a reader who takes nothing for a
/// quarter of an hour finds the code `idle` behind what is on its way, and the memory of the stream is free.
pub(crate) fn run(messages: Sendings, heartbeat: Option<Duration>) -> Sendings {
    pumped(messages, heartbeat, PATIENCE)
}

fn pumped(messages: Sendings, heartbeat: Option<Duration>, patience: Duration) -> Sendings {
    // One message waits here; the connection has more.
    let (sender, receiver) = mpsc::channel(1);
    let (ender, end) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let ended = forward(messages, heartbeat, patience, &sender).await;
        // A reader that is gone asks for no end.
        let _ = ender.send(ended);
    });
    let state = (receiver, Some(end));
    let taken = stream::unfold(state, |(mut receiver, mut end)| async move {
        if let Some(message) = receiver.recv().await {
            return Some((Ok(message), (receiver, end)));
        }
        let status = match end.take()?.await {
            Ok(Ok(())) => return None,
            Ok(Err(status)) => status,
            Err(_) => refuse(ErrorCode::Internal, "the stream was left"),
        };
        Some((Err(status), (receiver, None)))
    });
    taken.boxed()
}

async fn forward(
    mut messages: Sendings,
    heartbeat: Option<Duration>,
    patience: Duration,
    sender: &mpsc::Sender<Sending>,
) -> Result<(), Status> {
    let mut last = None;
    loop {
        let found = tokio::select! {
            biased;
            () = sender.closed() => return Ok(()),
            found = within(heartbeat, messages.next()) => found,
        };
        let message = match found {
            Ok(None) => return Ok(()),
            Ok(Some(message)) => {
                let message = message?;
                last = Cursor::from_bytes(&message.message.app_metadata).or(last);
                message
            }
            Err(_) => Sending::bare(beat(last)),
        };
        match timeout(patience, sender.send(message)).await {
            Ok(Ok(())) => {}
            // The reader is gone.
            Ok(Err(_)) => return Ok(()),
            Err(_) => {
                let problem =
                    "the stream was not read for a quarter of an hour; go on at your position";
                return Err(refuse(ErrorCode::Idle, problem));
            }
        }
    }
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    match limit {
        Some(limit) => timeout(limit, work).await,
        None => Ok(work.await),
    }
}

/// A message that says only that the node is there.
fn beat(last: Option<Cursor>) -> Message {
    let none = Cursor {
        plan: 0,
        epoch: 0,
        rows: 0,
        step: 0,
        next_position: 0,
        last: false,
        heartbeat: true,
        padded: false,
        hash: OrderHash::default(),
    };
    let cursor = last.map_or(none, |last| Cursor {
        rows: 0,
        last: false,
        heartbeat: true,
        padded: false,
        ..last
    });
    Message::saying(Bytes::copy_from_slice(&cursor.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use std::sync::Arc;

    fn numbered(count: u8) -> Sendings {
        let message = |number: u8| Message::saying(Bytes::from(vec![number]));
        stream::iter((0..count).map(move |number| Ok(Sending::bare(message(number))))).boxed()
    }

    #[tokio::test]
    async fn messages_and_errors_pass_in_their_order() {
        let bad = stream::once(async { Err(Status::data_loss("gone")) });
        let mut through = run(numbered(3).chain(bad).boxed(), None);
        for number in 0..3 {
            let message = through.next().await.unwrap().unwrap();
            assert_eq!(message.message.app_metadata, vec![number]);
        }
        assert_eq!(through.next().await.unwrap().unwrap_err().message(), "gone");
        assert!(through.next().await.is_none());
        let all: Vec<Sending> = run(numbered(9), None).try_collect().await.unwrap();
        assert_eq!(all.len(), 9);
    }

    #[tokio::test]
    async fn a_reader_who_takes_nothing_is_left_and_its_memory_freed() {
        let held = Arc::new(());
        let holder = Arc::clone(&held);
        let messages = numbered(200).inspect(move |_| assert!(Arc::strong_count(&holder) > 0));
        let patience = Duration::from_millis(100);
        let mut through = pumped(messages.boxed(), None, patience);
        through.next().await.unwrap().unwrap();
        tokio::time::sleep(patience * 20).await;
        assert_eq!(Arc::strong_count(&held), 1);
        let mut left = 0;
        let error = loop {
            match through.next().await.unwrap() {
                Ok(_) => left += 1,
                Err(error) => break error,
            }
        };
        assert!(left <= 1);
        assert!(error.message().ends_with("[idle]"), "{error}");
        assert!(through.next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_store_is_bridged_by_heartbeats() {
        let slow = numbered(2).then(|message| async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            message
        });
        let all: Vec<Sending> =
            run(slow.boxed(), Some(Duration::from_millis(600))).try_collect().await.unwrap();
        let beats = |sending: &Sending| {
            Cursor::from_bytes(&sending.message.app_metadata).is_some_and(|cursor| cursor.heartbeat)
        };
        assert_eq!(
            all.iter().map(beats).collect::<Vec<_>>(),
            [true, true, false, true, true, false]
        );
    }

    #[tokio::test]
    async fn a_reader_who_is_gone_ends_the_work() {
        let held = Arc::new(());
        let holder = Arc::clone(&held);
        let endless =
            stream::pending().chain(numbered(1)).inspect(move |_| drop(Arc::clone(&holder)));
        let through = run(endless.boxed(), None);
        drop(through);
        for _ in 0..1000 {
            if Arc::strong_count(&held) == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the work goes on");
    }
}
