//! `drover dead`: what was set aside, for nobody could read it or a hook gave it up.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use drover_messages::admin::{Disposal, Dispose, Disposed, MAX_DISPOSED};
use drover_messages::envelope::to_json;
use drover_messages::{Format, Timestamp};
use drover_nats::{Admin, Dead, DeadError, SetAside, Why};

use crate::ask::Connection;
use crate::exit::{Exit, bad_input};
use crate::farm::FarmArgs;
use crate::human;
use crate::table::{Table, printable};

/// Look at messages that were set aside, and decide about them. For administrators.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    farm: FarmArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what was set aside, oldest first, each with the reason
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
        limit: usize,
        /// Only what was set aside after the one of this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
        after: u64,
        /// One JSON object a line: number, at, stream, stream_number, kind, came_on, reason
        #[arg(long)]
        json: bool,
    },
    /// Show one message with all that can be read of it
    Show {
        /// Its number, as the list has it
        #[arg(value_name = "NUMBER")]
        number: u64,
    },
    /// Send messages again where they came from: when what could not read them is mended
    Retry {
        /// Their numbers
        #[arg(value_name = "NUMBER", required = true)]
        numbers: Vec<u64>,
    },
    /// Throw messages away
    Drop {
        /// Their numbers
        #[arg(value_name = "NUMBER", required = true)]
        numbers: Vec<u64>,
    },
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&args.farm).await?;
    match &args.command {
        Command::List { limit, after, json } => list(&connection, *limit, *after, *json).await,
        Command::Show { number } => show(&connection, *number).await,
        Command::Retry { numbers } => dispose(&connection, numbers, Disposal::Retry).await,
        Command::Drop { numbers } => dispose(&connection, numbers, Disposal::Drop).await,
    }
}

async fn list(connection: &Connection, limit: usize, mut after: u64, json: bool) -> anyhow::Result<ExitCode> {
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(dead) = connection.bus.dead_after(after).await? else { break };
        after = dead.sequence;
        if json {
            println!("{}", in_json(&dead));
        }
        found.push(dead);
    }
    if !json && found.is_empty() {
        println!("Nothing was set aside.");
    } else if !json {
        print!("{}", table(&found, Timestamp::now()));
    }
    if !json && found.len() == limit && connection.bus.dead_after(after).await?.is_some() {
        println!("… and more: --after {after}");
    }
    Ok(Exit::Success.into())
}

async fn show(connection: &Connection, number: u64) -> anyhow::Result<ExitCode> {
    let dead = match connection.bus.dead(number).await {
        Ok(dead) => dead,
        Err(DeadError::Nats(error)) => return Err(error.into()),
        Err(error) => return Err(bad_input(error.to_string())),
    };
    let mut json = in_json(&dead);
    if let Some(set_aside) = &dead.message {
        json["message"] = body(set_aside);
    }
    println!("{json:#}");
    Ok(Exit::Success.into())
}

async fn dispose(connection: &Connection, numbers: &[u64], how: Disposal) -> anyhow::Result<ExitCode> {
    let sequences: BTreeSet<u64> = numbers.iter().copied().collect();
    if sequences.len() > MAX_DISPOSED {
        return Err(bad_input(format!("at most {MAX_DISPOSED} numbers at once")));
    }
    let disposed: Disposed = connection.administer(Admin::Dispose, &Dispose { sequences, how }).await?;
    let word = match how {
        Disposal::Retry => "sent again",
        Disposal::Drop => "thrown away",
    };
    if !disposed.done.is_empty() {
        println!("{} {word}.", human::count(disposed.done.len() as u64, "message"));
    }
    for (number, why) in &disposed.refused {
        eprintln!("drover: {number}: {}", printable(why));
    }
    Ok(if disposed.refused.is_empty() { Exit::Success } else { Exit::BadInput }.into())
}

fn table(found: &[Dead], now: Timestamp) -> Table {
    let mut table = Table::new(&["NUMBER", "WHEN", "CAME ON", "KIND", "WHY"]);
    for dead in found {
        let set_aside = dead.message.as_ref();
        table.row([
            dead.sequence.to_string(),
            human::ago(dead.at, now),
            set_aside.map_or_else(|| format!("{} {}", dead.stream, dead.number), |message| message.came_on.clone()),
            set_aside.and_then(|message| message.kind.clone()).unwrap_or_default(),
            reason(dead),
        ]);
    }
    table
}

fn reason(dead: &Dead) -> String {
    match &dead.why {
        Why::Unusable(why) => why.clone(),
        Why::GivenUp { consumer, deliveries } => format!("{consumer} gave it up after {deliveries} tries"),
    }
}

fn in_json(dead: &Dead) -> serde_json::Value {
    serde_json::json!({
        "number": dead.sequence,
        "at": dead.at,
        "stream": dead.stream,
        "stream_number": dead.number,
        "kind": dead.message.as_ref().and_then(|message| message.kind.as_deref()),
        "came_on": dead.message.as_ref().map(|message| message.came_on.as_str()),
        "reason": reason(dead),
    })
}

/// As JSON, if it can be read so far; else as text.
fn body(set_aside: &SetAside) -> serde_json::Value {
    let read = match set_aside.format {
        Format::MessagePack => to_json(&set_aside.payload).ok(),
        Format::Json => serde_json::from_slice(&set_aside.payload).ok(),
    };
    read.unwrap_or_else(|| String::from_utf8_lossy(&set_aside.payload).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(why: Why, message: Option<SetAside>) -> Dead {
        Dead { sequence: 7, at: Timestamp(1000), stream: "RES".into(), number: 3, why, message }
    }

    fn message(format: Format, payload: &'static [u8]) -> SetAside {
        SetAside { came_on: "res.a.b".into(), kind: Some("report/1".into()), format, payload: payload.into() }
    }

    #[test]
    fn the_list_says_where_a_message_came_from_and_why_it_is_here() {
        let unusable = dead(Why::Unusable("not a readable message".into()), Some(message(Format::Json, b"")));
        let given_up = dead(Why::GivenUp { consumer: "hook-mail".into(), deliveries: 8 }, None);
        let text = table(&[unusable, given_up], Timestamp(6000)).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "7       5 s ago  res.a.b  report/1  not a readable message");
        assert_eq!(lines[2], "7       5 s ago  RES 3              hook-mail gave it up after 8 tries");
    }

    #[test]
    fn what_can_be_read_is_shown_as_json_and_the_rest_as_text() {
        assert_eq!(body(&message(Format::Json, br#"{"v":9}"#)), serde_json::json!({ "v": 9 }));
        assert_eq!(body(&message(Format::Json, b"{")), serde_json::json!("{"));
        assert_eq!(body(&message(Format::MessagePack, b"\xc1rubbish")), serde_json::json!("\u{fffd}rubbish"));
    }
}
