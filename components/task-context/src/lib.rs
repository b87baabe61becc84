//! Asks its host which task it runs for, and returns the answers.

wit_bindgen::generate!({
    path: "../../wit/task",
    generate_all,
    inline: "
        package propeller:guests;

        world task-context {
            include propeller:task/imports@0.1.0;

            record identity {
                namespace: string,
                name: string,
                uid: string,
                attempt: u32,
            }

            export identify: func() -> identity;
        }
    ",
});

use propeller::task::context;

struct Component;

impl Guest for Component {
    fn identify() -> Identity {
        Identity {
            namespace: context::namespace(),
            name: context::name(),
            uid: context::uid(),
            attempt: context::attempt(),
        }
    }
}

export!(Component);
