//! Finished logs, as they lie in the bucket: read as a stream, whole or only their end, in bounded memory.

use std::collections::VecDeque;
use std::io::{self, Write};

use anyhow::{Context, anyhow};
use drover_bucket::{Bucket, Key};
use drover_messages::report::SealedLog;
use futures::StreamExt;

/// The longest line of a log's end that is shown, in bytes; what is beyond is left out.
const MAX_LINE_BYTES: usize = 4096;

/// Writes the whole log as text.
pub(crate) async fn copy(bucket: &Bucket, log: &SealedLog, out: impl Write) -> anyhow::Result<()> {
    let key: Key = log.key.parse().with_context(|| format!("the log {}", log.key))?;
    if !matches!(key, Key::Log { .. }) {
        return Err(anyhow!("{key} is no log"));
    }
    let mut text = zstd::stream::write::Decoder::new(out)?;
    let mut pieces = bucket.stream(&key).await?.stream();
    while let Some(piece) = pieces.next().await {
        text.write_all(&piece?)?;
    }
    Ok(text.flush()?)
}

/// The last lines of the log.
pub(crate) async fn tail(bucket: &Bucket, log: &SealedLog, lines: usize) -> anyhow::Result<Vec<String>> {
    let mut tail = Tail::new(lines);
    copy(bucket, log, &mut tail).await?;
    Ok(tail.finish())
}

/// Keeps the last lines of what is written to it.
struct Tail {
    keep: usize,
    lines: VecDeque<Vec<u8>>,
    line: Vec<u8>,
}

impl Tail {
    fn new(keep: usize) -> Self {
        Self { keep, lines: VecDeque::new(), line: Vec::new() }
    }

    fn end_line(&mut self) {
        self.lines.push_back(std::mem::take(&mut self.line));
        if self.lines.len() > self.keep {
            self.lines.pop_front();
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() < MAX_LINE_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use drover_messages::{AttemptId, BuildId};

    use super::*;

    async fn sealed(bucket: &Bucket, text: &str) -> SealedLog {
        let key = Key::Log { build: BuildId::new(), attempt: AttemptId::new() };
        bucket.put_once(&key, zstd::encode_all(text.as_bytes(), 3).unwrap().into()).await.unwrap();
        SealedLog { key: key.to_string(), bytes: text.len() as u64 }
    }

    #[tokio::test]
    async fn a_log_is_written_as_it_was() {
        let bucket = Bucket::open("memory:///").unwrap();
        let log = sealed(&bucket, "one\ntwo\n").await;
        let mut text = Vec::new();
        copy(&bucket, &log, &mut text).await.unwrap();
        assert_eq!(text, b"one\ntwo\n");
    }

    #[tokio::test]
    async fn the_tail_has_the_last_lines_also_when_the_last_is_not_ended() {
        let bucket = Bucket::open("memory:///").unwrap();
        let log = sealed(&bucket, "one\ntwo\nthree").await;
        assert_eq!(tail(&bucket, &log, 2).await.unwrap(), ["two", "three"]);
    }

    #[tokio::test]
    async fn a_key_that_is_no_log_is_not_read() {
        let bucket = Bucket::open("memory:///").unwrap();
        let log = SealedLog { key: "generation/1".into(), bytes: 0 };
        assert!(copy(&bucket, &log, Vec::new()).await.is_err());
    }

    #[test]
    fn a_line_without_end_costs_bounded_memory() {
        let mut tail = Tail::new(1);
        for _ in 0..100 {
            tail.write_all(&[b'x'; MAX_LINE_BYTES]).unwrap();
        }
        assert_eq!(tail.finish()[0].len(), MAX_LINE_BYTES);
    }
}
