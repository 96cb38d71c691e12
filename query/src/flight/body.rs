//! The body of an answer: its messages from the memory that they lie in, and the status at the end.

use super::encode::MessageStream;
use super::message::Message;
use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use http_body::Frame;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::{Code, Status};

/// What a call answers, as HTTP/2 sends it (gRPC over HTTP2, "Responses").
pub(crate) struct AnswerBody {
    messages: MessageStream,
    /// Pieces of a message that are still to be sent.
    pending: VecDeque<Bytes>,
    ended: bool,
}

impl AnswerBody {
    pub(crate) fn new(messages: MessageStream) -> Self {
        Self { messages, pending: VecDeque::new(), ended: false }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(piece) = self.pending.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let next = ready!(self.messages.poll_next_unpin(context));
            let status = match next.map(|message| message.and_then(Message::frames)) {
                Some(Ok(frames)) => {
                    self.pending = frames;
                    continue;
                }
                Some(Err(status)) => status,
                None => Status::new(Code::Ok, ""),
            };
            self.ended = true;
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.pending.is_empty()
    }
}
