//! `drover cancel`, `drover retry`, `drover priority`: what users want changed of what they asked for.
//!
//! A wish is a request on a stream, as a submission is: the broker keeps it until the scheduler has fulfilled or refused it.

use std::process::ExitCode;
use std::time::Duration;

use drover_messages::event::{Event, What};
use drover_messages::query::{BuildAnswer, SubmissionAnswer};
use drover_messages::wish::{Target, Wish, Wished};
use drover_messages::{BuildId, SubmissionId, WishId};
use drover_nats::{Filter, NatsError, Replay, Subject, streams};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::ask::Connection;
use crate::build::roots;
use crate::exit::{Exit, bad_input};
use crate::farm::FarmArgs;
use crate::human;
use crate::request;
use crate::table::printable;

/// The pause before events are listened to again, where that ended.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Cancel builds that are not wanted any more.
///
/// What only they need goes with them, and what runs for them is stopped; what somebody else needs goes on. A submission
/// that the scheduler has not heard of yet is not taken up when it comes.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Cancel {
    #[command(flatten)]
    what: Args,
}

/// Try builds again that failed or were cancelled, and at once those that wait for another try.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Retry {
    #[command(flatten)]
    what: Args,
}

/// Give unfinished builds another priority. What they need follows.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Priority {
    /// Higher is sooner; 0 is usual
    #[arg(value_name = "N", allow_negative_numbers = true)]
    priority: i32,
    #[command(flatten)]
    what: Args,
}

/// What a wish is about, and how its fulfilment is awaited.
#[derive(Debug, clap::Args)]
struct Args {
    /// The build, or the submission with all its builds
    #[arg(value_name = "BUILD|SUBMISSION", required_unless_present = "tag", conflicts_with = "tag")]
    id: Option<Uuid>,
    /// All submissions of yours with this tag; with --any, everybody's
    #[arg(long, value_name = "KEY=VALUE", value_parser = roots::parse_tag)]
    tag: Option<(String, String)>,
    /// The ID is a submission's: so the scheduler need not be asked first, and may be away
    #[arg(long, requires = "id")]
    submission: bool,
    /// As an administrator: what others have submitted as well
    #[arg(long)]
    any: bool,
    /// Return when the broker has the wish, before it is fulfilled
    #[arg(long)]
    no_wait: bool,
    /// Wait so many seconds at most until it is fulfilled. Later it is fulfilled all the same
    #[arg(long, value_name = "SECS", default_value_t = 60, conflicts_with = "no_wait")]
    timeout: u64,
    #[command(flatten)]
    farm: FarmArgs,
}

/// Runs `drover cancel`.
pub(crate) async fn cancel(args: &Cancel) -> anyhow::Result<ExitCode> {
    run(&args.what, Wished::Cancel).await
}

/// Runs `drover retry`.
pub(crate) async fn retry(args: &Retry) -> anyhow::Result<ExitCode> {
    run(&args.what, Wished::Retry).await
}

/// Runs `drover priority`.
pub(crate) async fn priority(args: &Priority) -> anyhow::Result<ExitCode> {
    run(&args.what, Wished::Priority(args.priority)).await
}

async fn run(args: &Args, change: Wished) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&args.farm).await?;
    let wish = Wish { wish: WishId::new(), target: target(&connection, args, change).await?, change };
    let (verb, client) = (change.into(), connection.client());
    let subject = match args.any {
        true => Subject::AdminWish { verb, client, wish: wish.wish },
        false => Subject::Wish { verb, client, wish: wish.wish },
    };
    request::publish(&connection, &subject, &wish).await?;
    if args.no_wait {
        println!("wish {}", wish.wish);
        return Ok(Exit::Success.into());
    }
    match timeout(Duration::from_secs(args.timeout), decision(&connection, wish.wish)).await {
        Ok(What::WishFulfilled { builds, .. }) => println!("{}", fulfilled(change, builds)),
        Ok(What::WishRefused { why, .. }) => return Err(bad_input(refused(&why, args.any))),
        Ok(_) | Err(_) => {
            eprintln!("The scheduler has not decided in time. The broker has the wish, and keeps it for the scheduler.");
            return Ok(Exit::Farm.into());
        }
    }
    Ok(Exit::Success.into())
}

