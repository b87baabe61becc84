//! Is it WebAssembly at all?
//!
//! Only the first bytes are looked at, so that nothing else ever gets further. A file of precompiled code (`.cwasm`) is an ELF file: taking one
//! from a registry would run native code. Whether it is a component or a core module is for those who parse it.

/// How every WebAssembly binary begins: <https://webassembly.github.io/spec/core/binary/modules.html#binary-magic>.
const MAGIC: &[u8] = b"\0asm";

/// What the bytes seem to be instead of WebAssembly; nothing when they are WebAssembly.
pub(crate) fn seems_to_be(bytes: &[u8]) -> Option<&'static str> {
    const TEXT_HINT: &str = "WebAssembly text, to be turned into a binary first";
    let known: &[(usize, &[u8], &str)] = &[
        (
            0,
            b"\x7fELF",
            "native code (ELF), perhaps a precompiled component, which is never taken from a registry",
        ),
        (0, b"MZ", "native code for Windows"),
        (0, b"\xcf\xfa\xed\xfe", "native code for macOS"),
        (0, b"\x1f\x8b", "gzip data, as in the layers of a container image"),
        (
            0,
            b"\x28\xb5\x2f\xfd",
            "zstd data, as in the layers of a container image",
        ),
        (257, b"ustar", "a tar archive, as in the layers of a container image"),
        (0, b"PK\x03\x04", "a zip archive"),
        (0, b"(component", TEXT_HINT),
        (0, b"(module", TEXT_HINT),
        (0, b"{", "JSON"),
        (0, b"#!", "a script"),
        (0, b"<", "HTML or XML"),
    ];
    if bytes.starts_with(MAGIC) {
        return None;
    }
    if bytes.is_empty() {
        return Some("empty");
    }
    let found = known
        .iter()
        .find(|(offset, start, _)| bytes.get(*offset..).is_some_and(|rest| rest.starts_with(start)));
    Some(found.map_or("data of an unknown format", |(_, _, name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_named() {
        let check = |bytes: &[u8], expected: Option<&str>| match (seems_to_be(bytes), expected) {
            (None, None) => {}
            (Some(found), Some(expected)) if found.contains(expected) => {}
            (found, _) => panic!("{bytes:?}: {found:?} instead of {expected:?}"),
        };
        check(b"\0asm\x0d\0\x01\0", None);
        check(b"\0as", Some("unknown"));
        check(b"", Some("empty"));
        check(b"\x7fELF\x02\x01", Some("precompiled"));
        check(b"\x1f\x8b\x08", Some("gzip"));
        check(b"(component)", Some("text"));
        check(b"{}", Some("JSON"));
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        check(&tar, Some("tar"));
    }
}
