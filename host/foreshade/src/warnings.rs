//! What a device did wrong, said on stderr as it happens: the work went on elsewhere, and the operator should know.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Crates whose warnings an operator can do something about.
const FROM: [&str; 2] = ["foreshade_accel", "foreshade_forecast"];

/// A tracing layer that prints them, one line each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Warnings;

impl Warnings {
    /// Prints warnings where nothing else listens to this process; a second call changes nothing.
    pub(crate) fn install() {
        use tracing_subscriber::prelude::*;
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Self));
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(line) = line(event) {
            crate::view::note(&format!("foreshade: {line}\n"));
        }
    }
}

fn line(event: &Event<'_>) -> Option<String> {
    let about = event.metadata();
    let module = about.target().split("::").next().unwrap_or_default();
    if *about.level() > Level::WARN || !FROM.contains(&module) {
        return None;
    }
    let mut words = Words::default();
    event.record(&mut words);
    Some(format!("{}{}", words.message, words.rest))
}

/// The message first, then what belongs to it.
#[derive(Default)]
struct Words {
    message: String,
    rest: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}").replace(|c: char| c.is_control(), " ");
        let _ = match field.name() {
            "message" => write!(self.message, "{text}"),
            name => write!(self.rest, "; {name}: {text}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().extend(line(event));
        }
    }

    #[test]
    fn a_device_that_is_put_out_is_named_with_its_reason_and_news_of_others_is_not() {
        let heard = Heard::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(heard.clone()), || {
            tracing::error!(target: "foreshade_accel::engine", device = %"cuda", "device ejected");
            tracing::info!(target: "foreshade_accel::engine", "started");
            tracing::warn!(target: "quinn::connection", "lost a packet");
            tracing::warn!(target: "foreshade_accel", file = %"a\nb", "torn");
        });
        assert_eq!(*heard.0.lock().unwrap(), ["device ejected; device: cuda", "torn; file: a b"]);
    }
}