/// What the ID names is asked of the scheduler. One that it does not know can be a submission that is on its way.
async fn target(connection: &Connection, args: &Args, change: Wished) -> anyhow::Result<Target> {
    let id = match (args.id, &args.tag) {
        (Some(id), _) => id,
        (None, Some((key, value))) => return Ok(Target::Tag { key: key.clone(), value: value.clone() }),
        (None, None) => return Err(bad_input("which build, submission or tag?")),
    };
    let submission = SubmissionId::from_uuid(id);
    if args.submission {
        return Ok(Target::Submission(submission));
    }
    if let BuildAnswer::Known(_) = connection.build(BuildId::from_uuid(id)).await? {
        return Ok(Target::Build(BuildId::from_uuid(id)));
    }
    match connection.submission(submission).await? {
        SubmissionAnswer::Unknown if change != Wished::Cancel => Err(bad_input(format!(
            "the scheduler knows neither a build nor a submission {id}. If it was sent just now, it is in the queue: try again"
        ))),
        _ => Ok(Target::Submission(submission)),
    }
}

/// What became of a wish. Comes through whatever happens to the broker meanwhile.
async fn decision(connection: &Connection, wish: WishId) -> What {
    loop {
        match connection.bus.replay(streams::EVENTS, Filter::EventsOfWish(wish)).await {
            Ok(events) => {
                if let Ok(what) = first_of(events, wish).await {
                    return what;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot listen now"),
        }
        sleep(LISTEN_AGAIN_AFTER).await;
    }
}

async fn first_of(mut events: Replay, of: WishId) -> Result<What, NatsError> {
    loop {
        let Ok(Event { what, .. }) = events.next().await?.decode::<Event>() else { continue };
        if matches!(&what, What::WishFulfilled { wish, .. } | What::WishRefused { wish, .. } if *wish == of) {
            return Ok(what);
        }
    }
}

fn fulfilled(change: Wished, builds: u64) -> String {
    let (count, are) = (human::count(builds, "build"), if builds == 1 { "is" } else { "are" });
    match change {
        Wished::Cancel if builds == 0 => {
            "It is cancelled, and no build with it: none was to be done yet, or others need them.".into()
        }
        Wished::Cancel => format!("{count} {are} cancelled."),
        Wished::Retry => format!("{count} {are} tried again."),
        Wished::Priority(priority) => format!("{count} of priority {priority} now."),
    }
}

fn refused(why: &str, by_admin: bool) -> String {
    let is_about_others = ["another user's", "of yours"].iter().any(|words| why.contains(words));
    let hint = if !by_admin && is_about_others { "; an administrator may say --any" } else { "" };
    format!("refused: {}{hint}", printable(why))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const ID: &str = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Priority,
    }

    fn parsed(words: &[&str]) -> Result<Priority, clap::Error> {
        Line::try_parse_from([&["priority"], words].concat()).map(|line| line.args)
    }

    #[test]
    fn a_wish_is_about_an_id_or_a_tag_and_not_both() {
        let args = parsed(&["-5", ID]).unwrap();
        assert_eq!((args.priority, args.what.id), (-5, Some(ID.parse().unwrap())));
        assert_eq!(parsed(&["7", "--tag", "a=b"]).unwrap().what.tag, Some(("a".into(), "b".into())));
        assert!(parsed(&["7"]).is_err() && parsed(&["7", ID, "--tag", "a=b"]).is_err());
    }

    #[test]
    fn what_was_done_is_said_with_numbers() {
        assert_eq!(fulfilled(Wished::Cancel, 1), "1 build is cancelled.");
        assert_eq!(fulfilled(Wished::Retry, 3), "3 builds are tried again.");
        assert_eq!(fulfilled(Wished::Priority(-2), 3), "3 builds of priority -2 now.");
    }

    #[test]
    fn who_may_not_is_told_who_may() {
        assert!(refused("the submission x is another user's", false).ends_with("--any"));
        assert!(refused("no submission of yours has that tag", false).ends_with("--any"));
        assert!(!refused("nothing of it is unfinished", false).contains("--any"));
    }
}
