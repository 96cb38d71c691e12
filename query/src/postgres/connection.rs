//! One client, from its first message until it goes.

use super::PostgresDoor;
use super::cancel::{Place, Slot};
use super::dialect::Facts;
use super::failure::{Refusal, crowded};
use super::message::{Message, Target, Wrong, head, rest};
use super::portal::Portal;
use super::reply::{Replies, Severity};
use super::settings::{Lasting, Settings};
use super::startup::{Standing, Startup, turn_away};
use super::statement::Statement;
use crate::engine::{Bounds, Query, Session, SessionOptions, Stop};
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Most bytes of one message.
const MOST: usize = 4 << 20;
/// Bytes of messages that may wait while one is answered: as long as there is room, a client that goes is noticed by
/// reading. A longer message waits alone.
const WAITING: u32 = 256 << 10;
/// How often a client is asked whether it is there while there is no room for more of what it says.
const ASKED: Duration = Duration::from_millis(300);
/// Bytes that a message takes beside its own.
const EACH: usize = 256;
/// Longest time in which a client has to say who it is.
const STARTUP: Duration = Duration::from_secs(15);
/// Longest time that a client may say nothing.
const IDLE: Duration = Duration::from_secs(3600);
/// The same for those who are nobody in particular, and have connections at no price.
const IDLE_ANONYMOUS: Duration = Duration::from_secs(60);
/// Longest time that a client may read nothing of what is sent to it.
const STALLED: Duration = Duration::from_secs(300);
/// Bytes that are gathered before they are sent.
pub(super) const GATHERED: usize = 64 << 10;

/// Why a message has no good end.
#[derive(Debug)]
pub(super) enum End {
    /// The client is told, and may go on.
    Refused(Refusal),
    /// The client is told, and the connection ends.
    Fatal(Refusal),
    /// Nobody is there to be told.
    Gone(io::Error),
}

impl<E> From<E> for End
where
    Refusal: From<E>,
{
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Where a client is in a transaction, in which nothing can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transaction {
    None,
    Open,
    /// Something in it failed: the rest is not done either.
    Failed,
}

impl Transaction {
    /// Its letter in the protocol.
    fn letter(self) -> u8 {
        match self {
            Self::None => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        }
    }
}

/// The way to a client: for answers, and for asking whether it is there.
type Writer<S> = Arc<Mutex<WriteHalf<S>>>;

/// A client that was let in.
pub(super) struct Connection<S> {
    pub(super) door: PostgresDoor,
    standing: Standing,
    user: String,
    writer: Writer<S>,
    pub(super) replies: Replies,
    /// Resolves when the client goes.
    pub(super) gone: CancellationToken,
    pub(super) place: Place,
    pub(super) settings: Settings,
    pub(super) statements: HashMap<String, Statement>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) transaction: Transaction,
    /// What the transaction leaves of its settings.
    pub(super) lasting: Option<Lasting>,
    /// The place of somebody without a password.
    anonymous: Option<OwnedSemaphorePermit>,
}

/// Serves a client.
pub(super) async fn serve<S>(
    door: &PostgresDoor,
    stream: S,
    startup: Startup,
    safe: bool,
    stop: CancellationToken,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut replies = Replies::default();
    if let Some(unknown) = startup.unknown() {
        replies.negotiate(&unknown);
        writer.write_all(&replies.take()).await?;
    }
    let mut settings = match startup.settings() {
        Ok(settings) => settings,
        Err(refusal) => return turn_away(&mut writer, &refusal).await,
    };
    let admitted = startup.admit(&door.engine, safe, (&mut reader, &mut writer));
    let (standing, user) = match timeout(STARTUP, admitted).await {
        Ok(Ok(admitted)) => admitted,
        Ok(Err(refusal)) => return turn_away(&mut writer, &refusal).await,
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let anonymous = if standing.is_anonymous() {
        let Ok(place) = Arc::clone(&door.anonymous).try_acquire_owned() else {
            return turn_away(&mut writer, &crowded("without a password")).await;
        };
        Some(place)
    } else {
        None
    };
    settings.belong_to(&user);
    let (sender, inbox) = mpsc::unbounded_channel();
    let gone = CancellationToken::new();
    let writer = Arc::new(Mutex::new(writer));
    let reading = tokio::spawn(gather(reader, Arc::clone(&writer), sender, gone.clone()));
    let _reading = AbortOnDropHandle::new(reading);
    let mut connection = Connection {
        door: door.clone(),
        standing,
        user,
        writer,
        replies,
        gone,
        place: door.running.enter(),
        settings,
        statements: HashMap::new(),
        portals: HashMap::new(),
        transaction: Transaction::None,
        lasting: None,
        anonymous,
    };
    connection.welcome();
    connection.run(inbox, stop).await
}

/// A query in a place, where a request to cancel finds it.
pub(super) fn begin(slot: &Slot, session: &Session) -> Query {
    let query = session.begin();
    slot.put(&query);
    query
}

/// Work of a query, given up when the client goes.
pub(super) async fn while_there<T>(
    gone: &CancellationToken,
    query: Option<&Query>,
    work: impl Future<Output = T>,
) -> Result<T, End> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = gone.cancelled() => {
            if let Some(query) = query {
                query.stop(Stop::Abandoned);
            }
            Err(End::Gone(io::ErrorKind::ConnectionReset.into()))
        }
    }
}

