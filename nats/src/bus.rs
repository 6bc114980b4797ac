//! A process's connection to the broker. It is there for ever, or on its way back; no call waits without a bound.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::{self, context::PublishErrorKind, message::PublishMessage};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, RequestErrorKind};
use bytes::Bytes;
use drover_messages::query::Problem;
use drover_messages::{DecodeError, Format, Message, decode, encode};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::incoming::Subscription;
use crate::link::{self, Link, backoff};
use crate::{Filter, Login, NatsError, RequestError, Subject, header};

/// How long a stream may take to acknowledge.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a message that nobody acknowledges may wait for the connection.
pub const TELL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the broker may take for anything else.
pub const API_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages that one subscription may hold back before they are dropped. A message has at most 1 MiB.
const SUBSCRIPTION_CAPACITY: usize = 4096;
/// Publications that may wait for their acknowledgement at once.
const MAX_UNACKED: usize = 4096;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// A connection. Clones share it: each message that came has one.
#[derive(Clone)]
pub struct Bus(Arc<Connection>);

struct Connection {
    client: Client,
    jetstream: jetstream::Context,
    link: watch::Receiver<Link>,
    /// The subject on which this login was not let publish last.
    forbidden: watch::Receiver<String>,
    user: String,
}

/// A stream has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked {
    /// Which stream.
    pub stream: String,
    /// Where in it. Used again after a stream has lost its tail: no proof of anything.
    pub sequence: u64,
    /// It had it already, under the same id, within its window.
    pub duplicate: bool,
}

/// A stream's answer, still to come.
pub type Acknowledgement = BoxFuture<'static, Result<Acked, NatsError>>;

impl Bus {
    /// Connects. Tries for ever, also when the login is refused: it may be made yet. The one error is an address that
    /// makes no sense.
    pub async fn connect(login: &Login) -> Result<Self, NatsError> {
        let (sender, mut link) = watch::channel(Link::Down);
        let (forbid, forbidden) = watch::channel(String::new());
        let (sender, forbid) = (Arc::new(sender), Arc::new(forbid));
        for attempt in 1.. {
            let error = match options(login, sender.clone(), forbid.clone()).connect(login.url.as_str()).await {
                Ok(client) => {
                    // The event may come a little after the connection.
                    let _ = timeout(CONNECT_TIMEOUT, link.wait_for(|link| link.is_up())).await;
                    let jetstream = context(&client);
                    return Ok(Self(Arc::new(Connection { client, jetstream, link, forbidden, user: login.user.clone() })));
                }
                Err(error) => error,
            };
            match error.kind() {
                ConnectErrorKind::ServerParse => {
                    return Err(NatsError::Url { url: login.url.clone(), why: error.to_string() });
                }
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => link::refused(&login.user),
                _ => tracing::warn!(url = login.url, %error, "cannot reach nats; trying again for ever"),
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        unreachable!("the attempts have no end")
    }

    /// Whether the broker can be reached, to be watched.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.0.link.clone()
    }

    /// The login's user.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.0.jetstream
    }

    /// Publishes on a stream and waits until the stream has it. Done again with the same id within the stream's window,
    /// it is there once.
    pub async fn publish<M: Message + Any>(&self, subject: &Subject, message: &M, id: &str) -> Result<Acked, NatsError> {
        self.start_publish(subject, message, id).await?.await
    }

    /// Publishes on a stream and hands back the acknowledgement, so that many can be in flight. Messages arrive in the
    /// order in which these calls return.
    pub async fn start_publish<M: Message + Any>(
        &self,
        subject: &Subject,
        message: &M,
        id: &str,
    ) -> Result<Acknowledgement, NatsError> {
        let message =
            PublishMessage::build().payload(encode(message)).headers(header::of(message, Format::MessagePack)).message_id(id);
        self.send_to_stream(subject.to_string(), message).await
    }

    pub(crate) async fn send_to_stream(&self, subject: String, message: PublishMessage) -> Result<Acknowledgement, NatsError> {
        let sent = async {
            self.up().await;
            self.0.jetstream.send_publish(subject.clone(), message).await
        };
        let ack = timeout(PUBLISH_TIMEOUT, sent)
            .await
            .map_err(|_| NatsError::Timeout { what: format!("publishing on {subject}"), within: PUBLISH_TIMEOUT })?
            .map_err(|error| publish_error(&subject, &error))?;
        let acknowledged = async move {
            let ack = ack.await.map_err(|error| publish_error(&subject, &error))?;
            Ok(Acked { stream: ack.stream, sequence: ack.sequence, duplicate: ack.duplicate })
        };
        Ok(acknowledged.boxed())
    }

    /// Sends a message that nobody acknowledges.
    pub async fn tell<M: Message + Any>(&self, subject: &Subject, message: &M) -> Result<(), NatsError> {
        let headers = header::of(message, Format::MessagePack);
        let what = || format!("telling {subject}");
        self.within(TELL_TIMEOUT, what, self.0.client.publish_with_headers(subject.to_string(), headers, encode(message))).await
    }

    /// Asks, and waits for the answer. Where nobody listens this is known at once.
    pub async fn request<M: Message + Any, A: Message>(
        &self,
        subject: &Subject,
        message: &M,
        within: Duration,
    ) -> Result<A, RequestError> {
        let headers = header::of(message, Format::MessagePack);
        let answer = self.raw_request(subject.to_string(), headers, encode(message), within).await?;
        read_answer(&answer)
    }

