//! A rack controller: receives decisions, carries each out once, reports what became of it.

use foreshade_client::{ClientError, ControllerConfig, ControllerSession, Decided};
use foreshade_enact::{Desk, Hypervisor};
use foreshade_types::{RackId, Tick};
use thiserror::Error;

/// Why a controller stopped before the appliance said so.
#[derive(Debug, Error)]
#[error("controller of {rack}: {source}")]
pub struct ControllerError {
    /// Its rack.
    pub rack: RackId,
    /// What happened.
    #[source]
    pub source: ClientError,
}

/// Connects and acts until the appliance says goodbye; returns its reason. A tick is worth `cadence_s` of trace time.
/// `drop_at(tick)` = true cuts the connection after that tick was answered, for tests of resumption.
pub async fn run(
    config: ControllerConfig,
    mut rack: impl Hypervisor,
    cadence_s: u32,
    drop_at: impl Fn(Tick) -> bool,
) -> Result<String, ControllerError> {
    let id = config.rack;
    let failed = |source| ControllerError { rack: id, source };
    let mut desk = Desk::new(config.controller);
    let mut session = ControllerSession::connect(config).await.map_err(failed)?;
    loop {
        match session.next_decisions().await.map_err(failed)? {
            Decided::Bye(text) => return Ok(text),
            Decided::Tick(tick, decisions) => {
                let now_ms = tick.0 * u64::from(cadence_s) * 1000;
                let outcomes = desk.work(&mut rack, now_ms, &decisions);
                session.report(tick, outcomes).await.map_err(failed)?;
                if drop_at(tick) {
                    session.drop_connection();
                }
            }
        }
    }
}
