//! Activities: how `nix-daemon` tells of builds, downloads and their logs. `guix-daemon` has none.
//!
//! Source: `src/libstore/daemon.cc` (`TunnelLogger`) and `src/libutil/logging.hh` of Nix.

use tokio::io::AsyncRead;

use crate::wire::{MAX_ACTIVITY_FIELDS, MAX_LOG_TEXT_BYTES, Reader, Told, read_message};
use crate::{ActivityKind, DaemonError, Event};

const START: u64 = 0x5354_5254;
const STOP: u64 = 0x5354_4f50;
const RESULT: u64 = 0x5253_4c54;

const RESULT_BUILD_LOG_LINE: u64 = 101;
const RESULT_SET_PHASE: u64 = 104;
const RESULT_PROGRESS: u64 = 105;
const RESULT_POST_BUILD_LOG_LINE: u64 = 107;

/// Whether a frame with this code tells of an activity.
pub(crate) fn is_code(code: u64) -> bool {
    matches!(code, START | STOP | RESULT)
}

/// Reads what follows a code of [`is_code`].
pub(crate) async fn read_activity<R: AsyncRead + Unpin>(input: &mut Reader<R>, code: u64) -> Result<Told, DaemonError> {
    match code {
        START => read_start(input).await.map(Told::Event),
        STOP => Ok(Told::Event(Event::Stopped { id: input.number().await? })),
        _ => Ok(read_result(input).await?.map_or(Told::Nothing, Told::Event)),
    }
}

async fn read_start<R: AsyncRead + Unpin>(input: &mut Reader<R>) -> Result<Event, DaemonError> {
    let id = input.number().await?;
    input.number().await?; // the verbosity level
    let kind = ActivityKind::from_wire(input.number().await?);
    let text = read_message(input).await?;
    read_fields(input).await?;
    input.number().await?; // the parent activity
    Ok(Event::Started { id, kind, text })
}

async fn read_result<R: AsyncRead + Unpin>(input: &mut Reader<R>) -> Result<Option<Event>, DaemonError> {
    let id = input.number().await?;
    let kind = input.number().await?;
    let mut fields = read_fields(input).await?.into_iter();
    Ok(match (kind, fields.next(), fields.next()) {
        (RESULT_BUILD_LOG_LINE | RESULT_POST_BUILD_LOG_LINE, Some(Field::Text(line)), _) => Some(Event::Line(line)),
        (RESULT_SET_PHASE, Some(Field::Text(phase)), _) => Some(Event::Phase(phase)),
        (RESULT_PROGRESS, Some(Field::Number(done)), Some(Field::Number(expected))) => {
            Some(Event::Progress { id, done, expected })
        }
        _ => None,
    })
}

/// A typed value that comes with an activity.
enum Field {
    Number(u64),
    Text(String),
}

async fn read_fields<R: AsyncRead + Unpin>(input: &mut Reader<R>) -> Result<Vec<Field>, DaemonError> {
    let mut fields = Vec::new();
    for _ in 0..input.count(MAX_ACTIVITY_FIELDS).await? {
        fields.push(match input.number().await? {
            0 => Field::Number(input.number().await?),
            1 => Field::Text(input.clipped_text(MAX_LOG_TEXT_BYTES).await?),
            kind => return Err(DaemonError::protocol(format!("unknown kind of activity field {kind}"))),
        });
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    async fn read(code: u64, rest: &Request) -> Result<Told, DaemonError> {
        read_activity(&mut Reader::new(rest.as_bytes()), code).await
    }

    #[tokio::test]
    async fn a_line_of_the_build_log_is_told_as_it_is() {
        let mut wire = Request::bare();
        wire.number(1).number(RESULT_BUILD_LOG_LINE).number(1).number(1).bytes("checking for gcc... \x1b[32myes\x1b[0m");
        let line = Event::Line("checking for gcc... \x1b[32myes\x1b[0m".into());
        assert_eq!(read(RESULT, &wire).await.unwrap(), Told::Event(line));
    }

    #[tokio::test]
    async fn an_activity_is_read_with_all_its_fields() {
        let mut wire = Request::bare();
        wire.number(9).number(3).number(105).bytes("building 'x'").number(2);
        wire.number(1).bytes("/nix/store/x.drv").number(0).number(1).number(0);
        let started = Event::Started { id: 9, kind: ActivityKind::Build, text: "building 'x'".into() };
        assert_eq!(read(START, &wire).await.unwrap(), Told::Event(started));
    }

    #[tokio::test]
    async fn results_that_nobody_needs_are_passed_over() {
        let mut wire = Request::bare();
        wire.number(1).number(106).number(2).number(0).number(100).number(0).number(5);
        assert_eq!(read(RESULT, &wire).await.unwrap(), Told::Nothing);
    }

    #[tokio::test]
    async fn unknown_fields_and_too_many_are_refused() {
        let mut wire = Request::bare();
        wire.number(1).number(101).number(1).number(7);
        assert!(matches!(read(RESULT, &wire).await, Err(DaemonError::Protocol(_))));
        wire = Request::bare();
        wire.number(1).number(101).number(MAX_ACTIVITY_FIELDS + 1);
        assert!(matches!(read(RESULT, &wire).await, Err(DaemonError::Protocol(_))));
    }
}
