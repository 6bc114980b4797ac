//! Why a build waits: the question, by core request on `rpc.query.why`, and its answer down to the root causes.

use drover_store::StorePath;
use serde::{Deserialize, Serialize};

use crate::placement::Placement;
use crate::query::BuildSummary;
use crate::{AgentId, BuildId, Message};

/// What a build waits for, down to the root causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskWhy {
    /// Which.
    pub build: BuildId,
}

impl Message for AskWhy {
    const KIND: &'static str = "ask-why";
}

/// The answer to [`AskWhy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyAnswer {
    /// Never heard of.
    Unknown,
    /// This is why.
    Known(Box<Why>),
}

impl Message for WhyAnswer {
    const KIND: &'static str = "why-answer";
}

/// What a build waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The build.
    pub build: BuildSummary,
    /// The builds at the bottom of what it waits for, itself if it waits for no other. At most [`MAX_PAGE`](crate::query::MAX_PAGE).
    pub causes: Vec<RootCause>,
    /// Whether there are more.
    pub more: bool,
    /// What it waits for on the way, from it down to the first of the causes.
    pub chain: Vec<BuildSummary>,
    /// Inputs that no build makes and that cannot be had, each in words.
    pub dead_ends: Vec<(StorePath, String)>,
}

/// A build that waits for no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootCause {
    /// Which.
    pub build: BuildSummary,
    /// For one that waits for a slot: what speaks against each kind of agent.
    pub agents: Vec<AgentVerdict>,
    /// For one that an agent has: why it went there, where others could have had it.
    #[serde(default)]
    pub placement: Option<Placement>,
}

/// What speaks against some agents, for one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentVerdict {
    /// In words, with numbers; empty where nothing does.
    pub why_not: String,
    /// Those of whom it is true.
    pub agents: Vec<AgentId>,
}
