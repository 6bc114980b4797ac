//! `drover build --wait` on its way, and what it said in the end.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use drover_messages::{BuildId, SubmissionId};
use tokio::process::Child;

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
        self.dev().run(&command)
    }

    /// Submits derivations and follows them.
    pub fn submit(&self, drvs: &[&str]) -> Submitted {
        let args = [&["build", "--wait"], drvs].concat();
        let mut command = self.drover_command(&args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Submitted { child: command.spawn().unwrap() }
    }

    /// Submits derivations and waits for their end.
    pub async fn build(&self, drvs: &[&str]) -> Ended {
        self.submit(drvs).end().await
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
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await;
        let output = output.expect("drover build ends in time").unwrap();
        let (told, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let of = |word: &str| told.lines().filter_map(|line| line.strip_prefix(word)?.split(' ').nth(1)).collect::<Vec<_>>();
        let submissions = of("submission");
        assert_eq!(submissions.len(), 1, "{told}\n{said}");
        let submission = submissions[0].parse().unwrap();
        let builds = of("build").iter().map(|id| id.parse().unwrap()).collect();
        Ended { code: output.status.code().unwrap_or(-1), submission, builds, said }
    }

    /// Whether it still runs after a while.
    pub async fn runs_after(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.child.wait()).await.is_err()
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
