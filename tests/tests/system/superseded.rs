//! More than one scheduler, and schedulers that remember less than there was.

use std::path::Path;
use std::time::Duration;

use drover_tests::{Farm, Process};

use crate::killed::{ends_well, in_the_middle};

/// How long a scheduler may take to see that another reigns.
const ABDICATES_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_state_restored_from_an_earlier_copy_is_caught_up_with() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    farm.scheduler.kill();
    let (state, copy) = (farm.folder.scheduler(), farm.folder.join("copy"));
    copy_folder(&state, &copy);
    farm.run_scheduler().await;
    let seen = farm.starts().len();
    farm.until_started(seen + 6).await;
    farm.scheduler.kill();
    std::fs::remove_dir_all(&state).unwrap();
    copy_folder(&copy, &state);
    farm.run_scheduler().await;
    ends_well(&farm, submitted, 0).await;
}

#[tokio::test]
async fn a_second_scheduler_takes_over_and_the_first_exits_and_says_why() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    farm.scheduler.kill();
    let copy = farm.folder.join("second");
    copy_folder(&farm.folder.scheduler(), &copy);
    farm.run_scheduler().await;
    farm.until_started(8).await;
    let _second = second_scheduler(&farm, &copy);
    let status = farm.scheduler.end(ABDICATES_WITHIN).await;
    assert!(!status.success());
    let said = farm.scheduler.said();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("this one is over"), "{last}");
    ends_well(&farm, submitted, 0).await;
}

/// A scheduler on an older copy of the first one's state, as a backup restored beside it would be.
fn second_scheduler(farm: &Farm, state: &Path) -> Process {
    let mut command = farm.scheduler.command().to_vec();
    let first = farm.folder.scheduler().into_os_string();
    command.iter_mut().filter(|word| **word == first).for_each(|word| *word = state.into());
    Process::start("second scheduler", command, &farm.folder.join("second.log"))
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let (from, to) = file.map(|file| (file.path(), to.join(file.file_name()))).unwrap();
        match from.is_dir() {
            true => copy_folder(&from, &to),
            false => drop(std::fs::copy(from, to).unwrap()),
        }
    }
}
