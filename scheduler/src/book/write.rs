//! One commit: a sheet is written to the journal, and what is written once to its tables.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use drover_scheduler_core::{Change, Submission, SubmissionState, WholeBuild};
use redb::{ReadableDatabase, WriteTransaction};
use serde_bytes::ByteBuf;

use super::journal::{Key, Line, Newest, Row};
use super::paths::Register;
use super::sheet::{Sheet, Verdict};
use super::tables::*;
use super::{Book, BookError, Record, carry, encode, index, made};
use crate::told::Told;

impl Book {
    /// Commits, and what was told so far. Returns the record, and its number.
    pub(crate) fn commit(&self, sheet: Sheet, told: Told) -> Result<(Record, u64), BookError> {
        let Sheet { record, created, mut rows, submissions, failures, others } = sheet;
        self.journal.wait_for_room();
        let mut writing = self.journal.begin();
        let failures = self.news_of(failures)?;
        let newest = Newest { number: writing.newest().number + 1, heard: record.heard.0, told };
        rows.push((Key::Record(newest.number), Some(ByteBuf::from(encode(&record)?))));
        let in_tables = !(created.is_empty() && submissions.is_empty() && failures.is_empty() && others.is_empty());
        let transaction = if in_tables {
            // Behind a submission there may be nothing more for long, and very many builds to start with.
            let spares_repair = submissions.iter().any(|submission| matches!(submission.state, SubmissionState::Live { .. }));
            let transaction = carry::begin(&self.database, spares_repair)?;
            rows.extend(self.write_created(&transaction, &created)?);
            write_wishes(&transaction, &others)?;
            write_failures(&transaction, &record, &failures)?;
            index::write_stopped(&transaction, &others)?;
            write_agents(&transaction, &others)?;
            write_submissions(&transaction, &submissions)?;
            write_learned(&transaction, &others)?;
            carry::write_newest(&transaction, newest)?;
            writing.spares_repair(spares_repair);
            Some(transaction)
        } else {
            None
        };
        writing.append(&Line { newest, in_tables, rows: &rows })?;
        if let Some(transaction) = transaction {
            transaction.commit()?;
        }
        writing.committed(newest, rows);
        Ok((record, newest.number))
    }

    /// Of what is known of derivations now, that which is not recorded: of most that succeed no failure ever was.
    fn news_of(&self, verdicts: Vec<Verdict>) -> Result<Vec<Verdict>, BookError> {
        if verdicts.is_empty() {
            return Ok(verdicts);
        }
        let read = self.database.begin_read()?;
        let failures = read.open_table(FAILURES)?;
        let (mut news, mut failed) = (Vec::new(), BTreeSet::new());
        for verdict in verdicts {
            let fails = verdict.failed.is_some();
            if fails {
                failed.insert(verdict.drv.clone());
            }
            if fails || failed.contains(&verdict.drv) || failures.get(verdict.drv.as_str())?.is_some() {
                news.push(verdict);
            }
        }
        Ok(news)
    }

    /// Returns the rows of those that were there and over, and are planned anew: what had become of them is forgotten.
    fn write_created(&self, t: &WriteTransaction, created: &[WholeBuild]) -> Result<Vec<(Key, Row)>, BookError> {
        let mut forgotten = Vec::new();
        if created.is_empty() {
            return Ok(forgotten);
        }
        let mut builds = t.open_table(BUILDS)?;
        let mut known = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut register = Register::knowing(t, std::mem::take(&mut *known))?;
        let mut members = t.open_table(MEMBERS)?;
        let mut makers = t.open_table(MAKERS)?;
        let mut names = t.open_table(NAMES)?;
        let mut stopped = t.open_table(STOPPED)?;
        for WholeBuild { build, inputs } in created {
            let id = build.id.uuid().into_bytes();
            if builds.insert(id, made::row(build, inputs, &mut register)?.as_slice())?.is_some() {
                forgotten.push((Key::Course(build.id), None));
                index::go_on(&mut stopped, id)?;
            }
            members.insert((build.submission.uuid().into_bytes(), id), ())?;
            for path in build.products() {
                makers.insert((register.number(path)?, id), ())?;
            }
            index::enter_build(&mut names, &build.recipe.drv, id)?;
        }
        *known = register.into_known();
        Ok(forgotten)
    }
}

