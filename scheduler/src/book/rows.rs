//! What a commit says in rows that go through the journal, as the core has them now.

use drover_scheduler_core::{Build, State};
use serde_bytes::ByteBuf;

use super::journal::{Key, Row};
use super::{BookError, Page, course, encode};

/// The rows that a page touches.
pub(super) fn of(page: &Page, state: &State) -> Result<Vec<(Key, Row)>, BookError> {
    let Page { builds, items, owed, packages, clients, .. } = page;
    let mut rows = Vec::with_capacity(2 * builds.len() + items.len() + owed.len() + packages.len() + clients.len());
    for build in builds.iter().filter_map(|id| state.build(*id)) {
        if !page.created.contains(&build.id) {
            rows.push((Key::Course(build.id), there(course::row(build)?)));
        }
        rows.push((Key::Open(build.id), is_open(build, state)));
    }
    for path in items {
        if let Some(item) = state.recorded_item(path) {
            rows.push((Key::Item(path.clone()), there(encode(item)?)));
        }
    }
    for id in owed {
        let row = state.publication(*id).map(encode).transpose()?;
        rows.push((Key::Owed(*id), row.and_then(there)));
    }
    for package in packages {
        if let Some(took) = state.took(package) {
            rows.push((Key::Took(package.clone()), there(encode(took)?)));
        }
    }
    for client in clients {
        if let Some(used) = state.used(*client) {
            rows.push((Key::Used(*client), there(encode(&used)?)));
        }
    }
    Ok(rows)
}

fn there(row: Vec<u8>) -> Row {
    Some(ByteBuf::from(row))
}

fn is_open(build: &Build, state: &State) -> Row {
    (!state.is_finished(build)).then(ByteBuf::default)
}
