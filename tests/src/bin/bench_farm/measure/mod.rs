//! What is measured, each on a farm of its own.

mod idle;
mod offers;
mod queued;
mod rate;

use crate::{Args, What};

/// Measures what is wanted, and says the results last.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut results = Vec::new();
    let all = matches!(args.what, None | Some(What::All));
    let mut offered = args.offered;
    if all || matches!(args.what, Some(What::Rate)) {
        let rate = rate::measure(&args, &mut results).await?;
        offered = offered.or(rate.map(|rate| rate / 2.0));
    }
    if all || matches!(args.what, Some(What::Offers)) {
        offers::measure(&args, offered.unwrap_or(1000.0), &mut results).await?;
    }
    if all || matches!(args.what, Some(What::Idle)) {
        idle::measure(&args, &mut results).await?;
    }
    if matches!(args.what, Some(What::Queued)) {
        queued::measure(&args, &mut results).await?;
    }
    for result in results {
        println!("{result}");
    }
    Ok(())
}

/// What was measured, to be compared with others of its name.
fn result(name: &str, value: f64, unit: &str) -> String {
    let digits = if value < 100.0 { 2 } else { 0 };
    format!("result {name} {value:.digits$} {unit}")
}

/// What each process used.
fn used(meters: &[crate::meter::Meter]) -> String {
    meters.iter().map(crate::meter::Meter::words).collect::<Vec<_>>().join(", ")
}
