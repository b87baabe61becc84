//! `propeller inspect`: what a component needs and offers, and a Task to start from. Nothing is compiled.

use std::fmt;

use indicatif::BinaryBytes;
use propeller_api::Digest;
use propeller_types::{Contract, Export, FunctionRef, Import, Kind, Origin as Author, Wasi};
use serde::Serialize;

use crate::{
    args::Inspect,
    component::{Access, Component, Location, Origin},
    failure::Failure,
    source::Source,
    task::Draft,
};

/// What there is to know about a component.
#[derive(Debug, Serialize)]
pub struct Inspected {
    #[serde(flatten)]
    origin: Origin,
    /// Digest of the component itself.
    component: Digest,
    /// In bytes.
    size: usize,
    /// Which generation of WASI it's a program of.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<Wasi>,
    /// Which generation of WASI it's a service of.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Wasi>,
    #[serde(flatten)]
    contract: Contract,
    /// None where there is nothing that a Task can call.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Draft>,
}

/// A Task alone: YAML for people, JSON for programs, and both for `kubectl apply`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct TaskAlone(Draft);

/// Looks at a component.
pub async fn inspect(args: &Inspect, access: &Access<'_>) -> Result<Inspected, Failure> {
    look(&Source::find(&args.source)?, args.function.as_ref(), access).await
}

/// What there is to know about the component at `source`.
pub async fn look(source: &Source, function: Option<&FunctionRef>, access: &Access<'_>) -> Result<Inspected, Failure> {
    let component = Component::load(source, access).await?;
    let task = match Draft::new(&component, function) {
        Err(Failure::NothingToCall) => None,
        task => Some(task?),
    };
    Ok(Inspected::new(component, task))
}

/// Makes the Task alone.
pub async fn task(args: &Inspect, access: &Access<'_>) -> Result<TaskAlone, Failure> {
    let component = Component::load(&Source::find(&args.source)?, access).await?;
    Draft::new(&component, args.function.as_ref()).map(TaskAlone)
}

impl Inspected {
    fn new(component: Component, task: Option<Draft>) -> Self {
        Self {
            origin: component.origin,
            component: component.digest,
            size: component.bytes.len(),
            program: component.contract.command(),
            service: component.contract.service(),
            contract: component.contract,
            task,
        }
    }
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File { file } => writeln!(f, "file       {}", file.display())?,
            Origin::Registry(location) => location.fmt(f)?,
        }
        writeln!(f, "component  {}", self.component)?;
        writeln!(f, "size       {} ({} bytes)", BinaryBytes(self.size as u64), self.size)?;
        for (what, generation) in [("program", self.program), ("service", self.service)] {
            if let Some(generation) = generation {
                writeln!(f, "runs as    {what} (WASI {generation})")?;
            }
        }
        writeln!(f)?;
        World(&self.contract).fmt(f)?;
        let Some(task) = &self.task else { return Ok(()) };
        writeln!(f, "\n# A Task to start from; --task prints nothing else.")?;
        if let Origin::File { file } = &self.origin {
            let (file, image) = (file.display(), task.image());
            writeln!(f, "# Publish the component first: propeller push {file} {image}")?;
        }
        f.write_str(&task.to_yaml())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "reference  {}", self.reference)?;
        writeln!(f, "pinned     {}", self.pinned)?;
        writeln!(f, "manifest   {}", self.manifest)
    }
}

impl fmt::Display for TaskAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_yaml())
    }
}

/// The component's world as WIT, what it exports written out in place. What a toolchain added is left to `--output json`: it's not to be called.
struct World<'a>(&'a Contract);

impl fmt::Display for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contract {
            imports,
            exports,
            types,
            ..
        } = self.0;
        writeln!(f, "world root {{")?;
        // Types of the world itself are imported, too. They are among its definitions.
        let is_provided = |import: &&Import| import.kind != Kind::Type;
        let mut provided = imports.iter().filter(is_provided).peekable();
        let has_some = provided.peek().is_some();
        for import in provided {
            writeln!(f, "  import {};", import.name)?;
        }
        if has_some && !exports.is_empty() {
            writeln!(f)?;
        }
        for ty in types {
            definition(f, "  ", ty)?;
        }
        for export in exports.iter().filter(|export| export.origin != Author::Toolchain) {
            self::export(f, export)?;
        }
        writeln!(f, "}}")
    }
}

