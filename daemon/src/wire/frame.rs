//! Log frames: what a daemon sends between a request and its answer.
//!
//! Each begins with a code. LAST ends them and the answer follows; ERROR ends them and none does.
//! Source: `src/libstore/daemon.cc` (`TunnelLogger`) and `src/libutil/logging.hh` of Nix.

use tokio::io::AsyncRead;

use super::{MAX_ACTIVITY_FIELDS, MAX_ERROR_TRACES, MAX_LOG_TEXT_BYTES, Reader};
use crate::event::without_ansi;
use crate::{ActivityKind, DaemonError, Event};

const NEXT: u64 = 0x6f6c_6d67;
const READ: u64 = 0x6461_7461;
const WRITE: u64 = 0x6461_7416;
const LAST: u64 = 0x616c_7473;
/// Begins an error, here and where a daemon fails in the middle of an answer.
pub(crate) const ERROR: u64 = 0x6378_7470;
const START_ACTIVITY: u64 = 0x5354_5254;
const STOP_ACTIVITY: u64 = 0x5354_4f50;
const RESULT: u64 = 0x5253_4c54;

const RESULT_BUILD_LOG_LINE: u64 = 101;
const RESULT_SET_PHASE: u64 = 104;
const RESULT_PROGRESS: u64 = 105;
const RESULT_POST_BUILD_LOG_LINE: u64 = 107;

/// One log frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Something to tell, or nothing that we tell.
    Told(Option<Event>),
    /// The operation succeeded; its answer follows.
    Last,
    /// The operation failed, and why; without colours.
    Error(String),
}

/// Reads one frame, the error in the structured form that Nix uses from protocol 1.26 on.
pub(crate) async fn read_frame<R: AsyncRead + Unpin>(input: &mut Reader<R>) -> Result<Frame, DaemonError> {
    match input.number().await? {
        LAST => Ok(Frame::Last),
        ERROR => read_error(input).await.map(Frame::Error),
        NEXT => Ok(Frame::Told(Some(Event::Message(message(input).await?)))),
        START_ACTIVITY => read_start(input).await.map(|event| Frame::Told(Some(event))),
        STOP_ACTIVITY => Ok(Frame::Told(Some(Event::Stopped { id: input.number().await? }))),
        RESULT => read_result(input).await.map(Frame::Told),
        READ | WRITE => Err(DaemonError::protocol("it uses a data frame, which no operation of ours allows")),
        code => Err(DaemonError::protocol(format!("unknown log frame {code:#x}"))),
    }
}

/// A daemon's text for people.
async fn message<R: AsyncRead + Unpin>(input: &mut Reader<R>) -> Result<String, DaemonError> {
    let text = without_ansi(input.clipped(MAX_LOG_TEXT_BYTES).await?);
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Reads what follows [`ERROR`] and gives the message.
pub(crate) async fn read_error<R: AsyncRead + Unpin>(input: &mut Reader<R>) -> Result<String, DaemonError> {
    input.clipped(MAX_LOG_TEXT_BYTES).await?; // the type, always "Error"
    input.number().await?; // the verbosity level
    input.clipped(MAX_LOG_TEXT_BYTES).await?; // a name, no longer used
    let why = message(input).await?;
    input.number().await?; // whether a position follows: never
    for _ in 0..input.count(MAX_ERROR_TRACES).await? {
        input.number().await?;
        input.clipped(MAX_LOG_TEXT_BYTES).await?;
    }
    Ok(why)
}

async fn read_start<R: AsyncRead + Unpin>(input: &mut Reader<R>) -> Result<Event, DaemonError> {
    let id = input.number().await?;
    input.number().await?; // the verbosity level
    let kind = ActivityKind::from_wire(input.number().await?);
    let text = message(input).await?;
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
            1 => Field::Text(input.clipped(MAX_LOG_TEXT_BYTES).await?),
            kind => return Err(DaemonError::protocol(format!("unknown kind of activity field {kind}"))),
        });
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    async fn read(request: &Request) -> Result<Frame, DaemonError> {
        read_frame(&mut Reader::new(request.as_bytes())).await
    }

    #[tokio::test]
    async fn a_line_of_the_build_log_is_told_as_it_is() {
        let mut wire = Request::new(RESULT);
        wire.number(1).number(RESULT_BUILD_LOG_LINE).number(1).number(1).bytes("checking for gcc... \x1b[32myes\x1b[0m");
        let line = Event::Line("checking for gcc... \x1b[32myes\x1b[0m".into());
        assert_eq!(read(&wire).await.unwrap(), Frame::Told(Some(line)));
    }

    #[tokio::test]
    async fn an_activity_is_read_with_all_its_fields() {
        let mut wire = Request::new(START_ACTIVITY);
        wire.number(9).number(3).number(105).bytes("building 'x'").number(2);
        wire.number(1).bytes("/nix/store/x.drv").number(0).number(1).number(0);
        let started = Event::Started { id: 9, kind: ActivityKind::Build, text: "building 'x'".into() };
        assert_eq!(read(&wire).await.unwrap(), Frame::Told(Some(started)));
    }

    #[tokio::test]
    async fn an_error_is_read_with_its_traces_and_without_its_colours() {
        let mut wire = Request::new(ERROR);
        wire.bytes("Error").number(0).bytes("Error").bytes("\x1b[31;1mgone\x1b[0m\n").number(0);
        wire.number(1).number(0).bytes("while looking");
        let with_next = wire.number(LAST).as_bytes().to_vec();
        let mut reader = Reader::new(&with_next[..]);
        assert_eq!(read_frame(&mut reader).await.unwrap(), Frame::Error("gone".into()));
        assert_eq!(read_frame(&mut reader).await.unwrap(), Frame::Last);
    }

    #[tokio::test]
    async fn results_that_nobody_needs_are_passed_over() {
        let mut wire = Request::new(RESULT);
        wire.number(1).number(106).number(2).number(0).number(100).number(0).number(5);
        assert_eq!(read(&wire).await.unwrap(), Frame::Told(None));
    }

    #[tokio::test]
    async fn unknown_frames_and_fields_are_refused() {
        assert!(matches!(read(&Request::new(0x1234)).await, Err(DaemonError::Protocol(_))));
        let mut wire = Request::new(RESULT);
        wire.number(1).number(101).number(1).number(7);
        assert!(matches!(read(&wire).await, Err(DaemonError::Protocol(_))));
        wire = Request::new(RESULT);
        wire.number(1).number(101).number(MAX_ACTIVITY_FIELDS + 1);
        assert!(matches!(read(&wire).await, Err(DaemonError::Protocol(_))));
    }
}
