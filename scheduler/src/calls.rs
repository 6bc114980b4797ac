//! The scheduler as a NATS micro service: agents that say hello and beat, people who ask.

use std::collections::BTreeSet;

use drover_messages::agent::{Beat, BeatAnswer, Drain, Drained, Hello, MAX_SLOTS};
use drover_messages::{AgentId, Generation};
use drover_nats::service::{About, Asked, Service};
use drover_nats::{Admin, Bus, Filter, Incoming, NatsError, Subject};
use drover_scheduler_core::{Input, Outcome};

use crate::disposals::Disposals;
use crate::logins::Office;
use crate::pattern::Pattern;
use crate::questions;
use crate::reign::Reign;
use crate::snapshots::Snapshots;
use crate::work::Desk;

/// The most that an agent says of itself of any kind, such as features. Ours say far less.
const MAX_WORDS: usize = 1_000;

/// What every answer to a beat says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here {
    pub(crate) generation: Generation,
    pub(crate) beat_every_millis: u64,
}

/// Starts to listen.
pub(crate) async fn start(bus: &Bus) -> Result<Service, NatsError> {
    let about = About {
        name: "drover-scheduler",
        version: env!("CARGO_PKG_VERSION"),
        description: "decides what is built next, and where",
    };
    let asked = [
        Asked { name: "hello", filter: Filter::Hellos, description: "agents introduce themselves" },
        Asked { name: "beat", filter: Filter::Beats, description: "agents say that they are alive, and what they hold" },
        Asked { name: "query", filter: Filter::Queries, description: "how builds, submissions and agents do" },
        Asked {
            name: "admin",
            filter: Filter::Administration,
            description: "logins, agents that take no builds, copies of the state, what was set aside",
        },
    ];
    Service::start(bus, &about, &asked).await
}

/// Serves for ever.
pub(crate) async fn serve(
    mut service: Service,
    desk: Desk,
    here: Here,
    questions: questions::Desk,
    office: Office,
    snapshots: Snapshots,
    disposals: Disposals,
) -> anyhow::Result<()> {
    while let Some(incoming) = service.next().await {
        match incoming.subject {
            Subject::Hello { agent } => hello(&desk, here, agent, incoming).await,
            Subject::Beat { agent } => beat(&desk, here, agent, incoming).await,
            Subject::Query(query) => drop(tokio::spawn(questions.clone().answer(query, incoming))),
            Subject::Admin(Admin::Snapshot) => drop(tokio::spawn(snapshots.clone().answer(incoming))),
            Subject::Admin(Admin::Dispose) => drop(tokio::spawn(disposals.clone().answer(incoming))),
            Subject::Admin(Admin::Drain) => drop(tokio::spawn(drain(desk.clone(), incoming))),
            Subject::Admin(admin) => drop(tokio::spawn(administer(office.clone(), admin, incoming))),
            _ => refuse(&incoming, "nothing that this scheduler can be asked").await,
        }
    }
    anyhow::bail!("the service ended")
}

async fn hello(desk: &Desk, here: Here, agent: AgentId, incoming: Incoming) {
    match incoming.decode::<Hello>().map_err(|e| e.to_string()).and_then(within_bounds) {
        Ok(hello) => answer_with(desk, here, Input::Hello { agent, hello: Box::new(hello) }, incoming).await,
        Err(why) => refuse(&incoming, &why).await,
    }
}

/// The scheduler plans for each slot, and looks through all words: no single login may take it down by them.
fn within_bounds(hello: Hello) -> Result<Hello, String> {
    let slots = hello.max_parallel_builds;
    if slots > MAX_SLOTS {
        return Err(format!("an agent of {slots} slots; {MAX_SLOTS} is the limit"));
    }
    let words = [
        ("systems", hello.systems.len()),
        ("features", hello.features.len()),
        ("mandatory features", hello.mandatory_features.len()),
        ("resources", hello.resources.len()),
        ("tags", hello.tags.len()),
        ("servers", hello.servers.len()),
    ];
    match words.into_iter().find(|(_, n)| *n > MAX_WORDS) {
        Some((what, n)) => Err(format!("an agent of {n} {what}; {MAX_WORDS} is the limit")),
        None => Ok(hello),
    }
}

async fn beat(desk: &Desk, here: Here, agent: AgentId, incoming: Incoming) {
    match incoming.decode::<Beat>() {
        Ok(beat) => answer_with(desk, here, Input::Beat { agent, beat: Box::new(beat) }, incoming).await,
        Err(error) => refuse(&incoming, &error.to_string()).await,
    }
}

