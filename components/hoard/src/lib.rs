//! Takes memory, a mebibyte at a time, and traps when it is refused.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world hoard {
            /// Take so many mebibytes, and say how many were taken.
            export hoard: func(mebibytes: u32) -> u32;
        }
    ",
});

struct Component;

impl Guest for Component {
    fn hoard(mebibytes: u32) -> u32 {
        // Written to, so that the memory is really used and the compiler can't leave the allocation out.
        let hoard: Vec<Vec<u8>> = (0..mebibytes).map(|_| vec![1; 1 << 20]).collect();
        hoard.iter().filter(|mebibyte| mebibyte.contains(&1)).count() as u32
    }
}

export!(Component);
