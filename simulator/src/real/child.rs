//! Child processes that never outlive the simulator.
//!
//! In: what to run. Out: the lines that say it is ready, and its end. Three things see to it that no process is left:
//! the kernel kills a child when its parent dies in whatever way (`PR_SET_PDEATHSIG`, prctl(2)), dropping a [`Child`]
//! kills it, and a child has a process group of its own, so that Ctrl-C reaches the simulator alone, which then ends
//! its children in order.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

use crate::history::ExitStatus;

/// Most bytes of standard output that are searched for the line that says the child is ready.
const READY_BYTES: u64 = 64 * 1024;
/// How much of the end of a log is read for a message.
const TAIL_BYTES: usize = 4096;

/// What a child reports. `tag` is the number that was given at its start.
#[derive(Debug)]
pub enum ChildEvent {
    /// A line on standard output that starts with `ready`.
    Ready {
        /// Which child.
        tag: u64,
    },
    /// It ended.
    Exited {
        /// Which child.
        tag: u64,
        /// `signal 9`, `exit 3`.
        status: ExitStatus,
    },
}

/// What to run.
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its name for itself (`argv[0]`).
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beside those of the simulator. What is secret goes here: everybody can read arguments.
    pub environment: Vec<(&'static str, String)>,
    /// The file to which standard error goes; appended to.
    pub log: PathBuf,
}

impl Program {
    /// This executable again, with other arguments. The path is that of the running image, so that a rebuild during a
    /// run does not mix two versions.
    pub fn own(arguments: Vec<String>, log: PathBuf) -> Self {
        Program {
            path: PathBuf::from("/proc/self/exe"),
            name: "simulator".to_owned(),
            arguments,
            environment: Vec::new(),
            log,
        }
    }
}

/// A running child. Dropping it kills the process.
pub struct Child {
    pid: u32,
    /// It was reaped: the process id may be another's.
    ended: Arc<AtomicBool>,
    /// Dropped with this, so that whoever reaps it ends it.
    _held: oneshot::Sender<()>,
}

