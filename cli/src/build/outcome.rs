//! Whether a submission is finished, and how: read from its status alone.

use drover_messages::query::{StateName, SubmissionStatus};

/// How a submission stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something can still change by itself.
    Open,
    /// All roots are built and can be fetched.
    Succeeded,
    /// Not all roots are, and nothing is left that could change by itself.
    Failed,
}

/// Reads it from the status.
pub(crate) fn of(status: &SubmissionStatus) -> Outcome {
    if status.roots.iter().all(|root| root.state == StateName::Succeeded && root.available) {
        return Outcome::Succeeded;
    }
    let can_change = |state: &StateName, count: u64| match state {
        StateName::Waiting | StateName::Ready | StateName::Leased => count > 0,
        StateName::Deferred => count > status.given_up,
        StateName::Succeeded | StateName::Failed | StateName::Blocked | StateName::Cancelled => false,
    };
    let moving = status.counts.iter().any(|(state, count)| can_change(state, *count));
    // Nobody waits for what was cancelled. What is built but not published yet makes others ready when it is.
    if !status.cancelled && (moving || status.unpublished > 0) { Outcome::Open } else { Outcome::Failed }
}

#[cfg(test)]
pub(crate) mod tests {
    use drover_messages::{ClientId, SubmissionId, Timestamp};

    use super::*;
    use crate::list::tests::summary;

    pub(crate) fn status(root: StateName, counts: &[(StateName, u64)]) -> SubmissionStatus {
        SubmissionStatus {
            submission: SubmissionId::new(),
            client: ClientId::new(),
            submitted_at: Timestamp(0),
            cancelled: false,
            counts: counts.iter().copied().collect(),
            unpublished: 0,
            given_up: 0,
            roots: vec![summary("root", root)],
            failed: Vec::new(),
            blocked: Vec::new(),
        }
    }

    #[test]
    fn roots_that_can_be_fetched_are_success_whatever_else_goes_on() {
        use StateName::*;
        assert_eq!(of(&status(Succeeded, &[(Succeeded, 1), (Ready, 1)])), Outcome::Succeeded);
    }

    #[test]
    fn what_is_given_up_does_not_change_by_itself() {
        use StateName::*;
        let all = status(Blocked, &[(Deferred, 2), (Blocked, 1)]);
        assert_eq!(of(&SubmissionStatus { given_up: 1, ..all.clone() }), Outcome::Open);
        assert_eq!(of(&SubmissionStatus { given_up: 2, ..all }), Outcome::Failed);
    }

    #[test]
    fn a_root_that_is_built_but_not_published_is_open() {
        let mut late = status(StateName::Succeeded, &[(StateName::Succeeded, 1)]);
        late.roots[0].available = false;
        late.unpublished = 1;
        assert_eq!(of(&late), Outcome::Open);
    }

    #[test]
    fn a_failure_is_told_only_when_nothing_moves_any_more() {
        use StateName::*;
        assert_eq!(of(&status(Blocked, &[(Failed, 1), (Blocked, 1), (Leased, 1)])), Outcome::Open);
        assert_eq!(of(&status(Blocked, &[(Failed, 1), (Blocked, 1), (Leased, 0)])), Outcome::Failed);
        assert_eq!(of(&status(Failed, &[(Failed, 1), (Succeeded, 4)])), Outcome::Failed);
        assert_eq!(of(&status(Cancelled, &[(Cancelled, 1)])), Outcome::Failed);
    }

    #[test]
    fn a_submission_that_was_cancelled_is_not_waited_for() {
        let mut given_up = status(StateName::Leased, &[(StateName::Leased, 1)]);
        given_up.cancelled = true;
        assert_eq!(of(&given_up), Outcome::Failed);
    }

    #[test]
    fn what_waits_until_a_time_can_still_change() {
        assert_eq!(of(&status(StateName::Deferred, &[(StateName::Deferred, 1)])), Outcome::Open);
    }
}
