//! The files that the section `portal` names, on this machine.

#![expect(clippy::disallowed_methods, reason = "this module brings files to the config")]

use std::io;

use crate::config::ReadFiles;

/// The largest file that the pages are made of, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The files and folders of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

impl ReadFiles for Disk {
    fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        let length = std::fs::metadata(path)?.len();
        if length > MAX_FILE {
            return Err(io::Error::other(format!("it has {length} bytes, and {MAX_FILE} are the most")));
        }
        std::fs::read(path)
    }

    fn folder(&self, path: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(io::Error::other("the name of a file in it is not UTF-8"));
            };
            // Behind a link, as a mounted volume has them, there may be a file too.
            if !name.starts_with('.') && std::fs::metadata(entry.path())?.is_file() {
                files.push((name, self.bytes(&entry.path().to_string_lossy())?));
            }
        }
        files.sort();
        Ok(files)
    }
}
