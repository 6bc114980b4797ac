//! Room for the builds of each client: what is being planned takes it before it is entered, so that two submissions that are
//! planned at once do not pass the limit together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_messages::{ClientId, SubmissionId};
use drover_scheduler_core::State;

/// What submissions that are being planned have taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<Mutex<BTreeMap<SubmissionId, Claim>>>);

/// All builds of one submission, entered or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) client: ClientId,
    pub(super) builds: u64,
}

impl Room {
    /// Takes room until it is released. `limit` bounds the unfinished builds of one client.
    ///
    /// # Errors
    /// In words for the client, where there is not so much.
    pub(super) fn take(&self, id: SubmissionId, claim: Claim, state: &State, limit: u64) -> Result<(), String> {
        let Claim { client, builds } = claim;
        let mut claims = self.claims();
        let others = claims.iter().filter(|(other, claim)| **other != id && claim.client == client);
        let to_come = others.map(|(other, claim)| claim.builds.saturating_sub(state.builds_of(*other).count() as u64));
        let queued = state.builds_of_client(client) + to_come.sum::<u64>();
        if queued + builds > limit {
            return Err(format!(
                "it needs {builds} builds, and {queued} of this client are unfinished; {limit} is the limit: submit it later, or less of it"
            ));
        }
        claims.insert(id, claim);
        Ok(())
    }

    /// Its builds are entered, or never will be.
    pub(super) fn release(&self, id: SubmissionId) {
        self.claims().remove(&id);
    }

    fn claims(&self) -> MutexGuard<'_, BTreeMap<SubmissionId, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use drover_scheduler_core::BuildState;

    use super::*;
    use crate::book::samples;
    use crate::reign::Reign;

    #[test]
    fn two_submissions_that_are_planned_at_once_do_not_pass_the_limit_together() {
        let (room, state) = (Room::default(), State::default());
        let [first, second, third] = [(); 3].map(|()| SubmissionId::new());
        let claim = Claim { client: ClientId::new(), builds: 2 };
        assert_eq!(room.take(first, claim, &state, 3), Ok(()));
        let why = "it needs 2 builds, and 2 of this client are unfinished; 3 is the limit: submit it later, or less of it";
        assert_eq!(room.take(second, claim, &state, 3), Err(why.into()));
        assert_eq!(room.take(third, Claim { client: ClientId::new(), ..claim }, &state, 3), Ok(()), "another client's");
        room.release(first);
        assert_eq!(room.take(second, claim, &state, 3), Ok(()));
    }

    #[test]
    fn what_is_entered_of_a_submission_that_is_being_planned_counts_once() {
        let client = ClientId::new();
        let builds = [1, 3].map(|n| samples::of(n, "x", BuildState::Waiting { missing: 1 }));
        let (_folder, book) = samples::open(&builds, &[samples::submission(101, client)]);
        let reign = Reign::over(&book);
        let (room, state) = (Room::default(), reign.core().state());
        assert_eq!(state.builds_of_client(client), 2);
        room.take(builds[0].submission, Claim { client, builds: 3 }, state, u64::MAX).unwrap();
        assert_eq!(room.take(SubmissionId::new(), Claim { client, builds: 1 }, state, 4), Ok(()));
        let why = room.take(SubmissionId::new(), Claim { client, builds: 1 }, state, 4).unwrap_err();
        assert!(why.contains("4 of this client are unfinished"), "{why}");
    }
}
