//! What can change. A step returns changes; applying them is the only way anything mutates.

use std::sync::Arc;

use drover_messages::agent::{Beat, Hello};
use drover_messages::placement::Placement;
use drover_messages::report::{Kept, SealedLog, Times};
use drover_messages::{AgentId, AttemptId, BuildId, ClientId, PublicationId, SubmissionId, WishId};
use drover_store::{DrvPath, PackId, Sha256, StoreDir, StorePath};
use serde::{Deserialize, Serialize};

use crate::agent::KnownAgent;
use crate::attempt::{Attempt, AttemptEvent};
use crate::build::{BuildEvent, WholeBuild};
use crate::item::{Item, ItemEvent};
use crate::owed::Publication;
use crate::package::Package;
use crate::packs::{PackSet, PackSetId};
use crate::submission::Submission;
use crate::time::Heard;

/// One change. The recorded ones enter the database; the passing ones are gone with the process, on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A submission is entered, or is another now.
    Submission(Box<Submission>),
    /// A build is entered.
    BuildCreated(Box<WholeBuild>),
    /// Something befell a build.
    Build {
        /// Which.
        build: BuildId,
        /// What.
        event: BuildEvent,
    },
    /// A try begins.
    AttemptStarted {
        /// Of which build.
        build: BuildId,
        /// The try.
        attempt: Box<Attempt>,
    },
    /// Something befell an attempt.
    Attempt {
        /// Of which build.
        build: BuildId,
        /// Which.
        attempt: AttemptId,
        /// What.
        event: AttemptEvent,
    },
    /// An agent told where the time of an attempt went, and where its log is.
    Told {
        /// Of which build.
        build: BuildId,
        /// Which.
        attempt: AttemptId,
        /// Where the time went.
        times: Times,
        /// Its finished log.
        log: Option<SealedLog>,
        /// The store had the outputs already.
        already_valid: bool,
        /// Outputs that came out differently, where it was a check.
        kept: Vec<Kept>,
    },
    /// An output of an attempt came out differently from what the cache has.
    Differs {
        /// Of which build.
        build: BuildId,
        /// Of which attempt.
        attempt: AttemptId,
        /// What came out, and where it is kept.
        kept: Kept,
    },
    /// Something befell an item.
    Item {
        /// Its store directory.
        store_dir: StoreDir,
        /// Which.
        path: StorePath,
        /// What.
        event: ItemEvent,
    },
    /// A build has another priority of its own.
    Priority {
        /// Which.
        build: BuildId,
        /// Higher is sooner.
        priority: i32,
    },
    /// An agent is to take no more builds, or builds again.
    Drain {
        /// Which.
        agent: AgentId,
        /// Whether it takes none.
        drained: bool,
        /// What it has then is stopped.
        deadline: Option<Heard>,
    },
    /// This is known of an agent from now on; or nothing more, of one that is not here.
    AgentKnown {
        /// Which.
        agent: AgentId,
        /// What.
        known: Option<Box<KnownAgent>>,
    },
    /// A build of a package took so long.
    Took {
        /// Which package.
        package: Arc<Package>,
        /// In milliseconds.
        millis: u64,
        /// The most memory that it took, in MiB, where that was seen.
        memory_mib: Option<u64>,
    },
    /// A client's attempt is over.
    Used {
        /// Whose.
        client: ClientId,
        /// Slots times milliseconds.
        slot_millis: u64,
        /// When.
        heard: Heard,
    },
    /// A user's wish was heard; heard again it does nothing.
    Wished(WishId),
    /// A submission was cancelled before it was heard of.
    CancelledAhead(SubmissionId),
    /// An item that was lost too often is tried again.
    Forgiven {
        /// Which.
        path: StorePath,
    },
    /// A publication is owed.
    Owed(Arc<Publication>),
    /// A publication is owed no more.
    OwedDone(PublicationId),

    /// A derivation was read and found to be what its name says.
    Learned(Learned),
    /// Some derivation's closure lies in these packs.
    Packed(PackSet),

    /// A finished build, or an item, comes back from the database.
    Recalled {
        /// Submissions, as they were recorded; known ones are left alone.
        submissions: Vec<Submission>,
        /// Builds, as they were recorded.
        builds: Vec<WholeBuild>,
        /// Items, as they were recorded; known ones are left alone.
        items: Vec<(StorePath, Item)>,
    },
    /// An agent introduced itself.
    AgentHello {
        /// Which.
        agent: AgentId,
        /// How.
        hello: Box<Hello>,
        /// When.
        heard: Heard,
    },
    /// An agent beat.
    AgentBeat {
        /// Which.
        agent: AgentId,
        /// What it said.
        beat: Box<Beat>,
        /// When.
        heard: Heard,
    },
    /// Offers do not reach an agent.
    AgentAway {
        /// Which.
        agent: AgentId,
    },
    /// An agent was not heard for longer than a lease.
    AgentLost {
        /// Which.
        agent: AgentId,
    },
    /// An agent was told to stop an attempt.
    Stopping {
        /// Which agent.
        agent: AgentId,
        /// Which attempt.
        attempt: AttemptId,
        /// When.
        heard: Heard,
    },
    /// A ready build has waited for long.
    Aged {
        /// Which.
        build: BuildId,
        /// How much more urgent that makes it.
        bonus: i32,
    },
    /// An offer went out.
    Offered {
        /// To whom.
        agent: AgentId,
        /// For which attempt.
        attempt: AttemptId,
        /// When.
        heard: Heard,
    },
    /// An agent took so long for a build, against what was expected.
    Paced {
        /// Which.
        agent: AgentId,
        /// In milliseconds.
        took_millis: u64,
        /// In milliseconds.
        expected_millis: u64,
    },
    /// A ready build is kept for an agent that has no room yet.
    Kept {
        /// Which.
        build: BuildId,
        /// Since when.
        heard: Heard,
    },
    /// A ready build takes more of what agents share than was free where there was room.
    Short {
        /// Which.
        build: BuildId,
        /// Since when.
        heard: Heard,
    },
    /// An agent saves up for such a build, and for all that require the same; or none does.
    SavesUp {
        /// Which build.
        build: BuildId,
        /// Which agent.
        agent: Option<AgentId>,
    },
    /// Why an agent got an attempt.
    Placed {
        /// Which attempt.
        attempt: AttemptId,
        /// Whose it could have been.
        placement: Box<Placement>,
    },
    /// An offer was accepted.
    Accepted {
        /// By whom.
        agent: AgentId,
        /// For which attempt.
        attempt: AttemptId,
    },
    /// A publication was asked for.
    Asked {
        /// Which.
        publication: PublicationId,
        /// When; nothing if the question was lost.
        heard: Option<Heard>,
    },
    /// References of a publication are missing: until it is asked for again, others may be.
    PutOff {
        /// Which.
        publication: PublicationId,
    },
    /// It was looked how urgent publications are by now.
    DebtsWeighed {
        /// When.
        heard: Heard,
    },
    /// Everything that was queued before this start has been read.
    CaughtUp,
}

/// A derivation that was verified: where it lies, and by what those that need it can be verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Its store directory.
    pub store_dir: StoreDir,
    /// Its name.
    pub drv: DrvPath,
    /// The pack that holds it.
    pub pack: PackId,
    /// Its hash modulo fixed outputs.
    pub modulo: Sha256,
    /// The packs that hold it and everything it stands on. Of none, where an older program recorded it.
    #[serde(default)]
    pub closure: PackSetId,
}

impl Change {
    /// Whether it is recorded. The others say what is true of this process only.
    pub fn is_recorded(&self) -> bool {
        use Change::*;
        !matches!(
            self,
            Recalled { .. }
                | AgentHello { .. }
                | AgentBeat { .. }
                | AgentAway { .. }
                | AgentLost { .. }
                | Stopping { .. }
                | Aged { .. }
                | Paced { .. }
                | Placed { .. }
                | Kept { .. }
                | Short { .. }
                | SavesUp { .. }
                | Offered { .. }
                | Accepted { .. }
                | Asked { .. }
                | PutOff { .. }
                | DebtsWeighed { .. }
                | CaughtUp
        )
    }
}
