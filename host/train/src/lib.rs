//! Makes the weights of the global LSTM from recorded usage, on the processor, without a framework: the network is one
//! LSTM layer and a head of two, so its gradient is some hundred lines, and the binary that carries them stays small.
//!
//! # Following a batch
//! ```text
//! traces -> series in points, gaps held              data, ident
//!        -> days of them, features by the forecaster segments
//!        -> 48 ticks forward, loss, 48 ticks back    pass, loss, net (weights), real (products)
//!        -> gradient clipped, Adam, one-cycle rate   optim
//!        -> epoch: judged, best weights kept         fit; of which network: task, of which behaviour: kinds
//!        -> checkpoint; at the end model and card    run, checkpoint, file, evaluate, card
//! ```
//!
//! The same input, options and instruction set give the same bytes, on any number of threads, stopped and resumed or not.

pub mod card;
mod checkpoint;
mod data;
mod error;
mod evaluate;
mod file;
mod fit;
mod ident;
mod kinds;
pub mod loss;
pub mod net;
pub mod optim;
pub mod pass;
pub mod real;
mod run;
mod segments;
mod task;

pub use error::TrainError;
pub use evaluate::{Comparison, Figures};
pub use fit::Recipe;
pub use run::{CARD, Event, Job, MODEL, run};
pub use task::{Member, Net, Task};
