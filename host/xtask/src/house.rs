//! Where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The repository and its build folder.
#[derive(Debug, Clone)]
pub struct House {
    /// Root of the repository.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
}

impl House {
    /// Finds both from what cargo tells the programs it runs.
    pub fn find() -> Result<Self> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
        let root = Path::new(&here).join("../..").canonicalize().context("the repository of xtask")?;
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// A folder for what a lane writes: `target/ci/NAME`, made if need be.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.target.join("ci").join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// The release binary.
    pub fn binary(&self) -> PathBuf {
        self.target.join("release").join("foreshade")
    }

    /// A program to run at the root. What cargo set for *this* program is not handed on: a nested cargo would take it
    /// for a changed environment and build again.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut cmd = Command::new(program);
        cmd.current_dir(&self.root);
        for (key, _) in std::env::vars_os() {
            let name = key.to_string_lossy();
            let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
            if ours.iter().any(|p| name.starts_with(p)) {
                cmd.env_remove(&key);
            }
        }
        cmd
    }

    /// `cargo ARGS` at the root; `args` is split at spaces.
    pub fn cargo(&self, args: &str) -> Command {
        let mut cmd = self.command("cargo");
        cmd.args(args.split_whitespace());
        cmd
    }

    /// Files git tracks or would track, relative to the root, that exist.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let out = self
            .command("git")
            // A checkout made by another user is still ours to read.
            .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("cannot run git; it is needed to list the repository's files")?;
        anyhow::ensure!(
            out.status.success(),
            "git ls-files: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        );
        let text = String::from_utf8(out.stdout).context("a file name is not UTF-8")?;
        let mut files: Vec<PathBuf> = text.split('\0').filter(|s| !s.is_empty()).map(PathBuf::from).collect();
        files.retain(|f| self.root.join(f).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The text of a file of the repository.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = self.root.join(path);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}
