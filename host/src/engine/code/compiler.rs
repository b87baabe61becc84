//! The child's side: a whole process that compiles one component and ends.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    process::ExitCode,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, Signal, getppid, nice, set_parent_process_death_signal, setrlimit};

use super::{CompileBounds, target::Target};

/// The first argument of such a process.
const MARK: &str = "__compile";

/// The exit code that says that it's the component's fault.
pub(super) const REFUSED: u8 = 3;

/// How far a compilation stands back behind everything else on the machine.
const NICENESS: i32 = 10;

/// What a child is told: target, bytes of memory, seconds, and who its parent is.
pub(super) fn arguments(target: Target, bounds: &CompileBounds, parent: u32) -> [String; 5] {
    [
        MARK.to_owned(),
        target.word().to_owned(),
        bounds.memory.to_string(),
        seconds(bounds.wall).to_string(),
        parent.to_string(),
    ]
}

/// If the arguments (with the program's name) say that this process was started to compile, do that and return how to exit. It has to come
/// before everything else in `main`: threads, logs, settings.
pub fn compile_child(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let words = arguments.into_iter().skip(1).map(|word| word.into_string().ok());
    let words: Vec<String> = words.take(6).collect::<Option<_>>()?;
    if words.first().is_none_or(|word| word != MARK) {
        return None;
    }
    let Some(order) = Order::parse(&words) else {
        eprintln!("this is for the program itself, to compile components in a process of its own");
        return Some(ExitCode::from(2));
    };
    Some(match order.perform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Component(error)) => {
            eprintln!("{error:#}");
            ExitCode::from(REFUSED)
        }
        Err(Trouble::Host(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// Why there is no code.
enum Trouble {
    Component(wasmtime::Error),
    Host(io::Error),
}

/// The arguments, understood.
struct Order {
    target: Target,
    memory: u64,
    seconds: u64,
    parent: i32,
}

impl Order {
    fn parse(words: &[String]) -> Option<Self> {
        let [_, target, memory, seconds, parent] = words else {
            return None;
        };
        Some(Self {
            target: Target::from_word(target)?,
            memory: memory.parse().ok()?,
            seconds: seconds.parse().ok()?,
            parent: parent.parse().ok()?,
        })
    }

    fn perform(&self) -> Result<(), Trouble> {
        self.bound().map_err(Trouble::Host)?;
        let engine = wasmtime::Engine::new(&self.target.config()).map_err(Trouble::Component)?;
        let mut component = Vec::new();
        io::stdin().lock().read_to_end(&mut component).map_err(Trouble::Host)?;
        let code = engine.precompile_component(&component).map_err(Trouble::Component)?;
        io::stdout().lock().write_all(&code).map_err(Trouble::Host)
    }

    /// The limits hold for every thread, and can't be raised again.
    fn bound(&self) -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before the line above.
        if getppid().is_none_or(|parent| parent.as_raw_pid() != self.parent) {
            return Err(io::Error::other("whoever wanted this is gone"));
        }
        // Memory that can be written to: what a compiler needs. Address space would count what allocators set aside for each thread.
        limit(Resource::Data, self.memory)?;
        // At the first of the two it gets a signal that says what it is, at the other it's killed.
        let seconds = self.seconds.saturating_mul(processors());
        limits(Resource::Cpu, seconds, seconds.saturating_add(1))?;
        limit(Resource::Core, 0)?;
        limit(Resource::Nofile, 64)?;
        // It may be as nice already as one can be.
        let _ = nice(NICENESS);
        // Where the machine has no memory left, this goes first, and not who started it with all its guests.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        Ok(())
    }
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    limits(resource, value, value)
}

fn limits(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(current),
        maximum: Some(maximum),
    };
    Ok(setrlimit(resource, limit)?)
}

/// All of them may be busy at once.
fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// Rounded up: a limit of nothing would be none.
fn seconds(wall: Duration) -> u64 {
    wall.as_secs() + 1
}
