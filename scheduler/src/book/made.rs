//! The row of a build, as it was made: paths by their numbers, and nothing that is as it mostly is. It has a type of its own,
//! so that what is recorded and what is in memory can each have the shape that suits them.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_messages::request::{Mode, Terms};
use drover_messages::{AgentId, BuildId, SubmissionId, Timestamp};
use drover_scheduler_core::{Attempt, Build, BuildState, Heard, Product, Recipe, Seldom, WholeBuild};
use drover_store::{ContentAddress, DrvPath, OutputName, PackId, StoreDir, StorePath};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::numbers::Numbers;
use super::paths::Register;
use super::{BookError, decode, encode};

/// A build whose paths are numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    id: BuildId,
    pub(super) row: Row,
}

/// What stands in its row. There are very many, so that names are short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    /// The submission.
    of: SubmissionId,
    #[serde(default, skip_serializing_if = "is_default")]
    root: bool,
    seq: u64,
    /// When it was made.
    at: Timestamp,
    #[serde(default, skip_serializing_if = "is_default")]
    entered: Heard,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) priority: i32,
    drv: DrvPath,
    pack: PackId,
    pub(super) store: StoreDir,
    system: String,
    #[serde(default, skip_serializing_if = "is_default")]
    features: BTreeSet<String>,
    /// The outputs.
    makes: Vec<Output>,
    /// The inputs, in the order of their paths.
    needs: Numbers,
    #[serde(default, skip_serializing_if = "is_default")]
    mode: Mode,
    #[serde(default, skip_serializing_if = "is_default")]
    terms: Seldom<Terms>,
    #[serde(default, skip_serializing_if = "is_default")]
    avoid: Seldom<BTreeSet<AgentId>>,
    pub(super) state: BuildState,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) attempts: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) farm_failures: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) failed_downloads: u32,
}

/// One output: its name, the number of its path, and its content where that is fixed.
type Output = (OutputName, u64, Option<Box<ContentAddress>>);

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The row of a build.
pub(super) fn row<'a>(
    build: &Build,
    inputs: impl IntoIterator<Item = &'a StorePath>,
    register: &mut Register<'_>,
) -> Result<Vec<u8>, BookError> {
    encode(&Row::of(build, inputs, register)?)
}

impl Row {
    fn of<'a>(
        build: &Build,
        inputs: impl IntoIterator<Item = &'a StorePath>,
        register: &mut Register<'_>,
    ) -> Result<Self, BookError> {
        let build = build.clone();
        let recipe = build.recipe.as_ref();
        // Outputs come before inputs: what is made together has numbers side by side.
        let makes = recipe.outputs.iter().map(|(name, made)| Ok((name.clone(), register.number(&made.path)?, made.ca.clone())));
        let makes = makes.collect::<Result<_, BookError>>()?;
        let needs = inputs.into_iter().map(|path| register.number(path)).collect::<Result<_, _>>()?;
        Ok(Self {
            of: build.submission,
            root: build.root,
            seq: build.seq,
            at: build.created_at,
            entered: build.entered,
            priority: build.priority,
            drv: recipe.drv.clone(),
            pack: recipe.pack,
            store: recipe.store_dir.clone(),
            system: recipe.system.clone(),
            features: recipe.features.clone(),
            makes,
            needs,
            mode: build.mode,
            terms: build.terms,
            avoid: build.avoid,
            state: build.state,
            attempts: build.attempts,
            farm_failures: build.farm_failures,
            failed_downloads: build.failed_downloads,
        })
    }
}

impl Made {
    /// Reads a row.
    pub(super) fn read(id: [u8; 16], row: &[u8]) -> Result<Self, BookError> {
        Ok(Self { id: BuildId::from_uuid(Uuid::from_bytes(id)), row: decode("a build", row)? })
    }

    pub(super) fn id(&self) -> BuildId {
        self.id
    }

    pub(super) fn submission(&self) -> SubmissionId {
        self.row.of
    }

    pub(super) fn seq(&self) -> u64 {
        self.row.seq
    }

    pub(super) fn drv(&self) -> &DrvPath {
        &self.row.drv
    }

    /// The numbers of the paths it makes: none, where it only compares.
    pub(super) fn products(&self) -> impl Iterator<Item = u64> {
        self.row.makes.iter().map(|(_, number, _)| *number).filter(|_| self.row.mode == Mode::Build)
    }

