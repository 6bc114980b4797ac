//! What it would cost to build somewhere: named parts, in milliseconds. All of it is a guess; nothing hangs on it but who
//! of those that may have a build gets it.

use drover_messages::holdings::{Fingerprint, Holdings};
use drover_messages::placement::Score;

use crate::durations::Known;
use crate::links::{Entry, Node};
use crate::state::State;
use crate::taker::Taker;

/// What an agent is taken to fetch in a millisecond, in bytes.
const FETCHED_A_MILLI: u64 = 20_000;
/// What each item takes beside its bytes, in milliseconds.
const ITEM_MILLIS: u64 = 10;
/// What an item of unknown size is taken for, in bytes.
const UNKNOWN_BYTES: u64 = 1 << 20;
/// What an agent costs whose slots are all taken over one that is idle, in milliseconds.
const SPREAD_MILLIS: u64 = 1_000;
/// What a MiB costs that is not there, in milliseconds.
const SWAP_MILLIS_A_MIB: u64 = 20;

/// What a build needs, each with what it takes to fetch it, in milliseconds.
pub(crate) struct Fetch(Vec<(Fingerprint, u64)>);

impl Fetch {
    /// What it takes to fetch what such a store lacks; everything, where nothing is known of the store.
    pub(crate) fn millis(&self, holdings: Option<&Holdings>) -> u64 {
        let lacking = self.0.iter().filter(|(item, _)| holdings.is_none_or(|held| !held.may_have(*item)));
        lacking.map(|(_, millis)| millis).sum()
    }
}

impl State {
    /// What it would cost to build this there, where that must be fetched.
    pub(crate) fn score(&self, node: &Node, fetch: &Fetch, taker: &Taker<'_>) -> Score {
        let slots = u64::from(taker.agent.hello.max_parallel_builds.max(1));
        let lacking_mib = taker.memory_mib.map_or(0, |free| self.expected_mib(node).saturating_sub(free));
        let millis = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        Score {
            inputs_millis: millis(fetch.millis(taker.holdings)),
            speed_millis: taker.agent.pace.beyond(node.expected_millis),
            memory_millis: millis(lacking_mib.saturating_mul(SWAP_MILLIS_A_MIB)),
            slot_millis: millis(taker.free_in_millis()),
            spread_millis: millis(SPREAD_MILLIS * u64::from(taker.taken).min(slots) / slots),
        }
    }

    /// What a build needs, to ask of several agents what they lack.
    pub(crate) fn fetch(&self, node: &Node) -> Fetch {
        let bytes = |size: u64| if size == 0 { UNKNOWN_BYTES } else { size };
        let entries = node.inputs.iter().filter_map(|edge| self.items.at(edge.item));
        let millis = |entry: &Entry| ITEM_MILLIS + bytes(entry.item.nar_bytes) / FETCHED_A_MILLI;
        Fetch(entries.map(|entry| (entry.fingerprint, millis(entry))).collect())
    }

    /// The memory that builds like this one took, in MiB; 0 where none has told.
    pub(crate) fn expected_mib(&self, node: &Node) -> u64 {
        self.durations.at(node.package).map_or(0, Known::expected_mib)
    }
}
