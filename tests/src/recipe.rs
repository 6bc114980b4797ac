//! A derivation that no store has, with what it would make: for tests in which nothing is built.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use drover_bucket::{Bucket, HashPart, Key};
use drover_messages::report::{Built, Outcome, Times, Uploaded, UploadedOutput};
use drover_messages::request::{Mode, Nar, Root, Submit, Terms};
use drover_messages::{AgentId, AttemptId, BuildId, ClientId, SubmissionId, Timestamp};
use drover_nats::{Bus, Subject};
use drover_store::nar::{HashingWriter, dump};
use drover_store::{Derivation, DrvPath, Modulo, Output, OutputName, PackId, PackWriter, Sha256, StoreDir, StorePath};
use uuid::Uuid;

use crate::Farm;

/// One derivation with one output.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Its path.
    pub drv: DrvPath,
    /// Its output's.
    pub out: StorePath,
    derivation: Derivation,
}

impl Recipe {
    /// A derivation of this name, unlike any before, that needs `inputs`.
    pub fn new(name: &str, inputs: &[&Recipe]) -> Self {
        Self::requiring(name, inputs, "x86_64-linux", "")
    }

    /// As [`Recipe::new`], for another system, and for agents with these features, which blanks part.
    pub fn requiring(name: &str, inputs: &[&Recipe], system: &str, features: &str) -> Self {
        let store = StoreDir::nix();
        let salt = Uuid::now_v7().to_string().into_bytes();
        let mut modulo = Modulo::new();
        for input in inputs {
            assert!(input.derivation.input_drvs.is_empty(), "two layers are enough for these tests");
            modulo.add(&store, &input.drv, &input.derivation).unwrap();
        }
        let mut derivation = Derivation {
            outputs: BTreeMap::from([(OutputName::OUT, Output { path: placeholder(name), fixed: None })]),
            input_drvs: inputs.iter().map(|input| (input.drv.clone(), BTreeSet::from([OutputName::OUT]))).collect(),
            input_srcs: BTreeSet::new(),
            system: system.into(),
            builder: b"/bin/sh".to_vec(),
            args: Vec::new(),
            env: BTreeMap::from([(b"name".to_vec(), name.into()), (b"out".to_vec(), Vec::new()), (b"salt".to_vec(), salt)]),
        };
        if !features.is_empty() {
            derivation.env.insert(b"requiredSystemFeatures".to_vec(), features.into());
        }
        let draft = derivation.path(&store, name).unwrap();
        let out = modulo.add(&store, &draft, &derivation).unwrap().outputs[&OutputName::OUT].clone();
        derivation.outputs.insert(OutputName::OUT, Output { path: out.clone(), fixed: None });
        derivation.env.insert(b"out".to_vec(), store.path(&out).into_bytes());
        Self { drv: derivation.path(&store, name).unwrap(), out, derivation }
    }

    /// As an agent reports it when it is built.
    pub fn built(&self) -> Outcome {
        let outputs = BTreeMap::from([(OutputName::OUT, self.out.clone())]);
        Outcome::Built(Built { outputs, already_valid: false, times: Times::default(), log: None })
    }

    /// Puts an output of one file into an agent's corner of the bucket, and gives the report and the key.
    pub async fn upload(&self, bucket: &Bucket, agent: AgentId, attempt: AttemptId, content: &str) -> (Outcome, Key) {
        let (nar, bytes) = nar_of(content);
        let key = Key::OutputIncoming { agent, attempt, upload: 0, item: HashPart::from(&self.out) };
        bucket.put_once(&key, bytes).await.unwrap();
        let nar = Nar { key: key.to_string(), ..nar };
        let output = UploadedOutput { name: OutputName::OUT, path: self.out.clone(), references: Vec::new(), nar };
        (Outcome::Uploaded(Uploaded { outputs: vec![output], upload_micros: 0 }), key)
    }

    /// The key of its narinfo in the cache.
    pub fn narinfo(&self) -> Key {
        Key::NarInfo(StoreDir::nix(), HashPart::from(&self.out))
    }
}

impl Farm {
    /// The farm's bucket.
    pub fn bucket(&self) -> Bucket {
        Bucket::open(&self.folder.bucket_url()).unwrap()
    }

    /// Submits the last of `recipes`, as `drover build` would, and gives the submission.
    pub async fn submit_recipes(&self, recipes: &[&Recipe]) -> SubmissionId {
        self.submit_altered(recipes, |_| {}).await
    }

    /// As [`Farm::submit_recipes`], with what the test wants of it.
    pub async fn submit_altered(&self, recipes: &[&Recipe], alter: impl FnOnce(&mut Submit)) -> SubmissionId {
        self.submit_as(&self.bus, self.client, recipes, alter).await
    }

    /// As [`Farm::submit_altered`], as another client.
    pub async fn submit_as(
        &self,
        bus: &Bus,
        client: ClientId,
        recipes: &[&Recipe],
        alter: impl FnOnce(&mut Submit),
    ) -> SubmissionId {
        let root = recipes.last().unwrap();
        let submission = SubmissionId::new();
        let mut submit = Submit {
            submission,
            store_dir: StoreDir::nix(),
            roots: vec![Root { build: BuildId::derived(submission, &root.drv), drv: root.drv.clone() }],
            packs: vec![self.pack(recipes).await],
            sources: Vec::new(),
            priority: 0,
            tags: BTreeMap::new(),
            input_builds: true,
            mode: Mode::Build,
            terms: Terms::default(),
            submitted_at: Timestamp::now(),
        };
        alter(&mut submit);
        let submission = submit.submission;
        let subject = Subject::Submit { client, submission };
        bus.publish(&subject, &submit, &submission.to_string()).await.unwrap();
        submission
    }

    async fn pack(&self, recipes: &[&Recipe]) -> PackId {
        let mut writer = PackWriter::new();
        for recipe in recipes {
            writer.push(&recipe.drv, recipe.derivation.write(&StoreDir::nix())).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let pack = PackId::of(&bytes);
        self.bucket().put_once(&Key::Pack(pack), bytes).await.unwrap();
        pack
    }
}

fn placeholder(name: &str) -> StorePath {
    StorePath::from_parts(&[0; 20], name).unwrap()
}

fn nar_of(content: &str) -> (Nar, Bytes) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let mut nar = HashingWriter::new(Vec::new());
    dump(file.path(), &mut nar).unwrap();
    let (nar, summary) = nar.finish();
    let bytes = zstd::encode_all(&nar[..], 3).unwrap();
    let file_hash = Sha256::of(&bytes);
    let file_size = bytes.len() as u64;
    (Nar { key: String::new(), nar_hash: summary.sha256, nar_size: summary.size, file_hash, file_size }, bytes.into())
}