    /// The numbers of all paths it speaks of.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.row.makes.iter().map(|(_, number, _)| *number).chain(self.row.needs.iter())
    }

    /// The build, with the paths of what it needs.
    pub(super) fn whole(self, mut path: impl FnMut(u64) -> Result<StorePath, BookError>) -> Result<WholeBuild, BookError> {
        let (build, needs) = self.build(&mut path)?;
        Ok(WholeBuild { build, inputs: needs.iter().map(path).collect::<Result<_, _>>()? })
    }

    /// The build, and the numbers of what it needs.
    pub(super) fn build(self, mut path: impl FnMut(u64) -> Result<StorePath, BookError>) -> Result<(Build, Numbers), BookError> {
        let Self { id, row } = self;
        let output = |(name, number, ca)| Ok((name, Product { path: path(number)?, ca }));
        let outputs = row.makes.into_iter().map(output).collect::<Result<_, BookError>>()?;
        let (drv, pack, store_dir) = (row.drv, row.pack, row.store);
        let recipe = Recipe { drv, pack, store_dir, system: row.system, features: row.features, outputs };
        let build = Build {
            id,
            submission: row.of,
            root: row.root,
            seq: row.seq,
            created_at: row.at,
            entered: row.entered,
            priority: row.priority,
            recipe: Arc::new(recipe),
            mode: row.mode,
            terms: row.terms,
            avoid: row.avoid,
            state: row.state,
            attempts: row.attempts,
            farm_failures: row.farm_failures,
            failed_downloads: row.failed_downloads,
        };
        Ok((build, row.needs))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use drover_messages::StoreId;
    use drover_scheduler_core::Place;
    use redb::ReadableDatabase;

    use super::super::Book;
    use super::super::paths::Reader;
    use super::super::samples::{TIME, needing, needing_nothing, of, rare};
    use super::super::tables::{BUILDS, PATHS};
    use super::*;

    /// Writes them, and reads them again.
    fn through_rows(builds: &[WholeBuild]) -> Vec<WholeBuild> {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let transaction = book.database.begin_write().unwrap();
        {
            let (mut table, mut register) = (transaction.open_table(BUILDS).unwrap(), Register::open(&transaction).unwrap());
            for WholeBuild { build, inputs } in builds {
                let id = build.id.uuid().into_bytes();
                table.insert(id, row(build, inputs, &mut register).unwrap().as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
        let read = book.database.begin_read().unwrap();
        let (table, mut paths) = (read.open_table(BUILDS).unwrap(), Reader::new(read.open_table(PATHS).unwrap()));
        let mut read = |whole: &WholeBuild| {
            let id = whole.build.id.uuid().into_bytes();
            let made = Made::read(id, table.get(id).unwrap().unwrap().value()).unwrap();
            made.whole(|number| paths.path(number)).unwrap()
        };
        builds.iter().map(&mut read).collect()
    }

    #[test]
    fn builds_are_read_as_they_were_written_with_their_inputs_in_order() {
        // What is first heard of has the lowest number, whatever its name.
        let builds = [
            needing(of(1, "one", BuildState::Waiting { missing: 3 }), [200, 100, 50]),
            needing(of(2, "two", BuildState::Ready(Place::Anywhere)), [10, 60, 100, 250]),
            needing_nothing(of(3, "three", BuildState::Ready(Place::Stores([StoreId::from("a")].into())))),
        ];
        assert_eq!(through_rows(&builds), builds);
    }

    #[test]
    fn what_is_seldom_said_of_a_build_is_kept_as_well() {
        let WholeBuild { build, inputs } = rare();
        let terms = Terms { on: BTreeMap::from([("rack".into(), "2".into())]), ..Terms::default() }.into();
        let created_at = Timestamp(TIME.0 + 1);
        let build = Build { root: false, mode: Mode::Check, failed_downloads: 1, terms, created_at, ..build };
        let rare = WholeBuild { build, inputs };
        assert_eq!(through_rows(std::slice::from_ref(&rare)), [rare]);
    }

    #[test]
    fn a_row_of_a_build_with_dozens_of_inputs_is_small() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let transaction = book.database.begin_write().unwrap();
        let whole = needing(of(1, "package-1.0", BuildState::Waiting { missing: 30 }), 0..30);
        let bytes = row(&whole.build, &whole.inputs, &mut Register::open(&transaction).unwrap()).unwrap().len();
        assert!(bytes < 350, "{bytes} bytes");
        assert!(encode(&whole.build).unwrap().len() + encode(&whole.inputs).unwrap().len() > 5 * bytes);
    }
}
