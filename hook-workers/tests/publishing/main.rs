//! What `publish` makes of requests, over a bucket in memory and without a broker: every verdict, and what the bucket
//! holds after it.

mod failing_store;
mod fixture;

mod outputs;
mod repetition;
mod sources;
