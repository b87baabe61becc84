//! Types, values of them, and JSON that may be one.

use std::fmt::Debug;

use proptest::{collection::vec, option, prelude::*, sample::subsequence};
use serde_json::json;
use wasm_wave::{
    value::{Type, Value},
    wasm::{WasmType, WasmTypeKind, WasmValue},
};

/// Names of fields and cases. Many mean something in WAVE or in the JSON forms.
const NAMES: [&str; 12] = [
    "a",
    "some",
    "none",
    "ok",
    "err",
    "true",
    "false",
    "inf",
    "nan",
    "base64",
    "dark-green",
    "B2",
];

pub(super) fn typed() -> impl Strategy<Value = (Type, Value)> {
    types().prop_flat_map(|ty| value(&ty).prop_map(move |value| (ty.clone(), value)))
}

pub(super) fn types() -> BoxedStrategy<Type> {
    let simple = [
        Type::BOOL,
        Type::S8,
        Type::U8,
        Type::S16,
        Type::U16,
        Type::S32,
        Type::U32,
        Type::S64,
        Type::U64,
        Type::F32,
        Type::F64,
        Type::CHAR,
        Type::STRING,
    ];
    let names = || subsequence(&NAMES[..], 1..=NAMES.len()).prop_shuffle();
    let leaf = prop_oneof![
        4 => proptest::sample::select(simple.to_vec()),
        1 => names().prop_map(|names| Type::enum_ty(names).unwrap()),
        1 => names().prop_map(|names| Type::flags(names).unwrap()),
    ];
    leaf.prop_recursive(5, 40, 6, move |part| {
        let parts = (names(), vec(part.clone(), NAMES.len()));
        prop_oneof![
            part.clone().prop_map(Type::list),
            part.clone().prop_map(Type::option),
            vec(part.clone(), 1..6).prop_map(|types| Type::tuple(types).unwrap()),
            parts.prop_map(|(names, types)| Type::record(names.into_iter().zip(types)).unwrap()),
            (names(), vec(option::of(part.clone()), NAMES.len()))
                .prop_map(|(names, types)| Type::variant(names.into_iter().zip(types)).unwrap()),
            (option::of(part.clone()), option::of(part)).prop_map(|(ok, err)| Type::result(ok, err)),
        ]
    })
    .boxed()
}

