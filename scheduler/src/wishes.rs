//! What users want changed, from the stream to the reign: what a wish speaks of is looked up here, beside the loop.

use drover_messages::ClientId;
use drover_messages::query::StateName;
use drover_messages::wish::{Target, Wish, Wished};
use drover_nats::Delivery;
use drover_scheduler_core::Input;
use drover_scheduler_core::input::Wanted;

use crate::book::{Book, BookError};
use crate::work::Desk;

/// Brings a wish to the reign, and acknowledges it when it is committed. One that was heard before is acknowledged at
/// once.
pub(crate) async fn bring(book: &Book, desk: &Desk, client: ClientId, by_admin: bool, wish: Wish, delivery: Delivery) {
    match understand(book, client, by_admin, &wish) {
        Ok(Some(wanted)) => {
            desk.settle(Input::Wish(Box::new(wanted))).await;
            delivery.ack().await;
        }
        Ok(None) => delivery.ack().await,
        // The loop will meet it as well, and end.
        Err(error) => tracing::error!(%error, "a wish is lost with the state"),
    }
}

fn understand(book: &Book, client: ClientId, by_admin: bool, wish: &Wish) -> Result<Option<Wanted>, BookError> {
    if book.has_heard(wish.wish)? {
        return Ok(None);
    }
    let (submissions, mut builds) = match &wish.target {
        Target::Build(build) => (Vec::new(), vec![*build]),
        Target::Submission(submission) => (vec![*submission], Vec::new()),
        // A tag is no name: others may use the same.
        Target::Tag { key, value } if by_admin => (book.tagged(key, value)?, Vec::new()),
        Target::Tag { key, value } => (book.of_client(client, book.tagged(key, value)?)?, Vec::new()),
    };
    // What is over is not in memory; only who wants it again speaks of that.
    for submission in submissions.iter().filter(|_| wish.change == Wished::Retry) {
        builds.extend(book.builds_in(*submission, &[StateName::Failed, StateName::Cancelled])?);
    }
    Ok(Some(Wanted { wish: wish.wish, client, by_admin, change: wish.change, submissions, builds }))
}

#[cfg(test)]
mod tests {
    use drover_messages::WishId;
    use drover_scheduler_core::{Change, State, Submission, SubmissionState};

    use super::*;
    use crate::book::samples;

    #[test]
    fn a_tag_means_only_what_is_the_wishers_own_unless_an_administrator_says_any() {
        let (_folder, book) = samples::open(&[], &[]);
        let (client, other) = (ClientId::new(), ClientId::new());
        let tagged = |n, client| Submission {
            tags: [("branch".into(), "main".into())].into(),
            state: SubmissionState::Live { builds: 0 },
            ..samples::submission(n, client)
        };
        let submissions = [tagged(1, client), tagged(2, other), tagged(3, client)];
        let mut state = State::default();
        state.remember(submissions.to_vec(), Vec::new(), [], Vec::new());
        let changes = submissions.iter().map(|submission| Change::Submission(Box::new(submission.clone())));
        samples::commit(&book, changes.collect(), &state);

        let target = Target::Tag { key: "branch".into(), value: "main".into() };
        let wish = Wish { wish: WishId::new(), target, change: Wished::Cancel };
        let meant = |client, by_admin| understand(&book, client, by_admin, &wish).unwrap().unwrap().submissions;
        let [first, theirs, second] = submissions.map(|submission| submission.id);
        assert_eq!(meant(client, false), [first, second]);
        assert_eq!(meant(client, true), [first, theirs, second]);
        assert_eq!(meant(ClientId::new(), false), []);
    }
}
