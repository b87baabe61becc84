//! Which of an artifact's layers is the component: the layouts of all tools that publish components, read the same way.
//!
//! | producer | layer |
//! |---|---|
//! | the CNCF layout (`wkg`, `wash`, we) | `application/wasm` |
//! | `oras` | whatever type its user gave, an untyped tar if none |
//! | `spin` | `application/vnd.wasm.content.layer.v1+wasm` per component, with data layers beside them |
//! | `wasm-to-oci` and its time | `application/vnd.wasm.content.layer.v1+wasm`, `application/vnd.module.wasm.content.layer.v1+wasm` |
//! | `runwasi` | `application/vnd.bytecodealliance.wasm.component.layer.v0+wasm` |
//!
//! So the rule is: exactly one layer whose type is WebAssembly, or one layer alone that says nothing. Types are claims; the bytes are checked after
//! the download. No IO here.

use oci_client::manifest::{IMAGE_LAYER_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest, OciManifest};
use propeller_api::Digest;
use serde::{Deserialize, Serialize};

/// The config of the CNCF layout.
pub(crate) const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// The layer of the CNCF layout, and the registered type of WebAssembly.
pub(crate) const LAYER_TYPE: &str = "application/wasm";

/// A blob that a manifest names, with a digest that is one and a size that can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) media_type: String,
}

/// What a manifest's bytes turned out to be.
#[derive(Debug)]
pub(crate) enum Manifest {
    /// One artifact.
    Image(Box<OciImageManifest>),
    /// Several artifacts by platform, of which this is the one for WebAssembly.
    Index(Digest),
}

/// The config of the CNCF layout, <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config<'a> {
    pub(crate) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<&'a str>,
    pub(crate) architecture: &'static str,
    pub(crate) os: &'static str,
    pub(crate) layer_digests: [&'a Digest; 1],
    pub(crate) component: &'a ComponentInfo,
}

/// What a component says about itself, as the config of the CNCF layout repeats it.
///
/// Whoever publishes a component parses it first and hands this in: artifacts don't read WebAssembly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// Names of what it imports, such as `wasi:cli/environment@0.2.0`.
    pub imports: Vec<String>,
    /// Names of what it exports.
    pub exports: Vec<String>,
    /// The world that it was built for, such as `wasi:http/proxy`, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// Reads a manifest or an index, `Err` with what is wrong about it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Manifest, String> {
    match serde_json::from_slice(bytes) {
        Ok(OciManifest::Image(manifest)) => Ok(Manifest::Image(Box::new(manifest))),
        Ok(OciManifest::ImageIndex(index)) => for_wasm(&index).map(Manifest::Index),
        Err(error) => Err(format!("its manifest is not one of an OCI image or index ({error})")),
    }
}

/// The one layer that is the component.
pub(crate) fn component_layer(manifest: &OciImageManifest) -> Result<Blob, String> {
    let wasm: Vec<_> = manifest
        .layers
        .iter()
        .filter(|layer| is_wasm(&layer.media_type))
        .collect();
    match (wasm.as_slice(), manifest.layers.as_slice()) {
        ([layer], _) => blob(layer),
        ([], [layer]) if layer.media_type == IMAGE_LAYER_MEDIA_TYPE => blob(layer),
        ([], []) => Err("it has no layers".into()),
        ([], layers) => Err(format!("none of its layers is WebAssembly, they are {}", types(layers))),
        (several, _) => Err(format!(
            "it has {} WebAssembly layers; publish each component on its own",
            several.len()
        )),
    }
}

/// The config of the CNCF layout, if that is what the artifact has.
pub(crate) fn component_config(manifest: &OciImageManifest) -> Option<Blob> {
    (manifest.config.media_type == CONFIG_TYPE)
        .then(|| blob(&manifest.config).ok())
        .flatten()
}

/// What the config of the CNCF layout claims about the component. Configs of core modules, and those of other shapes, claim nothing.
pub(crate) fn component_info(config: &[u8]) -> Option<ComponentInfo> {
    #[derive(Deserialize)]
    struct Config {
        component: Option<ComponentInfo>,
    }
    serde_json::from_slice::<Config>(config).ok()?.component
}

/// Everything that is read of a manifest, or of a config: the digest of the component's layer, or what is wrong.
///
/// Only fuzzing calls it from outside, since nothing outside needs a layout.
#[doc(hidden)]
pub fn read_layout(bytes: &[u8]) -> Result<String, String> {
    let _ = component_info(bytes);
    match parse(bytes)? {
        Manifest::Index(digest) => Ok(digest.to_string()),
        Manifest::Image(manifest) => {
            let _ = component_config(&manifest);
            component_layer(&manifest).map(|blob| blob.digest.to_string())
        }
    }
}

fn for_wasm(index: &OciImageIndex) -> Result<Digest, String> {
    let is_wasm = |entry: &&oci_client::manifest::ImageIndexEntry| {
        entry
            .platform
            .as_ref()
            .is_some_and(|platform| platform.architecture.to_string() == "wasm")
    };
    let entries: Vec<_> = index.manifests.iter().filter(is_wasm).collect();
    match entries.as_slice() {
        [entry] => entry.digest.parse().map_err(|error| format!("{error}")),
        [] => Err("it is an index without an entry for the architecture wasm".into()),
        several => Err(format!(
            "it is an index with {} entries for the architecture wasm; name one by its digest",
            several.len()
        )),
    }
}

fn blob(descriptor: &OciDescriptor) -> Result<Blob, String> {
    let digest = descriptor.digest.parse().map_err(|error| format!("{error}"))?;
    let size = descriptor
        .size
        .try_into()
        .map_err(|_| format!("its manifest gives {} bytes as a size", descriptor.size))?;
    Ok(Blob {
        digest,
        size,
        media_type: descriptor.media_type.clone(),
    })
}

