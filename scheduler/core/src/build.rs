//! A build: one derivation to be built for some reason. Its states, and the one table of how they follow.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_messages::query::StateName;
use drover_messages::request::{Mode, Terms};
use drover_messages::{AgentId, AttemptId, BuildId, Cause, Epoch, StoreId, SubmissionId, Timestamp};
use drover_store::StorePath;
use serde::{Deserialize, Serialize};

use crate::Illegal;
use crate::attempt::{Attempt, AttemptState};
use crate::recipe::{Paths, Recipe};
use crate::seldom::Seldom;
use crate::time::Heard;

/// A build, with all that is needed to place it: nothing else has to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its id.
    pub id: BuildId,
    /// For whose sake it was made.
    pub submission: SubmissionId,
    /// Whether the user named it, or it is there for one that the user named.
    pub root: bool,
    /// Its place in the order of making: among equals the lower goes first.
    pub seq: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// The same, by the clock that decides.
    #[serde(default)]
    pub entered: Heard,
    /// Its own priority.
    pub priority: i32,
    /// What is built. It does not change, and is shared by what is recorded and what is in memory.
    #[serde(with = "shared")]
    pub recipe: Arc<Recipe>,
    /// Whether it is built, or built again and compared.
    #[serde(default)]
    pub mode: Mode,
    /// Where, and how sure: of one that the user named.
    #[serde(default)]
    pub terms: Seldom<Terms>,
    /// Agents that have built the same derivation before it, where it is to go to another.
    #[serde(default)]
    pub avoid: Seldom<BTreeSet<AgentId>>,
    /// How it is.
    pub state: BuildState,
    /// What was tried, oldest first.
    pub attempts: Vec<Attempt>,
    /// Failures of the farm in a row.
    pub farm_failures: u32,
    /// How many of them were failed downloads.
    #[serde(default)]
    pub failed_downloads: u32,
}

/// A build, with what it needs spelled out. In memory links say that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeBuild {
    /// The build.
    pub build: Build,
    /// Sources, and outputs of other derivations; to check it, its own outputs as well. Where daemons want whole closures in
    /// their stores, also sources further below that were not available when it was planned.
    pub inputs: Paths,
}

impl WholeBuild {
    /// What it makes, and what it needs.
    pub fn paths(&self) -> impl Iterator<Item = &StorePath> {
        self.build.products().chain(&self.inputs)
    }
}

/// How a build is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildState {
    /// For inputs that are not available.
    Waiting {
        /// How many.
        missing: u32,
    },
    /// For a slot only.
    Ready(Place),
    /// To an agent.
    Leased(Lease),
    /// An attempt made the outputs.
    Succeeded {
        /// Which.
        attempt: AttemptId,
    },
    /// By its derivation's fault, or because its download failed for good.
    Failed {
        /// In which attempt.
        attempt: AttemptId,
        /// Why.
        cause: Cause,
    },
    /// An input cannot be had while another build is failed.
    Blocked {
        /// The failed build.
        by: BuildId,
    },
    /// After a failure of the farm, for a while; after too many, until somebody says so.
    Deferred {
        /// Until then.
        until: Heard,
        /// What failed.
        cause: Cause,
    },
    /// The user does not want it any more.
    Cancelled,
}

/// Who can build what is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// All inputs are available.
    Anywhere,
    /// Some inputs are only in these stores so far, each of which has all of them.
    Stores(BTreeSet<StoreId>),
}

/// The right of an agent to report on an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The attempt it is for.
    pub attempt: AttemptId,
    /// Who has it.
    pub agent: AgentId,
    /// Its number.
    pub epoch: Epoch,
    /// It ends then, unless beats of the agent renew it.
    pub until: Heard,
}

/// How a build's inputs stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inputs {
    /// So many are not available, and no store has all of those.
    Missing(u32),
    /// All can be had.
    AtHand(Place),
    /// One cannot be had while this build is failed.
    BlockedBy(BuildId),
}

