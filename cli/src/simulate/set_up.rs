//! What a simulated farm begins with: what the scheduler has learned, who says hello, and the one submission.

use std::collections::BTreeMap;

use drover_messages::{AgentId, ClientId, Generation, Timestamp};
use drover_scheduler_core::{Core, Input, Item, ItemState, Objection, Order, Package, State, Submission, SubmissionState, Took};
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::farm::Ground;
use super::graph::SUBMISSION;
use super::machine::Machine;
use crate::exit::bad_input;

/// Builds that are entered at once, as the scheduler's planner does.
const ROWS: usize = 500;

/// Agents are numbered.
pub(super) fn agent(number: usize) -> AgentId {
    AgentId::from_uuid(Uuid::from_u128(number as u128 + 1))
}

/// Which agent that is.
pub(super) fn number(agent: AgentId) -> usize {
    agent.uuid().as_u128() as usize - 1
}

/// A state in which nothing was entered; it knows what builds take, if it is to.
pub(super) fn state(ground: &Ground<'_>, known: bool) -> State {
    let mut state = State::new(Generation(1));
    if known {
        let mut took: BTreeMap<Package, Vec<u64>> = BTreeMap::new();
        for (planned, millis) in ground.graph.builds.iter().zip(ground.millis) {
            took.entry(Package::of(&planned.recipe)).or_default().push(*millis);
        }
        let took = took.into_iter().map(|(package, millis)| (package, Took::from_iter(millis)));
        state.remember_usage(took, []);
    }
    state
}

/// What the core is told at the start.
pub(super) fn inputs(ground: &Ground<'_>, machines: &[Machine]) -> Vec<Input> {
    let graph = ground.graph;
    let named = machines.iter().zip(ground.fleet.names()).enumerate();
    let hellos = named.map(|(n, (machine, name))| {
        let hello = Box::new(machine.hello(&name, &graph.store_dir));
        Input::Hello { agent: agent(n), hello }
    });
    let there = graph.there.iter().map(|path| {
        let item = Item { state: ItemState::Available, ..Item::wanted(graph.store_dir.clone()) };
        (path.clone(), item)
    });
    let there = Input::Recall { submissions: Vec::new(), builds: Vec::new(), items: there.collect() };
    let builds = graph.builds.chunks(ROWS);
    let builds = builds.map(|builds| Input::AddBuilds { submission: SUBMISSION, builds: builds.to_vec() });
    let enter = [Input::CaughtUp, there, Input::Enter(submission(ground))];
    hellos.chain(enter).chain(builds).chain([Input::GoLive { submission: SUBMISSION }]).collect()
}

fn submission(ground: &Ground<'_>) -> Submission {
    Submission {
        id: SUBMISSION,
        client: ClientId::from_uuid(Uuid::nil()),
        store_dir: ground.graph.store_dir.clone(),
        roots: Vec::new(),
        priority: 0,
        input_builds: true,
        tags: BTreeMap::new(),
        terms: Default::default(),
        submitted_at: Timestamp(0),
        state: SubmissionState::Planning,
    }
}

/// That there is an agent for each build; else what speaks against them.
pub(super) fn all_can_be_built(ground: &Ground<'_>, core: &Core) -> anyhow::Result<()> {
    let agents = 0..ground.fleet.agents().count();
    let lasting = |build, n| {
        let objection = core.state().objection(build, agent(n), Default::default(), core.limits());
        objection.filter(|objection| !Objection::may_pass(objection))
    };
    for build in core.state().builds() {
        let objections: Option<Vec<Objection>> = agents.clone().map(|n| lasting(build, n)).collect();
        if let Some(objections) = objections {
            let name = build.recipe.drv.name_without_drv();
            let why = objections.first().map(ToString::to_string).unwrap_or_default();
            return Err(bad_input(format!("no agent of the fleet can build {name}; of the first it is said that {why}")));
        }
    }
    Ok(())
}

/// A bar on a terminal; elsewhere nothing is drawn.
pub(super) fn bar(builds: usize, order: Order) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix} {bar:30} {pos} of {len} builds").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(builds as u64).with_style(style).with_prefix(super::outcome::word(order))
}
