//! Where a kernel runs: instruction set and threads. Both change the time; the instruction set may also change the last
//! bits of a result, because SSE has no fused multiply-add. Threads change nothing.

use std::fmt;

use fearless_simd::Level;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Instruction set and threads for kernels.
pub struct Exec {
    level: Level,
    threads: usize,
    pool: ThreadPool,
}

/// Why an [`Exec`] cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecError {
    /// No such instruction set here.
    Simd {
        /// The name asked for.
        name: String,
        /// The names this machine has.
        have: String,
    },
    /// The threads could not be started.
    Threads(String),
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simd { name, have } => write!(f, "this processor has no '{name}'; it has {have}"),
            Self::Threads(reason) => write!(f, "threads could not be started ({reason}); ask for fewer"),
        }
    }
}

impl std::error::Error for ExecError {}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exec {{ simd: {}, threads: {} }}", self.simd(), self.threads)
    }
}

impl Exec {
    /// The best instruction set of this machine, or the named one of [`levels`]; `threads` at least 1.
    ///
    /// # Errors
    /// No such instruction set, or the threads could not be started.
    pub fn new(simd: Option<&str>, threads: usize) -> Result<Self, ExecError> {
        let levels = levels();
        let found = match simd {
            None => levels.last(),
            Some(name) => levels.iter().find(|(n, _)| *n == name),
        };
        let Some(&(_, level)) = found else {
            return Err(ExecError::Simd {
                name: simd.unwrap_or_default().escape_default().take(32).collect(),
                have: levels.iter().map(|l| l.0).collect::<Vec<_>>().join(", "),
            });
        };
        let threads = threads.max(1);
        let name = |i| format!("kernel-{i}");
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
        let pool = pool.map_err(|e| ExecError::Threads(e.to_string()))?;
        Ok(Self { level, threads, pool })
    }

    /// For `fearless_simd::dispatch!`.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Name of the instruction set.
    pub fn simd(&self) -> &'static str {
        name(self.level)
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on this pool, so that its rayon iterators use no other threads.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }
}

/// Instruction sets of this machine that kernels are built for, slowest first.
pub fn levels() -> Vec<(&'static str, Level)> {
    let best = Level::new();
    let mut all = vec![Level::baseline()];
    #[cfg(target_arch = "x86_64")]
    {
        all.extend(best.as_sse4_2().map(Level::Sse4_2));
        all.extend(best.as_avx2().map(Level::Avx2));
        all.extend(best.as_avx512().map(Level::Avx512));
    }
    if !all.iter().any(|l| name(*l) == name(best)) {
        all.push(best);
    }
    all.into_iter().map(|l| (name(l), l)).collect()
}

fn name(level: Level) -> &'static str {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Sse2(_) => "sse2",
        #[cfg(target_arch = "x86_64")]
        Level::Sse4_2(_) => "sse4.2",
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => "avx2",
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => "avx512",
        #[cfg(target_arch = "aarch64")]
        Level::Neon(_) => "neon",
        _ => "portable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_of_this_machine_can_be_had_by_name() {
        let all = levels();
        assert!(!all.is_empty());
        for (name, _) in all {
            assert_eq!(Exec::new(Some(name), 1).unwrap().simd(), name);
        }
    }

    #[test]
    fn an_unknown_level_names_those_there_are() {
        let error = Exec::new(Some("mmx"), 1).unwrap_err().to_string();
        assert!(error.contains("no 'mmx'") && error.contains(levels()[0].0), "{error}");
    }
}
