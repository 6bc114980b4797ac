//! Computes from nothing whatever the state derives, and names the first thing that is not as it should be. Tests do this
//! after every step, and it costs as much as all that is open: nothing that runs depends on it.

mod debts;
mod links;
mod order;
mod replay;

use std::fmt;

use crate::state::State;

/// Something derived that is not what it is derived from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {is}, and should be {should}")]
pub struct Discrepancy {
    /// What was looked at.
    pub what: String,
    /// As the state has it.
    pub is: String,
    /// As it is computed anew.
    pub should: String,
}

impl State {
    /// Whether everything derived is what it is derived from: links, what inputs mean, queues, weights, counters.
    pub fn audit(&self) -> Result<(), Discrepancy> {
        self.audit_links()?;
        self.audit_inputs()?;
        self.audit_blocks()?;
        self.audit_queues()?;
        self.audit_weights()?;
        self.audit_leases()?;
        self.audit_counters()?;
        self.audit_debts()
    }
}

/// Compares what is with what should be.
fn same<T: PartialEq + fmt::Debug>(what: impl fmt::Display, is: &T, should: &T) -> Result<(), Discrepancy> {
    if is == should {
        return Ok(());
    }
    Err(Discrepancy { what: what.to_string(), is: format!("{is:?}"), should: format!("{should:?}") })
}
