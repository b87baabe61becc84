//! A type as WIT text for people, and as the tree that values are checked against.

mod write;

use std::{collections::HashMap, fmt, sync::Arc};

use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use wasm_wave::value::Type;
use wasmparser::{
    PrimitiveValType,
    component_types::{
        ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType, ComponentItem,
        ComponentValType,
    },
    types::Types,
};

use crate::schema;

/// The largest type that a call can carry: about the length in bytes of its WIT text with every name in it written out.
///
/// Types of components are graphs, so a few hundred bytes can describe a record with a million fields. Whoever walks a
/// type once per value (to check it, to make an example) relies on this bound.
pub const MAX_TYPE_WEIGHT: usize = 64 * 1024;

/// The type of a parameter or a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitType {
    text: Arc<str>,
    value: Result<Type, &'static str>,
}

impl WitType {
    /// The type that values are checked against, or what keeps them out, such as `a resource handle`.
    pub fn value_type(&self) -> Result<&Type, &'static str> {
        self.value.as_ref().map_err(|why| *why)
    }

    /// What the JSON of its values is like, as [JSON Schema](https://json-schema.org/draft/2020-12/schema); false for what has no form in JSON.
    pub fn schema(&self) -> Json {
        self.value.as_ref().map_or(Json::Bool(false), schema::schema)
    }

    /// What it takes of memory, in bytes; the tree of values is shared between all uses of the type.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }
}

/// As in the component's WIT, with the names of types: `list<point>`. Very long types are cut.
impl fmt::Display for WitType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for WitType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Turns the validator's types into [`WitType`]s, each only once.
pub(crate) struct TypeReader<'a> {
    types: &'a Types,
    names: HashMap<ComponentAnyTypeId, &'a str>,
    known: HashMap<ComponentDefinedTypeId, Weighed>,
}

/// A type and how heavy it is; see [`MAX_TYPE_WEIGHT`].
#[derive(Clone)]
struct Weighed {
    value: Result<Type, &'static str>,
    weight: usize,
}

