//! The build trace: lines by which `guix-daemon` tells programs what becomes of derivations.
//!
//! Source: `printBuildTrace` in `nix/libstore/build.cc` of Guix.

/// One line of the trace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trace<'t> {
    /// A builder runs.
    BuildStarted {
        /// What it builds, absolute.
        drv: &'t str,
        /// Its process, by which its log is marked.
        pid: u64,
    },
    /// A derivation could not be built.
    BuildFailed {
        /// Which, absolute.
        drv: &'t str,
        /// What went wrong.
        how: Failure<'t>,
    },
    /// A fixed output came out otherwise, or a substitute did.
    HashMismatch {
        /// Which, absolute.
        path: &'t str,
        /// `sha256`
        algo: &'t str,
        /// In Nix's base 32.
        expected: &'t str,
        /// In Nix's base 32.
        actual: &'t str,
    },
    /// A path was fetched.
    Substituted {
        /// Which, absolute.
        path: &'t str,
    },
    /// Anything else.
    Other,
}

/// How a derivation failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure<'t> {
    /// It was stopped: too slow, too silent, too much log. Which of them, the text before tells.
    Stopped,
    /// It failed before, and that was kept in memory.
    Cached,
    /// Its builder could not be started.
    Setup(&'t str),
    /// It was built, and the builder or what came out was no good.
    Built(&'t str),
}

impl<'t> Trace<'t> {
    /// Reads a line; `None` when it is none of the trace.
    pub fn parse(line: &'t str) -> Option<Self> {
        let line = line.strip_prefix("@ ")?;
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(
            match what {
                "build-started" => build_started(rest),
                "build-failed" => build_failed(rest),
                "hash-mismatch" => hash_mismatch(rest),
                "substituter-succeeded" => Some(Self::Substituted { path: rest }),
                _ => None,
            }
            .unwrap_or(Self::Other),
        )
    }
}

/// `DRV - SYSTEM LOG-FILE PID`
fn build_started(rest: &str) -> Option<Trace<'_>> {
    let (drv, rest) = rest.split_once(" - ")?;
    let pid = rest.rsplit(' ').next()?.parse().ok()?;
    Some(Trace::BuildStarted { drv, pid })
}

/// `DRV - timeout`, `DRV - cached`, `DRV - 0 TEXT` or `DRV - 1 TEXT`
fn build_failed(rest: &str) -> Option<Trace<'_>> {
    let (drv, how) = rest.split_once(" - ")?;
    let how = match how.split_once(' ') {
        None if how == "timeout" => Failure::Stopped,
        None if how == "cached" => Failure::Cached,
        None => return None,
        Some(("0", text)) => Failure::Setup(text),
        Some((_, text)) => Failure::Built(text),
    };
    Some(Trace::BuildFailed { drv, how })
}

/// `PATH ALGORITHM EXPECTED ACTUAL`
fn hash_mismatch(rest: &str) -> Option<Trace<'_>> {
    let mut words = rest.split(' ');
    let mut next = || words.next();
    Some(Trace::HashMismatch { path: next()?, algo: next()?, expected: next()?, actual: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_matter_are_understood() {
        let started = "@ build-started /gnu/store/x.drv - x86_64-linux /var/log/guix/drvs/x/.drv.gz 4711";
        assert_eq!(Trace::parse(started), Some(Trace::BuildStarted { drv: "/gnu/store/x.drv", pid: 4711 }));
        let mismatch = "@ hash-mismatch /gnu/store/x sha256 aaa bbb";
        let expected = Trace::HashMismatch { path: "/gnu/store/x", algo: "sha256", expected: "aaa", actual: "bbb" };
        assert_eq!(Trace::parse(mismatch), Some(expected));
    }

    #[test]
    fn each_kind_of_failure_is_told_apart() {
        let how = |text: &'static str| match Trace::parse(text) {
            Some(Trace::BuildFailed { drv: "d", how }) => how,
            other => panic!("{other:?}"),
        };
        assert_eq!(how("@ build-failed d - timeout"), Failure::Stopped);
        assert_eq!(how("@ build-failed d - cached"), Failure::Cached);
        assert_eq!(how("@ build-failed d - 0 no such thing"), Failure::Setup("no such thing"));
        assert_eq!(how("@ build-failed d - 1 builder for `d' failed"), Failure::Built("builder for `d' failed"));
    }

    #[test]
    fn what_is_unknown_or_broken_is_still_of_the_trace_and_words_are_not() {
        for line in ["@ download-progress /gnu/store/x u 1 2", "@ build-started", "@ build-failed d - odd", "@ hash-mismatch p"] {
            assert_eq!(Trace::parse(line), Some(Trace::Other), "{line}");
        }
        assert_eq!(Trace::parse("killing process 12"), None);
    }
}