fn is_wasm(media_type: &str) -> bool {
    media_type == LAYER_TYPE || media_type.ends_with("+wasm")
}

fn types(layers: &[OciDescriptor]) -> String {
    const SHOWN: usize = 4;
    let mut types: Vec<_> = layers
        .iter()
        .map(|layer| layer.media_type.as_str())
        .take(SHOWN)
        .collect();
    if layers.len() > SHOWN {
        types.push("…");
    }
    types.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SPIN_APP: &str = "application/vnd.fermyon.spin.application.v1+config";
    const SPIN_DATA: &str = "application/vnd.wasm.content.layer.v1+data";
    const OLD_WASM: &str = "application/vnd.wasm.content.layer.v1+wasm";

    fn descriptor(media_type: &str, fill: char) -> Value {
        json!({"mediaType": media_type, "digest": format!("sha256:{}", fill.to_string().repeat(64)), "size": 8})
    }

    fn layer_of(config: &str, layers: &[&str]) -> Result<Blob, String> {
        let layers: Vec<_> = layers
            .iter()
            .zip('a'..)
            .map(|(media_type, fill)| descriptor(media_type, fill))
            .collect();
        let manifest = json!({"schemaVersion": 2, "config": descriptor(config, 'f'), "layers": layers});
        match parse(&serde_json::to_vec(&manifest).unwrap()).unwrap() {
            Manifest::Image(manifest) => component_layer(&manifest),
            Manifest::Index(_) => panic!("an image became an index"),
        }
    }

    #[test]
    fn every_layout_has_one_component() {
        let check = |config: &str, layers: &[&str], expected: usize| {
            let layer = layer_of(config, layers).unwrap_or_else(|problem| panic!("{config} {layers:?}: {problem}"));
            assert_eq!(layer.media_type, layers[expected], "{config} {layers:?}");
            assert_eq!(layer.size, 8);
        };
        check(CONFIG_TYPE, &[LAYER_TYPE], 0);
        check("application/vnd.oci.empty.v1+json", &[LAYER_TYPE], 0);
        check("application/vnd.oci.image.config.v1+json", &[LAYER_TYPE], 0);
        check("application/vnd.unknown.config.v1+json", &[IMAGE_LAYER_MEDIA_TYPE], 0);
        check("application/vnd.oci.empty.v1+json", &["text/markdown", LAYER_TYPE], 1);
        check("application/vnd.wasm.config.v1+json", &[OLD_WASM], 0);
        check(
            "application/vnd.wasm.config.v1+json",
            &["application/vnd.module.wasm.content.layer.v1+wasm"],
            0,
        );
        check(
            "application/vnd.oci.image.config.v1+json",
            &["application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"],
            0,
        );
        check(
            "application/vnd.oci.image.config.v1+json",
            &[SPIN_APP, OLD_WASM, SPIN_DATA, SPIN_DATA],
            1,
        );
    }

    #[test]
    fn other_artifacts_are_refused() {
        let check = |layers: &[&str], expected: &str| {
            let problem = layer_of("application/vnd.oci.image.config.v1+json", layers).unwrap_err();
            assert!(problem.contains(expected), "{layers:?}: {problem}");
        };
        check(&[], "no layers");
        check(&[LAYER_TYPE, LAYER_TYPE], "2 WebAssembly layers");
        check(&[SPIN_APP, OLD_WASM, OLD_WASM], "publish each component on its own");
        check(
            &["application/vnd.oci.image.layer.v1.tar+gzip"],
            "they are application/vnd.oci.image.layer.v1.tar+gzip",
        );
        check(&[IMAGE_LAYER_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE], "none of its layers");
    }

    #[test]
    fn manifests_that_lie_are_refused() {
        let check = |change: Value, expected: &str| {
            let mut layer = descriptor(LAYER_TYPE, 'a');
            layer
                .as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            let manifest = json!({"schemaVersion": 2, "config": descriptor(CONFIG_TYPE, 'f'), "layers": [layer]});
            let Manifest::Image(manifest) = parse(&serde_json::to_vec(&manifest).unwrap()).unwrap() else {
                panic!()
            };
            let problem = component_layer(&manifest).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        };
        check(json!({"size": -1}), "-1 bytes");
        check(json!({"digest": "sha256:short"}), "not a digest");
        check(json!({"digest": "../../etc/passwd"}), "not a digest");
        assert!(parse(b"<html>").unwrap_err().contains("not one of an OCI image"));
        assert!(
            parse(br#"{"schemaVersion": 1, "fsLayers": []}"#)
                .unwrap_err()
                .contains("not one of an OCI image")
        );
    }

    #[test]
    fn an_index_needs_exactly_one_entry_for_wasm() {
        let index = |architectures: &[&str]| {
            let entries = architectures.iter().zip('a'..).map(|(architecture, fill)| {
                let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", fill);
                entry["platform"] = json!({"architecture": architecture, "os": "wasip2"});
                entry
            });
            let index = json!({"schemaVersion": 2, "manifests": entries.collect::<Vec<_>>()});
            parse(&serde_json::to_vec(&index).unwrap())
        };
        let Manifest::Index(digest) = index(&["amd64", "wasm"]).unwrap() else {
            panic!("an index became an image")
        };
        assert_eq!(digest.hex(), "b".repeat(64));
        assert!(index(&["amd64", "arm64"]).unwrap_err().contains("without an entry"));
        assert!(index(&["wasm", "wasm"]).unwrap_err().contains("2 entries"));
    }
}
