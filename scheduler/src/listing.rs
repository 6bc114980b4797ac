//! Pages of builds: found beside the reign, in small pieces, and shown as the reign has them.

use std::sync::Arc;

use drover_messages::BuildId;
use drover_messages::query::{AskBuilds, BuildSummary, Builds, MAX_PAGE, StateName};
use drover_scheduler_core::WholeBuild;

use crate::book::{BookError, Candidates, ids, is_about_everything};
use crate::filter::{Filter, is_meant};
use crate::reign::Reign;
use crate::summaries::summary;
use crate::work::Desk;

/// Builds that are shown in one turn of the reign.
const SHOWN_TOGETHER: usize = 100;
/// Builds in memory that are looked at in one turn of the reign.
const LOOKED_AT_TOGETHER: usize = 10_000;
/// Turns that one question takes, where it is about what is in memory.
const TURNS: usize = 50;

/// Why there is no page.
enum NoPage {
    /// The reign is over: nobody waits for it any more.
    Over,
    Book(BookError),
}

impl From<BookError> for NoPage {
    fn from(error: BookError) -> Self {
        Self::Book(error)
    }
}

/// A page; nothing, when the reign is over.
pub(crate) async fn list(desk: &Desk, asked: AskBuilds) -> Option<Result<Builds, BookError>> {
    let is_open = |state| !matches!(state, StateName::Succeeded | StateName::Failed | StateName::Cancelled);
    let in_memory = asked.state.is_some_and(is_open) && is_about_everything(&asked);
    let asked = Arc::new(asked);
    match if in_memory { open(desk, asked).await } else { recorded(desk, asked).await } {
        Ok(page) => Some(Ok(page)),
        Err(NoPage::Book(error)) => Some(Err(error)),
        Err(NoPage::Over) => None,
    }
}

/// A page that grows.
struct Page {
    found: Builds,
    limit: usize,
}

impl Page {
    fn of(asked: &AskBuilds) -> Self {
        Self { found: Builds { builds: Vec::new(), more: false, next: None }, limit: (asked.limit as usize).clamp(1, MAX_PAGE) }
    }

    fn room(&self) -> usize {
        self.limit - self.found.builds.len()
    }

    /// Adds what was found among the builds as far as `to`, newest first.
    fn add(&mut self, builds: Vec<BuildSummary>, to: Option<BuildId>) {
        self.found.builds.extend(builds);
        self.found.next = to;
    }

    fn end(mut self, more: bool) -> Builds {
        self.found.more = more;
        self.found.next = self.found.next.filter(|_| more);
        self.found
    }
}

/// Of what is recorded, by an index.
async fn recorded(desk: &Desk, asked: Arc<AskBuilds>) -> Result<Builds, NoPage> {
    let book = desk.ask(|reign| reign.book().clone()).await.ok_or(NoPage::Over)?;
    let (found_in, question) = (book.clone(), asked.clone());
    let Candidates { ids, to } = beside(move || found_in.candidates(&question)).await?;
    let mut filter = Filter::new(book, asked.clone());
    let mut page = Page::of(&asked);
    for these in ids.chunks(SHOWN_TOGETHER) {
        let looked_at = these.to_vec();
        let (fitting, again) = beside(move || filter.read(&looked_at).map(|fitting| (fitting, filter))).await?;
        filter = again;
        let (state, room) = (asked.state, page.room());
        let shown = desk.ask(move |reign| show(reign, fitting, state, room)).await.ok_or(NoPage::Over)??;
        let is_full = shown.len() == room;
        let last = if is_full { shown.last().map(|build| build.build) } else { these.last().copied() };
        page.add(shown, last);
        if is_full {
            return Ok(page.end(to.is_some() || last != ids.last().copied()));
        }
    }
    page.add(Vec::new(), to);
    Ok(page.end(to.is_some()))
}

/// Does what waits for the disk where it holds up nobody.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, BookError> + Send + 'static) -> Result<T, NoPage> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| NoPage::Over)??)
}

/// At most so many of these builds as they are now, if they are in that state.
fn show(reign: &Reign, builds: Vec<WholeBuild>, state: Option<StateName>, most: usize) -> Result<Vec<BuildSummary>, BookError> {
    let mut shown = Vec::new();
    for WholeBuild { build: recorded, .. } in builds {
        let id = recorded.id;
        // What is open is in memory; what was open when it was read may be over by now.
        let now = if recorded.state.is_over() && reign.core().state().build(id).is_none() {
            Some(recorded)
        } else {
            reign.build(id)?
        };
        let Some(build) = now.filter(|build| state.is_none_or(|state| build.state.name() == state)) else { continue };
        shown.push(summary(reign, &build)?);
        if shown.len() == most {
            break;
        }
    }
    Ok(shown)
}

/// Of what is in memory: for states in which all builds are.
async fn open(desk: &Desk, asked: Arc<AskBuilds>) -> Result<Builds, NoPage> {
    let mut page = Page::of(&asked);
    let mut range = ids(&asked);
    for _ in 0..TURNS {
        let (asked, most, these) = (asked.clone(), page.room().min(SHOWN_TOGETHER), range.clone());
        let (shown, to) = desk.ask(move |reign| look(reign, &asked, these, most)).await.ok_or(NoPage::Over)??;
        page.add(shown, to);
        match to {
            Some(to) if page.room() > 0 => range.end = to,
            _ => return Ok(page.end(to.is_some())),
        }
    }
    Ok(page.end(true))
}

/// At most so many of the builds in memory with these ids, and the last that was looked at, if there are more.
fn look(
    reign: &Reign,
    asked: &AskBuilds,
    ids: std::ops::Range<BuildId>,
    most: usize,
) -> Result<(Vec<BuildSummary>, Option<BuildId>), BookError> {
    let mut shown = Vec::new();
    let mut builds = reign.core().state().builds_in(ids).rev().enumerate().peekable();
    while let Some((looked_at, build)) = builds.next() {
        if asked.state == Some(build.state.name()) && is_meant(asked, build) {
            shown.push(summary(reign, build)?);
        }
        if shown.len() == most || looked_at + 1 == LOOKED_AT_TOGETHER {
            return Ok((shown, builds.peek().map(|_| build.id)));
        }
    }
    Ok((shown, None))
}
