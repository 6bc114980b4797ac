//! What time brings: delays end, silent agents are lost, unanswered questions are asked again.

use drover_messages::AgentId;

use super::Step;
use crate::build::BuildEvent;
use crate::change::Change;
use crate::limits::{AGE_BONUS_MAX, AGE_STEP_MILLIS, DEBTS_WEIGHED_EVERY_MILLIS};
use crate::outcome::Effect;
use crate::time::Heard;

impl Step<'_> {
    pub(super) fn tick(&mut self) {
        self.end_delays();
        self.lose_silent_agents();
        self.forget_absent();
        self.end_drains();
        self.offer_again();
        self.ask_again();
        self.age();
        self.save_up();
        self.weigh_debts();
    }

    /// More publications wait than may be asked for: what they are for may have become more urgent since they were owed.
    fn weigh_debts(&mut self) {
        let is_due = self.now.heard.millis_since(self.state.debts_weighed) >= DEBTS_WEIGHED_EVERY_MILLIS;
        if is_due && self.state.askable.len() > self.limits.large_asked_at_once {
            self.change(Change::DebtsWeighed { heard: self.now.heard });
        }
    }

    /// Has one agent save up for each kind of build that was short of something for long.
    fn save_up(&mut self) {
        for (build, agent) in self.state.savers(self.now.heard, self.limits) {
            self.change(Change::SavesUp { build, agent });
        }
    }

    /// What has waited for long counts as more urgent.
    fn age(&mut self) {
        let due = self.state.ageing.iter().take_while(|(due, _)| *due <= self.now.heard);
        for build in due.filter_map(|(_, id)| self.state.build(*id)) {
            let steps = self.now.heard.millis_since(build.entered) / AGE_STEP_MILLIS;
            let bonus = i32::try_from(steps).unwrap_or(AGE_BONUS_MAX).min(AGE_BONUS_MAX);
            self.out.changes.push(Change::Aged { build: build.id, bonus });
        }
    }

    fn end_delays(&mut self) {
        for (_, id) in self.state.deferred.iter().take_while(|(until, _)| *until <= self.now.heard) {
            let inputs = self.state.inputs_of(*id);
            self.out.changes.push(Change::Build { build: *id, event: BuildEvent::Due(inputs) });
        }
    }

    fn lose_silent_agents(&mut self) {
        let known = self.state.agents.iter().map(|(id, agent)| (*id, agent.heard));
        let unheard = self.state.unheard.iter().map(|(id, since)| (*id, *since));
        let lost: Vec<AgentId> = known.chain(unheard).filter(|(_, heard)| self.is_silent(*heard)).map(|(id, _)| id).collect();
        for id in lost {
            self.lose_agent(id);
        }
    }

    /// Whether an agent that was heard last then has lost its leases.
    pub(super) fn is_silent(&self, heard: Heard) -> bool {
        self.now.heard.millis_since(heard) > self.limits.lease_millis
    }

    fn offer_again(&mut self) {
        let (now, after) = (self.now.heard, self.limits.offer_again_millis);
        for (id, agent) in self.state.agents.iter().filter(|(_, agent)| agent.alive) {
            for (attempt, held) in &agent.leases {
                let overdue = held.unanswered_since.is_some_and(|since| now.millis_since(since) >= after);
                let Some(build) = self.state.build(held.build).filter(|_| overdue) else { continue };
                let Some(known) = build.attempt(*attempt) else { continue };
                let offer = self.offer(build, known.id, known.epoch);
                self.effect(Effect::Offer { agent: *id, offer: Box::new(offer) });
                self.change(Change::Offered { agent: *id, attempt: *attempt, heard: now });
            }
        }
    }

    fn ask_again(&mut self) {
        let (now, after) = (self.now.heard, self.limits.ask_again_millis);
        let overdue = self.state.asked.iter().take_while(|(at, _)| now.millis_since(*at) >= after);
        for (_, publication) in overdue {
            self.out.changes.push(Change::Asked { publication: *publication, heard: None });
        }
    }
}
