//! Asks all servers about a page of paths.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use drover_messages::agent::MAX_SERVERS;
use drover_messages::substitutes::{AskElsewhere, Elsewhere};
use drover_store::StorePath;
use drover_substituter::{Server, ServerUrl, SubstituterError, Trust};
use futures::future::join_all;

use super::asked::Asked;

/// How long the servers may take for one page. Whoever asks waits a little longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(45);

/// The servers, and whose word counts.
pub struct Lookup {
    servers: Vec<Asked>,
    trust: Trust,
}

impl Lookup {
    /// Over these servers, at most [`MAX_SERVERS`] of them.
    pub fn new(urls: impl IntoIterator<Item = ServerUrl>, trust: Trust) -> Result<Self, SubstituterError> {
        let distinct: BTreeSet<ServerUrl> = urls.into_iter().collect();
        if let Some(beyond) = distinct.iter().nth(MAX_SERVERS) {
            tracing::warn!(%beyond, "there are more than {MAX_SERVERS} servers: the rest is not asked");
        }
        let servers =
            distinct.into_iter().take(MAX_SERVERS).map(|url| Server::new(url).map(Asked::new)).collect::<Result<_, _>>()?;
        Ok(Self { servers, trust })
    }

    /// Who has what. A server of another store is not asked; one that is silent counts as empty: what it has is built then,
    /// and nobody waits for it.
    pub async fn answer(&self, question: &AskElsewhere) -> Elsewhere {
        let deadline = Instant::now() + ANSWER_WITHIN;
        let AskElsewhere { store_dir, paths } = question;
        let looks = self.servers.iter().map(|server| server.look(store_dir, paths, &self.trust, deadline));
        let mut found: BTreeMap<StorePath, BTreeSet<String>> = BTreeMap::new();
        for (server, has) in self.servers.iter().zip(join_all(looks).await) {
            for path in has {
                found.entry(path).or_default().insert(server.url().into());
            }
        }
        Elsewhere { found }
    }
}
