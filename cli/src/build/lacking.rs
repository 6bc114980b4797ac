//! Asks the scheduler what of a closure the farm lacks, page by page.
//!
//! A scheduler that is silent is no obstacle: then everything counts as lacking, and is sent.

use std::collections::BTreeSet;

use drover_messages::query::{AskMissing, MAX_PAGE, Missing};
use drover_nats::{Query, RequestError};
use drover_store::{DrvPath, StoreDir, StorePath};
use futures::{StreamExt, TryStreamExt, stream};

use crate::ask::Connection;

/// Questions on their way at once.
const ASKED_AT_ONCE: usize = 4;

/// What of these the farm lacks.
pub(crate) async fn lacking(
    connection: &Connection,
    store_dir: &StoreDir,
    drvs: &BTreeSet<DrvPath>,
    sources: &BTreeSet<StorePath>,
) -> Missing {
    let questions = questions(store_dir, drvs, sources);
    let answers: Result<Vec<Missing>, RequestError> = stream::iter(&questions)
        .map(|question| connection.ask_once(Query::Missing, question))
        .buffer_unordered(ASKED_AT_ONCE)
        .try_collect()
        .await;
    match answers {
        Ok(answers) => together(answers),
        Err(error) => {
            tracing::info!(%error, "the scheduler does not say what it lacks: everything is sent");
            Missing { drvs: drvs.clone(), sources: sources.clone() }
        }
    }
}

fn questions(store_dir: &StoreDir, drvs: &BTreeSet<DrvPath>, sources: &BTreeSet<StorePath>) -> Vec<AskMissing> {
    let drvs: Vec<&DrvPath> = drvs.iter().collect();
    let sources: Vec<&StorePath> = sources.iter().collect();
    let empty = || AskMissing { store_dir: store_dir.clone(), drvs: BTreeSet::new(), sources: BTreeSet::new() };
    let of_drvs =
        drvs.chunks(MAX_PAGE).map(|page| AskMissing { drvs: page.iter().map(|drv| (*drv).clone()).collect(), ..empty() });
    let of_sources =
        sources.chunks(MAX_PAGE).map(|page| AskMissing { sources: page.iter().map(|path| (*path).clone()).collect(), ..empty() });
    of_drvs.chain(of_sources).collect()
}

fn together(answers: Vec<Missing>) -> Missing {
    let mut all = Missing { drvs: BTreeSet::new(), sources: BTreeSet::new() };
    for answer in answers {
        all.drvs.extend(answer.drvs);
        all.sources.extend(answer.sources);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_is_larger_than_a_page_and_nothing_is_left_out() {
        let paths: BTreeSet<StorePath> =
            (0..MAX_PAGE * 2 + 1).map(|n| StorePath::from_parts(&[1; 20], &format!("n{n}.drv")).unwrap()).collect();
        let drvs: BTreeSet<DrvPath> = paths.iter().map(|path| path.clone().try_into().unwrap()).collect();
        let questions = questions(&StoreDir::nix(), &drvs, &paths);
        assert!(questions.iter().all(|question| question.drvs.len() + question.sources.len() <= MAX_PAGE));
        assert_eq!(questions.iter().map(|question| question.drvs.len()).sum::<usize>(), drvs.len());
        assert_eq!(questions.iter().map(|question| question.sources.len()).sum::<usize>(), paths.len());
    }
}
