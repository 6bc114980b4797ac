//! What Drover asks of a store daemon, whichever it is.

use std::collections::BTreeSet;
use std::path::Path;

use drover_store::{StoreDir, StorePath};

use crate::{BuildMode, BuildResult, DaemonError, Dialect, Event, Job, Options, PathInfo, ProtocolVersion};

/// One conversation with a store daemon, one operation at a time.
///
/// Dropping a conversation ends what it was doing: in the middle of a build the daemon notices and kills the
/// builder. That is how a build is cancelled. Dropping the *future* of an operation leaves the two sides out of
/// step, as does every error but [`DaemonError::Daemon`] and [`DaemonError::Untrusted`]: from then on
/// [`is_usable`](Self::is_usable) is false and every operation fails.
pub trait StoreDaemon {
    /// Whose daemon it is.
    fn dialect(&self) -> Dialect;

    /// The version of the protocol that is spoken.
    fn protocol(&self) -> ProtocolVersion;

    /// The store that the daemon manages.
    fn store_dir(&self) -> &StoreDir;

    /// Whether another operation can follow.
    fn is_usable(&self) -> bool;

    /// Whether the daemon trusts this user, where it says so: `nix-daemon` from protocol 1.35 on.
    fn trusted(&self) -> Option<bool>;

    /// The daemon's process that serves this connection, below which the builders run. Its number is the caller's own name for it;
    /// `None` where the caller cannot see it.
    fn worker(&self) -> Option<u32>;

    /// Whether a derivation can be built only when it is in the daemon's store, and with it all derivations and
    /// sources that it refers to, however far below. So it is with Guix.
    fn needs_closure(&self) -> bool {
        self.dialect() == Dialect::Guix
    }

    /// Changes the settings of this connection; they hold until changed again.
    fn set_options(&mut self, options: &Options) -> impl Future<Output = Result<(), DaemonError>> + Send;

    /// Whether a path is in the store, whole.
    fn is_valid(&mut self, path: &StorePath) -> impl Future<Output = Result<bool, DaemonError>> + Send;

    /// Which of these paths are in the store, in one round trip. Nothing is fetched.
    fn query_valid(
        &mut self,
        paths: &BTreeSet<StorePath>,
    ) -> impl Future<Output = Result<BTreeSet<StorePath>, DaemonError>> + Send;

    /// What the store knows about a path; `None` when it is not valid.
    fn path_info(&mut self, path: &StorePath) -> impl Future<Output = Result<Option<PathInfo>, DaemonError>> + Send;

    /// Keeps a path from the garbage collector for as long as this connection lives, whether it is valid
    /// yet or not.
    fn add_temp_root(&mut self, path: &StorePath) -> impl Future<Output = Result<(), DaemonError>> + Send;

    /// Keeps from the garbage collector what the symlink `link` points to, for as long as it does. The
    /// link is the caller's to make.
    fn add_indirect_root(&mut self, link: &Path) -> impl Future<Output = Result<(), DaemonError>> + Send;

    /// Makes sure that a path is valid, by substitution where it is not; see [`Options::substituters`]. Ask only for
    /// what is available: daemons remember what was not found.
    ///
    /// # Errors
    /// [`DaemonError::Daemon`] when the path is not valid and nobody has it, or no key that the daemon trusts has
    /// signed it.
    fn ensure(&mut self, path: &StorePath) -> impl Future<Output = Result<(), DaemonError>> + Send;

    /// Makes sure that all of these are valid, as far as they can be had. Far cheaper with `guix-daemon` than one by one:
    /// it starts a process for each request, which costs a quarter of a second.
    ///
    /// # Errors
    /// [`DaemonError::Daemon`] when some could not be had; which, [`query_valid`](Self::query_valid) tells.
    fn ensure_all(&mut self, paths: &BTreeSet<StorePath>) -> impl Future<Output = Result<(), DaemonError>> + Send;

    /// Adds a text whose name follows from its content, such as a `.drv`, and says what it is called. What it refers
    /// to must be valid.
    fn add_text(
        &mut self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> impl Future<Output = Result<StorePath, DaemonError>> + Send;

    /// Builds a derivation whose inputs are valid in the store, telling `on_event` what happens. The daemon never
    /// comes to build one of its inputs.
    ///
    /// `on_event` is called for each log line and must not block; nothing is kept for a reader that is slow.
    ///
    /// # Errors
    /// [`DaemonError::Daemon`] when the daemon did not come to build it, such as when an input is missing (some
    /// versions tell that as [`BuildStatus::MiscFailure`](crate::BuildStatus::MiscFailure));
    /// [`DaemonError::Untrusted`] when this user may not build it. A build that failed is no error, but a
    /// [`BuildResult`].
    fn build(
        &mut self,
        job: &Job<'_>,
        mode: BuildMode,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> impl Future<Output = Result<BuildResult, DaemonError>> + Send;

    /// Deletes a path from the store, valid or not; false when something keeps it alive. This is a collection of
    /// garbage, and holds up others as one does.
    fn delete(&mut self, path: &StorePath) -> impl Future<Output = Result<bool, DaemonError>> + Send;
}
