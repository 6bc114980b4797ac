//! What the core wants done outside. Each of these may be lost: the core decides it again, or it is found later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use drover_bucket::{Bucket, Key};
use drover_messages::agent::Abort;
use drover_messages::offer::{Offer, OfferAnswer};
use drover_messages::publish::{Origin, Publish};
use drover_messages::{AgentId, PublicationId};
use drover_nats::{Bus, Lot, RequestError, Subject, Urgency};
use drover_scheduler_core::input::Answer;
use drover_scheduler_core::{Effect, Input, PackSet, is_large};
use drover_store::{DrvPath, Family, NarInfo, StoreDir, StorePath};
use tokio::sync::mpsc;

use crate::book::Book;
use crate::discards::Discards;
use crate::planning::Planner;
use crate::servers::Servers;
use crate::work::Desk;

/// An agent answers an offer within this time, or is silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The largest narinfo, in bytes.
const MAX_NARINFO_BYTES: u64 = 1 << 20;

/// The pause before what could not be asked for is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Publications that one message asks for, so that the work is spread among all workers.
const ASKED_TOGETHER: usize = 16;

/// Something that the pool `publish` is to be asked, and where.
type Question = (Subject, Publish);

/// The packs that derivations and all they stand on are in.
type Closures = BTreeMap<DrvPath, Arc<PackSet>>;

/// What carrying out needs.
pub(crate) struct Hands {
    pub(crate) bus: Bus,
    pub(crate) bucket: Bucket,
    pub(crate) book: Book,
    pub(crate) desk: Desk,
    pub(crate) servers: Option<Servers>,
    pub(crate) planner: Planner,
    pub(crate) discards: Discards,
}

/// Carries out what is sent, for ever: each time what one commit has brought.
pub(crate) async fn carry_out(hands: Hands, mut effects: mpsc::UnboundedReceiver<Vec<Effect>>) -> anyhow::Result<()> {
    let asker = Asker { bus: hands.bus.clone(), desk: hands.desk.clone() };
    while let Some(together) = effects.recv().await {
        let closures = hands.book.closures(together.iter().filter_map(rests_on))?;
        let mut questions = Vec::new();
        for effect in together {
            questions.extend(hands.carry_out(effect, &closures)?);
        }
        asker.ask(questions).await;
    }
    std::future::pending().await
}

impl Hands {
    /// Carries out an effect, but for what is to be asked of the pool `publish`: that goes together.
    fn carry_out(&self, effect: Effect, closures: &Closures) -> anyhow::Result<Option<Question>> {
        let packs = rests_on(&effect).and_then(|drv| closures.get(&drv)).map(|set| set.iter().collect()).unwrap_or_default();
        match effect {
            Effect::Offer { agent, mut offer } => {
                offer.closure = packs;
                drop(tokio::spawn(make_offer(self.bus.clone(), self.desk.clone(), agent, *offer)));
            }
            Effect::Abort { agent, abort } => drop(tokio::spawn(tell_abort(self.bus.clone(), agent, abort))),
            Effect::Ask { urgency, mut publish } => {
                publish.closure = packs;
                let subject = Subject::Publish { urgency: urgency_of(urgency), publication: publish.publication };
                return Ok(Some((subject, *publish)));
            }
            Effect::Confirm { store_dir, paths, missed_by } => {
                let (bucket, desk, servers) = (self.bucket.clone(), self.desk.clone(), self.servers.clone());
                drop(tokio::spawn(async move {
                    let asked = paths.len();
                    let items = look(&bucket, &store_dir, paths).await;
                    // Of what the bucket does not answer, nobody knows whether it is there.
                    let missed_by = missed_by.filter(|_| items.len() == asked);
                    let absent = items.iter().filter(|(_, there)| !there).map(|(path, _)| path.clone()).collect();
                    desk.bring(Input::Confirmed { store_dir: store_dir.clone(), items, missed_by }).await;
                    look_elsewhere(desk, servers, store_dir, absent).await;
                }));
            }
            Effect::Discard { agent, attempt } => self.discards.put(agent, attempt),
            Effect::Replan { build } => drop(tokio::spawn(self.planner.clone().replan(build))),
            Effect::Abdicate(higher) => anyhow::bail!("an agent has seen a scheduler of generation {higher}: this one is over"),
        }
        Ok(None)
    }
}

async fn tell_abort(bus: Bus, agent: AgentId, abort: Abort) {
    if let Err(error) = bus.tell(&Subject::Abort { agent }, &abort).await {
        tracing::debug!(%agent, %error, "an abort was not heard; its next beat tells it");
    }
}

async fn make_offer(bus: Bus, desk: Desk, agent: AgentId, offer: Offer) {
    let (build, attempt) = (offer.build, offer.attempt);
    let answer = match bus.request::<_, OfferAnswer>(&Subject::Work { agent }, &offer, ANSWER_WITHIN).await {
        Ok(answer) => Answer::Said(answer),
        Err(RequestError::NoResponders) => Answer::NobodyThere,
        Err(error) => {
            tracing::debug!(%agent, %attempt, %error, "an offer was not answered; it is made again");
            Answer::Silence
        }
    };
    desk.bring(Input::Answered { agent, build, attempt, answer }).await;
}

/// Asks the pool `publish`.
struct Asker {
    bus: Bus,
    desk: Desk,
}

impl Asker {
    async fn ask(&self, questions: Vec<Question>) {
        for mut few in for_one_worker(&questions) {
            while let Some(lot) = Lot::first_of(few) {
                let (asked, rest) = few.split_at(lot.len());
                self.send(lot, asked.iter().map(|(_, publish)| publish.publication).collect()).await;
                few = rest;
            }
        }
    }

