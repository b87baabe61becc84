//! Imports an interface that no host has.

wit_bindgen::generate!({
    inline: "
        package propeller:guests@1.0.0;

        interface philosophers-stone {
            to-gold: func(grams: u32) -> u32;
        }

        world greedy {
            import philosophers-stone;
            export enrich: func(grams: u32) -> u32;
        }
    ",
});

use propeller::guests::philosophers_stone;

struct Component;

impl Guest for Component {
    fn enrich(grams: u32) -> u32 {
        philosophers_stone::to_gold(grams)
    }
}

export!(Component);
