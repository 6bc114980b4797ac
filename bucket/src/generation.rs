//! The compare-and-set that numbers the schedulers' reigns: an object for each, made once.

use bytes::Bytes;
use drover_messages::Generation;
use futures::TryStreamExt;
use object_store::ObjectMeta;

use crate::bucket::bounded;
use crate::{Bucket, BucketError, Key, Put};

/// How often a new number is tried, when others are minting too.
const MAX_TRIES: usize = 100;

impl Bucket {
    /// The newest generation there is; zero before the first. Lists them all: there is one for each start of a
    /// scheduler.
    pub async fn newest_generation(&self) -> Result<Generation, BucketError> {
        let folder = self.path("generation");
        let newest = self.store.list(Some(&folder)).try_fold(Generation(0), |newest, object| async move {
            Ok(number(&object).map_or(newest, |found| newest.max(found)))
        });
        bounded("generation", newest).await
    }

    /// Whether a later scheduler has begun. One short request: numbers have no gaps above one that was minted.
    pub async fn is_superseded(&self, generation: Generation) -> Result<bool, BucketError> {
        self.exists(&Key::Generation(Generation(generation.0 + 1))).await
    }

    /// A generation that nobody else has, higher than all before.
    pub async fn mint_generation(&self) -> Result<Generation, BucketError> {
        let mut generation = self.newest_generation().await?;
        for _ in 0..MAX_TRIES {
            generation.0 += 1;
            if self.put_once(&Key::Generation(generation), Bytes::new()).await? == Put::Created {
                return Ok(generation);
            }
        }
        let source = format!("{MAX_TRIES} generations were taken by others one after another").into();
        Err(BucketError::Transient { key: "generation".into(), source })
    }
}

fn number(object: &ObjectMeta) -> Option<Generation> {
    object.location.filename()?.parse().ok().map(Generation)
}
