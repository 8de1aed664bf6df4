//! Built programs on disk. A driver may crash on a torn binary (PoCL does), so every file has a header of ours, and only
//! what was written whole, for this very device, driver and source, is handed on.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// First bytes of a file.
const MAGIC: [u8; 8] = *b"FSHPROG\0";
/// Of the header; a change of layout or of what the key covers makes every old file foreign.
const FORMAT: u32 = 1;
/// Magic, format, key, length of the program, checksum.
const HEADER_BYTES: usize = 8 + 4 + 32 + 8 + 32;
/// Largest program that is read.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;

/// What a program was built from and for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// A key of these parts in this order; where one ends and the next begins makes a difference.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        hash.update(FORMAT.to_le_bytes());
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }

    fn hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// The file of a program in a folder.
pub fn path(dir: &Path, name: &str, key: &Key) -> PathBuf {
    dir.join(format!("{name}-{}.prog", &key.hex()[..32]))
}

/// A program as a file's bytes.
pub fn pack(key: &Key, program: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEADER_BYTES + program.len());
    file.extend(MAGIC);
    file.extend(FORMAT.to_le_bytes());
    file.extend(key.0);
    file.extend((program.len() as u64).to_le_bytes());
    let sum: [u8; 32] = Sha256::digest(program).into();
    file.extend(sum);
    file.extend(program);
    file
}

/// The program in a file's bytes, or why it may not be used.
///
/// # Errors
/// Not a program, of another format, for another device or source, cut short, or changed.
pub fn unpack<'a>(key: &Key, file: &'a [u8]) -> Result<&'a [u8], &'static str> {
    let (header, program) = file.split_at_checked(HEADER_BYTES).ok_or("cut short")?;
    let (magic, rest) = header.split_at(8);
    let (format, rest) = rest.split_at(4);
    let (its_key, rest) = rest.split_at(32);
    let (length, sum) = rest.split_at(8);
    if magic != MAGIC {
        return Err("not a program file");
    }
    if format != FORMAT.to_le_bytes() {
        return Err("of another format");
    }
    if its_key != key.0 {
        return Err("for another device, driver or source");
    }
    if length != (program.len() as u64).to_le_bytes() {
        return Err("cut short");
    }
    let right: [u8; 32] = Sha256::digest(program).into();
    if sum != right { Err("changed since it was written") } else { Ok(program) }
}

/// The program of this key in a folder; `None` = to be built. A file that may not be used is named in the log.
pub fn load(dir: &Path, name: &str, key: &Key) -> Option<Vec<u8>> {
    let path = path(dir, name, key);
    let mut bytes = Vec::new();
    let limit = PROGRAM_BYTES_MAX + HEADER_BYTES as u64;
    fs::File::open(&path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    match unpack(key, &bytes) {
        Ok(program) => Some(program.to_vec()),
        Err(why) => {
            tracing::warn!(file = %path.display(), why, "program file not used; it is built again");
            None
        }
    }
}

/// Writes a program into a folder, whole or not at all. A failure costs a build at the next start and is only logged.
pub fn save(dir: &Path, name: &str, key: &Key, program: &[u8]) {
    let path = path(dir, name, key);
    if let Err(error) = replace(dir, &path, &pack(key, program)) {
        tracing::warn!(file = %path.display(), %error, "program file not written; the next start builds again");
    }
}

/// A new file under a name of this process alone, then a rename.
fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = fs::File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&part, path));
    if done.is_err() {
        let _ = fs::remove_file(&part);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::of(&["source", "device"]);
        save(dir.path(), "k", &key, b"program");
        assert_eq!(load(dir.path(), "k", &key).unwrap(), b"program");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no part file stays");
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(Key::of(&["ab", "c"]), Key::of(&["a", "bc"]));
        assert_ne!(Key::of(&["a"]), Key::of(&["a", ""]));
    }

    #[test]
    fn a_torn_changed_or_foreign_file_is_not_a_program() {
        let key = Key::of(&["a"]);
        let good = pack(&key, b"program");
        assert_eq!(unpack(&key, &good), Ok(&b"program"[..]));
        for cut in 0..good.len() {
            assert!(unpack(&key, &good[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(unpack(&key, &bad).is_err(), "byte {at}");
        }
        assert!(unpack(&Key::of(&["b"]), &good).is_err());
        assert!(unpack(&key, &[good.as_slice(), b"x"].concat()).is_err());
    }
}
