//! Errors as people see them: one line that says what, where and what to do.

use thiserror::Error;

/// Why a command did not succeed.
#[derive(Debug, Error)]
pub enum Failure {
    /// Something failed while it ran: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The command line or a configuration file is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The subcommand is planned: exit code 2.
    #[error("{0}: not built yet; docs/status.md lists what is")]
    NotBuilt(&'static str),
}

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) | Self::NotBuilt(_) => 2,
        }
    }

    /// A failure with everything its error chain knows, on one line.
    pub fn failed(e: &dyn std::error::Error) -> Self {
        let mut text = e.to_string();
        let mut source = e.source();
        while let Some(s) = source {
            let more = s.to_string();
            // Many errors print their source already.
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            source = s.source();
        }
        Self::Failed(text.replace('\n', "; "))
    }
}