impl<'a> TypeReader<'a> {
    pub(crate) fn new(types: &'a Types) -> Self {
        Self {
            types,
            names: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Remembers what the types are called that this import or export names, by itself or inside of an interface.
    pub(crate) fn learn_names(&mut self, name: &'a str, item: &'a ComponentItem) {
        match item.ty {
            ComponentEntityType::Type { created, .. } => {
                self.names.insert(created, name);
            }
            ComponentEntityType::Instance(id) => {
                for (name, item) in &self.types[id].exports {
                    if let ComponentEntityType::Type { created, .. } = item.ty {
                        self.names.insert(created, name);
                    }
                }
            }
            _ => {}
        }
    }

    pub(crate) fn read(&mut self, ty: ComponentValType) -> WitType {
        let text = self.text(ty).into();
        WitType {
            text,
            value: self.value(ty).value,
        }
    }

    fn value(&mut self, ty: ComponentValType) -> Weighed {
        let id = match ty {
            ComponentValType::Primitive(primitive) => {
                return Weighed {
                    value: primitive_type(primitive),
                    weight: 1,
                };
            }
            ComponentValType::Type(id) => self.original(id),
        };
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let weighed = self.defined(id);
        self.known.insert(id, weighed.clone());
        weighed
    }

    /// The definition that this type is another name for. Each is built once, however often it's renamed.
    fn original(&self, mut id: ComponentDefinedTypeId) -> ComponentDefinedTypeId {
        while let Some(next) = self.types.peel_alias(id) {
            id = next;
        }
        id
    }

    fn defined(&mut self, id: ComponentDefinedTypeId) -> Weighed {
        let types = self.types;
        match &types[id] {
            ComponentDefinedType::Primitive(primitive) => Weighed {
                value: primitive_type(*primitive),
                weight: 1,
            },
            ComponentDefinedType::Record(record) => {
                let names = record.fields.keys().map(|name| name.as_str());
                self.composite(names.clone(), record.fields.values().copied(), |types| {
                    Type::record(names.zip(types))
                })
            }
            ComponentDefinedType::Variant(variant) => {
                let names = variant.cases.keys().map(|name| name.as_str());
                let payloads = variant.cases.values().map(|case| case.ty);
                self.composite(names.clone(), payloads.clone().flatten(), |types| {
                    let mut types = types.into_iter();
                    Type::variant(names.zip(payloads.map(|payload| payload.and_then(|_| types.next()))))
                })
            }
            ComponentDefinedType::Flags(names) => {
                let names = names.iter().map(|name| name.as_str());
                self.composite(names.clone(), [], |_| Type::flags(names))
            }
            ComponentDefinedType::Enum(names) => {
                let names = names.iter().map(|name| name.as_str());
                self.composite(names.clone(), [], |_| Type::enum_ty(names))
            }
            ComponentDefinedType::Tuple(tuple) => self.composite([], tuple.types.iter().copied(), Type::tuple),
            ComponentDefinedType::List { element, .. } => {
                self.composite([], [*element], |types| types.into_iter().next().map(Type::list))
            }
            ComponentDefinedType::Option { ty, .. } => {
                self.composite([], [*ty], |types| types.into_iter().next().map(Type::option))
            }
            ComponentDefinedType::Result { ok, err, .. } => {
                self.composite([], [*ok, *err].into_iter().flatten(), |types| {
                    let mut types = types.into_iter();
                    let ok = ok.and_then(|_| types.next());
                    Some(Type::result(ok, types.next()))
                })
            }
            ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => unsupported("a resource handle"),
            ComponentDefinedType::Stream { .. } => unsupported("a stream"),
            ComponentDefinedType::Future { .. } => unsupported("a future"),
            ComponentDefinedType::Map { .. } => unsupported("a map"),
            ComponentDefinedType::FixedLengthList { .. } => unsupported("a list of fixed length"),
        }
    }

    /// A type made of others. The first part that can't be passed makes the whole one that can't.
    fn composite<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n str>,
        parts: impl IntoIterator<Item = ComponentValType>,
        make: impl FnOnce(Vec<Type>) -> Option<Type>,
    ) -> Weighed {
        let mut weight: usize = 1 + names.into_iter().map(|name| name.len() + 1).sum::<usize>();
        let mut values = Ok(Vec::new());
        for part in parts {
            let part = self.value(part);
            weight = weight.saturating_add(part.weight);
            match (&mut values, part.value) {
                (Ok(values), Ok(value)) => values.push(value),
                (Ok(_), Err(why)) => values = Err(why),
                (Err(_), _) => {}
            }
        }
        let value = match values {
            Ok(_) if weight > MAX_TYPE_WEIGHT => Err("a type this large"),
            // A record, variant, enum, flags or tuple of nothing is invalid, and was refused with the component.
            Ok(values) => make(values).ok_or("an empty type"),
            Err(why) => Err(why),
        };
        Weighed { value, weight }
    }
}

fn unsupported(why: &'static str) -> Weighed {
    Weighed {
        value: Err(why),
        weight: 1,
    }
}

fn primitive_type(ty: PrimitiveValType) -> Result<Type, &'static str> {
    Ok(match ty {
        PrimitiveValType::Bool => Type::BOOL,
        PrimitiveValType::S8 => Type::S8,
        PrimitiveValType::U8 => Type::U8,
        PrimitiveValType::S16 => Type::S16,
        PrimitiveValType::U16 => Type::U16,
        PrimitiveValType::S32 => Type::S32,
        PrimitiveValType::U32 => Type::U32,
        PrimitiveValType::S64 => Type::S64,
        PrimitiveValType::U64 => Type::U64,
        PrimitiveValType::F32 => Type::F32,
        PrimitiveValType::F64 => Type::F64,
        PrimitiveValType::Char => Type::CHAR,
        PrimitiveValType::String => Type::STRING,
        PrimitiveValType::ErrorContext => return Err("an error context"),
    })
}
