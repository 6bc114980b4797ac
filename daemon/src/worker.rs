//! Which process of the daemon serves a connection, in the kernel's words: both daemons start one for each.
//!
//! Who *listens* at a socket is told by `SO_PEERCRED`; who *answers*, by the credentials that come with what is received
//! once `SO_PASSCRED` is set (`unix(7)`). What a process says of itself is not looked at.

use tokio::net::UnixStream;

/// Asks the kernel to say who writes from now on.
pub(crate) fn ask(stream: &UnixStream) {
    kernel::tell_writers(stream, true);
}

/// Waits for the first word, leaves it where it is, and says who wrote it, in this process's own view; `None` where that
/// is nobody it can see. Then the kernel is asked no longer.
pub(crate) async fn of_answer(stream: &UnixStream) -> Option<u32> {
    let writer = kernel::writer(stream).await;
    kernel::tell_writers(stream, false);
    writer
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd;

    use nix::cmsg_space;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt::PassCred};
    use tokio::io::Interest;
    use tokio::net::UnixStream;

    pub fn tell_writers(stream: &UnixStream, are_told: bool) {
        if let Err(error) = setsockopt(stream, PassCred, &are_told) {
            tracing::debug!(%error, "the kernel does not say who writes");
        }
    }

    pub async fn writer(stream: &UnixStream) -> Option<u32> {
        let told = stream.async_io(Interest::READABLE, || peek(stream)).await;
        told.ok().flatten().filter(|pid| *pid != 0)
    }

    fn peek(stream: &UnixStream) -> io::Result<Option<u32>> {
        let (mut byte, mut space) = ([0], cmsg_space!(UnixCredentials));
        let mut parts = [IoSliceMut::new(&mut byte)];
        let received = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_PEEK)?;
        let pids = received.cmsgs()?.filter_map(|message| match message {
            ControlMessageOwned::ScmCredentials(writer) => u32::try_from(writer.pid()).ok(),
            _ => None,
        });
        Ok(pids.last())
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use tokio::net::UnixStream;

    pub fn tell_writers(_: &UnixStream, _: bool) {}

    pub async fn writer(_: &UnixStream) -> Option<u32> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_answers_is_told_and_the_answer_is_still_there() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ask(&ours);
        theirs.write_all(b"yes").await.unwrap();
        assert_eq!(of_answer(&ours).await, Some(std::process::id()));
        let mut answer = [0; 3];
        ours.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"yes");
    }

    #[tokio::test]
    async fn a_process_that_inherited_the_other_end_is_told_from_the_one_that_made_it() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ask(&ours);
        let theirs = std::os::fd::OwnedFd::from(theirs.into_std().unwrap());
        let mut child = Command::new("echo").stdout(Stdio::from(theirs)).spawn().unwrap();
        assert_eq!(of_answer(&ours).await, Some(child.id()));
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn nobody_answers_where_the_other_end_is_closed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ask(&ours);
        drop(theirs);
        assert_eq!(of_answer(&ours).await, None);
    }
}
