//! What is finished and old is forgotten, a little at a time.

use drover_messages::Timestamp;
use redb::ReadableTable;
use uuid::{NoContext, Uuid};

use super::tables::*;
use super::{Book, BookError, decode, index};

/// Builds that one commit forgets, so that others need not wait long.
const FORGOTTEN_AT_ONCE: usize = 500;

impl Book {
    /// Forgets finished builds that were asked for before a moment; true if there may be more. What they made stays known:
    /// it is in the cache. Where it is lost, it is planned anew.
    pub(crate) fn forget_before(&self, moment: Timestamp) -> Result<bool, BookError> {
        let transaction = self.database.begin_write()?;
        let mut forgotten = 0;
        {
            let mut builds = transaction.open_table(BUILDS)?;
            let mut members = transaction.open_table(MEMBERS)?;
            let mut makers = transaction.open_table(MAKERS)?;
            let open = transaction.open_table(OPEN)?;
            let mut old = Vec::new();
            for row in builds.range([0; 16]..first_id_of(moment))? {
                let (id, build) = row?;
                if open.get(id.value())?.is_none() {
                    old.push(decode::<drover_scheduler_core::Build>("a build", build.value())?);
                }
                if old.len() == FORGOTTEN_AT_ONCE {
                    break;
                }
            }
            for build in &old {
                let id = build.id.uuid().into_bytes();
                builds.remove(id)?;
                members.remove((build.submission.uuid().into_bytes(), id))?;
                for path in build.products() {
                    makers.remove((path.to_string().as_str(), id))?;
                }
                index::forget_build(&transaction, build)?;
            }
            forgotten += old.len();
        }
        transaction.commit()?;
        Ok(forgotten == FORGOTTEN_AT_ONCE)
    }
}

/// Ids begin with the time of their origin.
fn first_id_of(moment: Timestamp) -> [u8; 16] {
    let time = uuid::Timestamp::from_unix(NoContext, moment.0 / 1000, (moment.0 % 1000) as u32 * 1_000_000);
    let mut first = Uuid::new_v7(time).into_bytes();
    first[6..].fill(0);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_of_a_moment_is_before_all_that_were_made_then() {
        let before = first_id_of(Timestamp(Timestamp::now().0.saturating_sub(1)));
        let id = drover_messages::BuildId::new().uuid().into_bytes();
        let after = first_id_of(Timestamp(Timestamp::now().0 + 1));
        assert!(before < id && id < after);
    }
}
