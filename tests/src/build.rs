//! `drover build --wait` on its way, and what it said in the end.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use drover_messages::{BuildId, SubmissionId};
use tokio::process::Child;

use crate::lab::{Kind, Made, Plan};
use crate::{Farm, PATIENCE, until};

/// A submission that is followed.
pub struct Submitted {
    child: Child,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// The submission's id.
    pub submission: SubmissionId,
    /// The root builds.
    pub builds: Vec<BuildId>,
    /// What was said on standard error.
    pub said: String,
}

impl Farm {
    /// Instantiates a graph of `graphs/` with a fresh salt; the absolute path of the derivation.
    ///
    /// # Panics
    /// When Nix does not like it.
    pub fn instantiate(&self, graph: &str, arguments: &[(&str, &str)]) -> String {
        let file = format!("{}/graphs/{graph}.nix", env!("CARGO_MANIFEST_DIR"));
        let salt = uuid::Uuid::now_v7().to_string();
        let mut command = vec!["nix-instantiate", &file, "--argstr", "salt", &salt];
        for (name, value) in arguments {
            command.extend(["--argstr", name, value]);
        }
        self.dev(Kind::Nix).run(&command)
    }

    /// Writes the derivation of a plan into the developer's store, with a fresh salt.
    pub async fn write(&self, kind: Kind, plan: Plan<'_>) -> Made {
        let dev = self.dev(kind);
        let made = plan.variable("salt", uuid::Uuid::now_v7().to_string()).make(dev);
        made.add(&mut dev.connect().await).await;
        made
    }

    /// Submits derivations and follows them.
    pub fn submit(&self, drvs: &[&str]) -> Submitted {
        self.submit_by(&[], drvs)
    }

    /// Submits derivations with further flags, and follows them.
    pub fn submit_by(&self, flags: &[&str], drvs: &[&str]) -> Submitted {
        let args = [&["build", "--wait"], flags, drvs].concat();
        let mut command = self.drover_command(&args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Submitted { child: command.spawn().unwrap() }
    }

    /// Submits derivations and waits for their end.
    pub async fn build(&self, drvs: &[&str]) -> Ended {
        self.submit(drvs).end().await
    }

    /// Submits derivations, and returns when the broker has the request.
    ///
    /// # Panics
    /// When it does not take it.
    pub async fn hand_in(&self, drvs: &[&str]) -> SubmissionId {
        let output = self.drover(&[&["build"], drvs].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        ids(&told, "submission").next().unwrap().parse().unwrap()
    }

    /// How often each derivation was started, as its builders told by a file each.
    pub fn starts(&self) -> BTreeMap<String, usize> {
        let mut starts = BTreeMap::new();
        for file in std::fs::read_dir(self.folder.starts()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let (derivation, _) = name.split_once('.').unwrap();
            *starts.entry(derivation.to_owned()).or_default() += 1;
        }
        starts
    }

    /// Waits until so many builders have started.
    pub async fn until_started(&self, builders: usize) {
        until("enough builders have started", || self.starts().values().sum::<usize>() >= builders).await;
    }
}

impl Submitted {
    /// Waits for its end.
    ///
    /// # Panics
    /// When that does not come, or no submission was made.
    pub async fn end(self) -> Ended {
        self.end_within(PATIENCE).await
    }

    /// Waits longer for its end.
    ///
    /// # Panics
    /// As [`Submitted::end`].
    pub async fn end_within(self, time: Duration) -> Ended {
        let output = tokio::time::timeout(time, self.child.wait_with_output()).await;
        let output = output.expect("drover build ends in time").unwrap();
        let (told, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let submission = ids(&told, "submission").next().unwrap_or_else(|| panic!("nothing was submitted: {said}"));
        let submission = submission.parse().unwrap();
        let builds = ids(&told, "build").map(|id| id.parse().unwrap()).collect();
        Ended { code: output.status.code().unwrap_or(-1), submission, builds, said }
    }
}

impl Ended {
    /// It ended well.
    ///
    /// # Panics
    /// When it did not.
    pub fn succeeded(&self) {
        assert_eq!(self.code, 0, "{}", self.said);
    }
}

/// The ids behind a word in what `drover build` prints.
fn ids<'a>(told: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    told.lines().filter_map(move |line| line.strip_prefix(word)?.split(' ').nth(1))
}
