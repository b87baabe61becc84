//! From a name to a function.

use propeller_types::{Contract, FindError};

use crate::components::{contract, name};

fn many() -> Contract {
    contract(
        r#"(component
            (type $math (instance (export "add" (func)) (export "centroid" (func))))
            (type $one (instance (export "only" (func))))
            (type $run (instance (export "run" (func))))
            (type $init (instance (export "init" (func (param "app-name" string) (result (result (error string)))))))
            (import "m" (instance $m (type $math)))
            (import "o" (instance $o (type $one)))
            (import "r" (instance $r (type $run)))
            (import "i" (instance $i (type $init)))
            (import "f" (func $f))
            (export "p:e/math@1.0.0" (instance $m))
            (export "p:e/math@2.0.0" (instance $m))
            (export "p:e/one@1.0.0" (instance $o))
            (export "plain" (instance $o))
            (export "wasi:cli/run@0.2.0" (instance $r))
            (export "exports" (instance $i))
            (export "only" (func $f))
            (export "bare" (func $f)))"#,
    )
}

#[test]
fn one_is_meant() {
    let contract = many();
    for (text, found) in [
        ("bare", "bare"),
        ("only", "only"),
        ("plain#only", "plain#only"),
        ("p:e/one#only", "p:e/one@1.0.0#only"),
        ("p:e/one@1.0.0#only", "p:e/one@1.0.0#only"),
        ("p:e/math@2.0.0#add", "p:e/math@2.0.0#add"),
        ("init", "exports#init"),
        ("wasi:cli/run@0.2.0#run", "wasi:cli/run@0.2.0#run"),
        ("wasi:cli/run#run", "wasi:cli/run@0.2.0#run"),
    ] {
        assert_eq!(contract.find(&name(text)).unwrap().reference().to_string(), found);
    }
}

#[test]
fn none_or_several_are_meant() {
    #[track_caller]
    fn refuse(contract: &Contract, text: &str, reason: &str, message: &str) {
        let error = contract.find(&name(text)).unwrap_err();
        assert_eq!((error.reason(), error.to_string().as_str()), (reason, message));
    }
    let contract = many();
    let listed = "p:e/math@1.0.0#add, p:e/math@1.0.0#centroid, p:e/math@2.0.0#add, p:e/math@2.0.0#centroid, p:e/one@1.0.0#only, plain#only, only, bare";
    refuse(
        &contract,
        "add",
        "AmbiguousExport",
        "`add` is exported more than once: say which, one of p:e/math@1.0.0#add, p:e/math@2.0.0#add",
    );
    refuse(
        &contract,
        "p:e/math#add",
        "AmbiguousExport",
        "`p:e/math#add` is exported more than once: say which, one of p:e/math@1.0.0#add, p:e/math@2.0.0#add",
    );
    refuse(
        &contract,
        "xyz",
        "UnknownExport",
        &format!("no export `xyz`: the component exports {listed}"),
    );
    refuse(
        &contract,
        "run",
        "UnknownExport",
        &format!("no export `run`: the component exports {listed}"),
    );
    refuse(
        &contract,
        "brae",
        "UnknownExport",
        "no export `brae`: did you mean `bare`?",
    );
    refuse(
        &contract,
        "p:e/one@1.1.0#only",
        "UnknownExport",
        "no export `p:e/one@1.1.0#only`: did you mean `p:e/one@1.0.0#only`?",
    );
    let FindError::AmbiguousExport { candidates, .. } = contract.find(&name("centroid")).unwrap_err() else {
        panic!()
    };
    for candidate in candidates {
        contract.find(&candidate).unwrap();
    }

    let command = crate::components::contract(
        r#"(component (type $t (instance (export "run" (func)))) (import "r" (instance $r (type $t))) (export "wasi:cli/run@0.2.0" (instance $r)))"#,
    );
    refuse(
        &command,
        "add",
        "UnknownExport",
        "no export `add`: the component exports no functions of its own, only wasi:cli/run@0.2.0",
    );
    let empty = crate::components::contract("(component)");
    refuse(
        &empty,
        "add",
        "UnknownExport",
        "no export `add`: the component exports nothing",
    );
}
