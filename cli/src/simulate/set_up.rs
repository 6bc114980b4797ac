//! What a simulated farm begins with: what the scheduler has learned, and who says hello; and what submissions bring.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{AgentId, ClientId, Generation, Timestamp};
use drover_scheduler_core::{Core, Input, Item, ItemState, Objection, Order, State, Submission, SubmissionState};
use drover_store::StorePath;
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::farm::Ground;
use super::graph::{Arrival, Graph};
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
        state.remember_usage(ground.learned.clone(), []);
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
    hellos.chain([Input::CaughtUp]).collect()
}

/// What the core is told when a submission comes, where it is known which builds are published.
pub(super) fn arrival(ground: &Ground<'_>, arrival: &Arrival, is_published: impl Fn(usize) -> bool) -> Vec<Input> {
    let id = arrival.submission;
    let there: BTreeSet<_> = arrival.builds.iter().flat_map(|build| there(ground.graph, *build, &is_published)).collect();
    let item = || Item { state: ItemState::Available, ..Item::wanted(ground.graph.store_dir.clone()) };
    let there = there.into_iter().map(|path| (path.clone(), item())).collect();
    let there = Input::Recall { submissions: Vec::new(), builds: Vec::new(), items: there };
    let planned = |builds: &[usize]| builds.iter().map(|build| ground.graph.builds[*build].clone()).collect();
    let builds = arrival.builds.chunks(ROWS).map(|builds| Input::AddBuilds { submission: id, builds: planned(builds) });
    [there, Input::Enter(submission(ground, arrival))]
        .into_iter()
        .chain(builds)
        .chain([Input::GoLive { submission: id }])
        .collect()
}

/// The inputs of a build that are available, as the records of a farm would say.
fn there<'a>(graph: &'a Graph, build: usize, is_published: &impl Fn(usize) -> bool) -> Vec<&'a StorePath> {
    let inputs = &graph.builds[build].inputs;
    let (there, made): (Vec<_>, Vec<_>) = inputs.iter().partition(|path| graph.there.contains(*path));
    let is_made = |(_, item): &(&StorePath, &usize)| graph.makers[**item].iter().any(|maker| is_published(*maker));
    let made = made.into_iter().zip(&graph.needs[build]).filter(is_made).map(|(path, _)| path);
    there.into_iter().chain(made).collect()
}

fn submission(ground: &Ground<'_>, arrival: &Arrival) -> Submission {
    Submission {
        id: arrival.submission,
        client: arrival.client.unwrap_or(ClientId::from_uuid(Uuid::nil())),
        store_dir: ground.graph.store_dir.clone(),
        roots: Vec::new(),
        priority: arrival.priority,
        input_builds: true,
        tags: BTreeMap::new(),
        terms: Default::default(),
        submitted_at: Timestamp(arrival.at_millis),
        state: SubmissionState::Planning,
    }
}

/// That there is an agent for each build that came; else what speaks against them.
pub(super) fn all_can_be_built(ground: &Ground<'_>, core: &Core, came: &Arrival) -> anyhow::Result<()> {
    let agents = 0..ground.fleet.agents().count();
    let lasting = |build, n| {
        let objection = core.state().objection(build, agent(n), Default::default(), core.limits());
        objection.filter(|objection| !Objection::may_pass(objection))
    };
    for build in came.builds.iter().filter_map(|build| core.state().build(ground.graph.builds[*build].id)) {
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
