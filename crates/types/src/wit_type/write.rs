//! Types as WIT text.

use wasmparser::component_types::{
    AliasableResourceId, ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentItem, ComponentValType,
};

use super::TypeReader;

/// How long the text of one type may grow before it is cut. A type without names can be a graph whose text has a
/// million parts.
const MAX_TEXT: usize = 2_000;

impl TypeReader<'_> {
    /// The type as a signature mentions it, by its name if it has one.
    pub(super) fn text(&self, ty: ComponentValType) -> String {
        self.cut(|out| self.write(ty, out))
    }

    /// `record point { x: f64, y: f64 }`, if this is a named type.
    pub(crate) fn definition(&self, name: &str, item: &ComponentItem) -> Option<String> {
        let ComponentEntityType::Type { created, .. } = item.ty else {
            return None;
        };
        match created {
            ComponentAnyTypeId::Resource(_) => Some(format!("resource {name}")),
            ComponentAnyTypeId::Defined(id) => Some(self.cut(|out| match &self.types[id] {
                ty @ (ComponentDefinedType::Record(_)
                | ComponentDefinedType::Variant(_)
                | ComponentDefinedType::Flags(_)
                | ComponentDefinedType::Enum(_)) => self.write_defined(ty, name, out),
                ty => {
                    out.push_str(&format!("type {name} = "));
                    self.write_defined(ty, "", out);
                }
            })),
            _ => None,
        }
    }

    fn cut(&self, write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        if out.len() > MAX_TEXT {
            out.truncate(out.floor_char_boundary(MAX_TEXT));
            out.push('…');
        }
        out
    }

    fn write(&self, ty: ComponentValType, out: &mut String) {
        if out.len() > MAX_TEXT {
            return;
        }
        match ty {
            ComponentValType::Primitive(primitive) => out.push_str(&primitive.to_string()),
            ComponentValType::Type(id) => match self.name(id.into()) {
                Some(name) => out.push_str(name),
                None => self.write_defined(&self.types[id], "", out),
            },
        }
    }

    /// What the component calls this type, in the place where it is used or in the one that it comes from.
    fn name(&self, mut id: ComponentAnyTypeId) -> Option<&str> {
        loop {
            match self.names.get(&id) {
                Some(name) => return Some(name),
                None => id = self.types.peel_alias(id)?,
            }
        }
    }

    /// The type in full, one level deep. `name` is the one that a definition gives to it.
    fn write_defined(&self, ty: &ComponentDefinedType, name: &str, out: &mut String) {
        let some = |ty: &ComponentValType| Some(*ty);
        match ty {
            ComponentDefinedType::Primitive(primitive) => out.push_str(&primitive.to_string()),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| (name.as_str(), Some(*ty)));
                self.write_braces("record", name, fields, [": ", ""], out);
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter().map(|(name, case)| (name.as_str(), case.ty));
                self.write_braces("variant", name, cases, ["(", ")"], out);
            }
            ComponentDefinedType::Flags(names) => {
                self.write_braces(
                    "flags",
                    name,
                    names.iter().map(|name| (name.as_str(), None)),
                    [""; 2],
                    out,
                );
            }
            ComponentDefinedType::Enum(names) => {
                self.write_braces(
                    "enum",
                    name,
                    names.iter().map(|name| (name.as_str(), None)),
                    [""; 2],
                    out,
                );
            }
            ComponentDefinedType::Tuple(tuple) => self.write_angles("tuple", tuple.types.iter().map(some), out),
            ComponentDefinedType::List { element, .. } => self.write_angles("list", [Some(*element)], out),
            ComponentDefinedType::Option { ty, .. } => self.write_angles("option", [Some(*ty)], out),
            ComponentDefinedType::Result {
                ok: None, err: None, ..
            } => out.push_str("result"),
            ComponentDefinedType::Result {
                ok: Some(ok),
                err: None,
                ..
            } => self.write_angles("result", [Some(*ok)], out),
            ComponentDefinedType::Result { ok, err, .. } => self.write_angles("result", [*ok, *err], out),
            ComponentDefinedType::Own(resource) => out.push_str(self.resource(*resource)),
            ComponentDefinedType::Borrow(resource) => out.push_str(&format!("borrow<{}>", self.resource(*resource))),
            ComponentDefinedType::Stream { ty: None, .. } => out.push_str("stream"),
            ComponentDefinedType::Stream { ty, .. } => self.write_angles("stream", [*ty], out),
            ComponentDefinedType::Future { ty: None, .. } => out.push_str("future"),
            ComponentDefinedType::Future { ty, .. } => self.write_angles("future", [*ty], out),
            ComponentDefinedType::Map { key, value, .. } => self.write_angles("map", [Some(*key), Some(*value)], out),
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                out.push_str("list<");
                self.write(*element, out);
                out.push_str(&format!(", {length}>"));
            }
        }
    }

    fn resource(&self, id: AliasableResourceId) -> &str {
        self.name(id.into()).unwrap_or("resource")
    }

    /// `record point { x: f64, y: f64 }`, or `variant shape { circle(f64), none }`, by what stands before and after a type.
    fn write_braces<'n>(
        &self,
        keyword: &str,
        name: &str,
        members: impl Iterator<Item = (&'n str, Option<ComponentValType>)>,
        [before, after]: [&str; 2],
        out: &mut String,
    ) {
        out.push_str(keyword);
        let mut separator = if name.is_empty() {
            " { ".to_owned()
        } else {
            format!(" {name} {{ ")
        };
        for (member, ty) in members {
            if out.len() > MAX_TEXT {
                return;
            }
            out.push_str(&separator);
            out.push_str(member);
            if let Some(ty) = ty {
                out.push_str(before);
                self.write(ty, out);
                out.push_str(after);
            }
            separator = ", ".to_owned();
        }
        out.push_str(" }");
    }

    /// `result<_, string>`; a part that isn't there is an underscore.
    fn write_angles(&self, keyword: &str, parts: impl IntoIterator<Item = Option<ComponentValType>>, out: &mut String) {
        out.push_str(keyword);
        let mut separator = "<";
        for part in parts {
            if out.len() > MAX_TEXT {
                return;
            }
            out.push_str(separator);
            match part {
                Some(ty) => self.write(ty, out),
                None => out.push('_'),
            }
            separator = ", ";
        }
        out.push('>');
    }
}
