//! `drover decode`: a message on standard input, as JSON on standard output; what is no message, as text.
//!
//! Made for `nats … --translate 'drover decode'`, so it never fails: whatever comes is shown.

use std::io::{Read, Write};
use std::process::ExitCode;

use drover_messages::envelope::{MAX_MESSAGE_BYTES, to_json};

use crate::exit::Exit;

/// Show a message of Drover as JSON.
///
/// Reads one message from standard input. For the nats CLI: nats stream view EVENTS --translate 'drover decode'
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The subject it came on: not needed, accepted so that {{Subject}} can be passed
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// JSON in several indented lines
    #[arg(long)]
    indent: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut bytes = Vec::new();
    // A reader that is gone, or input that breaks off, is no reason to fail: what is there is shown.
    let _ = std::io::stdin().lock().take(MAX_MESSAGE_BYTES as u64 + 1).read_to_end(&mut bytes);
    let _ = writeln!(std::io::stdout().lock(), "{}", shown(&bytes, args.indent, args.subject.as_deref()));
    Ok(Exit::Success.into())
}

fn shown(bytes: &[u8], indent: bool, subject: Option<&str>) -> String {
    // A log is text, even where it happens to be MessagePack as well.
    let is_log = subject.is_some_and(|subject| subject.starts_with("log."));
    if is_log {
        return text(bytes);
    }
    match to_json(bytes) {
        Ok(json) if indent => format!("{json:#}"),
        Ok(json) => json.to_string(),
        Err(_) => text(bytes),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use drover_messages::{encode, query::AskAgents, query::Problem};

    use super::*;

    #[test]
    fn a_message_is_one_line_of_json() {
        let bytes = encode(&Problem { message: "no such build".into() });
        assert_eq!(shown(&bytes, false, None), r#"{"v":1,"kind":"problem","body":{"message":"no such build"}}"#);
    }

    #[test]
    fn indented_json_has_several_lines() {
        assert!(shown(&encode(&AskAgents { after: None }), true, None).lines().count() > 2);
    }

    #[test]
    fn whatever_is_no_message_is_shown_as_text() {
        assert_eq!(shown(b"make: *** [all] Error 1\n", false, None), "make: *** [all] Error 1");
        assert_eq!(shown(b"", false, None), "");
        assert_eq!(shown(&[0xff, 0xfe, b'x'], false, None), "\u{fffd}\u{fffd}x");
        assert_eq!(shown(&[0x81], false, None), "\u{fffd}");
    }

    #[test]
    fn a_log_is_text_even_if_it_could_be_a_message() {
        let bytes = encode(&AskAgents { after: None });
        assert_eq!(shown(&bytes, false, Some("log.a.b.c")), text(&bytes));
    }
}
