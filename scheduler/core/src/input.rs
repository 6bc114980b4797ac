//! What the shell tells the core.

use std::collections::BTreeSet;

use drover_messages::agent::{Beat, Hello};
use drover_messages::offer::OfferAnswer;
use drover_messages::publish::Done;
use drover_messages::report::Report;
use drover_messages::request::SourceNar;
use drover_messages::wish::Wished;
use drover_messages::{AgentId, AttemptId, BuildId, ClientId, Epoch, PublicationId, SubmissionId, WishId};
use drover_store::{StoreDir, StorePath};

use crate::build::WholeBuild;
use crate::change::Learned;
use crate::item::Item;
use crate::packs::PackSet;
use crate::plan::Planned;
use crate::submission::Submission;

/// Something to decide about. Who sent it has been read from the subject, never from the payload.
#[derive(Debug, Clone)]
pub enum Input {
    /// Builds and items come back from the database, for the input that follows needs them.
    Recall {
        /// Submissions, as they were recorded.
        submissions: Vec<Submission>,
        /// Builds, as they were recorded.
        builds: Vec<WholeBuild>,
        /// Items, as they were recorded.
        items: Vec<(StorePath, Item)>,
    },
    /// Derivations were verified.
    Learn {
        /// The sets of packs that they name.
        packed: Vec<PackSet>,
        /// The derivations.
        drvs: Vec<Learned>,
    },
    /// A submission is about to be planned.
    Enter(Submission),
    /// Other substitute servers have these.
    Found {
        /// Their store directory.
        store_dir: StoreDir,
        /// Each, and who has it: nobody any more, where it was thought that somebody had.
        found: Vec<(StorePath, BTreeSet<String>)>,
    },
    /// Some of its sources.
    AddSources {
        /// Of which submission.
        submission: SubmissionId,
        /// Those that are not available; what one refers to comes before it.
        sources: Vec<SourceNar>,
    },
    /// Some of its builds.
    AddBuilds {
        /// Of which submission.
        submission: SubmissionId,
        /// What is planned, in any order.
        builds: Vec<Planned>,
    },
    /// All of it was entered: it lives from now on.
    GoLive {
        /// Which.
        submission: SubmissionId,
    },
    /// An administrator wants agents to take no more builds, or to build again.
    Drain {
        /// Which.
        agents: BTreeSet<AgentId>,
        /// Whether they take none.
        drained: bool,
        /// What they have then is stopped, in milliseconds from now.
        deadline_millis: Option<u64>,
    },
    /// A user wants something changed.
    Wish(Box<Wanted>),
    /// It cannot be taken up.
    Reject {
        /// The submission; it may have been entered before.
        submission: Submission,
        /// In words.
        why: String,
    },
    /// An agent introduces itself.
    Hello {
        /// Which.
        agent: AgentId,
        /// How.
        hello: Box<Hello>,
    },
    /// An agent beats.
    Beat {
        /// Which.
        agent: AgentId,
        /// What it says.
        beat: Box<Beat>,
    },
    /// An agent reports.
    Report {
        /// Which.
        agent: AgentId,
        /// What.
        report: Box<Report>,
    },
    /// An offer was answered, or not.
    Answered {
        /// By whom.
        agent: AgentId,
        /// Of which build.
        build: BuildId,
        /// For which attempt.
        attempt: AttemptId,
        /// How.
        answer: Answer,
    },
    /// The pool `publish` is done with something.
    Published(Done),
    /// The bucket was asked for items that somebody misses.
    Confirmed {
        /// Their store directory.
        store_dir: StoreDir,
        /// Each, and whether the cache has it.
        items: Vec<(StorePath, bool)>,
        /// The agent that missed them, and the number of its attempt, where that says something of it.
        missed_by: Option<(AgentId, Epoch)>,
    },
    /// A publication could not be asked for: the broker did not take the question.
    NotAsked(PublicationId),
    /// The stream of publications was made anew: what was asked is forgotten.
    QuestionsLost,
    /// Everything that was queued before this start has been read.
    CaughtUp,
    /// Time has passed.
    Tick,
    /// Give work to whom has room. Comes last in a batch.
    Dispatch,
}

/// A user's wish, as the shell has understood it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its id.
    pub wish: WishId,
    /// Whose.
    pub client: ClientId,
    /// An administrator's, who may change what others have submitted.
    pub by_admin: bool,
    /// What is to become of it.
    pub change: Wished,
    /// What it speaks of: submissions, as they are recorded. Where it speaks of nothing, its tag had none that it may change.
    pub submissions: Vec<SubmissionId>,
    /// Single builds.
    pub builds: Vec<BuildId>,
}

/// What became of an offer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The agent said this.
    Said(OfferAnswer),
    /// Nobody listens on its subject.
    NobodyThere,
    /// No answer in time.
    Silence,
}