    pub(crate) async fn raw_request(
        &self,
        subject: String,
        headers: async_nats::HeaderMap,
        payload: Bytes,
        within: Duration,
    ) -> Result<async_nats::Message, RequestError> {
        // What cannot be sent now is not left in the client's queue, to be delivered when nobody waits for it.
        let forbidden = self.forbids(&subject);
        let asked = async {
            self.up().await;
            let request = async_nats::Request::new().headers(headers).payload(payload).timeout(Some(within));
            self.0.client.send_request(subject.clone(), request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => RequestError::NoResponders,
                RequestErrorKind::TimedOut => RequestError::Timeout,
                _ => RequestError::Broken(error.to_string()),
            })
        };
        tokio::select! {
            answered = timeout(within, asked) => answered.unwrap_or(Err(RequestError::Timeout)),
            () = forbidden => Err(RequestError::Forbidden),
        }
    }

    /// Returns when the server says from now on that this login may not publish there.
    fn forbids(&self, subject: &str) -> impl Future<Output = ()> + use<> {
        let (mut forbidden, subject) = (self.0.forbidden.clone(), subject.to_owned());
        forbidden.mark_unchanged();
        async move {
            while forbidden.changed().await.is_ok() {
                if *forbidden.borrow_and_update() == subject {
                    return;
                }
            }
            std::future::pending().await
        }
    }

    /// Listens. When this returns, the broker knows it.
    pub async fn subscribe(&self, filter: &Filter) -> Result<Subscription, NatsError> {
        let what = || format!("subscribing to {filter}");
        let subscriber = self.within(API_TIMEOUT, what, self.0.client.subscribe(filter.to_string())).await?;
        self.round_trip().await?;
        Ok(Subscription::new(self.0.client.clone(), subscriber))
    }

    /// Returns when the broker has seen everything that was sent before. (`flush` alone waits for the socket only.)
    pub async fn round_trip(&self) -> Result<(), NatsError> {
        let nobody = self.0.client.new_inbox();
        match self.raw_request(nobody, async_nats::HeaderMap::new(), Bytes::new(), API_TIMEOUT).await {
            Err(RequestError::Timeout) => Err(NatsError::Timeout { what: "a round trip".into(), within: API_TIMEOUT }),
            _ => Ok(()),
        }
    }

    /// Returns when the broker can be reached.
    pub(crate) async fn up(&self) {
        if self.0.link.borrow().is_up() {
            return;
        }
        // An error would mean that the client is gone for good; the caller's own bound ends the wait.
        if self.0.link.clone().wait_for(|link| link.is_up()).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Does something with the broker, once it can be reached, under a bound.
    pub(crate) async fn within<T, E: std::fmt::Display>(
        &self,
        within: Duration,
        what: impl Fn() -> String,
        done: impl Future<Output = Result<T, E>>,
    ) -> Result<T, NatsError> {
        let bounded = timeout(within, async {
            self.up().await;
            done.await
        });
        match bounded.await {
            Err(_) => Err(NatsError::Timeout { what: what(), within }),
            Ok(Err(error)) => Err(NatsError::Refused { what: what(), why: error.to_string() }),
            Ok(Ok(value)) => Ok(value),
        }
    }
}

fn options(login: &Login, link: Arc<watch::Sender<Link>>, forbid: Arc<watch::Sender<String>>) -> ConnectOptions {
    let user = login.user.clone();
    let times = Mutex::new(0);
    ConnectOptions::with_user_and_password(login.user.clone(), login.password.clone())
        .name(&login.name)
        .custom_inbox_prefix(inbox(&login.user))
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(API_TIMEOUT))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .reconnect_delay_callback(backoff)
        .event_callback(move |event| {
            let mut times = times.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            link::heard(&event, &user, &link, &mut times);
            if let Some(subject) = link::forbidden(&event) {
                forbid.send_replace(subject);
            }
            std::future::ready(())
        })
}

fn context(client: &Client) -> jetstream::Context {
    jetstream::context::ContextBuilder::new()
        .timeout(API_TIMEOUT)
        .max_ack_inflight(MAX_UNACKED)
        .backpressure_on_inflight(true)
        .build(client.clone())
}

/// Where the answers to one login arrive: nobody else may listen there.
pub(crate) fn inbox(user: &str) -> String {
    format!("_INBOX_{user}")
}

fn publish_error(subject: &str, error: &jetstream::context::PublishError) -> NatsError {
    let what = format!("publishing on {subject}");
    match error.kind() {
        PublishErrorKind::StreamNotFound => NatsError::NoStream { subject: subject.into() },
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => NatsError::Timeout { what, within: PUBLISH_TIMEOUT },
        _ => {
            let why = std::error::Error::source(error).map_or_else(|| error.to_string(), |source| source.to_string());
            NatsError::Refused { what, why }
        }
    }
}

fn read_answer<A: Message>(answer: &async_nats::Message) -> Result<A, RequestError> {
    let none = async_nats::HeaderMap::new();
    let headers = answer.headers.as_ref().unwrap_or(&none);
    if let Some(why) = header::get(headers, header::SERVICE_ERROR) {
        return Err(RequestError::Problem(why.into()));
    }
    let format = header::format(headers);
    match decode::<A>(&answer.payload, format) {
        Ok(answer) => Ok(answer),
        Err(DecodeError::Kind { got, .. }) if got == Problem::KIND => match decode::<Problem>(&answer.payload, format) {
            Ok(problem) => Err(RequestError::Problem(problem.message)),
            Err(error) => Err(RequestError::Broken(error.to_string())),
        },
        Err(error) => Err(RequestError::Broken(error.to_string())),
    }
}
