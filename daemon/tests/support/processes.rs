//! Waiting, and the processes of this machine.

use std::time::{Duration, Instant};

/// Waits until something is so, which must happen within ten seconds.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "still not so after ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process with this argument runs on this machine.
pub fn runs_with_argument(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc");
    processes
        .flatten()
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|cmdline| cmdline.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
}
