//! What one small publication costs a worker, without the broker: `cargo run --release -p drover-hook-workers --example
//! publish_cost`. It makes a bucket in a temporary folder, uploads outputs of a no-op build, and publishes them one by
//! one. Lines at the end: `result NAME VALUE UNIT`.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use drover_bucket::Bucket;
use drover_hook_workers::publish::{Keys, Limits, Packing, Publisher};
use drover_messages::publish::PublishVerdict;
use drover_store::SecretKey;

const ITEMS: usize = 500;
const LARGE_BYTES: usize = 64 << 20;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::open(&format!("file://{}", folder.path().display())).unwrap();
    let keys = Keys::new(vec![SecretKey::generate("cost-1").unwrap()], None);
    let publisher = Publisher::new(bucket.clone(), keys, Packing::default(), Limits { max_nar_bytes: 1 << 30 });

    let mut requests = Vec::new();
    for n in 0..ITEMS {
        let path = common::path_of(&format!("item-{n}"));
        requests.push(common::output(&bucket, &path, &common::file(format!("no-op number {n}\n")), &[], &[]).await);
    }
    let begin = Instant::now();
    for request in &requests {
        assert_eq!(publisher.publish(request).await.unwrap(), PublishVerdict::Published);
    }
    let small = begin.elapsed() / ITEMS as u32;

    let contents: Vec<u8> = (0..LARGE_BYTES as u64).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    let large = common::output(&bucket, &common::path_of("large"), &common::file(contents), &[], &[]).await;
    let begin = Instant::now();
    assert_eq!(publisher.publish(&large).await.unwrap(), PublishVerdict::Published);
    let rate = LARGE_BYTES as f64 / 1e6 / begin.elapsed().as_secs_f64();

    println!("result publish_small {:.2} ms", small.as_secs_f64() * 1e3);
    println!("result publish_large {rate:.0} MB/s");
}