fn write_submissions(t: &WriteTransaction, written: &[Submission]) -> Result<(), BookError> {
    if written.is_empty() {
        return Ok(());
    }
    let mut submissions = t.open_table(SUBMISSIONS)?;
    let mut tags = t.open_table(TAGS)?;
    let mut clients = t.open_table(OF_CLIENT)?;
    let mut ahead = t.open_table(AHEAD)?;
    for submission in written {
        let id = submission.id.uuid().into_bytes();
        let known = submissions.insert(id, encode(submission)?.as_slice())?.is_some();
        for (key, value) in submission.tags.iter().filter(|_| !known) {
            tags.insert((tag_row(key, value).as_str(), id), ())?;
        }
        if !known {
            clients.insert((submission.client.uuid().into_bytes(), id), ())?;
        }
        ahead.remove(id)?;
    }
    Ok(())
}

fn write_learned(t: &WriteTransaction, changes: &[Change]) -> Result<(), BookError> {
    if !changes.iter().any(|change| matches!(change, Change::Learned(_) | Change::Packed(_))) {
        return Ok(());
    }
    let mut drvs = t.open_table(DRVS)?;
    let mut sets = t.open_table(PACK_SETS)?;
    for change in changes {
        match change {
            Change::Learned(learned) => {
                drvs.insert(learned.drv.to_string().as_str(), encode(learned)?.as_slice())?;
            }
            Change::Packed(set) => {
                sets.insert(set.id().to_string().as_str(), encode(set)?.as_slice())?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_wishes(t: &WriteTransaction, changes: &[Change]) -> Result<(), BookError> {
    if !changes.iter().any(|change| matches!(change, Change::Wished(_) | Change::CancelledAhead(_))) {
        return Ok(());
    }
    let mut wishes = t.open_table(WISHES)?;
    let mut ahead = t.open_table(AHEAD)?;
    for change in changes {
        match change {
            Change::Wished(wish) => drop(wishes.insert(wish.uuid().into_bytes(), ())?),
            Change::CancelledAhead(submission) => drop(ahead.insert(submission.uuid().into_bytes(), ())?),
            _ => {}
        }
    }
    Ok(())
}

/// What failed is remembered until the same succeeds, or somebody wants it tried again.
fn write_failures(t: &WriteTransaction, record: &Record, verdicts: &[Verdict]) -> Result<(), BookError> {
    if verdicts.is_empty() {
        return Ok(());
    }
    let mut failures = t.open_table(FAILURES)?;
    for Verdict { drv, failed } in verdicts {
        let drv = drv.to_string();
        match failed {
            Some(build) => drop(failures.insert(drv.as_str(), (build.uuid().into_bytes(), record.wall.0))?),
            None => drop(failures.remove(drv.as_str())?),
        }
    }
    Ok(())
}

fn write_agents(t: &WriteTransaction, changes: &[Change]) -> Result<(), BookError> {
    if !changes.iter().any(|change| matches!(change, Change::Drain { .. } | Change::AgentKnown { .. })) {
        return Ok(());
    }
    let mut drained = t.open_table(DRAINED)?;
    let mut agents = t.open_table(AGENTS)?;
    for change in changes {
        match change {
            Change::Drain { agent, drained: true, deadline } => {
                drop(drained.insert(agent.uuid().into_bytes(), encode(deadline)?.as_slice())?);
            }
            Change::Drain { agent, drained: false, .. } => drop(drained.remove(agent.uuid().into_bytes())?),
            Change::AgentKnown { agent, known: Some(known) } => {
                drop(agents.insert(agent.uuid().into_bytes(), encode(known.as_ref())?.as_slice())?);
            }
            Change::AgentKnown { agent, known: None } => drop(agents.remove(agent.uuid().into_bytes())?),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use drover_messages::{AgentId, BuildId, Generation, SubmissionId, Timestamp, WishId};
    use drover_scheduler_core::{BuildEvent, Heard, Learned, PackSet, State};
    use drover_store::{DrvPath, PackId, Sha256, StoreDir};
    use redb::{ReadableDatabase, ReadableTableMetadata};

    use super::super::Page;
    use super::super::samples::{commit, known_agent, store_path};
    use super::*;

    #[test]
    fn what_has_tables_of_its_own_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let (agent, wish, submission, deadline) = (AgentId::new(), WishId::new(), SubmissionId::new(), Some(Heard(9)));
        let (known, forgotten) = (known_agent("a"), AgentId::new());
        let drv = DrvPath::try_from(store_path(1, "x.drv")).unwrap();
        let (pack, modulo) = (PackId(Sha256::of(b"pack")), Sha256::of(b"modulo"));
        let packs: PackSet = [pack].into_iter().collect();
        let learned = Learned { store_dir: StoreDir::nix(), drv: drv.clone(), pack, modulo, closure: packs.id() };
        let changes = vec![
            Change::Drain { agent, drained: true, deadline },
            Change::AgentKnown { agent, known: Some(Box::new(known.clone())) },
            Change::AgentKnown { agent: forgotten, known: Some(Box::new(known.clone())) },
            Change::AgentKnown { agent: forgotten, known: None },
            Change::Wished(wish),
            Change::CancelledAhead(submission),
            Change::Packed(packs.clone()),
            Change::Learned(learned.clone()),
            Change::Build { build: BuildId::new(), event: BuildEvent::Cancel },
        ];
        commit(&book, changes, &State::new(Default::default()));
        book.carry_all();
        let memory = book.remember().unwrap();
        assert_eq!(memory.drained, [(agent, deadline)]);
        assert_eq!(memory.agents, [(agent, known)]);
        assert_eq!(memory.cancelled_ahead, [submission]);
        assert!(book.has_heard(wish).unwrap());
        assert_eq!(book.learned(&drv).unwrap(), Some(learned));
        assert_eq!(*book.closures([drv.clone()]).unwrap()[&drv], packs);
        assert_eq!(book.database.begin_read().unwrap().open_table(STOPPED).unwrap().len().unwrap(), 1);
    }

    #[test]
    fn of_a_failure_and_a_success_that_come_together_the_last_counts() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let drv = DrvPath::try_from(store_path(1, "x.drv")).unwrap();
        let one = |failed| Verdict { drv: drv.clone(), failed };
        let written = |verdicts: Vec<Verdict>| {
            let record = Record { generation: Generation(1), heard: Heard(0), wall: Timestamp(0), events: Vec::new() };
            let sheet = Sheet::of(record, Vec::new(), &Page::default(), &State::default()).unwrap();
            book.commit(Sheet { failures: verdicts, ..sheet }, Told::default()).unwrap();
            book.database.begin_read().unwrap().open_table(FAILURES).unwrap().len().unwrap()
        };
        assert_eq!(written(vec![one(Some(BuildId::new())), one(None)]), 0);
        assert_eq!(written(vec![one(None), one(Some(BuildId::new()))]), 1);
        assert_eq!(written(vec![one(None)]), 0);
    }

    #[test]
    fn what_was_told_is_remembered_with_the_stream_to_which() {
        let folder = tempfile::tempdir().unwrap();
        let (book, generation) = (Book::open(folder.path()).unwrap(), Generation(1));
        let record = Record { generation, heard: Heard(0), wall: Timestamp(0), events: Vec::new() };
        let sheet = Sheet::of(record, Vec::new(), &Page::default(), &State::new(generation)).unwrap();
        let told = Told { record: 5, stream: 1_760_000_000_000_000_000 };
        book.commit(sheet, told).unwrap();
        book.carry_all();
        assert_eq!(book.remember().unwrap().told, told);
    }
}