    async fn send(&self, lot: Lot, publications: Vec<PublicationId>) {
        let started = self.bus.start_publish_lot(lot).await;
        let desk = self.desk.clone();
        tokio::spawn(async move {
            let asked = match started {
                Ok(acknowledgement) => acknowledgement.await.map(|_| ()),
                Err(error) => Err(error),
            };
            let Err(error) = asked else { return };
            tokio::time::sleep(ASK_AGAIN).await;
            for publication in publications {
                tracing::warn!(%publication, %error, "a publication could not be asked for; it is asked again");
                desk.bring(Input::NotAsked(publication)).await;
            }
        });
    }
}

/// Questions in their order, as workers get them: what is soon done goes to one with others, what is large goes alone.
fn for_one_worker(questions: &[Question]) -> impl Iterator<Item = &[Question]> {
    let alike = questions.chunk_by(|(_, one), (_, next)| !is_large(&one.nar) && !is_large(&next.nar));
    alike.flat_map(|alike| alike.chunks(ASKED_TOGETHER))
}

/// Priorities as the subject shows them: 128 is usual, 0 most urgent.
fn urgency_of(priority: i32) -> Urgency {
    Urgency((128 - i64::from(priority)).clamp(0, 255) as u8)
}

/// The derivation whose whole closure an effect has to name.
fn rests_on(effect: &Effect) -> Option<DrvPath> {
    match effect {
        // Other stores than Guix's need no more than the derivation itself.
        Effect::Offer { offer, .. } => (offer.store_dir.family() == Family::Guix).then(|| offer.drv.clone()),
        Effect::Ask { publish, .. } => match &publish.origin {
            Origin::Output { deriver, .. } => deriver.clone().try_into().ok(),
            Origin::Source { .. } => None,
        },
        _ => None,
    }
}

/// Looks whether the cache has these, narinfo and nar; and whether others have what it has not.
async fn look(bucket: &Bucket, store_dir: &StoreDir, paths: Vec<StorePath>) -> Vec<(StorePath, bool)> {
    let mut items = Vec::with_capacity(paths.len());
    for path in paths {
        match is_there(bucket, store_dir, &path).await {
            Ok(there) => items.push((path, there)),
            Err(error) => tracing::warn!(%path, %error, "cannot see whether the cache has it"),
        }
    }
    items
}

/// Asks other servers for what the cache has not.
async fn look_elsewhere(desk: Desk, servers: Option<Servers>, store_dir: StoreDir, absent: BTreeSet<StorePath>) {
    let Some(servers) = servers.filter(|_| !absent.is_empty()) else { return };
    match servers.look(&store_dir, absent.clone()).await {
        Ok(mut found) => {
            let found = absent.into_iter().map(|path| {
                let servers = found.remove(&path).unwrap_or_default();
                (path, servers)
            });
            desk.bring(Input::Found { store_dir, found: found.collect() }).await;
        }
        Err(error) => tracing::warn!(%error, "what agents miss may be there or not"),
    }
}

async fn is_there(bucket: &Bucket, store_dir: &StoreDir, path: &StorePath) -> Result<bool, drover_bucket::BucketError> {
    let narinfo = match bucket.get(&Key::NarInfo(store_dir.clone(), path.into()), MAX_NARINFO_BYTES).await {
        Err(error) if error.is_not_found() => return Ok(false),
        narinfo => narinfo?,
    };
    let text = String::from_utf8_lossy(&narinfo);
    let Ok(narinfo) = NarInfo::parse(store_dir, &text) else { return Ok(false) };
    // Of Guix's several, any will do; a client takes another where one is gone.
    for file in &narinfo.files {
        let key = format!("cache/{}/{}", store_dir.slug(), file.url).parse::<Key>();
        if let Ok(key) = key
            && bucket.exists(&key).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use drover_messages::request::Nar;
    use drover_messages::{ClientId, Generation, SubmissionId};
    use drover_scheduler_core::LARGE_NAR_BYTES;
    use drover_store::{ContentAddress, Sha256};

    use super::*;

    fn question(file_size: u64) -> Question {
        let (hash, publication) = (Sha256::of(b"nar"), PublicationId::new());
        let ca = ContentAddress::source(hash);
        let publish = Publish {
            publication,
            generation: Generation(1),
            store_dir: StoreDir::nix(),
            path: StorePath::from_parts(&[1; 20], "source").unwrap(),
            references: Vec::new(),
            elsewhere: Vec::new(),
            nar: Nar { key: "incoming/x".into(), nar_hash: hash, nar_size: 1, file_hash: hash, file_size },
            origin: Origin::Source { client: ClientId::new(), submission: SubmissionId::new(), ca },
            closure: Vec::new(),
        };
        (Subject::Publish { urgency: Urgency(128), publication }, publish)
    }

    #[test]
    fn small_publications_are_asked_for_together_and_large_ones_alone() {
        let large = LARGE_NAR_BYTES + 1;
        let sizes = [vec![1, LARGE_NAR_BYTES, large, large], vec![1; ASKED_TOGETHER + 1], vec![large]].concat();
        let questions: Vec<Question> = sizes.into_iter().map(question).collect();
        let together: Vec<usize> = for_one_worker(&questions).map(<[Question]>::len).collect();
        assert_eq!(together, [2, 1, 1, ASKED_TOGETHER, 1, 1]);
    }

    #[test]
    fn a_higher_priority_is_a_lower_urgency_number() {
        assert_eq!([-1000, 0, 7, 1000].map(|priority| urgency_of(priority).0), [255, 128, 121, 0]);
    }
}
