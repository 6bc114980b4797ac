//! What substitute servers beyond the farm's own have, asked of the pool `substitutes` by core request: the scheduler
//! itself speaks to no server.

use std::collections::{BTreeMap, BTreeSet};

use drover_store::{StoreDir, StorePath};
use serde::{Deserialize, Serialize};

use crate::Message;

/// Which of these do others have? At most [`MAX_PAGE`](crate::query::MAX_PAGE) paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskElsewhere {
    /// The store directory of all paths.
    pub store_dir: StoreDir,
    /// What is looked for.
    pub paths: BTreeSet<StorePath>,
}

impl Message for AskElsewhere {
    const KIND: &'static str = "ask-elsewhere";
}

/// The answer to [`AskElsewhere`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// What was found, and at which servers, by their URLs without a slash at the end.
    pub found: BTreeMap<StorePath, BTreeSet<String>>,
}

impl Message for Elsewhere {
    const KIND: &'static str = "elsewhere";
}