/// What can befall a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildEvent {
    /// Its inputs changed.
    Inputs(Inputs),
    /// An agent gets it, or is found to have it.
    Lease(Lease),
    /// An attempt made the outputs. Any recorded attempt will do.
    Succeed(AttemptId),
    /// The attempt that holds the lease failed by the derivation's fault.
    Fail(AttemptId, Cause),
    /// Another build of the same derivation failed not long ago: by that attempt of that build.
    KnownToFail(AttemptId, BuildId),
    /// The lease ended without a result.
    Void(Inputs),
    /// The lease ended by a failure of the farm, or what it made was refused; try again later.
    Defer(Heard, Cause),
    /// The delay is over.
    Due(Inputs),
    /// What it made was lost.
    Reopen(Inputs),
    /// The user does not want it any more, and nobody else needs it.
    Cancel,
    /// The user wants it after all, or once more, or at once.
    Retry(Inputs),
}

impl BuildState {
    /// The one table: what follows when `event` befalls a build in this state.
    pub fn next(&self, event: BuildEvent) -> Result<Self, Illegal> {
        use BuildEvent as E;
        use BuildState::*;
        Ok(match (self, event) {
            (Waiting { .. } | Ready(_) | Blocked { .. }, E::Inputs(inputs)) => inputs.into(),
            (Waiting { .. } | Ready(_) | Blocked { .. } | Deferred { .. }, E::Lease(lease)) => Leased(lease),
            (Waiting { .. } | Ready(_) | Blocked { .. } | Deferred { .. } | Leased(_), E::Succeed(attempt)) => {
                Succeeded { attempt }
            }
            (Leased(lease), E::Fail(attempt, cause)) if lease.attempt == attempt => Failed { attempt, cause },
            (Waiting { .. } | Ready(_) | Blocked { .. }, E::KnownToFail(attempt, build)) => {
                Failed { attempt, cause: Cause::KnownFailure { build } }
            }
            (Leased(_), E::Void(inputs)) => inputs.into(),
            (Leased(_) | Succeeded { .. }, E::Defer(until, cause)) => Deferred { until, cause },
            (Deferred { .. }, E::Due(inputs)) => inputs.into(),
            (Succeeded { .. }, E::Reopen(inputs)) => inputs.into(),
            (Waiting { .. } | Ready(_) | Blocked { .. } | Deferred { .. } | Leased(_), E::Cancel) => Cancelled,
            (Failed { .. } | Cancelled | Deferred { .. }, E::Retry(inputs)) => inputs.into(),
            (state, event) => {
                return Err(Illegal { what: "a build", state: format!("{state:?}"), event: format!("{event:?}") });
            }
        })
    }

    /// The state's name.
    pub fn name(&self) -> StateName {
        use BuildState::*;
        match self {
            Waiting { .. } => StateName::Waiting,
            Ready(_) => StateName::Ready,
            Leased(_) => StateName::Leased,
            Succeeded { .. } => StateName::Succeeded,
            Failed { .. } => StateName::Failed,
            Blocked { .. } => StateName::Blocked,
            Deferred { .. } => StateName::Deferred,
            Cancelled => StateName::Cancelled,
        }
    }

    /// Whether its state follows from its inputs alone.
    pub fn follows_inputs(&self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Ready(_) | Self::Blocked { .. })
    }

    /// Whether it may still succeed by itself.
    pub fn is_hopeful(&self) -> bool {
        !matches!(self, Self::Failed { .. } | Self::Blocked { .. } | Self::Cancelled) && !self.is_given_up()
    }

    /// Whether it is tried again only when somebody says so.
    pub fn is_given_up(&self) -> bool {
        matches!(self, Self::Deferred { until: Heard::NEVER, .. })
    }

    /// Whether it succeeded, failed or was cancelled: it needs no inputs and takes no result.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Succeeded { .. } | Self::Failed { .. } | Self::Cancelled)
    }

    /// The lease, where it is leased.
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Leased(lease) => Some(lease),
            _ => None,
        }
    }
}

impl From<Inputs> for BuildState {
    fn from(inputs: Inputs) -> Self {
        match inputs {
            Inputs::Missing(missing) => Self::Waiting { missing },
            Inputs::AtHand(place) => Self::Ready(place),
            Inputs::BlockedBy(by) => Self::Blocked { by },
        }
    }
}

