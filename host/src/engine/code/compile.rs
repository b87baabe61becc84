//! From a component to code: in a child process that can be bounded and ended, or in this one.
//!
//! Nothing else in the host can neither be interrupted nor be given a limit. A component of a few kilobytes can keep a compiler busy for minutes
//! and let it ask for gigabytes: it takes five bytes to declare 50,000 variables. No estimate by size or by counting would hold, so
//! every component is compiled in a child where there is one to be had; it costs some milliseconds, once per digest.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{PrepareError, blocking, child, engines::Home};
use crate::engine::failure::clip;

/// Who compiles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Compiler {
    /// This process, without bounds: for components that are trusted, and for tests.
    #[default]
    InProcess,
    /// Children of this process, which are this or another program whose `main` begins with [`compile_child`](crate::engine::compile_child).
    Child {
        /// The program.
        program: PathBuf,
        /// What each child may use.
        bounds: CompileBounds,
    },
}

impl Compiler {
    /// Children that are the very program that runs now, even if its file was replaced meanwhile.
    pub fn this_program(bounds: CompileBounds) -> Self {
        Self::Child {
            program: PathBuf::from("/proc/self/exe"),
            bounds,
        }
    }
}

/// What compiling one component may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileBounds {
    /// Time from its begin to its end.
    pub wall: Duration,
    /// Time after which it makes way for others.
    pub quick: Duration,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of the code that comes of it.
    pub code: u64,
}

impl Default for CompileBounds {
    /// Five minutes, 2 GiB and 512 MiB of code: several times what the largest components of JavaScript and Python need on a small machine.
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(300),
            quick: Duration::from_secs(10),
            memory: 2 << 30,
            code: 512 << 20,
        }
    }
}

impl Compiler {
    /// Of a compilation that can be ended.
    pub(super) fn bounds(&self) -> Option<&CompileBounds> {
        match self {
            Self::InProcess => None,
            Self::Child { bounds, .. } => Some(bounds),
        }
    }

    /// Compiles a component for this engine. Dropping the future ends a child; in this process, the compilation goes on to its end.
    pub(super) async fn compile(&self, home: &Arc<Home>, component: Bytes) -> Result<Vec<u8>, PrepareError> {
        match self {
            Self::InProcess => {
                let home = home.clone();
                blocking(move || in_process(&home, &component)).await?
            }
            Self::Child { program, bounds } => child::compile(program, bounds, home.target, component).await,
        }
    }
}

fn in_process(home: &Home, component: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let compiled = home.engine.precompile_component(component);
    compiled.map_err(|error| PrepareError::Compile {
        detail: clip(format!("{error:#}")),
    })
}
