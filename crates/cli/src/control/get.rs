//! `propeller get`: tables, names, or what the API says.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    ControlError,
    columns::Layout,
    kind::{Kind, Target, name},
    server::{Query, Server, together},
    table::Table,
    watch::{Seen, Watch},
};
use crate::{
    args::{Format, Get},
    failure::Failure,
    output::Output,
};

/// Shows what is asked for, and with `--watch` each change until Ctrl-C.
pub async fn get(args: &Get, server: &Server, output: &Output) -> Result<(), Failure> {
    let Target { kind, names } = Target::read(&args.what)?;
    let select = &args.select;
    let selects = select.selector.is_some() || select.field_selector.is_some() || args.all_namespaces;
    if !names.is_empty() && selects {
        let words = "names and selectors exclude each other: name what you want, or select it with `-l`, `--field-selector` or `-A`";
        return Err(ControlError::Target(words.to_owned()).into());
    }
    let mut printer = Printer::new(args, kind, output);
    if args.watch {
        return watch(args, server, kind, &names, &mut printer).await;
    }
    if names.is_empty() {
        let list = server.list(kind, &query(args)).await?;
        return printer.list(list, server);
    }
    let mut objects = vec![];
    for name in &names {
        objects.push(server.get(kind, name).await?);
    }
    printer.objects(&objects, || together(objects.clone()))
}

fn query(args: &Get) -> Query {
    Query {
        labels: args.select.selector.clone(),
        fields: args.select.field_selector.clone(),
        all_namespaces: args.all_namespaces,
    }
}

async fn watch(
    args: &Get,
    server: &Server,
    kind: Kind,
    names: &[String],
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let query = match names {
        [only] => Query::one(only),
        _ => query(args),
    };
    let is_meant = |object: &Value| names.is_empty() || names.iter().any(|wanted| wanted == name(object));
    for name in names {
        server.get(kind, name).await?;
    }
    let (mut list, mut watch) = Watch::begin(server, kind, query).await?;
    let items: Vec<_> = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let items: Vec<_> = items.into_iter().filter(is_meant).collect();
    printer.each(&items)?;
    loop {
        let (Seen::Is(object) | Seen::Gone(object)) = watch.next().await?;
        if is_meant(&object) {
            printer.each(&[object])?;
        }
    }
}

/// Prints objects in the format that was asked for.
struct Printer<'a> {
    layout: Layout,
    output: &'a Output,
    table: Table,
    wants_headings: bool,
}

impl<'a> Printer<'a> {
    fn new(args: &Get, kind: Kind, output: &'a Output) -> Self {
        Self {
            layout: Layout {
                kind,
                namespace: args.all_namespaces,
                wide: output.format() == Format::Wide,
            },
            output,
            table: Table::default(),
            wants_headings: !args.no_headers,
        }
    }

    /// A list as it came.
    fn list(&mut self, list: Value, server: &Server) -> Result<(), Failure> {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let is_table = matches!(self.output.format(), Format::Text | Format::Wide);
        if items.is_empty() && is_table {
            let kinds = self.layout.kind.plural();
            let place = if self.layout.namespace {
                String::new()
            } else {
                format!(" in namespace {}", server.namespace)
            };
            self.output.note(&format!("there are no {kinds}{place}"));
            return Ok(());
        }
        self.objects(&items, || list)
    }

    /// Each by itself, as they come.
    fn each(&mut self, objects: &[Value]) -> Result<(), Failure> {
        match self.output.format() {
            Format::Json => objects.iter().try_for_each(|object| self.output.document(object)),
            Format::Yaml => objects
                .iter()
                .try_for_each(|object| self.output.text(&format!("---\n{}", yaml(object)))),
            _ if objects.is_empty() => Ok(()),
            _ => self.objects(objects, || Value::Null),
        }
    }

    fn objects(&mut self, objects: &[Value], whole: impl FnOnce() -> Value) -> Result<(), Failure> {
        let kind = self.layout.kind;
        match self.output.format() {
            Format::Json => self.output.document(&whole()),
            Format::Yaml => self.output.text(&yaml(&whole())),
            Format::Name => {
                let lines: String = objects
                    .iter()
                    .map(|object| format!("{kind}/{}\n", name(object)))
                    .collect();
                self.output.text(&lines)
            }
            Format::Text | Format::Wide => {
                let now = Timestamp::now();
                let headings = std::mem::take(&mut self.wants_headings).then(|| self.layout.headings());
                let rows = objects.iter().map(|object| self.layout.row(object, now));
                let rows: Vec<_> = headings.into_iter().chain(rows).collect();
                let drawn = self.table.draw(&rows);
                self.output.text(&drawn)
            }
        }
    }
}

/// JSON is YAML, but nobody's favourite one.
pub fn yaml(object: &Value) -> String {
    serde_saphyr::to_string(object).unwrap_or_else(|_| object.to_string())
}