/// A message, and the room that it takes while it waits.
struct Incoming {
    message: Result<Message, Wrong>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Reads messages, some ahead, so that a client that goes is noticed while its query runs.
async fn gather<S: AsyncRead + AsyncWrite>(
    mut reader: ReadHalf<S>,
    writer: Writer<S>,
    sender: mpsc::UnboundedSender<Incoming>,
    gone: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(usize::try_from(WAITING).unwrap_or(0)));
    loop {
        let (message, room) = match next(&mut reader, &writer, &room).await {
            Ok(Some((message, room))) => (Ok(message), Some(room)),
            Ok(None) | Err(Wrong::Broken(_)) => return gone.cancel(),
            Err(wrong) => (Err(wrong), None),
        };
        let last = matches!(message, Err(_) | Ok(Message::Terminate));
        if sender.send(Incoming { message, _room: room }).is_err() || last {
            return;
        }
    }
}

/// The next message, once there is room for it.
async fn next<S: AsyncRead + AsyncWrite>(
    reader: &mut ReadHalf<S>,
    writer: &Writer<S>,
    room: &Arc<Semaphore>,
) -> Result<Option<(Message, OwnedSemaphorePermit)>, Wrong> {
    let Some((tag, length)) = head(reader, MOST).await? else { return Ok(None) };
    let size = u32::try_from(length.saturating_add(EACH)).unwrap_or(WAITING).min(WAITING);
    let mut free = pin!(Arc::clone(room).acquire_many_owned(size));
    let room = loop {
        match timeout(ASKED, &mut free).await {
            Ok(room) => break room.map_err(io::Error::other)?,
            Err(_) => ask(writer).await?,
        }
    };
    let body = rest(reader, length).await?;
    Ok(Some((Message::of(tag, body)?, room)))
}

