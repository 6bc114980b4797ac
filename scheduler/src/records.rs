//! Pages of what was built, and of what: read beside the reign, from what is recorded.

use std::sync::Arc;

use drover_messages::ClientId;
use drover_messages::query::{AskBuilds, MAX_PAGE};
use drover_messages::records::{AskRecords, MAX_RECORDS_BYTES, Record, Records};
use drover_messages::report::Times;
use drover_messages::request::Mode;
use drover_scheduler_core::{Attempt, Build, BuildState, WholeBuild};

use crate::book::{Book, BookError};
use crate::filter::Filter;

/// Builds that are read at once, before it is looked whether the page is full.
const READ_TOGETHER: usize = 50;

/// A page of builds that succeeded, newest first.
pub(crate) fn page(book: Book, asked: AskRecords) -> Result<Records, BookError> {
    let which = Arc::new(AskBuilds { state: None, ..asked.which });
    let limit = (which.limit as usize).clamp(1, MAX_PAGE);
    let candidates = book.candidates(&which)?;
    let mut filter = Filter::new(book, which);
    let (mut records, mut bytes) = (Vec::new(), 0);
    for these in candidates.ids.chunks(READ_TOGETHER) {
        for whole in filter.read(these)? {
            let size = size(&whole);
            let Some(attempt) = made_by(&whole.build).filter(|_| size <= MAX_RECORDS_BYTES) else { continue };
            if records.len() == limit || bytes + size > MAX_RECORDS_BYTES {
                let next = records.last().map(|last: &Record| last.build);
                return Ok(Records { records, next });
            }
            bytes += size;
            let client = filter.submission(whole.build.submission)?.map(|submission| submission.client);
            records.push(record(&whole, attempt, client));
        }
    }
    Ok(Records { records, next: candidates.to })
}

/// The attempt that built it, where one did and said how long that took.
fn made_by(build: &Build) -> Option<&Attempt> {
    let BuildState::Succeeded { attempt } = build.state else { return None };
    let made = build.attempt(attempt).filter(|made| build.mode == Mode::Build && !made.already_valid)?;
    made.times.filter(|times| *times != Times::default()).map(|_| made)
}

fn record(WholeBuild { build, inputs }: &WholeBuild, attempt: &Attempt, client: Option<ClientId>) -> Record {
    let recipe = &build.recipe;
    Record {
        build: build.id,
        submission: build.submission,
        client,
        created_at: build.created_at,
        priority: build.priority,
        drv: recipe.drv.clone(),
        store_dir: recipe.store_dir.clone(),
        system: recipe.system.clone(),
        features: recipe.features.clone(),
        outputs: build.products().cloned().collect(),
        inputs: inputs.iter().cloned().collect(),
        agent: attempt.agent,
        times: attempt.times.unwrap_or_default(),
    }
}

/// What it takes on the wire, in bytes, more or less.
fn size(build: &WholeBuild) -> usize {
    /// The ids, the times, and the names of all fields.
    const FIXED_BYTES: usize = 500;
    FIXED_BYTES + build.paths().map(|path| path.to_string().len() + 3).sum::<usize>()
}
