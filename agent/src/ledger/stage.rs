//! How far an attempt is, and the one table of what may follow what.
//!
//! The table knows neither the attempt's offer nor its place in the ledger.

use drover_messages::agent::{Order, Phase};
use drover_messages::report::Report;
use serde::{Deserialize, Serialize};

/// How far an attempt is. What was reported stays until the scheduler has settled the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its inputs are fetched, or it waits for a slot.
    Accepted,
    /// The daemon builds.
    Building,
    /// The outputs are in the store, and on their way to the bucket.
    Built {
        /// The report that said so.
        built: Report,
        /// Which try of the upload this is, from 0.
        upload_try: u32,
    },
    /// The outputs are in the bucket.
    Uploaded {
        /// The report of the build.
        built: Report,
        /// The report of the upload.
        uploaded: Report,
        /// Which try of the upload that was.
        upload_try: u32,
    },
    /// It was built again, and came out the same.
    Checked {
        /// The report that said so.
        checked: Report,
    },
    /// It made nothing, or what it made could not be kept.
    Failed {
        /// The report of the build, if it was built once.
        built: Option<Report>,
        /// The report of the failure.
        failed: Report,
    },
}

/// What happens to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A slot was free, and the daemon was asked to build.
    SlotTaken,
    /// The outputs are in the store.
    Built(Report),
    /// The outputs are in the bucket.
    Uploaded(Report),
    /// Built again, it came out the same.
    Checked(Report),
    /// Nothing came of it.
    Failed(Report),
    /// The scheduler said what is to become of it.
    Ordered(Order),
}

/// What an event makes of a stage.
#[derive(Debug)]
pub(super) enum Next {
    /// Another stage. It is saved, and its newest report sent, if it has one.
    Becomes(Stage),
    /// As before, and the reports are sent again.
    Repeats(Stage),
    /// As before; what runs for it is stopped, and says itself how it ended.
    Stops(Stage),
    /// As before.
    Stays(Stage),
    /// Nothing more is wanted of it.
    Gone,
    /// That cannot follow this.
    Illegal(Stage),
}

impl Stage {
    /// The transition table.
    pub(super) fn next(self, event: Event) -> Next {
        use Event::*;
        use Next::*;
        use Order::*;
        use Stage as S;
        match (self, event) {
            (S::Accepted, SlotTaken) => Becomes(S::Building),
            (S::Accepted | S::Building, Built(built)) => Becomes(S::Built { built, upload_try: 0 }),
            (S::Accepted | S::Building, Checked(checked)) => Becomes(S::Checked { checked }),
            (S::Accepted | S::Building, Failed(failed)) => Becomes(S::Failed { built: None, failed }),
            (S::Built { built, upload_try }, Uploaded(uploaded)) => Becomes(S::Uploaded { built, uploaded, upload_try }),
            (S::Built { built, .. }, Failed(failed)) => Becomes(S::Failed { built: Some(built), failed }),

            (S::Uploaded { built, upload_try, .. }, Ordered(UploadAgain)) => {
                Becomes(S::Built { built, upload_try: upload_try + 1 })
            }
            (stage @ (S::Accepted | S::Building), Ordered(ReportAgain | UploadAgain)) => Stays(stage),
            (stage @ S::Built { .. }, Ordered(UploadAgain)) => Stays(stage),
            (stage, Ordered(ReportAgain | UploadAgain)) => Repeats(stage),
            (stage @ (S::Accepted | S::Building), Ordered(Abort)) => Stops(stage),
            (_, Ordered(Settled | Abort)) => Gone,

            (stage, SlotTaken | Built(_) | Uploaded(_) | Checked(_) | Failed(_)) => Illegal(stage),
        }
    }

    /// The stage to go on from after the process was killed: what the daemon built for it is lost.
    pub(super) fn recovered(self) -> Self {
        match self {
            Self::Building => Self::Accepted,
            other => other,
        }
    }

    /// Whether it has, or waits for, one of the slots.
    pub(super) fn takes_a_slot(&self) -> bool {
        matches!(self, Self::Accepted | Self::Building)
    }

    /// Its name on the wire.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Accepted => Phase::Accepted,
            Self::Building => Phase::Building,
            Self::Built { .. } => Phase::Built,
            Self::Uploaded { .. } => Phase::Uploaded,
            Self::Checked { .. } => Phase::Checked,
            Self::Failed { .. } => Phase::Failed,
        }
    }

    /// Everything that was reported, oldest first.
    pub fn reports(&self) -> Vec<&Report> {
        match self {
            Self::Accepted | Self::Building => Vec::new(),
            Self::Built { built, .. } => vec![built],
            Self::Uploaded { built, uploaded, .. } => vec![built, uploaded],
            Self::Checked { checked } => vec![checked],
            Self::Failed { built, failed } => built.iter().chain([failed]).collect(),
        }
    }
}
