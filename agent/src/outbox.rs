//! Reports on their way to the stream RES: one after the other, each until the broker has it. Those that wait meanwhile go
//! together.
//!
//! A report that the broker has may be lost with the broker's disk; the scheduler then asks for it again. What a report
//! says is not known here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_messages::report::Report;
use drover_messages::{AgentId, AttemptId, ReportId};
use drover_nats::{Bus, Lot, MAX_TOGETHER, NatsError, Subject};
use tokio::sync::Notify;

use crate::backoff::Backoff;

/// Reports that wait. Each is in it once, so that it is bounded by what the agent holds.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<VecDeque<Report>>,
    more: Notify,
}

impl Outbox {
    /// Sends a report behind those that wait; one that waits already keeps its place.
    pub fn push(&self, report: &Report) {
        let mut queue = self.queue();
        if queue.iter().all(|waiting| waiting.report != report.report) {
            queue.push_back(report.clone());
            self.more.notify_one();
        }
    }

    /// Sends nothing more about an attempt.
    pub fn withdraw(&self, attempt: AttemptId) {
        self.queue().retain(|report| report.attempt != attempt);
    }

    /// Sends what is pushed, for ever.
    pub async fn send_all(&self, bus: &Bus, agent: AgentId) {
        let (mut backoff, mut together) = (Backoff::default(), MAX_TOGETHER);
        loop {
            let reports = self.first(together);
            let Some(first) = reports.first() else {
                self.more.notified().await;
                continue;
            };
            let (build, attempt) = (first.build, first.attempt);
            match send(bus, agent, reports).await {
                Ok(sent) => {
                    self.sent(&sent);
                    (backoff, together) = (Backoff::default(), MAX_TOGETHER);
                }
                Err(error) => {
                    tracing::warn!(%build, %attempt, %error, "a report waits");
                    if matches!(error, NatsError::Refused { .. }) {
                        // Which of several it is, shows when each goes by itself.
                        if together == 1 {
                            self.let_others_pass(attempt);
                        }
                        together = 1;
                    }
                    backoff.wait().await;
                }
            }
        }
    }

    fn first(&self, most: usize) -> Vec<Report> {
        self.queue().iter().take(most).cloned().collect()
    }

    fn sent(&self, reports: &[ReportId]) {
        self.queue().retain(|waiting| !reports.contains(&waiting.report));
    }

    /// The broker does not like a report: those of its attempt go behind all others, in their order.
    fn let_others_pass(&self, attempt: AttemptId) {
        let mut queue = self.queue();
        let (last, first): (VecDeque<_>, VecDeque<_>) = queue.drain(..).partition(|report| report.attempt == attempt);
        *queue = first;
        queue.extend(last);
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Report>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends as many of them as can go together, and says which.
async fn send(bus: &Bus, agent: AgentId, reports: Vec<Report>) -> Result<Vec<ReportId>, NatsError> {
    let mut ids: Vec<ReportId> = reports.iter().map(|report| report.report).collect();
    let reports: Vec<_> = reports.into_iter().map(|report| (Subject::Report { agent, build: report.build }, report)).collect();
    if let Some(lot) = Lot::first_of(&reports) {
        ids.truncate(lot.len());
        bus.publish_lot(lot).await?;
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drover_messages::report::{Failed, Outcome, Times};
    use drover_messages::{BuildId, Cause, Epoch, Generation};
    use drover_nats::permissions::Who;
    use drover_nats::streams::StreamPlan;
    use drover_nats::testing::NatsServer;
    use drover_nats::{Intake, Reread, reconcile, streams};

    use super::*;

    fn report(attempt: AttemptId) -> Report {
        Report {
            report: ReportId::new(),
            attempt,
            build: BuildId::new(),
            epoch: Epoch { generation: Generation(1), n: 1 },
            outcome: failed(""),
        }
    }

    fn failed(message: &str) -> Outcome {
        let (cause, message) = (Cause::Killed, message.into());
        Outcome::Failed(Failed { cause, message, times: Times::default(), log: None, kept: Vec::new() })
    }

    fn waiting(outbox: &Outbox) -> Vec<ReportId> {
        outbox.queue().iter().map(|report| report.report).collect()
    }

    #[test]
    fn a_report_waits_once_however_often_it_is_asked_for() {
        let outbox = Outbox::default();
        let (one, two) = (report(AttemptId::new()), report(AttemptId::new()));
        for report in [&one, &two, &one] {
            outbox.push(report);
        }
        assert_eq!(waiting(&outbox), [one.report, two.report]);
        outbox.sent(&[one.report]);
        outbox.push(&one);
        assert_eq!(waiting(&outbox), [two.report, one.report]);
    }

    #[test]
    fn a_refused_report_does_not_hold_up_others_and_the_order_of_its_attempt_stays() {
        let outbox = Outbox::default();
        let attempt = AttemptId::new();
        let (first, second, other) = (report(attempt), report(attempt), report(AttemptId::new()));
        for report in [&first, &second, &other] {
            outbox.push(report);
        }
        outbox.let_others_pass(attempt);
        assert_eq!(waiting(&outbox), [other.report, first.report, second.report]);
    }

    #[test]
    fn what_is_settled_is_not_sent() {
        let outbox = Outbox::default();
        let one = report(AttemptId::new());
        outbox.push(&one);
        outbox.withdraw(one.attempt);
        assert_eq!(outbox.first(1), []);
    }

    #[tokio::test]
    async fn a_report_that_is_refused_holds_up_none_that_would_have_gone_with_it() {
        let Some(mut server) = NatsServer::start() else { return };
        let scheduler = Bus::connect(&server.login(Who::Scheduler).await).await.unwrap();
        // A stream that refuses what does not fit: the two short reports do, and nothing with the long one in it.
        let plans = streams::all(&[]).into_iter().filter(|plan| plan.name == streams::RES);
        let plans = plans.map(|plan| StreamPlan { work_queue: true, max_bytes: 2000, ..plan }).collect::<Vec<_>>();
        reconcile(&scheduler, &plans, Reread::Whole).await.unwrap();
        let agent = AgentId::new();
        let bus = Bus::connect(&server.login(Who::Agent(agent)).await).await.unwrap();

        let outbox = Outbox::default();
        let long = Report { outcome: failed(&"x".repeat(2000)), ..report(AttemptId::new()) };
        let others = [report(AttemptId::new()), report(AttemptId::new())];
        for report in [&others[0], &long, &others[1]] {
            outbox.push(report);
        }
        let mut intake = Intake::open(&scheduler, streams::RES, streams::SCHEDULER, 4);
        let heard = async {
            let mut heard = Vec::new();
            while heard.len() < others.len() {
                heard.push(intake.next().await.decode::<Report>().unwrap().report);
            }
            heard
        };
        let sending = outbox.send_all(&bus, agent);
        let heard = tokio::select! {
            heard = tokio::time::timeout(Duration::from_secs(30), heard) => heard.expect("in time"),
            () = sending => unreachable!(),
        };
        assert_eq!(heard, others.each_ref().map(|report| report.report));
        assert!(waiting(&outbox).contains(&long.report));
    }
}
