//! The nar of a plain file whose content is at hand.

use super::{MAGIC, padding};

/// The nar of a file that is not executable.
pub fn of_file(content: &[u8]) -> Vec<u8> {
    let mut nar = Vec::with_capacity(content.len() + 128);
    for word in [MAGIC, b"(", b"type", b"regular", b"contents", content, b")"] {
        nar.extend_from_slice(&(word.len() as u64).to_le_bytes());
        nar.extend_from_slice(word);
        nar.resize(nar.len() + padding(word.len() as u64), 0);
    }
    nar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_is_written_of_a_file_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for content in [&b""[..], b"1234567", b"12345678"] {
            std::fs::write(&path, content).unwrap();
            let mut dumped = Vec::new();
            super::super::dump(&path, &mut dumped).unwrap();
            assert_eq!(of_file(content), dumped);
        }
    }
}
