//! Never returns, and calls nothing: only the engine can end it.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world spin {
            export spin: func();
        }
    ",
});

struct Component;

impl Guest for Component {
    fn spin() {
        loop {
            core::hint::spin_loop();
        }
    }
}

export!(Component);
