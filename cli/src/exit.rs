//! How `drover` ends, so that a script can tell a failed build from a typing error and from a farm in trouble.
//!
//! It knows the numbers and which error means which; it does not know any command.

use std::fmt;
use std::process::ExitCode;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All that was asked for is done.
    Success = 0,
    /// A build failed or is blocked, or a verification failed.
    Failed = 1,
    /// The command line, or what it names, is wrong. Nothing was changed.
    BadInput = 2,
    /// The farm cannot be reached, does not answer, or did not finish in time.
    Farm = 3,
    /// Ctrl-C.
    Interrupted = 130,
    /// Nobody reads what it prints, as where SIGPIPE ends a process.
    Unread = 141,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What `--help` says about it.
pub(crate) const HELP: &str = "Exit codes:
  0    done
  1    a build failed or is blocked, or a verification failed
  2    the command line, or what it names, is wrong; nothing was changed
  3    trouble with the farm: it cannot be reached, is silent, or took longer than --timeout
  130  interrupted
  141  nobody reads its output any more";

/// An error that is the user's to mend: [`Exit::BadInput`]. All other errors are the farm's.
#[derive(Debug)]
pub(crate) struct BadInput(String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// An error for [`Exit::BadInput`], in words that say what to do.
pub(crate) fn bad_input(words: impl Into<String>) -> anyhow::Error {
    BadInput(words.into()).into()
}

/// The exit code of a command that ended with an error.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    let bad_input = error.downcast_ref::<BadInput>().is_some() || error.chain().any(|cause| cause.is::<BadInput>());
    if bad_input { Exit::BadInput } else { Exit::Farm }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn bad_input_is_recognised_below_any_context() {
        let error = Err::<(), _>(bad_input("no such file")).context("while reading").unwrap_err();
        assert_eq!(of_error(&error), Exit::BadInput);
    }

    #[test]
    fn bad_input_is_recognised_as_a_context_itself() {
        let io = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Err::<(), _>(io).context(BadInput("no such file".into())).unwrap_err();
        assert_eq!(of_error(&error), Exit::BadInput);
    }

    #[test]
    fn any_other_error_is_trouble_with_the_farm() {
        assert_eq!(of_error(&anyhow::anyhow!("no answer")), Exit::Farm);
    }
}