/// Interfaces of WASI are known, and not for people to call.
fn export(f: &mut fmt::Formatter<'_>, export: &Export) -> fmt::Result {
    match (export.kind, export.origin) {
        (Kind::Function, _) => export
            .functions
            .iter()
            .try_for_each(|function| writeln!(f, "  export {function};")),
        (Kind::Interface, Author::Author) => {
            writeln!(f, "  export {} {{", export.name)?;
            export.types.iter().try_for_each(|ty| definition(f, "    ", ty))?;
            export
                .functions
                .iter()
                .try_for_each(|function| writeln!(f, "    {function};"))?;
            writeln!(f, "  }}")
        }
        _ => writeln!(f, "  export {};", export.name),
    }
}

/// WIT ends a definition with a brace or a semicolon.
fn definition(f: &mut fmt::Formatter<'_>, indent: &str, definition: &str) -> fmt::Result {
    let end = if definition.ends_with('}') { "" } else { ";" };
    writeln!(f, "{indent}{definition}{end}")
}

#[cfg(test)]
mod tests {
    use propeller_api::Task;
    use propeller_artifact::digest_of;
    use serde_json::json;

    use super::*;
    use crate::component::Unread;

    const WAT: &str = r#"(component
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance))
        (core module $m
            (func (export "half") (param f64) (result f64) (local.get 0))
            (func (export "now") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m))
        (type $point (record (field "x" f64)))
        (func $half (param "point" $point) (result f64) (canon lift (core func $i "half")))
        (func $now (result u32) (canon lift (core func $i "now")))
        (component $plane
            (import "point-type" (type $p (eq $point)))
            (import "half" (func $half (param "point" $p) (result f64)))
            (export $exported "point" (type $p))
            (export "half" (func $half) (func (param "point" $exported) (result f64))))
        (instance $plane (instantiate $plane
            (with "point-type" (type $point))
            (with "half" (func $half))))
        (export "geometry:flat/plane@1.0.0" (instance $plane))
        (export "now" (func $now)))"#;

    const WORLD: &str = "\
world root {
  import wasi:clocks/monotonic-clock@0.2.0;

  export geometry:flat/plane@1.0.0 {
    record point { x: f64 }
    half: func(point: point) -> f64;
  }
  export now: func() -> u32;
}
";

    const SPEC: &str = "
  call:
    function: half
    args:
      point:
        x: 0.0
  resources:
    memory: 64Mi
  activeDeadlineSeconds: 30
