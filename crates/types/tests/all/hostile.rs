//! Bytes that were made to hurt.

use propeller_types::{Contract, ReadError};
use serde_json::Value;

use crate::components::{ADD, bytes, contract, exporting_values, name};

/// A core module that becomes a component.
const FLAT: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "_initialize"))
    (func (export "add") (param $a i32) (param $b i64) (result f32) unreachable))"#;

/// Whatever can be read can also be shown and called with its own examples.
fn exercise(bytes: &[u8]) {
    let contract = match Contract::read(bytes) {
        Ok(contract) => contract,
        Err(error) => {
            assert!(error.to_string().len() < 400, "{error}");
            return;
        }
    };
    serde_json::to_string(&contract).unwrap();
    for function in contract.exports.iter().flat_map(|export| &export.functions) {
        let example = function.example_args();
        match function.argument_types() {
            Ok(_) => function.check_args(&example).unwrap(),
            Err(error) => assert_eq!(error.reason(), "UnsupportedType"),
        }
        let _ = function.check_args(&Value::Null);
        if let Ok(reference) = function.reference().to_string().parse() {
            let _ = contract.find(&reference);
        }
    }
}

#[test]
fn cut_and_changed_bytes_are_survived() {
    for whole in [bytes(ADD), bytes(&exporting_values()), bytes(FLAT)] {
        for end in 0..whole.len() {
            exercise(&whole[..end]);
        }
        let mut changed = whole.clone();
        for index in 0..whole.len() {
            for byte in [
                0,
                1,
                0x40,
                0x7f,
                0x80,
                0xff,
                whole[index] ^ 1,
                whole[index].wrapping_add(1),
            ] {
                changed[index] = byte;
                exercise(&changed);
            }
            changed[index] = whole[index];
        }
    }
}

/// `levels` types, each made from the one before.
fn tower(levels: usize, first: &str, next: impl Fn(usize) -> String) -> Vec<u8> {
    let types: String = (1..levels)
        .map(|level| format!("(type $t{level} {})", next(level - 1)))
        .collect();
    bytes(&format!(
        r#"(component (type $t (instance (type $t0 {first}) {types} (export "f" (func (param "x" $t{})))))
            (import "i" (instance $i (type $t))) (export "e" (instance $i)))"#,
        levels - 1
    ))
}

#[test]
fn deep_types_are_bounded() {
    let lists = |levels| tower(levels, "(list u8)", |below| format!("(list $t{below})"));
    exercise(&lists(90));
    Contract::read(&lists(90)).unwrap();
    assert!(matches!(
        Contract::read(&lists(5_000)),
        Err(ReadError::Malformed { .. })
    ));
    let options = tower(90, "(option u8)", |below| format!("(option $t{below})"));
    exercise(&options);
}

#[test]
fn wide_types_are_bounded() {
    let pairs = |levels| tower(levels, "(tuple u8 u8)", |below| format!("(tuple $t{below} $t{below})"));
    exercise(&pairs(10));
    exercise(&pairs(16));
    let contract = Contract::read(&pairs(16)).unwrap();
    let function = contract.find(&name("f")).unwrap();
    let error = function.check_args(&Value::Null).unwrap_err();
    assert_eq!(error.reason(), "UnsupportedType");
    assert!(error.to_string().contains("a type this large") && function.to_string().len() < 2_100);
    assert!(matches!(Contract::read(&pairs(60)), Err(ReadError::Malformed { .. })));
}

/// A few bytes that mention much, again and again.
#[test]
fn repetition_is_bounded() {
    let long = "a".repeat(1_900);
    let params: String = (0..500).map(|n| format!(r#"(param "p{n}" $e)"#)).collect();
    let functions: String = (0..500)
        .map(|n| format!(r#"(export "f{n}" (func (type $f)))"#))
        .collect();
    let text = format!(
        r#"(component (type $t (instance (type $e' (enum "a")) (export "{long}" (type $e (eq $e'))) (type $f (func {params})) {functions}))
            (import "i" (instance $i (type $t))) (export "e" (instance $i)))"#
    );
    assert_eq!(Contract::read(&bytes(&text)).unwrap_err().reason(), "ComponentTooLarge");
}

/// A long name that is referred to again and again isn't written out again and again.
#[test]
fn long_names_are_bounded() {
    let long = "a".repeat(50_000);
    let text = format!(
        r#"(component (type $t (instance (type $r' (record (field "{long}" u8))) (export "{long}" (type $r (eq $r')))
            (export "f" (func (param "x" (tuple $r $r $r)) (result $r)))))
            (import "i" (instance $i (type $t))) (export "e" (instance $i)))"#
    );
    exercise(&bytes(&text));
    let contract = contract(&text);
    let function = contract.find(&name("f")).unwrap();
    assert!(function.to_string().len() < 5_000);
    assert!(function.check_args(&Value::Null).unwrap_err().to_string().len() < 5_000);
}
