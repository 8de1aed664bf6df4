//! Scripted situations on one rack: a few hosts, a few VMs, demand written down line by line. They run through the same
//! core and the same rack as a fleet, and what was decided and why is printed, tick by tick.
//!
//! ```text
//! cadence 300                      seconds between samples
//! warm-up 144                      samples before the first decision
//! end 200                          the last sample
//! hosts 2 cores 8 gib 64           all alike
//! bandwidth 200                    MiB/s at which memory is copied; else 500
//! policy host_limit_percent 90     any number of the policy
//! mode advise                      else auto; `mode migrate off`: of one kind of action
//! order pause at 150               the operator, after that tick's plan; resume, approve|dismiss ACTION VM at TICK
//! memory fixed                     memory is left alone; else managed
//! vm web cores 4 gib 8 on 0
//!   cpu 1.0                        cores; memory in GiB. Later lines win where they apply.
//!   memory 2.5
//!   cpu 3.0 from 150 [to 160]      from a tick until before another
//!   cpu 3.0 every 24 at 12 for 3   each 24 ticks, starting at 12, for 3 ticks
//!   cpu 1.0 ramp 3.0 from 150 to 160
//!   noise 0.1                      up to 0.1 cores more or less, the same each run
//!   missing from 160 to 170        no samples
//!   stopped from 160 to 170        suspended by its owner; without `to`, for good
//!   behind from 160 to 170         the copy that its shadow holds lags; or: corrupt
//!   customer 7                     whose it is
//!   apart GROUP [domain]           no two of a group on one host (in one domain), their shadows included
//!   together GROUP                 all of a group on the same host
//!   pin 0 1                        it and its shadow run on these hosts only
//!   opt-out                        it is never moved, resized or given a shadow
//!   carried 1 at 150               somebody moves it by hand between the samples of a tick and its decisions
//! host 2 pool shadow domain 1      a host that is not like the rest: pool general, shadow or dedicated 7
//!   priority 3                     brought back before those of lower priority
//!   max-downtime 30                its own, in seconds
//!   silent from 160                its guest hangs: no heartbeat
//!   errors 8 from 160 to 165       percent of its requests fail
//! host 2 lost 160                  lost at a tick, with all that it carries
//! failover cpu if cpu_percent > 90 for 300 s     one more criterion; `failover none` drops all
//! hook notify 30                   run at each fail-over, for 30 s at most
//! show all | moves | totals        moves leaves resizes out; each tick they are counted
//! ```

mod orders;
mod run;
mod script;
mod site;

pub use orders::{Asked, ScriptOrder};
pub use run::{Run, RunError, Step, run};
pub use script::{HostKind, Part, Script, ScriptError, Series, Show, VmScript};
pub use site::VmRules;