/// Answers with the verdicts once they are committed.
async fn answer_with(desk: &Desk, here: Here, input: Input, incoming: Incoming) {
    let runtime = tokio::runtime::Handle::current();
    let then = move |outcome: &Outcome| {
        let answer = BeatAnswer {
            generation: here.generation,
            hello: outcome.hello,
            verdicts: outcome.verdicts.clone(),
            beat_every_millis: here.beat_every_millis,
        };
        runtime.spawn(async move { told(incoming.respond(&answer).await) });
    };
    desk.bring_then(input, then).await;
}

/// Agents that are meant are looked up by what they are called, or were last.
async fn drain(desk: Desk, incoming: Incoming) {
    let drain: Drain = match incoming.decode() {
        Ok(drain) => drain,
        Err(error) => return refuse(&incoming, &error.to_string()).await,
    };
    let wanted = drain.agents.clone();
    let meant = move |reign: &Reign| {
        let state = reign.core().state();
        let here = state.agents().map(|(id, agent)| (id, &agent.hello.name));
        let all = here.chain(state.absent().map(|(id, known)| (id, &known.hello.name)));
        all.filter(|(id, name)| is_meant(&wanted, *id, name)).map(|(id, _)| id).collect::<BTreeSet<_>>()
    };
    let Some(agents) = desk.ask(meant).await else { return };
    if agents.is_empty() {
        return refuse(&incoming, "no agent that is known goes by such a name or id").await;
    }
    let deadline_millis = drain.deadline_secs.map(|secs| secs.saturating_mul(1000));
    desk.settle(Input::Drain { agents: agents.clone(), drained: drain.drained, deadline_millis }).await;
    told(incoming.respond(&Drained { agents }).await);
}

fn is_meant(wanted: &[String], id: AgentId, name: &str) -> bool {
    wanted.iter().any(|wanted| *wanted == id.to_string() || Pattern::new(wanted).fits(name))
}

async fn administer(office: Office, admin: Admin, incoming: Incoming) {
    let made = match admin {
        Admin::LoginNew => incoming.decode().map_err(|e| e.to_string()).and_then(|new| office.make(&new)),
        Admin::PasswordNew => incoming.decode().map_err(|e| e.to_string()).and_then(|asked| office.renew(&asked)),
        _ => Err("it is answered elsewhere".into()),
    };
    match made {
        Ok(answer) => {
            // Before the answer: whoever is told of a login may use it at once.
            office.publish().await;
            told(incoming.respond(&answer).await);
        }
        Err(why) => refuse(&incoming, &why).await,
    }
}

pub(crate) async fn refuse(incoming: &Incoming, why: &str) {
    told(incoming.problem(why).await);
}

pub(crate) fn told(result: Result<(), NatsError>) {
    if let Err(error) = result {
        tracing::debug!(%error, "an answer was not heard");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::samples::known_agent;

    #[test]
    fn an_agent_that_says_too_much_of_itself_is_refused() {
        let of = |alter: &dyn Fn(&mut Hello)| {
            let mut hello = known_agent("a").hello;
            alter(&mut hello);
            within_bounds(hello).map(drop)
        };
        let named = |n: usize| (0..n).map(|n| n.to_string());
        assert_eq!(of(&|hello| hello.max_parallel_builds = MAX_SLOTS), Ok(()));
        assert_eq!(of(&|hello| hello.features = named(MAX_WORDS).collect()), Ok(()));
        let refused = |alter: &dyn Fn(&mut Hello)| of(alter).unwrap_err();
        assert_eq!(refused(&|hello| hello.max_parallel_builds = u32::MAX), "an agent of 4294967295 slots; 1024 is the limit");
        assert_eq!(refused(&|hello| hello.systems = named(1_001).collect()), "an agent of 1001 systems; 1000 is the limit");
        assert!(refused(&|hello| hello.features = named(1_001).collect()).contains("1001 features"));
        assert!(refused(&|hello| hello.mandatory_features = named(1_001).collect()).contains("1001 mandatory features"));
        assert!(refused(&|hello| hello.resources = named(1_001).map(|name| (name, 1)).collect()).contains("1001 resources"));
        assert!(refused(&|hello| hello.tags = named(1_001).map(|key| (key.clone(), key)).collect()).contains("1001 tags"));
        assert!(refused(&|hello| hello.servers = named(1_001).collect()).contains("1001 servers"));
    }

    #[test]
    fn agents_are_meant_by_id_or_by_a_pattern_of_their_name() {
        let id = AgentId::new();
        let meant = |wanted: &str| is_meant(&[wanted.to_owned()], id, "builder-12");
        assert!(["builder-12", "builder-*", "*-12", "b?ilder-1?", "*", &id.to_string()].iter().all(|wanted| meant(wanted)));
        assert!(!["builder", "builder-?", "uilder-12", ""].iter().any(|wanted| meant(wanted)));
    }
}
