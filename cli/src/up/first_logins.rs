//! The logins that a farm needs before its scheduler runs: Drover's own processes, the person at this machine, and the
//! agents that are started here. Made once; later ones are the scheduler's to make.

use std::collections::BTreeMap;

use anyhow::Context;
use drover_messages::{AgentId, ClientId};
use drover_nats::Pool;
use drover_nats::logins::Logins;
use drover_nats::permissions::Who;
use uuid::Uuid;

use super::folder::Folder;

/// Where the logins are kept; nats-server's configuration includes it by this name.
pub(crate) const DIR: &str = "logins";

/// A login whose password lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The user: a UUID, or a word.
    pub(crate) user: String,
    /// The password's file, below the farm's folder.
    pub(crate) password_file: String,
}

/// All of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FirstLogins {
    pub(crate) scheduler: Known,
    pub(crate) publish: Known,
    pub(crate) system: Known,
    /// The person's.
    pub(crate) up: Known,
    /// Of the worker that asks other servers, where there are some.
    pub(crate) substitutes: Option<Known>,
    /// By their names.
    pub(crate) agents: BTreeMap<String, Known>,
}

/// Makes those that are missing.
pub(crate) fn make(folder: &Folder, agents: &[String], substitutes: bool) -> anyhow::Result<FirstLogins> {
    let mut logins = Logins::open(&folder.path(DIR))?;
    let mut make = |who: Who, secret: &str| make_one(folder, &mut logins, who, secret);
    let scheduler = make(Who::Scheduler, "scheduler")?;
    let publish = make(Who::Publish, "publish")?;
    let system = make(Who::System, "system")?;
    let up = make(Who::Admin(ClientId::from_uuid(id(folder, "up")?)), "up")?;
    let substitutes = if substitutes { Some(make(Who::Hook(Pool::substitutes()), "substitutes")?) } else { None };
    let mut local = BTreeMap::new();
    for name in agents {
        local.insert(name.clone(), make(Who::Agent(AgentId::from_uuid(id(folder, name)?)), name)?);
    }
    Ok(FirstLogins { scheduler, publish, system, up, substitutes, agents: local })
}

fn make_one(folder: &Folder, logins: &mut Logins, who: Who, secret: &str) -> anyhow::Result<Known> {
    let password_file = format!("secrets/{secret}.password");
    let user = who.user();
    let is_known = logins.entries().iter().any(|entry| entry.who == who);
    if !is_known || !folder.path(&password_file).exists() {
        let password = logins.add(who, secret)?;
        folder.write_secret(&password_file, &format!("{password}\n"))?;
    }
    Ok(Known { user, password_file })
}

/// The UUID that goes with a name in this folder, made once.
fn id(folder: &Folder, name: &str) -> anyhow::Result<Uuid> {
    let file = format!("secrets/{name}.uuid");
    let text = folder.secret(&file, || Uuid::now_v7().to_string())?;
    text.parse().with_context(|| folder.path(&file).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_made_once_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let names = ["agent-1".to_owned(), "guix-agent-1".to_owned()];
        let first = make(&folder, &names[..1], false).unwrap();
        let password = std::fs::read_to_string(folder.path(&first.up.password_file)).unwrap();
        let second = make(&folder, &names, true).unwrap();
        assert_eq!(second.agents["agent-1"], first.agents["agent-1"]);
        assert_eq!(second.up, first.up);
        assert_eq!(std::fs::read_to_string(folder.path(&second.up.password_file)).unwrap(), password);
        assert_eq!(Logins::open(&folder.path(DIR)).unwrap().entries().len(), 7);
    }

    #[test]
    fn a_login_whose_password_is_lost_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let first = make(&folder, &[], false).unwrap();
        std::fs::remove_file(folder.path(&first.publish.password_file)).unwrap();
        let second = make(&folder, &[], false).unwrap();
        assert_eq!(second, first);
        assert!(folder.path(&second.publish.password_file).exists());
    }
}
