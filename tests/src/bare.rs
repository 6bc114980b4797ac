//! A broker and a scheduler, and nothing else: agents and pools are whoever a test or a benchmark makes of itself.

use drover_messages::ClientId;
use drover_nats::permissions::Who;
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Login};

use crate::command::{Command, Options};
use crate::farm::serves;
use crate::folder::Folder;
use crate::process::Process;

/// Broker and scheduler. Both end with it.
pub struct Bare {
    /// The scheduler.
    pub scheduler: Process,
    /// The broker.
    pub nats: NatsServer,
    /// The person, an administrator.
    pub client: ClientId,
    /// Their login.
    pub login: Login,
    /// Their connection.
    pub bus: Bus,
    /// Where everything lies.
    pub folder: Folder,
}

impl Bare {
    /// Starts both. `None`, said aloud, where there is no nats-server.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn start(options: Options) -> Option<Self> {
        let mut nats = NatsServer::start()?;
        let folder = Folder::new();
        let client = ClientId::new();
        let login = nats.login(Who::Admin(client)).await;
        let command = Command::scheduler(&folder, &nats.login(Who::Scheduler).await, nats.folder(), &options);
        let mut scheduler = Process::start("scheduler", command, &folder.join("scheduler.log"));
        serves(&folder, &mut scheduler).await;
        let bus = Bus::connect(&login).await.unwrap();
        Some(Self { scheduler, nats, client, login, bus, folder })
    }
}