impl Build {
    /// The attempt of that id.
    pub fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.id == id)
    }

    /// The same, to be changed.
    pub(crate) fn attempt_mut(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.id == id)
    }

    /// The attempt that is under way, or that succeeded, or else the last one.
    pub fn newest_attempt(&self) -> Option<&Attempt> {
        let named = match &self.state {
            BuildState::Leased(Lease { attempt, .. })
            | BuildState::Succeeded { attempt }
            | BuildState::Failed { attempt, .. } => self.attempt(*attempt),
            _ => None,
        };
        named.or(self.attempts.last())
    }

    /// The paths it makes: none, where it only compares.
    pub fn products(&self) -> impl Iterator<Item = &StorePath> {
        let made = self.recipe.outputs.values().map(|product| &product.path);
        made.filter(|_| self.mode == Mode::Build)
    }

    /// Whether its newest attempts failed on this agent by the farm's fault.
    pub fn has_failed_on(&self, agent: AgentId) -> bool {
        let ended = |attempt: &&Attempt| matches!(attempt.state, AttemptState::Ended { .. });
        self.farm_failures > 0 && self.attempts.iter().filter(ended).any(|attempt| attempt.agent == agent)
    }
}

/// What is shared is recorded as what it is.
pub(crate) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(shared: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
        shared.as_ref().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drover_messages::Generation;

    fn attempt(n: u64) -> (AttemptId, Lease) {
        let build = BuildId::from_uuid("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".parse().unwrap());
        let epoch = Epoch { generation: Generation(1), n };
        let attempt = AttemptId::derived(build, epoch);
        let agent = AgentId::from_uuid(build.uuid());
        (attempt, Lease { attempt, agent, epoch, until: Heard(9) })
    }

    #[test]
    fn a_ready_build_is_leased_and_succeeds() {
        let (id, lease) = attempt(1);
        let leased = BuildState::Ready(Place::Anywhere).next(BuildEvent::Lease(lease)).unwrap();
        assert_eq!(leased.next(BuildEvent::Succeed(id)).unwrap(), BuildState::Succeeded { attempt: id });
    }

    #[test]
    fn a_failure_counts_only_for_the_lease_in_force() {
        let ((old, _), (_, lease)) = (attempt(1), attempt(2));
        let leased = BuildState::Leased(lease);
        assert!(leased.next(BuildEvent::Fail(old, Cause::BuilderFailed)).is_err());
    }

    #[test]
    fn a_late_success_wins_while_the_build_is_unfinished() {
        let ((old, _), (_, lease)) = (attempt(1), attempt(2));
        for state in [
            BuildState::Leased(lease),
            BuildState::Ready(Place::Anywhere),
            BuildState::Deferred { until: Heard(5), cause: Cause::AgentLost },
        ] {
            assert_eq!(state.next(BuildEvent::Succeed(old)).unwrap(), BuildState::Succeeded { attempt: old });
        }
    }

    #[test]
    fn a_failed_build_stays_failed() {
        let (id, lease) = attempt(1);
        let failed = BuildState::Failed { attempt: id, cause: Cause::BuilderFailed };
        assert!(failed.next(BuildEvent::Succeed(id)).is_err());
        assert!(failed.next(BuildEvent::Lease(lease)).is_err());
        assert!(failed.next(BuildEvent::Inputs(Inputs::AtHand(Place::Anywhere))).is_err());
    }

    #[test]
    fn what_failed_or_was_cancelled_is_tried_again_when_the_user_says_so() {
        let (id, _) = attempt(1);
        let failed = BuildState::Failed { attempt: id, cause: Cause::BuilderFailed };
        for state in [failed, BuildState::Cancelled, BuildState::Deferred { until: Heard(5), cause: Cause::DiskFull }] {
            assert_eq!(state.next(BuildEvent::Retry(Inputs::Missing(2))).unwrap(), BuildState::Waiting { missing: 2 });
        }
        assert!(BuildState::Succeeded { attempt: id }.next(BuildEvent::Retry(Inputs::Missing(0))).is_err());
    }

    #[test]
    fn what_is_over_is_not_cancelled() {
        let (id, lease) = attempt(1);
        assert_eq!(BuildState::Leased(lease).next(BuildEvent::Cancel).unwrap(), BuildState::Cancelled);
        assert!(BuildState::Succeeded { attempt: id }.next(BuildEvent::Cancel).is_err());
        assert!(BuildState::Cancelled.next(BuildEvent::Succeed(id)).is_err());
    }

    #[test]
    fn what_succeeded_is_reopened_only_by_a_loss() {
        let (id, _) = attempt(1);
        let done = BuildState::Succeeded { attempt: id };
        assert!(done.next(BuildEvent::Inputs(Inputs::Missing(1))).is_err());
        assert_eq!(done.next(BuildEvent::Reopen(Inputs::Missing(1))).unwrap(), BuildState::Waiting { missing: 1 });
    }
}
