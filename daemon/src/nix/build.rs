//! Building one derivation.

use drover_store::DrvPath;

use super::channel::Channel;
use super::{Connection, operation};
use crate::event::without_ansi;
use crate::wire::{MAX_LIST_ITEMS, MAX_LOG_TEXT_BYTES, MAX_STRING_BYTES, Request};
use crate::{BasicDerivation, BuildMode, BuildResult, BuildStatus, DaemonError, Event, ProtocolVersion};

impl Connection {
    /// Builds a derivation whose inputs are valid in the store, telling `on_event` what happens. Neither
    /// the `.drv` nor its closure needs to be there.
    ///
    /// `on_event` is called for each log line and must not block; nothing is kept for a reader that is
    /// slow. Dropping this connection before the end makes the daemon kill the builder.
    ///
    /// # Errors
    /// [`DaemonError::Daemon`] when the daemon did not come to build it, such as when an input is missing
    /// (some versions tell that as [`BuildStatus::MiscFailure`]); [`DaemonError::Untrusted`] when this user
    /// may not build it. A build that failed is no error, but a [`BuildResult`].
    pub async fn build_derivation(
        &mut self,
        drv: &DrvPath,
        derivation: &BasicDerivation<'_>,
        mode: BuildMode,
        mut on_event: impl FnMut(Event),
    ) -> Result<BuildResult, DaemonError> {
        if self.trusted() == Some(false) && !derivation.is_fixed_output() {
            return Err(DaemonError::Untrusted(format!("it may not build {drv}, whose outputs are named by their inputs")));
        }
        let protocol = self.protocol();
        let mut request = self.about(operation::BUILD_DERIVATION, drv.as_ref());
        derivation.write(self.store_dir(), &mut request);
        request.number(mode.to_wire());
        let channel = self.begin()?;
        let outcome = build(channel, &request, protocol, &mut on_event).await;
        self.end(outcome)
    }
}

async fn build(
    channel: &mut Channel,
    request: &Request,
    protocol: ProtocolVersion,
    on_event: &mut impl FnMut(Event),
) -> Result<BuildResult, DaemonError> {
    channel.send(request).await?;
    channel.await_answer(on_event).await?;
    read_result(channel, protocol).await
}

async fn read_result(channel: &mut Channel, protocol: ProtocolVersion) -> Result<BuildResult, DaemonError> {
    let input = &mut channel.input;
    let mut result = BuildResult {
        status: BuildStatus::from_wire(input.number().await?),
        message: without_ansi(input.clipped(MAX_LOG_TEXT_BYTES).await?),
        times_built: input.number().await?,
        started_unix_secs: {
            input.flag().await?; // whether it is not deterministic; the status says so
            input.number().await?
        },
        stopped_unix_secs: input.number().await?,
        cpu_user_micros: None,
        cpu_system_micros: None,
    };
    if protocol.minor() >= 37 {
        result.cpu_user_micros = read_optional(channel).await?;
        result.cpu_system_micros = read_optional(channel).await?;
    }
    skip_built_outputs(channel).await?;
    Ok(result)
}

/// A number behind a flag that says whether there is one.
async fn read_optional(channel: &mut Channel) -> Result<Option<u64>, DaemonError> {
    if channel.input.flag().await? { channel.input.number().await.map(Some) } else { Ok(None) }
}

/// Realisations of content-addressed derivations, which we do not build: an id and a JSON text each.
async fn skip_built_outputs(channel: &mut Channel) -> Result<(), DaemonError> {
    for _ in 0..channel.input.count(MAX_LIST_ITEMS).await? {
        channel.input.bytes(MAX_STRING_BYTES).await?;
        channel.input.bytes(MAX_STRING_BYTES).await?;
    }
    Ok(())
}
