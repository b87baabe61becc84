//! Adds, after it has waited for as long as it's told.

use wasip3::clocks::monotonic_clock::wait_for;

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world async-export {
            export add-later: async func(a: u32, b: u32, milliseconds: u64) -> u32;
        }
    ",
});

struct Component;

impl Guest for Component {
    async fn add_later(a: u32, b: u32, milliseconds: u64) -> u32 {
        wait_for(milliseconds * 1_000_000).await;
        a + b
    }
}

export!(Component);