";

    fn inspected(origin: Origin) -> Inspected {
        let component = Unread::new(origin, wat::parse_str(WAT).unwrap().into());
        let component = Component::try_from(component).unwrap();
        let task = Draft::new(&component, None).unwrap();
        Inspected::new(component, Some(task))
    }

    #[test]
    fn a_file_is_shown_with_its_world_and_a_task() {
        let inspected = inspected(Origin::File {
            file: "target/geo_metry.wasm".into(),
        });
        let (component, size) = (inspected.component.clone(), inspected.size);
        let expected = format!(
            "file       target/geo_metry.wasm\ncomponent  {component}\nsize       {} ({size} bytes)\n\n{WORLD}\n\
             # A Task to start from; --task prints nothing else.\n\
             # Publish the component first: propeller push target/geo_metry.wasm localhost:5000/geo-metry:latest\n\
             apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata:\n  name: geo-metry\nspec:\n  image: localhost:5000/geo-metry:latest{SPEC}",
            BinaryBytes(size as u64),
        );
        assert_eq!(inspected.to_string(), expected);
    }

    #[test]
    fn types_of_the_world_are_defined_and_not_imported() {
        let wat = r#"(component
            (type $record (record (field "x" f64)))
            (import "reading" (type $reading (eq $record)))
            (core module $m (func (export "half") (param f64) (result f64) (local.get 0)))
            (core instance $i (instantiate $m))
            (func $half (param "of" $reading) (result f64) (canon lift (core func $i "half")))
            (export "half" (func $half)))"#;
        let contract = Contract::read(&wat::parse_str(wat).unwrap()).unwrap();
        assert_eq!(
            World(&contract).to_string(),
            "world root {\n  record reading { x: f64 }\n  export half: func(of: reading) -> f64;\n}\n"
        );
    }

    #[test]
    fn an_artifact_is_shown_with_its_digests() {
        let (reference, manifest) = ("ghcr.io/you/flat:1".parse().unwrap(), digest_of(b"manifest"));
        let inspected = inspected(Origin::Registry(Box::new(Location::new(reference, manifest.clone()))));
        let text = inspected.to_string();
        let head = format!(
            "reference  ghcr.io/you/flat:1\npinned     ghcr.io/you/flat@{manifest}\nmanifest   {manifest}\ncomponent  sha256:"
        );
        assert!(text.starts_with(&head), "{text}");
        assert!(
            text.ends_with(&format!(
                "--task prints nothing else.\n{}",
                inspected.task.unwrap().to_yaml()
            )),
            "{text}"
        );
        assert!(text.contains("image: ghcr.io/you/flat:1\n"), "{text}");
    }

    #[test]
    fn programs_get_the_same() {
        let (reference, manifest) = ("ghcr.io/you/flat:1".parse().unwrap(), digest_of(b"manifest"));
        let inspected = inspected(Origin::Registry(Box::new(Location::new(reference, manifest.clone()))));
        let half = json!({
            "interface": "geometry:flat/plane@1.0.0",
            "name": "half",
            "params": [{"name": "point", "type": "point", "schema": {
                "title": "record",
                "type": "object",
                "properties": {"x": {"title": "f64", "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}},
                "required": ["x"],
                "additionalProperties": false,
            }}],
            "result": "f64",
            "async": false,
        });
        let now = json!({"name": "now", "params": [], "result": "u32", "async": false});
        let expected = json!({
            "reference": "ghcr.io/you/flat:1",
            "pinned": format!("ghcr.io/you/flat@{manifest}"),
            "manifest": manifest,
            "component": inspected.component,
            "size": inspected.size,
            "imports": [{"name": "wasi:clocks/monotonic-clock@0.2.0", "kind": "interface"}],
            "exports": [
                {
                    "name": "geometry:flat/plane@1.0.0",
                    "kind": "interface",
                    "origin": "author",
                    "types": ["record point { x: f64 }"],
                    "functions": [half],
                },
                {"name": "now", "kind": "function", "origin": "author", "functions": [now]},
            ],
            "task": {
                "apiVersion": "propeller.dev/v1alpha1",
                "kind": "Task",
                "metadata": {"name": "flat"},
                "spec": {
                    "image": "ghcr.io/you/flat:1",
                    "call": {"function": "half", "args": {"point": {"x": 0.0}}},
                    "resources": {"memory": "64Mi"},
                    "activeDeadlineSeconds": 30,
                },
            },
        });
        assert_eq!(serde_json::to_value(inspected).unwrap(), expected);
    }

    #[test]
    fn the_task_to_start_from_is_valid_and_calls_what_was_asked() {
        let origin = Origin::File { file: "a.wasm".into() };
        let component = Unread::new(origin, wat::parse_str(WAT).unwrap().into());
        let component = Component::try_from(component).unwrap();
        let check = |function: Option<&str>, expected: Result<&str, &str>| {
            let function = function.map(|function| function.parse().unwrap());
            let draft = Draft::new(&component, function.as_ref()).map_err(|failure| failure.reason().to_owned());
            let task = draft.map(|draft| serde_saphyr::from_str::<Task>(&draft.to_yaml()).unwrap());
            let function = task.map(|task| task.validate().map(|()| task.spec.call.unwrap().function).unwrap());
            assert_eq!(function.as_deref().map_err(String::as_str), expected);
        };
        check(None, Ok("half"));
        check(Some("now"), Ok("now"));
        check(Some("geometry:flat/plane#half"), Ok("half"));
        check(Some("later"), Err("UnknownExport"));
    }

    #[test]
    fn programs_and_services_are_called_what_they_are() {
        let check = |exports: &[&str], runs_as: &str, spec: &str| {
            let export = |name: &&str| {
                format!("(instance $i) (export \"{name}\" (instance $i))").replace("$i", &format!("${}", name.len()))
            };
            let wat = format!("(component {})", exports.iter().map(export).collect::<String>());
            let origin = Origin::File { file: "a.wasm".into() };
            let component = Unread::new(origin, wat::parse_str(wat).unwrap().into());
            let component = Component::try_from(component).unwrap();
            let draft = Draft::new(&component, None).unwrap();
            let task: Task = serde_saphyr::from_str(&draft.to_yaml()).unwrap();
            task.validate().unwrap();
            assert_eq!(task.spec.work().unwrap().to_string(), spec);
            let text = Inspected::new(component, Some(draft)).to_string();
            assert!(text.contains(runs_as), "{text}");
        };
        check(
            &["wasi:cli/run@0.2.3"],
            "runs as    program (WASI 0.2)\n\n",
            "runs as a program",
        );
        check(
            &["wasi:http/incoming-handler@0.2.0"],
            "runs as    service (WASI 0.2)\n\n",
            "serves HTTP",
        );
        check(
            &["wasi:http/handler@0.3.0"],
            "runs as    service (WASI 0.3)\n\n",
            "serves HTTP",
        );
        check(
            &["wasi:cli/run@0.3.0", "wasi:http/handler@0.3.0"],
            "runs as    program (WASI 0.3)\nruns as    service (WASI 0.3)\n\n",
            "runs as a program",
        );
    }
}
