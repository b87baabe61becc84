//! Adds two numbers: the smallest component with a typed export.

wit_bindgen::generate!({ path: "../../../wit/examples", world: "addition" });

use exports::propeller::examples::math::Guest;

struct Component;

impl Guest for Component {
    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
}

export!(Component);
