//! Frames: what a daemon sends between a request and its answer.
//!
//! Each begins with a code. LAST ends them and the answer follows; ERROR ends them and none does. Both dialects have
//! texts; activities are Nix's alone, and each words its errors in its own way.
//! Source: `src/libstore/daemon.cc` (`TunnelLogger`) of Nix, `nix/nix-daemon/nix-daemon.cc` of Guix.

use tokio::io::AsyncRead;

use super::{MAX_ERROR_TRACES, MAX_LOG_TEXT_BYTES, Reader};
use crate::event::without_ansi;
use crate::nix::activity::{self, read_activity};
use crate::{DaemonError, Dialect, Event};

const NEXT: u64 = 0x6f6c_6d67;
const READ: u64 = 0x6461_7461;
const WRITE: u64 = 0x6461_7416;
const LAST: u64 = 0x616c_7473;
/// Begins an error, here and where a daemon fails in the middle of an answer.
pub(crate) const ERROR: u64 = 0x6378_7470;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Something happened.
    Told(Told),
    /// The operation succeeded; its answer follows.
    Last,
    /// The operation failed.
    Error(Refusal),
}

/// What a daemon tells while it works.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Text as it is: of Nix, words for people; of Guix, also what builders say and what becomes of them.
    Text(Vec<u8>),
    /// An activity of Nix.
    Event(Event),
    /// An activity of Nix that we pass over.
    Nothing,
}

/// Why a daemon refused or failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// In its own words, without colours.
    pub message: String,
    /// What a command of Guix would exit with; Nix has nothing of the kind, and always 1 here.
    pub status: u64,
}

/// Reads one frame.
pub(crate) async fn read_frame<R: AsyncRead + Unpin>(input: &mut Reader<R>, dialect: Dialect) -> Result<Frame, DaemonError> {
    match (input.number().await?, dialect) {
        (LAST, _) => Ok(Frame::Last),
        (ERROR, _) => read_error(input, dialect).await.map(Frame::Error),
        (NEXT, _) => Ok(Frame::Told(Told::Text(input.clipped(MAX_LOG_TEXT_BYTES).await?))),
        (READ | WRITE, _) => Err(DaemonError::protocol("it uses a data frame, which no operation of ours allows")),
        (code, Dialect::Nix) if activity::is_code(code) => read_activity(input, code).await.map(Frame::Told),
        (code, _) => Err(DaemonError::protocol(format!("unknown frame {code:#x}"))),
    }
}

/// Reads what follows [`ERROR`].
pub(crate) async fn read_error<R: AsyncRead + Unpin>(input: &mut Reader<R>, dialect: Dialect) -> Result<Refusal, DaemonError> {
    match dialect {
        Dialect::Nix => read_structured_error(input).await,
        Dialect::Guix => Ok(Refusal { message: read_message(input).await?, status: input.number().await? }),
    }
}

/// The form that Nix uses from protocol 1.26 on.
async fn read_structured_error<R: AsyncRead + Unpin>(input: &mut Reader<R>) -> Result<Refusal, DaemonError> {
    input.clipped(MAX_LOG_TEXT_BYTES).await?; // the type, always "Error"
    input.number().await?; // the verbosity level
    input.clipped(MAX_LOG_TEXT_BYTES).await?; // a name, no longer used
    let message = read_message(input).await?;
    input.number().await?; // whether a position follows: never
    for _ in 0..input.count(MAX_ERROR_TRACES).await? {
        input.number().await?;
        input.clipped(MAX_LOG_TEXT_BYTES).await?;
    }
    Ok(Refusal { message, status: 1 })
}

/// Reads a daemon's text for people.
pub(crate) async fn read_message<R: AsyncRead + Unpin>(input: &mut Reader<R>) -> Result<String, DaemonError> {
    input.clipped(MAX_LOG_TEXT_BYTES).await.map(|text| message(&text))
}

/// A daemon's text for people, without colours and without the newline at its end.
pub(crate) fn message(text: &[u8]) -> String {
    let text = without_ansi(String::from_utf8_lossy(text).into_owned());
    text.trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    async fn read(request: &Request, dialect: Dialect) -> Result<Frame, DaemonError> {
        read_frame(&mut Reader::new(request.as_bytes()), dialect).await
    }

    /// The error and the frame after it, to see that they are in step.
    async fn error_and_next(mut wire: Request, dialect: Dialect) -> (Frame, Frame) {
        let wire = wire.number(LAST).as_bytes().to_vec();
        let mut reader = Reader::new(&wire[..]);
        let error = read_frame(&mut reader, dialect).await.unwrap();
        (error, read_frame(&mut reader, dialect).await.unwrap())
    }

    #[tokio::test]
    async fn an_error_of_nix_is_read_with_its_traces_and_without_its_colours() {
        let mut wire = Request::new(ERROR);
        wire.bytes("Error").number(0).bytes("Error").bytes("\x1b[31;1mgone\x1b[0m\n").number(0);
        wire.number(1).number(0).bytes("while looking");
        let gone = Frame::Error(Refusal { message: "gone".into(), status: 1 });
        assert_eq!(error_and_next(wire, Dialect::Nix).await, (gone, Frame::Last));
    }

    #[tokio::test]
    async fn an_error_of_guix_is_a_message_and_a_status() {
        let mut wire = Request::new(ERROR);
        wire.bytes("build of `x' failed").number(100);
        let failed = Frame::Error(Refusal { message: "build of `x' failed".into(), status: 100 });
        assert_eq!(error_and_next(wire, Dialect::Guix).await, (failed, Frame::Last));
    }

    #[tokio::test]
    async fn a_text_is_told_as_it_is() {
        let mut wire = Request::new(NEXT);
        wire.bytes(b"\x1b[1mno \xff newline");
        let text = Frame::Told(Told::Text(b"\x1b[1mno \xff newline".to_vec()));
        assert_eq!(read(&wire, Dialect::Guix).await.unwrap(), text);
    }

    #[tokio::test]
    async fn unknown_frames_and_those_of_the_other_dialect_are_refused() {
        assert!(matches!(read(&Request::new(0x1234), Dialect::Nix).await, Err(DaemonError::Protocol(_))));
        let mut stop_activity = Request::new(0x5354_4f50);
        stop_activity.number(7);
        assert!(matches!(read(&stop_activity, Dialect::Guix).await, Err(DaemonError::Protocol(_))));
        assert!(matches!(read(&stop_activity, Dialect::Nix).await, Ok(Frame::Told(Told::Event(_)))));
    }
}
