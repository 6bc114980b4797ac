//! Sessions of a real `guix-daemon` with Guix's own client, recorded byte by byte, and a scripted daemon that plays
//! them: what our client says must be what Guix's said, and it hears what the daemon answered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drover_store::{Derivation, DrvPath, StoreDir, StorePath};
use tokio::task::JoinHandle;

use super::Connection;
use super::scripted::connection;
use crate::scripted::{Step, Word};
use crate::wire::Reader;

/// The number of `add-text-to-store`.
const ADD_TEXT: u64 = 8;

/// One session.
pub struct Session {
    exchanges: Vec<Exchange>,
}

/// What the client said at once, and all that the daemon said to that.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Vec<u8>,
    pub answer: Vec<u8>,
}

/// A text that came into the store.
#[derive(Debug)]
pub struct Text {
    pub name: String,
    pub contents: Vec<u8>,
    pub references: Vec<StorePath>,
}

impl Session {
    /// Reads a session; `None`, said aloud, where it does not lie on this machine.
    pub fn load(name: &str) -> Option<Self> {
        let file = find(&format!("{name}.decoded.txt"))?;
        Self::load_cut(name, &std::fs::read_to_string(file).expect("a recorded session is whole"))
    }

    /// The same, for a session that nobody has put into words: with the offsets where the speaker changes.
    pub fn load_cut(name: &str, offsets: &str) -> Option<Self> {
        let [client, daemon] = ["c2s", "s2c"].map(|direction| find(&format!("{name}.{direction}.bin")));
        let read = |file: PathBuf| std::fs::read(file).expect("a recorded session is whole");
        Some(Self { exchanges: cut(&read(client?), &read(daemon?), offsets) })
    }

    /// The exchanges about one operation, in order.
    pub fn of(&self, operation: u64) -> Vec<Exchange> {
        self.exchanges.iter().filter(|exchange| exchange.operation() == operation).cloned().collect()
    }

    /// Everything from the first word to the end of the greeting.
    pub fn greeting(&self) -> Vec<Step> {
        self.exchanges[..2].iter().flat_map(Exchange::steps).collect()
    }

    /// Greets a daemon as recorded, which then goes on with `script`.
    pub async fn connect(&self, script: impl IntoIterator<Item = Step>) -> (Connection, JoinHandle<()>) {
        connection(self.greeting().into_iter().chain(script).collect()).await
    }

    /// The texts that came into the store, with what the daemon called them.
    pub async fn texts(&self) -> Vec<(Text, Exchange)> {
        let mut texts = Vec::new();
        for exchange in self.of(ADD_TEXT) {
            texts.push((read_text(&exchange.request).await, exchange));
        }
        texts
    }

    /// The derivations that came into the store, by the beginning of their names.
    pub async fn derivation(&self, name: &str) -> (DrvPath, Derivation) {
        let mut found = BTreeMap::new();
        for (text, _) in self.texts().await {
            if text.name.starts_with(name) && text.name.ends_with(".drv") {
                let derivation = Derivation::parse(&StoreDir::guix(), &text.contents).expect("a derivation");
                let drv = derivation.path(&StoreDir::guix(), text.name.trim_end_matches(".drv")).expect("a name");
                found.insert(drv, derivation);
            }
        }
        found.pop_first().expect("the session has such a derivation")
    }
}

impl Exchange {
    /// The daemon expects the request and gives the answer.
    pub fn steps(&self) -> [Step; 2] {
        [Step::Expect(vec![Word::Raw(self.request.clone())]), self.say()]
    }

    /// The daemon gives the answer.
    pub fn say(&self) -> Step {
        Step::Say(vec![Word::Raw(self.answer.clone())])
    }

    fn operation(&self) -> u64 {
        self.request.first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
    }
}

/// A file of those in this repository, or of the larger collection beside it.
fn find(name: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [here.join("tests/guix-sessions"), here.join("../../shared/guix/transcripts")];
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|file| file.exists());
    if found.is_none() {
        eprintln!("SKIPPED: there is no recorded session {name} beside this checkout");
    }
    found
}

/// Cuts the streams where the speaker changes. Lines of `offsets` begin with `C>S @0x00000` or `S>C @0x00000`.
fn cut(client: &[u8], daemon: &[u8], offsets: &str) -> Vec<Exchange> {
    let mut turns: Vec<(bool, usize)> = Vec::new();
    for line in offsets.lines() {
        let Some((speaker, rest)) = line.split_once(" @0x").filter(|(speaker, _)| matches!(*speaker, "C>S" | "S>C")) else {
            continue;
        };
        let (is_client, hex) = (speaker == "C>S", rest.split(' ').next().expect("an offset"));
        if turns.last().is_none_or(|(last, _)| *last != is_client) {
            turns.push((is_client, usize::from_str_radix(hex, 16).expect("an offset")));
        }
    }
    let starts = |of_client| turns.iter().filter(move |turn| turn.0 == of_client).map(|turn| turn.1);
    let pieces = |stream: &[u8], of_client| -> Vec<Vec<u8>> {
        let ends = starts(of_client).skip(1).chain([stream.len()]);
        starts(of_client).zip(ends).map(|(start, end)| stream[start..end].to_vec()).collect()
    };
    let answers = pieces(daemon, false).into_iter().chain([Vec::new()]);
    pieces(client, true).into_iter().zip(answers).map(|(request, answer)| Exchange { request, answer }).collect()
}

async fn read_text(request: &[u8]) -> Text {
    let mut input = Reader::new(&request[8..]);
    let name = input.text(1 << 10).await.expect("a name");
    let contents = input.bytes(1 << 20).await.expect("a text");
    let references = input.texts(1 << 10).await.expect("references");
    Text { name, contents, references: references.iter().map(|path| StoreDir::guix().parse(path).expect("a path")).collect() }
}
