//! An actor as a service of its own: the shortest way to an actor in a child process.

use std::marker::PhantomData;

use blackhole_sdk::{Context, Message, Routes, Service, ServiceError};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// An actor in its shortest form: a value that is told messages, one after the other.
///
/// One is made for each process, by its `Default`, and is a [`HostedActor`]. What needs settings, its own
/// reference, or to learn of the end of other actors is written as an [`Actor`] instead.
///
/// ```
/// use blackhole::{ActorProcessingErr, Handler, Message, Reply};
///
/// #[derive(Message)]
/// enum Count {
///     Add(u64),
///     Total(Reply<u64>),
/// }
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl Handler for Counter {
///     const NAME: &'static str = "counter";
///     type Message = Count;
///
///     async fn handle(&mut self, message: Count) -> Result<(), ActorProcessingErr> {
///         match message {
///             Count::Add(more) => self.0 += more,
///             Count::Total(reply) => reply.send(self.0),
///         }
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// use blackhole::{Node, ServiceSpec};
/// use std::time::Duration;
///
/// // In a test; a program says `program.node()` and leaves `embedded` out.
/// let node = Node::builder()
///     .embedded()
///     .service("counter", ServiceSpec::actor::<Counter>())
///     .start()
///     .await?;
/// let counter = node.actor::<Counter>("counter")?;
/// counter.cast(Count::Add(2)).await?;
/// assert_eq!(counter.call(Count::Total, Duration::from_secs(5)).await?, 2);
/// # node.stop().await?;
/// # Ok(())
/// # })
/// # }
/// ```
pub trait Handler: Default + Send + Sync + 'static {
    /// What it is called: as a service where no other name is given, and inside its process.
    const NAME: &'static str;
    /// What it is told.
    type Message: Message;

    /// Does what a message says. The next one waits for it.
    ///
    /// # Errors
    /// End the actor and its process; the reason is in the history, and the restart's rules apply.
    fn handle(
        &mut self,
        message: Self::Message,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send;
}

/// An actor that may be a service: hosted in a child process, reached by [`Remote`](crate::Remote).
///
/// A [`Handler`] is one. So is any [`Actor`] that says so; its arguments are the service's settings: `()`
/// where there are none, otherwise a structure that serde reads. One is made for each process, by its
/// `Default`.
///
/// ```
/// use blackhole::{Actor, ActorProcessingErr, ActorRef, HostedActor, Message, Reply};
///
/// #[derive(Message)]
/// enum Greet {
///     Somebody(String, Reply<String>),
/// }
///
/// #[derive(Default)]
/// struct Greeter;
///
/// impl HostedActor for Greeter {
///     const NAME: &'static str = "greeter";
///     type Actor = Self;
/// }
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     greeting: String,
/// }
///
/// impl Actor for Greeter {
///     type Msg = Greet;
///     type State = String;
///     type Arguments = Settings;
///
///     async fn pre_start(
///         &self,
///         _: ActorRef<Greet>,
///         settings: Settings,
///     ) -> Result<String, ActorProcessingErr> {
///         Ok(settings.greeting)
///     }
///
///     async fn handle(
///         &self,
///         _: ActorRef<Greet>,
///         Greet::Somebody(name, reply): Greet,
///         greeting: &mut String,
///     ) -> Result<(), ActorProcessingErr> {
///         reply.send(format!("{greeting}, {name}"));
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # use blackhole::{Node, ServiceSpec};
/// # use std::{collections::BTreeMap, time::Duration};
/// let settings = BTreeMap::from([("greeting", "hello")]);
/// let service = ServiceSpec::actor::<Greeter>().settings(&settings);
/// let node = Node::builder().embedded().service("greeter", service).start().await?;
/// let greeter = node.actor::<Greeter>("greeter")?;
/// let ask = |reply| Greet::Somebody("Joe".into(), reply);
/// assert_eq!(greeter.call(ask, Duration::from_secs(5)).await?, "hello, Joe");
/// # node.stop().await?;
/// # Ok(())
/// # })
/// # }
/// ```
pub trait HostedActor: 'static {
    /// What it is called: as a service where no other name is given, and inside its process.
    const NAME: &'static str;
    /// What runs in the process: of an [`Actor`] that is one itself, `Self`.
    type Actor: Actor<Msg: Message, Arguments: DeserializeOwned + Send> + Default;
}

impl<H: Handler> HostedActor for H {
    const NAME: &'static str = H::NAME;
    type Actor = Handling<H>;
}

/// What a hosted actor is told.
pub(crate) type MessageOf<A> = <<A as HostedActor>::Actor as Actor>::Msg;

/// The actor whose state a [`Handler`] is.
#[derive(Debug)]
pub struct Handling<H>(PhantomData<fn() -> H>);

impl<H> Default for Handling<H> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<H: Handler> Actor for Handling<H> {
    type Msg = H::Message;
    type State = H;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<H::Message>, (): ()) -> Result<H, ActorProcessingErr> {
        Ok(H::default())
    }

    async fn handle(
        &self,
        _: ActorRef<H::Message>,
        message: H::Message,
        handler: &mut H,
    ) -> Result<(), ActorProcessingErr> {
        handler.handle(message).await
    }
}

/// The service that hosts one actor.
pub(crate) struct Hosting<A>(PhantomData<fn() -> A>);

impl<A: HostedActor> Service for Hosting<A> {
    const NAME: &'static str = A::NAME;
    type Settings = Arguments<<A::Actor as Actor>::Arguments>;

    async fn start(context: Context<Self::Settings>) -> Result<Self, ServiceError> {
        let (context, Arguments(arguments)) = context.split();
        context.host(A::NAME, A::Actor::default(), arguments).await?;
        Ok(Self(PhantomData))
    }

    fn register(&self, _: &mut Routes) {}
}

/// An actor's arguments, out of a service's settings: no settings at all are also `()`.
pub(crate) struct Arguments<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Arguments<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let settings = serde_json::Value::deserialize(deserializer)?;
        let nothing = settings.as_object().is_some_and(serde_json::Map::is_empty);
        let read = match serde_json::from_value(settings) {
            // What is wrong with `{}` is the better answer, unless nothing was wanted.
            Err(error) if nothing => {
                serde_json::from_value(serde_json::Value::Null).map_err(|_| error)
            }
            read => read,
        };
        read.map(Self).map_err(serde::de::Error::custom)
    }
}
