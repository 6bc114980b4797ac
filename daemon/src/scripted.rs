//! A daemon that plays a script: it expects these bytes and answers those, so that tests show what goes
//! over the wire. It does not know the protocol.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

pub const LAST: Word = Word::N(0x616c_7473);

/// What stands on the wire, written so that it can be read.
#[derive(Clone, Debug)]
pub enum Word {
    /// A number.
    N(u64),
    /// A string.
    S(&'static str),
    /// A string that was made.
    Text(String),
    /// Bytes as they are.
    Raw(Vec<u8>),
}

/// What the daemon does next.
pub enum Step {
    /// It reads exactly this, or the test fails.
    Expect(Vec<Word>),
    /// It writes this.
    Say(Vec<Word>),
    /// It reads a framed stream with this many bytes in it.
    ReadStream { bytes: usize },
    /// It reads and answers nothing for ever.
    Stall,
}

fn encode(words: &[Word]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in words {
        match word {
            Word::N(number) => bytes.extend(number.to_le_bytes()),
            Word::S(text) => string(&mut bytes, text),
            Word::Text(text) => string(&mut bytes, text),
            Word::Raw(raw) => bytes.extend(raw),
        }
    }
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

/// A connection to a daemon that has not greeted; the handle ends when the script is played.
pub fn play(script: Vec<Step>) -> (UnixStream, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    (ours, tokio::spawn(perform(theirs, script)))
}

async fn perform(mut stream: UnixStream, script: Vec<Step>) {
    for step in script {
        match step {
            Step::Expect(words) => {
                let expected = encode(&words);
                let mut heard = vec![0; expected.len()];
                stream.read_exact(&mut heard).await.expect("the client hung up early");
                assert!(heard == expected, "expected {words:?}\n heard {}", heard.escape_ascii());
            }
            Step::Say(words) => stream.write_all(&encode(&words)).await.expect("the client hung up early"),
            Step::ReadStream { bytes } => assert_eq!(read_stream(&mut stream).await, bytes),
            Step::Stall => std::future::pending().await,
        }
    }
    let mut rest = Vec::new();
    stream.shutdown().await.expect("the client hung up early");
    stream.read_to_end(&mut rest).await.expect("the client's end");
    assert!(rest.is_empty(), "the client said more: {}", rest.escape_ascii());
}

async fn read_stream(stream: &mut UnixStream) -> usize {
    let mut bytes = 0;
    loop {
        let chunk = stream.read_u64_le().await.expect("a chunk's length");
        if chunk == 0 {
            return bytes;
        }
        bytes += chunk as usize;
        stream.read_exact(&mut vec![0; chunk as usize]).await.expect("a chunk");
    }
}
