//! Corners go away, as many of one owner's as there are in one listing: stores ask money for each.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;

use drover_messages::Timestamp;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use crate::bucket::bounded;
use crate::{Bucket, BucketError, Corner};

impl Bucket {
    /// Deletes all that lies in these corners, and nothing else. What fails half-way can be done again.
    pub async fn delete_corners(&self, corners: BTreeSet<Corner>) -> Result<(), BucketError> {
        let mut by_owner: BTreeMap<String, BTreeSet<Corner>> = BTreeMap::new();
        for corner in corners {
            by_owner.entry(corner.side()).or_default().insert(corner);
        }
        for (side, corners) in by_owner {
            let name = match corners.first() {
                Some(only) if corners.len() == 1 => only.to_string(),
                // One listing for all, though it names what the owner is uploading now as well.
                _ => side,
            };
            self.delete_below(&name, corners).await?;
        }
        Ok(())
    }

    async fn delete_below(&self, name: &str, corners: BTreeSet<Corner>) -> Result<(), BucketError> {
        let bucket = self.clone();
        let keys = self.store.list(Some(&self.path(name))).map_ok(|object| object.location);
        let doomed = keys.try_filter(move |key| ready(bucket.corner_at(key).is_some_and(|corner| corners.contains(&corner))));
        let deleted = self.store.delete_stream(doomed.boxed());
        // It may be gone already.
        let deleted = deleted.filter(|done| ready(!matches!(done, Err(object_store::Error::NotFound { .. }))));
        bounded(name, deleted.try_for_each(|_| ready(Ok(())))).await
    }

    /// Corners in which something lies that was uploaded before the `moment` of such a corner, by the store's clock: the first so
    /// many that are found.
    pub async fn corners_before(
        &self,
        moment: impl Fn(&Corner) -> Timestamp,
        most: usize,
    ) -> Result<BTreeSet<Corner>, BucketError> {
        let name = "incoming";
        let mut objects = self.store.list(Some(&self.path(name)));
        let found = async {
            let mut corners = BTreeSet::new();
            while corners.len() < most
                && let Some(object) = objects.try_next().await?
            {
                let uploaded = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or_default();
                corners.extend(self.corner_at(&object.location).filter(|corner| uploaded < moment(corner).0));
            }
            Ok(corners)
        };
        bounded(name, found).await
    }

    /// The corner that an object lies in.
    fn corner_at(&self, location: &Path) -> Option<Corner> {
        Corner::of(&self.key_at(location)?)
    }
}
