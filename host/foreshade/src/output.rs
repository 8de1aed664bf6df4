//! Files that commands write: checked before the work, written whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

fn cannot(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::Failed(format!(
        "cannot write {}: {why}; name a file in a folder that can be written",
        path.display()
    ))
}

/// Can a file be written here? Says so before minutes of work are spent on it.
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(cannot(path, &"it is a folder"));
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    match fs::metadata(folder) {
        Ok(m) if m.is_dir() => Ok(()),
        Ok(_) => Err(cannot(path, &format!("{} is not a folder", folder.display()))),
        Err(e) => Err(cannot(path, &e)),
    }
}

/// [`write_text`] of a value as JSON.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| cannot(path, &e))?;
    write_text(path, &(text + "\n"))
}

/// Writes beside the file and renames. A link is followed; what is no regular file (a pipe, a device) is written to, never
/// replaced.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    let target: PathBuf = match fs::metadata(path) {
        Ok(m) if !m.is_file() => return fs::write(path, text).map_err(|e| cannot(path, &e)),
        Ok(_) => fs::canonicalize(path).map_err(|e| cannot(path, &e))?,
        Err(_) => path.to_owned(),
    };
    let mut tmp = target.as_os_str().to_owned();
    tmp.push(".tmp");
    let done = fs::write(&tmp, text).and_then(|()| fs::rename(&tmp, &target));
    if done.is_err() {
        // What is half written helps nobody; that it cannot be removed either is not worth a second error.
        let _ = fs::remove_file(&tmp);
    }
    done.map_err(|e| cannot(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        write_json(Path::new("/dev/null"), &1).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("real.json"), dir.path().join("link.json"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_json(&link, &7).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "7\n");
    }

    #[test]
    fn a_folder_or_a_missing_one_is_refused_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(dir.path()).unwrap_err().to_string().contains("it is a folder"));
        assert!(check(&dir.path().join("no/report.json")).is_err());
        assert!(check(&dir.path().join("report.json")).is_ok());
        assert!(write_json(&dir.path().join("no/report.json"), &1).is_err());
    }
}
