//! What can go wrong, and how often.

/// In percent of the times that it could.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    /// A message is lost, or comes to nobody.
    pub lose: u64,
    /// A message comes twice.
    pub repeat: u64,
    /// The scheduler is killed and started again.
    pub crash: u64,
    /// It is started again on an older copy of its database.
    pub restore: u64,
    /// Another is started beside it, on a copy of its database that may be older.
    pub rival: u64,
    /// The streams are lost, with what they held.
    pub cut_streams: u64,
    /// The broker is away for a while: nobody hears anybody.
    pub cut_off: u64,
    /// The clock on the wall is put forward or back, by days.
    pub jump: u64,
    /// An agent is killed and started again.
    pub kill_agent: u64,
    /// An agent is killed, and its machine comes back empty.
    pub wipe_agent: u64,
    /// An agent is cut off for a while, which may be longer than a lease.
    pub cut_off_agent: u64,
    /// An attempt fails by the farm's fault.
    pub farm_failure: u64,
    /// The pool refuses what was uploaded.
    pub refuse: u64,
    /// What was uploaded is gone when the pool looks for it.
    pub lose_upload: u64,
    /// The cache loses an item.
    pub rot: u64,
    /// A user cancels a build, or everything.
    pub cancel: u64,
}
