//! An agent: takes the samples of one host and pushes them when the appliance asks for a tick.

use foreshade_client::{AgentConfig, AgentSession, ClientError, Released};
use foreshade_types::{HostId, Tick};
use foreshade_wire::TelemetryBatch;
use thiserror::Error;

/// Where an agent's samples come from: a replayed trace now, the hypervisor later.
pub trait Source {
    /// The samples of one tick. Ticks are asked for in order, each once.
    fn sample(&mut self, tick: Tick) -> Result<TelemetryBatch, String>;
}

/// Why an agent stopped before the appliance said so.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The connection.
    #[error("agent of {host}: {source}")]
    Client {
        /// Its host.
        host: HostId,
        /// What happened.
        #[source]
        source: ClientError,
    },
    /// The source.
    #[error("agent of {host}: tick {tick}: {why}")]
    Source {
        /// Its host.
        host: HostId,
        /// When.
        tick: Tick,
        /// What happened.
        why: String,
    },
}

/// Connects and serves ticks until the appliance says goodbye; returns its reason. `drop_at(tick)` = true cuts the
/// connection after that tick was sent: what a test of resumption wants, and nobody else.
pub async fn run(
    config: AgentConfig,
    mut source: impl Source,
    drop_at: impl Fn(Tick) -> bool,
) -> Result<String, AgentError> {
    let host = config.host;
    let client = |source| AgentError::Client { host, source };
    let mut session = AgentSession::connect(config).await.map_err(client)?;
    loop {
        match session.released().await.map_err(client)? {
            Released::Bye(text) => return Ok(text),
            Released::Tick(tick) => {
                let batch = source.sample(tick).map_err(|why| AgentError::Source { host, tick, why })?;
                session.send_tick(tick, batch).await.map_err(client)?;
                if drop_at(tick) {
                    session.drop_connection();
                }
            }
        }
    }
}
