//! Waits inside a call to its host, where no epoch interrupts it.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world sleep {
            export sleep: func(milliseconds: u64);
        }
    ",
});

struct Component;

impl Guest for Component {
    fn sleep(milliseconds: u64) {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    }
}

export!(Component);
