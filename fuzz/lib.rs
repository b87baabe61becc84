//! What the targets have in common: types made of bytes, and what must hold for every value.

use propeller_types::{ArgsError, json, wave};
use serde_json::{Value as Json, json};
use wasm_wave::value::{Type, Value};

const NAMES: [&str; 6] = ["a", "some", "ok", "none", "dark-green", "inf"];
/// How deep a type may be, so that its bytes end.
const MAX_DEPTH: usize = 6;
/// Messages stay shorter than this, in bytes, whatever the input was.
const MAX_MESSAGE: usize = 4_000;

/// The parameter `x` of a type that the first bytes say, and the rest of the input as text.
///
/// A byte says the kind, and one more how many parts it has. Bytes that are missing are zeros, so every input is one.
pub fn param_and_text(input: &[u8]) -> Option<([(String, Type); 1], &str)> {
    let mut input = input.iter();
    let ty = ty(&mut input, MAX_DEPTH)?;
    let text = std::str::from_utf8(input.as_slice()).ok()?;
    Some(([("x".to_owned(), ty)], text))
}

fn ty(input: &mut std::slice::Iter<'_, u8>, depth: usize) -> Option<Type> {
    let mut next = || input.next().copied().unwrap_or_default();
    let kind = next();
    let kind = if depth == 0 { kind % 13 } else { kind % 21 };
    let parts = if kind > 14 {
        usize::from(next()) % NAMES.len() + 1
    } else {
        0
    };
    let mut part = || ty(input, depth - 1);
    let names = &NAMES[..parts];
    Some(match kind {
        0 => Type::BOOL,
        1 => Type::S8,
        2 => Type::U8,
        3 => Type::S16,
        4 => Type::U16,
        5 => Type::S32,
        6 => Type::U32,
        7 => Type::S64,
        8 => Type::U64,
        9 => Type::F32,
        10 => Type::F64,
        11 => Type::CHAR,
        12 => Type::STRING,
        13 => Type::list(part()?),
        14 => Type::option(part()?),
        15 => Type::enum_ty(names.iter().copied())?,
        16 => Type::flags(names.iter().copied())?,
        17 => Type::tuple(names.iter().map(|_| part()).collect::<Option<Vec<_>>>()?)?,
        18 => Type::record(
            names
                .iter()
                .map(|name| Some((*name, part()?)))
                .collect::<Option<Vec<_>>>()?,
        )?,
        19 => {
            // Every other case has a payload.
            let case = |(index, name): (usize, &&'static str)| {
                Some((*name, if index % 2 == 0 { Some(part()?) } else { None }))
            };
            Type::variant(names.iter().enumerate().map(case).collect::<Option<Vec<_>>>()?)?
        }
        _ => {
            let ok = if parts % 2 == 0 { Some(part()?) } else { None };
            Type::result(ok, if parts > 3 { Some(part()?) } else { None })
        }
    })
}

/// Whatever became values can be written as JSON and as WAVE, and read again as the same values.
pub fn check_values(params: &[(String, Type); 1], values: Result<Vec<Value>, ArgsError>) {
    let value = match values.as_deref() {
        Ok([value]) => value,
        Ok(other) => panic!("{} values for one parameter", other.len()),
        Err(error) => return check_message(error),
    };
    let written = json::from_value(value).unwrap();
    let read = |args: &Json| json::args_to_values::<Value>(params, args).unwrap();
    let through_json: Json = serde_json::from_str(&json!([written]).to_string()).unwrap();
    assert_eq!(json::from_value(&read(&through_json)[0]).unwrap(), written);
    let call: wave::Call = format!("f({})", wave::to_string(value).unwrap()).parse().unwrap();
    let through_wave = wave::args_to_values::<Value>(params, &call).unwrap();
    assert_eq!(json::from_value(&through_wave[0]).unwrap(), written);
}

/// Messages are for people.
pub fn check_message(error: &dyn std::error::Error) {
    assert!(error.to_string().len() < MAX_MESSAGE, "{error}");
}
