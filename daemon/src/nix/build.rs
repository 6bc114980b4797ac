//! Building one derivation.

use drover_store::StoreDir;

use super::{Connection, operation};
use crate::channel::Channel;
use crate::event::without_ansi;
use crate::wire::{MAX_LIST_ITEMS, MAX_LOG_TEXT_BYTES, MAX_STRING_BYTES, Request, Told, message};
use crate::{BuildMode, BuildResult, BuildStatus, DaemonError, Event, Job, Options, ProtocolVersion, StoreDaemon};

impl Connection {
    pub(super) async fn build_derivation(
        &mut self,
        job: &Job<'_>,
        mode: BuildMode,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<BuildResult, DaemonError> {
        if self.trusted() == Some(false) && !job.is_fixed_output() {
            let why = format!("it may not build {}, whose outputs are named by their inputs", job.drv());
            return Err(DaemonError::Untrusted(why));
        }
        let protocol = self.protocol();
        let mut request = self.talk.about(operation::BUILD_DERIVATION, job.drv().as_ref());
        write_derivation(job, self.store_dir(), &mut request);
        request.number(mode.to_wire());
        let channel = self.talk.begin()?;
        let outcome = build(channel, &request, protocol, on_event).await;
        let mut result = self.talk.end(outcome)?;
        if let Some(options) = &self.options {
            say_silence(&mut result, options);
        }
        Ok(result)
    }
}

/// Adds the derivation as `writeDerivation` of Nix does, with its inputs resolved to store paths so that neither the
/// `.drv` nor its closure is needed in the store: outputs (name, path, hash algorithm, hash), inputs, system, builder,
/// arguments, environment.
fn write_derivation(job: &Job<'_>, store: &StoreDir, request: &mut Request) {
    let derivation = job.derivation();
    request.number(derivation.outputs.len() as u64);
    for (name, output) in &derivation.outputs {
        request.bytes(name.as_str()).bytes(store.path(&output.path));
        match &output.fixed {
            Some(fixed) => request.bytes(fixed.method_algo()).bytes(fixed.digest.to_hex()),
            None => request.bytes("").bytes(""),
        };
    }
    request.list(job.inputs().iter().map(|path| store.path(path)));
    request.bytes(&derivation.system).bytes(&derivation.builder).list(derivation.args.iter());
    request.number(derivation.env.len() as u64);
    for (name, value) in &derivation.env {
        request.bytes(name).bytes(value);
    }
}

async fn build(
    channel: &mut Channel,
    request: &Request,
    protocol: ProtocolVersion,
    on_event: &mut (dyn FnMut(Event) + Send),
) -> Result<BuildResult, DaemonError> {
    channel.send(request).await?;
    let mut on_told = |told| match told {
        Told::Event(event) => on_event(event),
        Told::Text(text) => on_event(Event::Message(message(&text))),
        Told::Nothing => {}
    };
    channel.await_answer(&mut on_told).await?;
    read_result(channel, protocol).await
}

async fn read_result(channel: &mut Channel, protocol: ProtocolVersion) -> Result<BuildResult, DaemonError> {
    let input = &mut channel.input;
    let mut result = BuildResult {
        status: BuildStatus::from_wire(input.number().await?),
        message: without_ansi(input.clipped_text(MAX_LOG_TEXT_BYTES).await?),
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

/// Newer daemons say only after how many seconds they stopped a builder, and not that it was for its silence.
fn say_silence(result: &mut BuildResult, options: &Options) {
    let silent_secs = options.max_silent_secs;
    let end = format!("timed out after {silent_secs} seconds");
    if result.status == BuildStatus::TimedOut
        && silent_secs != options.build_timeout_secs
        && result.message.trim_end().ends_with(&end)
    {
        result.message.truncate(result.message.trim_end().len());
        result.message.push_str(" of silence");
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(message: &str, max_silent_secs: u64, build_timeout_secs: u64) -> String {
        let mut result = BuildResult::new(BuildStatus::TimedOut, message.to_owned());
        say_silence(&mut result, &Options { max_silent_secs, build_timeout_secs, ..Options::default() });
        result.message
    }

    #[test]
    fn silence_is_told_from_slowness_by_the_seconds_where_they_differ() {
        assert_eq!(told("timed out after 10 seconds", 10, 60), "timed out after 10 seconds of silence");
        assert_eq!(told("timed out after 10 seconds", 60, 10), "timed out after 10 seconds");
        assert_eq!(told("timed out after 10 seconds", 10, 10), "timed out after 10 seconds");
        assert_eq!(told("timed out after 10 seconds of silence", 10, 60), "timed out after 10 seconds of silence");
    }
}