/// Says something that means nothing, which may be said at any time: the machine of a client that has gone refuses it,
/// and the next of its kind is an error here. What is unread of the client would otherwise hide that it has gone.
async fn ask<S: AsyncWrite>(writer: &Writer<S>) -> io::Result<()> {
    // An answer on its way asks the same.
    let Ok(mut writer) = writer.try_lock() else { return Ok(()) };
    let mut word = Replies::default();
    word.setting("in_hot_standby", "off");
    writer.write_all(&word.take()).await?;
    writer.flush().await
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Connection<S> {
    /// What a client is told when it comes in.
    fn welcome(&mut self) {
        self.replies.authentication(0);
        for (name, value) in self.settings.reported() {
            self.replies.setting(name, value);
        }
        self.replies.cancel_key(self.place.key());
        self.replies.ready(self.transaction.letter());
    }

    async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Incoming>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        self.send().await?;
        // After a failure in a series, what follows is read over until its end.
        let mut skipping = false;
        let idle = if self.anonymous.is_some() { IDLE_ANONYMOUS } else { IDLE };
        loop {
            let next = tokio::select! {
                next = timeout(idle, inbox.recv()) => next,
                () = stop.cancelled() => {
                    let refusal = Refusal::new("57P01", "the node stops; connect again in a moment");
                    return self.say_goodbye(&refusal).await;
                }
            };
            let message = match next.map(|incoming| incoming.map(|incoming| incoming.message)) {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(wrong))) => {
                    let refusal = Refusal::new("08P01", wrong.to_string());
                    return self.say_goodbye(&refusal).await;
                }
                Ok(None) => return Ok(()),
                Err(_) => {
                    let seconds = idle.as_secs();
                    let problem = format!("nothing was asked for {seconds} seconds; connect again");
                    let refusal = Refusal::new("57P05", problem);
                    return self.say_goodbye(&refusal).await;
                }
            };
            let simple = matches!(message, Message::Query(_));
            let done = match message {
                Message::Terminate => return Ok(()),
                Message::Sync => {
                    skipping = false;
                    self.end_of_series();
                    self.replies.ready(self.transaction.letter());
                    self.send().await?;
                    Ok(())
                }
                Message::Query(sql) => {
                    skipping = false;
                    let done = Box::pin(self.simple(&sql)).await;
                    self.end_of_series();
                    done
                }
                _ if skipping => Ok(()),
                message => Box::pin(self.extended(message)).await,
            };
            match done {
                Ok(()) => {}
                Err(End::Refused(refusal)) => {
                    self.replies.error(Severity::Error, &refusal);
                    skipping = !simple;
                    if self.transaction == Transaction::Open {
                        self.transaction = Transaction::Failed;
                    }
                    // Who waits for the answer to what failed may send nothing before it is there.
                    self.send().await?;
                }
                Err(End::Fatal(refusal)) => return self.say_goodbye(&refusal).await,
                Err(End::Gone(error)) => return Err(error),
            }
            if self.replies.len() > GATHERED {
                self.send().await?;
            }
            if simple {
                self.replies.ready(self.transaction.letter());
                self.send().await?;
            }
        }
    }

    /// Outside of a transaction, rows that were not read are not kept.
    fn end_of_series(&mut self) {
        if self.transaction == Transaction::None {
            self.portals.clear();
        }
    }

    async fn extended(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Parse { name, sql, types } => self.parse(name, &sql, types).await?,
            Message::Bind(bind) => self.bind(bind).await?,
            Message::Describe(target) => self.describe(&target).await?,
            Message::Execute { portal, rows } => self.execute(&portal, rows).await?,
            Message::Close(target) => {
                match target {
                    Target::Statement(name) => drop(self.statements.remove(&name)),
                    Target::Portal(name) => drop(self.portals.remove(&name)),
                }
                self.replies.plain(b'3');
            }
            Message::Flush => self.flushed().await?,
            Message::Password(_) | Message::Other => {
                return Err(End::Fatal(Refusal::new("08P01", "nobody asked for this message")));
            }
            Message::Query(_) | Message::Sync | Message::Terminate => {}
        }
        Ok(())
    }

    /// Sends what waits.
    async fn send(&mut self) -> io::Result<()> {
        let bytes = self.replies.take();
        let sending = async {
            let mut writer = self.writer.lock().await;
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        timeout(STALLED, sending).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Sends what waits, in the middle of an answer.
    pub(super) async fn flushed(&mut self) -> Result<(), End> {
        self.send().await.map_err(End::Gone)
    }

    async fn say_goodbye(&mut self, refusal: &Refusal) -> io::Result<()> {
        self.replies.error(Severity::Fatal, refusal);
        self.send().await?;
        self.writer.lock().await.shutdown().await
    }

    /// A session of whoever the client is now: a token that was revoked or has expired is the end.
    /// It knows which parameters of a statement are intervals.
    pub(super) async fn session(&mut self, intervals: BTreeSet<usize>) -> Result<Session, End> {
        let who = self.standing.principal(&self.door.engine).await.map_err(|refusal| {
            if refusal.sqlstate == "28P01" { End::Fatal(refusal) } else { End::Refused(refusal) }
        })?;
        let bounds = Bounds { rows: None, run_time: self.settings.timeout() };
        let options = SessionOptions { bounds, ..SessionOptions::default() };
        let session = self.door.engine.session(who, options).await?;
        Ok(session.of_postgres(self.facts(intervals)))
    }

    /// A query that a request to cancel stops.
    pub(super) fn begin(&self, session: &Session) -> Query {
        begin(self.place.slot(), session)
    }

    /// What statements are told of this connection.
    pub(super) fn facts(&self, intervals: BTreeSet<usize>) -> Facts {
        let lab = self.door.engine.catalog().map(|catalog| catalog.lab().to_string());
        Facts {
            lab: lab.unwrap_or_default(),
            user: self.user.clone(),
            process: self.place.key().0,
            settings: self.settings.clone(),
            intervals,
            describing: false,
        }
    }
}
