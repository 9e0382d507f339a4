//! An actor as a service of its own: the shortest way to an actor in a child process.

use std::marker::PhantomData;

use blackhole_sdk::{Context, Message, Routes, Service, ServiceError};
use ractor::Actor;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// An actor that may be a service: hosted in a child process, reached by [`Remote`](crate::Remote).
///
/// Its arguments are the service's settings: `()` where there are none, else a structure that serde
/// reads. It is made anew, by its `Default`, for each process.
///
/// ```
/// use blackhole::{Actor, ActorProcessingErr, ActorRef, Message, Reply};
///
/// #[derive(Message)]
/// enum Count {
///     Add(u64),
///     Total(Reply<u64>),
/// }
///
/// #[derive(Default)]
/// struct Counter;
///
/// impl blackhole::HostedActor for Counter {
///     const NAME: &'static str = "counter";
/// }
///
/// impl Actor for Counter {
///     type Msg = Count;
///     type State = u64;
///     type Arguments = ();
///
///     async fn pre_start(&self, _: ActorRef<Count>, (): ()) -> Result<u64, ActorProcessingErr> {
///         Ok(0)
///     }
///
///     async fn handle(
///         &self,
///         _: ActorRef<Count>,
///         message: Count,
///         total: &mut u64,
///     ) -> Result<(), ActorProcessingErr> {
///         match message {
///             Count::Add(more) => *total += more,
///             Count::Total(reply) => reply.send(*total),
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
pub trait HostedActor:
    Actor<Msg: Message, Arguments: DeserializeOwned + Send> + Default + Send + Sync + 'static
{
    /// What it is called: as a service where no other name is given, and inside its process.
    const NAME: &'static str;
}

/// The service that hosts one actor.
pub(crate) struct Hosting<A>(PhantomData<fn() -> A>);

impl<A: HostedActor> Service for Hosting<A> {
    const NAME: &'static str = A::NAME;
    type Settings = Arguments<A::Arguments>;

    async fn start(context: Context<Self::Settings>) -> Result<Self, ServiceError> {
        let (context, Arguments(arguments)) = context.split();
        context.host(A::NAME, A::default(), arguments).await?;
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
