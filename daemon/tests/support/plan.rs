//! Derivations that are the same for every daemon: written by ourselves, and run by a shell.

use std::collections::{BTreeMap, BTreeSet};

use drover_daemon::{Connection, Job, StoreDaemon};
use drover_store::{Derivation, DrvPath, FixedHash, Modulo, Output, OutputName, Sha256, StoreDir, StorePath, fixed_output_path};

use super::Lab;

/// What a derivation is to be. The script finds its outputs and what it was given in variables.
#[derive(Clone)]
pub struct Plan<'p> {
    name: &'p str,
    script: String,
    outputs: Vec<&'p str>,
    inputs: Vec<(&'p str, &'p Made)>,
    sources: BTreeSet<StorePath>,
    variables: Vec<(&'p str, String)>,
    fixed: Option<FixedHash>,
}

impl<'p> Plan<'p> {
    /// One output, `out`.
    pub fn new(name: &'p str, script: impl Into<String>) -> Self {
        Self {
            name,
            script: script.into(),
            outputs: vec!["out"],
            inputs: Vec::new(),
            sources: BTreeSet::new(),
            variables: Vec::new(),
            fixed: None,
        }
    }

    pub fn outputs(mut self, outputs: &[&'p str]) -> Self {
        self.outputs = outputs.to_vec();
        self
    }

    /// The output `out` of another derivation.
    pub fn input(mut self, variable: &'p str, made: &'p Made) -> Self {
        self.inputs.push((variable, made));
        self
    }

    pub fn source(mut self, source: StorePath) -> Self {
        self.sources.insert(source);
        self
    }

    pub fn variable(mut self, name: &'p str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// What `out` must contain.
    pub fn fixed(mut self, fixed: FixedHash) -> Self {
        self.fixed = Some(fixed);
        self
    }

    /// The derivation for the daemon of a lab, which knows nothing of it yet.
    pub fn make(&self, lab: &Lab) -> Made {
        let store = lab.store_dir();
        let (builder, shell, path) = lab.shell();
        let mut derivation = self.without_outputs(&store, builder, path);
        derivation.input_srcs.extend(shell);
        let mut modulo = Modulo::new();
        for (_, input) in &self.inputs {
            modulo.insert(input.drv.clone(), input.modulo);
        }
        let paths = match &self.fixed {
            Some(fixed) => BTreeMap::from([(OutputName::OUT, fixed_output_path(&store, self.name, fixed).unwrap())]),
            None => modulo.add(&store, &self.nameless(), &derivation).unwrap().outputs,
        };
        for (name, path) in paths {
            derivation.env.insert(name.as_str().into(), store.path(&path).to_string().into());
            derivation.outputs.insert(name, Output { path, fixed: self.fixed });
        }
        let drv = derivation.path(&store, self.name).unwrap();
        let modulo = modulo.add(&store, &drv, &derivation).unwrap().modulo;
        Made { drv, derivation, modulo, store }
    }

    /// Output paths follow from the derivation with nothing in their place.
    fn without_outputs(&self, store: &StoreDir, builder: String, path: String) -> Derivation {
        let placeholder = || Output { path: self.nameless().into(), fixed: None };
        let inputs = self.inputs.iter().map(|(variable, input)| (*variable, store.path(input.out()).to_string()));
        let variables = inputs.chain(self.variables.iter().cloned()).chain([("PATH", path), ("name", self.name.to_owned())]);
        let empty = self.outputs.iter().map(|output| (*output, String::new()));
        Derivation {
            outputs: self.outputs.iter().map(|name| (name.parse().unwrap(), placeholder())).collect(),
            input_drvs: self.inputs.iter().map(|(_, input)| (input.drv.clone(), BTreeSet::from([OutputName::OUT]))).collect(),
            input_srcs: self.sources.clone(),
            system: format!("{}-linux", std::env::consts::ARCH),
            builder: builder.into(),
            args: vec!["-c".into(), self.script.clone().into()],
            env: variables.chain(empty).map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// Only the name of it is looked at.
    fn nameless(&self) -> DrvPath {
        let path = StorePath::from_parts(&[0; 20], &format!("{}.drv", self.name)).unwrap();
        path.try_into().unwrap()
    }
}

/// A derivation.
#[derive(Clone, Debug)]
pub struct Made {
    pub drv: DrvPath,
    pub derivation: Derivation,
    modulo: Sha256,
    store: StoreDir,
}

impl Made {
    /// What stands in its `.drv`.
    pub fn text(&self) -> Vec<u8> {
        self.derivation.write(&self.store)
    }

    pub fn output(&self, name: &str) -> &StorePath {
        &self.derivation.outputs[name].path
    }

    pub fn out(&self) -> &StorePath {
        self.output("out")
    }

    /// Puts its `.drv` into the store, where its inputs must be.
    pub async fn add(&self, connection: &mut Connection) {
        let references: Vec<StorePath> = self.derivation.references().into_iter().cloned().collect();
        let name = format!("{}.drv", self.drv.name_without_drv());
        let added = connection.add_text(&name, &self.text(), &references).await.expect("the .drv is taken");
        assert_eq!(&added, self.drv.as_ref(), "we compute other paths than the daemon");
    }

    /// What to ask a daemon for, when what it needs of `inputs` is their `out`.
    pub fn job<'m>(&'m self, inputs: &[&Self]) -> Job<'m> {
        Job::new(&self.drv, &self.derivation, inputs.iter().map(|input| input.out().clone()))
    }
}
