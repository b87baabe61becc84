//! Reads its configuration, by `wasi:config`.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world config {
            import wasi:config/store@0.2.0-rc.1;

            /// One value.
            export get: func(key: string) -> option<string>;

            /// How many there are.
            export count: func() -> u32;
        }

        package wasi:config@0.2.0-rc.1 {
            interface store {
                variant error {
                    upstream(string),
                    io(string),
                }

                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
        }
    ",
    generate_all,
});

use wasi::config::store;

struct Component;

impl Guest for Component {
    fn get(key: String) -> Option<String> {
        store::get(&key).expect("the host has it at hand")
    }

    fn count() -> u32 {
        store::get_all().expect("the host has it at hand").len() as u32
    }
}

export!(Component);
