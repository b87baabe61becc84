//! A component without its code: as much of it as its contract is read from.
//!
//! Whoever has compiled a component needs its bytes no more, but its types: reading twelve megabytes again for them would take longer
//! than everything else that a start needs then.

use std::convert::Infallible;

use wasm_encoder::{
    CodeSection, Component, DataSection, Function, Instruction, Module,
    reencode::{Error, Reencode, ReencodeComponent},
};
use wasmparser::{CustomSectionReader, Data, FunctionBody, Parser};

/// A component with the same [`Contract`](crate::Contract) as the valid one in `bytes`, in which every function is `unreachable`, all data is
/// empty and custom sections are left out.
///
/// None if it has something that can't be written again; no component is known for which that is so.
pub fn outline(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut outline = Component::new();
    Outline
        .parse_component(&mut outline, Parser::new(0), bytes)
        .ok()
        .map(|()| outline.finish())
}

struct Outline;

type Written = Result<(), Error<Infallible>>;

impl Reencode for Outline {
    type Error = Infallible;

    fn parse_function_body(&mut self, code: &mut CodeSection, _: FunctionBody<'_>) -> Written {
        let mut function = Function::new([]);
        function.instruction(&Instruction::Unreachable);
        function.instruction(&Instruction::End);
        code.function(&function);
        Ok(())
    }

    /// The number of segments may be declared elsewhere, so they stay, with nothing in them.
    fn parse_data(&mut self, data: &mut DataSection, _: Data<'_>) -> Written {
        data.passive([]);
        Ok(())
    }

    fn parse_custom_section(&mut self, _: &mut Module, _: CustomSectionReader<'_>) -> Written {
        Ok(())
    }
}

impl ReencodeComponent for Outline {
    fn parse_component_custom_section(&mut self, _: &mut Component, _: CustomSectionReader<'_>) -> Written {
        Ok(())
    }
}
