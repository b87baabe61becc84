//! The work itself, which wit-component does.

use std::{fmt::Display, panic::catch_unwind};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use super::{LiftError, survey::Survey};
use crate::text::clip_to;

/// How much of the encoder's words is kept, in bytes. They have several levels, and name what doesn't fit last.
const PROBLEM_SHOWN: usize = 300;

/// The component of a module that has `component-type` sections for all that it imports and exports but WASI preview 1.
///
/// wit-component is written for the output of compilers, and asserts where bytes that were made to hurt need errors; so a
/// panic in there is an error here. It has no state that a panic could leave behind.
pub(super) fn component(module: &[u8], survey: &Survey<'_>) -> Result<Vec<u8>, LiftError> {
    let adapter = if survey.is_command() {
        Some(WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)
    } else if survey.imports_wasi() {
        Some(WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
    } else {
        None
    };
    catch_unwind(|| {
        let mut encoder = ComponentEncoder::default().module(module)?;
        if let Some(adapter) = adapter {
            encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?;
        }
        encoder.encode()
    })
    .map_err(|_| refused("its `component-type` sections contradict themselves"))?
    .map_err(|error| refused(format!("{error:#}")))
}

/// The complaint of the encoder or of what feeds it.
pub(super) fn refused(problem: impl Display) -> LiftError {
    LiftError::Encode {
        problem: clip_to(&format!("{problem:#}"), PROBLEM_SHOWN),
    }
}