fn value(ty: &Type) -> BoxedStrategy<Value> {
    let made = ty.clone();
    match ty.kind() {
        WasmTypeKind::Bool => any::<bool>().prop_map(Value::make_bool).boxed(),
        WasmTypeKind::S8 => any::<i8>().prop_map(Value::make_s8).boxed(),
        WasmTypeKind::U8 => any::<u8>().prop_map(Value::make_u8).boxed(),
        WasmTypeKind::S16 => any::<i16>().prop_map(Value::make_s16).boxed(),
        WasmTypeKind::U16 => any::<u16>().prop_map(Value::make_u16).boxed(),
        WasmTypeKind::S32 => any::<i32>().prop_map(Value::make_s32).boxed(),
        WasmTypeKind::U32 => any::<u32>().prop_map(Value::make_u32).boxed(),
        WasmTypeKind::S64 => any::<i64>().prop_map(Value::make_s64).boxed(),
        WasmTypeKind::U64 => any::<u64>().prop_map(Value::make_u64).boxed(),
        WasmTypeKind::F32 => float(any::<u32>().prop_map(f32::from_bits), Value::make_f32),
        WasmTypeKind::F64 => float(any::<u64>().prop_map(f64::from_bits), Value::make_f64),
        WasmTypeKind::Char => any::<char>().prop_map(Value::make_char).boxed(),
        WasmTypeKind::String => text().prop_map(|text| Value::make_string(text.into())).boxed(),
        WasmTypeKind::List => vec(value(&ty.list_element_type().unwrap()), 0..5)
            .prop_map(move |items| Value::make_list(&made, items).unwrap())
            .boxed(),
        WasmTypeKind::Option => option::of(value(&ty.option_some_type().unwrap()))
            .prop_map(move |some| Value::make_option(&made, some).unwrap())
            .boxed(),
        WasmTypeKind::Tuple => values(ty.tuple_element_types())
            .prop_map(move |items| Value::make_tuple(&made, items).unwrap())
            .boxed(),
        WasmTypeKind::Record => values(ty.record_fields().map(|(_, ty)| ty))
            .prop_map(move |items| {
                let names = made.record_fields().map(|(name, _)| name);
                let fields: Vec<_> = names.zip(items).collect();
                Value::make_record(&made, fields.iter().map(|(name, item)| (name.as_ref(), item.clone()))).unwrap()
            })
            .boxed(),
        WasmTypeKind::Flags => {
            let names: Vec<String> = ty.flags_names().map(Into::into).collect();
            let count = names.len();
            subsequence(names, 0..=count)
                .prop_map(move |set| Value::make_flags(&made, set.iter().map(String::as_str)).unwrap())
                .boxed()
        }
        WasmTypeKind::Enum => {
            let names: Vec<String> = ty.enum_cases().map(Into::into).collect();
            proptest::sample::select(names)
                .prop_map(move |case| Value::make_enum(&made, &case).unwrap())
                .boxed()
        }
        WasmTypeKind::Variant => {
            let cases = ty.variant_cases().map(|(name, payload)| {
                let (made, name) = (made.clone(), name.into_owned());
                maybe(payload)
                    .prop_map(move |payload| Value::make_variant(&made, &name, payload).unwrap())
                    .boxed()
            });
            proptest::strategy::Union::new(cases.collect::<Vec<_>>()).boxed()
        }
        WasmTypeKind::Result => {
            let (ok, err) = ty.result_types().unwrap();
            prop_oneof![maybe(ok).prop_map(Ok), maybe(err).prop_map(Err)]
                .prop_map(move |result| Value::make_result(&made, result).unwrap())
                .boxed()
        }
        other => panic!("{other} isn't generated"),
    }
}

fn values(types: impl Iterator<Item = Type>) -> BoxedStrategy<Vec<Value>> {
    types.map(|ty| value(&ty)).collect::<Vec<_>>().boxed()
}

fn maybe(ty: Option<Type>) -> BoxedStrategy<Option<Value>> {
    ty.map_or(Just(None).boxed(), |ty| value(&ty).prop_map(Some).boxed())
}

/// Floats by their bits, so NaNs and subnormal numbers too, and those that people write.
fn float<F>(bits: impl Strategy<Value = F> + 'static, make: fn(F) -> Value) -> BoxedStrategy<Value>
where
    F: Debug + Clone + From<i8> + std::ops::Div<Output = F> + 'static,
{
    let tenths = any::<i8>().prop_map(|number| F::from(number) / F::from(10));
    let infinite = any::<bool>().prop_map(|is_negative| F::from(if is_negative { -1 } else { 1 }) / F::from(0));
    let zero = Just(F::from(0) / F::from(-1));
    prop_oneof![4 => bits, 2 => tenths, 1 => infinite, 1 => zero]
        .prop_map(make)
        .boxed()
}

fn text() -> impl Strategy<Value = String> {
    let hostile = proptest::sample::select(
        &[
            '"',
            '\'',
            '\\',
            '\n',
            '\r',
            '\t',
            '\0',
            '{',
            '}',
            '\u{202e}',
            '\u{feff}',
            '\u{10ffff}',
        ][..],
    );
    vec(prop_oneof![any::<char>(), hostile], 0..12).prop_map(String::from_iter)
}

pub(super) fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|bool| json!(bool)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        any::<i8>().prop_map(|number| json!(f64::from(number))),
        any::<u64>().prop_map(|number| json!(number.to_string())),
        text().prop_map(|text| json!(text)),
        proptest::sample::select(&NAMES[..]).prop_map(|name| json!(name)),
    ];
    leaf.prop_recursive(4, 30, 4, |part| {
        let fields = vec((proptest::sample::select(&NAMES[..]), part.clone()), 0..4);
        prop_oneof![
            vec(part, 0..4).prop_map(|items| json!(items)),
            fields.prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}
