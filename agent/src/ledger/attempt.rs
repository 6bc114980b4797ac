//! One attempt: the offer it came from, and how far it is. It knows which effects a transition has, not which transitions
//! there are.

use std::sync::Arc;

use drover_messages::ReportId;
use drover_messages::agent::Held;
use drover_messages::offer::Offer;
use drover_messages::report::{Outcome, Report};

use super::Effect;
use super::stage::{Event, Next, Stage};

/// One attempt in the agent's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was offered.
    pub offer: Arc<Offer>,
    /// How far it is.
    pub stage: Stage,
}

impl Attempt {
    /// As a beat tells it.
    pub fn held(&self) -> Held {
        let offer = &self.offer;
        Held { attempt: offer.attempt, build: offer.build, drv: offer.drv.clone(), epoch: offer.epoch, phase: self.stage.phase() }
    }

    /// Goes to the next stage. `None` where nothing more is wanted of it.
    pub(super) fn next(&mut self, event: Event) -> Option<Vec<Effect>> {
        let id = self.offer.attempt;
        let before = std::mem::replace(&mut self.stage, Stage::Accepted);
        let (stage, effects) = match before.next(event) {
            Next::Becomes(stage) => {
                let effects = match stage {
                    // A process that is killed while it builds starts anew: there is nothing to save.
                    Stage::Accepted | Stage::Building => Vec::new(),
                    Stage::Built { upload_try: 0, .. } => vec![Effect::Save(id), Effect::Report(id), Effect::Upload(id)],
                    Stage::Built { .. } => vec![Effect::Save(id), Effect::Upload(id)],
                    Stage::Uploaded { .. } | Stage::Checked { .. } | Stage::Failed { .. } => {
                        vec![Effect::Save(id), Effect::Report(id)]
                    }
                };
                (stage, effects)
            }
            Next::Repeats(stage) => (stage, vec![Effect::ReportAgain(id)]),
            Next::Stops(stage) => (stage, vec![Effect::Stop(id)]),
            Next::Stays(stage) => (stage, Vec::new()),
            Next::Illegal(stage) => (stage, Vec::new()),
            Next::Gone => return None,
        };
        self.stage = stage;
        Some(effects)
    }
}

/// A report on the attempt that came from `offer`.
pub fn report(offer: &Offer, report: ReportId, outcome: Outcome) -> Report {
    Report { report, attempt: offer.attempt, build: offer.build, epoch: offer.epoch, outcome }
}