impl Child {
    /// Starts a program. Must be called on the thread that lives as long as the simulator, because the kernel's
    /// parent-death signal watches the thread and not the process.
    pub fn start(
        program: &Program,
        tag: u64,
        events: mpsc::UnboundedSender<ChildEvent>,
    ) -> io::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(&program.log)?;
        let mut command = Command::new(&program.path);
        command.arg0(&program.name).args(&program.arguments);
        command.envs(program.environment.iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log));
        command.process_group(0).kill_on_drop(true);
        die_with_parent(&mut command);
        let mut process = command.spawn()?;
        let pid = process.id().expect("a child that was not waited for has an id");
        let stdout = process.stdout.take().expect("standard output was asked for");
        let (held, dropped) = oneshot::channel();
        let ended = Arc::new(AtomicBool::new(false));
        tokio::spawn(read_output(stdout, tag, events.clone()));
        tokio::spawn(supervise(process, dropped, Arc::clone(&ended), tag, events));
        Ok(Child {
            pid,
            ended,
            _held: held,
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// False once the process has ended.
    pub fn is_running(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    /// Sends a signal (`libc::SIGKILL` …) before it returns; nothing happens if the process has ended. To be called on the
    /// thread that started it: there it is reaped too, so the process id cannot become another's in between.
    pub fn signal(&self, signal: i32) {
        if self.is_running() {
            send_signal(self.pid, signal);
        }
    }
}

fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let set = move || {
        // SAFETY: prctl with PR_SET_PDEATHSIG takes an integer and touches no memory of ours; getppid has no
        // arguments. Both are async-signal-safe, as the time between fork and exec demands.
        let (result, now) = unsafe {
            (
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
                libc::getppid(),
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the prctl: then nobody would ever send the signal.
        if u32::try_from(now) != Ok(parent) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(set);
    }
}

/// Owns the process: only here is it reaped, so a signal never meets a process id that was given to another.
async fn supervise(
    mut process: tokio::process::Child,
    dropped: oneshot::Receiver<()>,
    ended: Arc<AtomicBool>,
    tag: u64,
    events: mpsc::UnboundedSender<ChildEvent>,
) {
    tokio::select! {
            biased;
            _ = dropped => {} // and `kill_on_drop` with it
            status = process.wait() => {
                ended.store(true, Ordering::Relaxed);
                let status = status.map_or_else(|error| ExitStatus::Other(error.to_string()), describe);
                let _ = events.send(ChildEvent::Exited { tag, status });
            }
    }
}

fn send_signal(pid: u32, signal: i32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else {
        return;
    };
    // SAFETY: kill takes two integers. The process was not reaped yet, so the id is still its own.
    unsafe {
        libc::kill(pid, signal);
    }
}

/// Finds the line that says the child is ready, and then reads on, so that a child which prints is never blocked.
async fn read_output(stdout: ChildStdout, tag: u64, events: mpsc::UnboundedSender<ChildEvent>) {
    let mut reader = BufReader::new(stdout).take(READY_BYTES);
    let mut line = String::new();
    while let Ok(1..) = reader.read_line(&mut line).await {
        if line.starts_with("ready") {
            let _ = events.send(ChildEvent::Ready { tag });
            break;
        }
        line.clear();
    }
    let _ = tokio::io::copy(&mut reader.into_inner(), &mut tokio::io::sink()).await;
}

fn describe(status: std::process::ExitStatus) -> ExitStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        (None, None) => ExitStatus::Other(status.to_string()),
    }
}

/// The last lines of a log, for a message: what a child said before it died.
pub fn tail(log: &Path, lines: usize) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES as u64)));
        let _ = file.take(TAIL_BYTES as u64).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Program {
        Program {
            path: "/bin/sh".into(),
            name: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: Vec::new(),
            log: log.to_owned(),
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn a_child_says_that_it_is_ready_and_how_it_ended_and_its_log_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("instance-A.log");
        runtime().block_on(async {
            let (sender, mut events) = mpsc::unbounded_channel();
            let program = shell(
                "echo warming up; echo 'ready A#1'; echo trouble >&2; exit 3",
                &log,
            );
            let _child = Child::start(&program, 7, sender).unwrap();
            let mut ready = false;
            loop {
                match events.recv().await.unwrap() {
                    ChildEvent::Ready { tag } => ready = tag == 7,
                    ChildEvent::Exited { tag, status } => {
                        assert_eq!((tag, status), (7, ExitStatus::Code(3)));
                        break;
                    }
                }
            }
            if !ready {
                assert!(matches!(events.recv().await, Some(ChildEvent::Ready { tag: 7 })));
            }
        });
        assert_eq!(tail(&log, 5), "trouble");
    }

    #[test]
    fn a_stopped_child_can_be_killed() {
        let directory = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let (sender, mut events) = mpsc::unbounded_channel();
            let program = shell("echo ready; exec sleep 1000", &directory.path().join("log"));
            let child = Child::start(&program, 1, sender).unwrap();
            assert!(matches!(events.recv().await, Some(ChildEvent::Ready { tag: 1 })));
            child.signal(libc::SIGSTOP);
            child.signal(libc::SIGKILL);
            let Some(ChildEvent::Exited { status, .. }) = events.recv().await else {
                panic!("an end")
            };
            assert_eq!(status, ExitStatus::Signal(9));
        });
    }

    #[test]
    fn a_dropped_child_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let (sender, mut events) = mpsc::unbounded_channel();
            let program = shell("echo ready; exec sleep 1000", &directory.path().join("log"));
            let child = Child::start(&program, 1, sender).unwrap();
            assert!(matches!(events.recv().await, Some(ChildEvent::Ready { tag: 1 })));
            drop(child);
            assert!(
                events.recv().await.is_none(),
                "its output closed, so both tasks are gone"
            );
        });
    }

    /// Not a test: the process that the next test kills. It starts a child and waits for its own end.
    #[test]
    #[ignore = "started by another test"]
    fn parent_that_is_killed() {
        runtime().block_on(async {
            let (sender, mut events) = mpsc::unbounded_channel();
            // The child's standard error is the pipe of this process, so that its reader sees when both are gone.
            let program = shell("echo ready; exec sleep 60", Path::new("/proc/self/fd/2"));
            let _child = Child::start(&program, 1, sender).unwrap();
            assert!(matches!(events.recv().await, Some(ChildEvent::Ready { tag: 1 })));
            eprintln!("child is ready");
            events.recv().await;
        });
    }

    #[test]
    fn no_child_outlives_a_simulator_that_is_killed() {
        use std::io::{BufRead, Read};
        let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "real::child::tests::parent_that_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = std::io::BufReader::new(parent.stderr.take().unwrap());
        let mut line = String::new();
        pipe.read_line(&mut line).unwrap();
        assert_eq!(line, "child is ready\n");
        let killed = std::time::Instant::now();
        parent.kill().unwrap();
        // The end of the pipe is reached when the last process that holds it is gone: the child, which sleeps.
        let mut rest = String::new();
        pipe.read_to_string(&mut rest).unwrap();
        parent.wait().unwrap();
        assert!(killed.elapsed().as_secs() < 30, "the child slept to its own end");
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, (0..2000).map(|n| format!("line {n}\n")).collect::<String>()).unwrap();
        assert_eq!(tail(&log, 2), "line 1998\nline 1999");
        assert_eq!(tail(&directory.path().join("none"), 2), "");
    }
}
