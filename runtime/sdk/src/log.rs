//! The service's log records, as JSON lines that the node understands:
//! `{"timestamp":RFC3339,"level":"info","message":"…","target":"…","fields":{…}}`.

use std::{cell::Cell, env, error::Error, fmt, fs::File, io};

use serde_json::{Map, Value};
use tracing::{
    Dispatch, Event, Subscriber,
    dispatcher::{self, DefaultGuard},
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
};

/// Which records are written: `debug`, or `info,blackhole_identity=debug`. Default `info`.
pub const LOG_FILTER: &str = "BLACKHOLE_LOG";

/// Sends this process's records, panics among them, to stderr.
pub(crate) fn to_stderr() {
    // A program that has a subscriber already keeps it.
    let _ = dispatcher::set_global_default(to(io::stderr));
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("a panic without a message");
        tracing::error!(location, panic = message, "panicked: this is a bug");
    }));
}

/// For the records of one service among others in a process.
pub(crate) fn to_file(file: File) -> Dispatch {
    to(file)
}

/// Has this thread's records go there until it ends.
pub(crate) fn keep_to(records: &Dispatch) {
    thread_local! {
        static KEPT: Cell<Option<DefaultGuard>> = const { Cell::new(None) };
    }
    KEPT.set(Some(dispatcher::set_default(records)));
}

fn to<W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static>(writer: W) -> Dispatch {
    let wanted = env::var(LOG_FILTER).ok().and_then(|text| text.parse().ok());
    let filter = wanted.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().event_format(Lines).with_writer(writer);
    Dispatch::new(tracing_subscriber::registry().with(filter).with(lines))
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        let level = metadata.level().as_str().to_ascii_lowercase();
        let message = Value::String(fields.message);
        let (target, fields) = (metadata.target(), Value::Object(fields.others));
        writeln!(
            writer,
            "\",\"level\":\"{level}\",\"message\":{message},\"target\":\"{target}\",\"fields\":{fields}}}"
        )
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned()
        } else {
            self.insert(field, value)
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.insert(field, crate::embedded::chain(error));
    }
}
