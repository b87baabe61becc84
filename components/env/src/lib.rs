//! Tells its environment.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world env {
            /// Every variable with its value.
            export variables: func() -> list<tuple<string, string>>;
        }
    ",
});

struct Component;

impl Guest for Component {
    fn variables() -> Vec<(String, String)> {
        std::env::vars().collect()
    }
}

export!(Component);
