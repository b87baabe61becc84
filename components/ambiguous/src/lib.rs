//! Exports two interfaces that both have a `greet`: a bare name means neither.

wit_bindgen::generate!({
    inline: "
        package propeller:guests@1.0.0;

        interface english {
            greet: func() -> string;
        }

        interface german {
            greet: func() -> string;
        }

        world ambiguous {
            export english;
            export german;
        }
    ",
});

use exports::propeller::guests::{english, german};

struct Component;

impl english::Guest for Component {
    fn greet() -> String {
        "good day".to_owned()
    }
}

impl german::Guest for Component {
    fn greet() -> String {
        "guten Tag".to_owned()
    }
}

export!(Component);
