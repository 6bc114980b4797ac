//! A nar on its way from its maker's corner to where only this pool can write. It is verified while it passes, and appears
//! only when it was right.

use bytes::Bytes;
use drover_bucket::{Bucket, Compression, Key, Object};
use drover_messages::publish::{Publish, PublishVerdict};
use drover_store::NarSummary;
use futures::StreamExt;

use super::packing::Packed;
use super::repack::repack;
use super::stop::Stop;
use super::verify::{Verification, Verified};
use super::{Packing, Refusal};

/// Objects up to this size, in bytes, are read at once.
pub const INLINE_BYTES: u64 = 1 << 20;

/// The nar of a request, as it was uploaded.
pub(super) fn uploaded(request: &Publish) -> Packed {
    let object = NarSummary { sha256: request.nar.file_hash, size: request.nar.file_size };
    Packed { compression: Compression::Zstd, object }
}

/// Carries a nar into the cache, in all the ways in which it is to be there.
pub(super) async fn into_cache(
    bucket: &Bucket,
    packing: &Packing,
    request: &Publish,
    from: &Key,
) -> Result<(Verified, Vec<Packed>), Stop> {
    match packing.of(&request.store_dir) {
        [Compression::Zstd] => {
            let nar = uploaded(request);
            let verified = as_it_is(bucket, request, from, &nar.key(&request.store_dir)).await?;
            Ok((verified, vec![nar]))
        }
        ways => repack(bucket, request, open(bucket, request, from).await?, ways).await,
    }
}

/// Carries a nar without unpacking it for good.
pub(super) async fn as_it_is(bucket: &Bucket, request: &Publish, from: &Key, to: &Key) -> Result<Verified, Stop> {
    let object = open(bucket, request, from).await?;
    let mut verification = Verification::new(request)?;
    let mut upload = bucket.upload(to);
    let mut take = |bytes: &Bytes| verification.feed(bytes, |_| {});
    if request.nar.file_size <= INLINE_BYTES {
        let bytes = object.bytes(request.nar.file_size).await?;
        take(&bytes)?;
        upload.write(bytes).await?;
    } else {
        let mut pieces = object.stream();
        while let Some(bytes) = pieces.next().await.transpose()? {
            take(&bytes)?;
            upload.write(bytes).await?;
        }
    }
    let verified = verification.finish()?;
    // What is there already has this name, and so this content.
    upload.finish().await?;
    Ok(verified)
}

async fn open(bucket: &Bucket, request: &Publish, from: &Key) -> Result<Object, Stop> {
    let object = match bucket.stream(from).await {
        Err(error) if error.is_not_found() => return Err(Stop::Verdict(PublishVerdict::NarMissing)),
        object => object?,
    };
    let claimed = request.nar.file_size;
    match object.size() == claimed {
        true => Ok(object),
        false => Err(Refusal::FileSize { claimed, found: object.size() }.into()),
    }
}
