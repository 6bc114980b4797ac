//! Builds that are too much for whoever is not careful.

use drover_daemon::{BuildMode, BuildStatus, Event, Options, StoreDaemon};
use drover_store::HashingWriter;
use drover_store::nar;

use crate::support::{Kind, Lab, Made, Plan};
use crate::watched::build;

pub async fn log_that_is_not_utf8(lab: &Lab) {
    let mut connection = lab.connect().await;
    let script = r"printf 'caf\351\n'; printf '\377\376\000\n'; printf 'gr\303\274n\n'; echo > $out";
    let (_, watched) = build(lab, &mut connection, &Plan::new("latin", script)).await;
    watched.ended(BuildStatus::Built);
    assert_eq!(watched.log(), ["caf\u{fffd}", "\u{fffd}\u{fffd}\0", "grün"]);
}

pub async fn log_of_100_megabytes(lab: &Lab) {
    const LINES: usize = 100_000;
    const LINE_BYTES: usize = 1000; // with its newline
    let line = "0123456789".repeat(LINE_BYTES / 10).split_off(1);
    let made = Plan::new("talkative", format!("yes {line} | head -n {LINES}; echo > $out")).make(lab);
    let mut connection = lab.connect_with(&Options { overrides: quick_logs(lab.kind()), ..Options::default() }).await;
    made.add(&mut connection).await;
    let (mut whole, mut other) = (0, Vec::new());
    let mut on_event = |event| match event {
        Event::Line(told) if told == line => whole += 1,
        Event::Line(told) => other.push(told),
        _ => {}
    };
    let result = connection.build(&made.job(&[]), BuildMode::Normal, &mut on_event).await.unwrap();
    assert_eq!(result.status, BuildStatus::Built, "{}", result.message);
    assert_eq!((whole, other), (LINES, Vec::new()));
}

/// Nix's bzip2 takes a minute over a text that repeats itself.
fn quick_logs(kind: Kind) -> Vec<(String, String)> {
    let of_nix = kind != Kind::Guix;
    of_nix.then(|| ("compress-build-log".into(), "false".into())).into_iter().collect()
}

pub async fn output_with_50_000_files(lab: &Lab) {
    let script = "mkdir $out; cd $out; i=0; while [ $i -lt 50000 ]; do echo $i > $i; i=$((i+1)); done";
    let made = build_quietly(lab, &Plan::new("many", script)).await;
    assert_eq!(std::fs::read_dir(lab.file(made.out())).unwrap().count(), 50_000);
    whole_nar_is_what_the_daemon_says(lab, &made).await;
}

/// One byte more than fits a signed number of 32 bits.
pub async fn output_of_2_gibibytes(lab: &Lab) {
    const BYTES: u64 = 1 << 31;
    let script = format!("dd if=/dev/zero of=$out bs=1 count=1 seek={}", BYTES - 1);
    let made = build_quietly(lab, &Plan::new("huge", script)).await;
    assert_eq!(std::fs::metadata(lab.file(made.out())).unwrap().len(), BYTES);
    whole_nar_is_what_the_daemon_says(lab, &made).await;
}

async fn build_quietly(lab: &Lab, plan: &Plan<'_>) -> Made {
    let (made, watched) = build(lab, &mut lab.connect().await, plan).await;
    watched.ended(BuildStatus::Built);
    made
}

/// Our dump of the output has the hash and the size that the daemon gives.
async fn whole_nar_is_what_the_daemon_says(lab: &Lab, made: &Made) {
    let info = lab.connect().await.path_info(made.out()).await.unwrap().expect("what was built is valid");
    let mut hashing = HashingWriter::new(std::io::sink());
    nar::dump(&lab.file(made.out()), &mut hashing).unwrap();
    let (_, summary) = hashing.finish();
    assert_eq!((summary.sha256, summary.size), (info.nar_hash, info.nar_size));
}
