//! Traps two functions deep, so that the backtrace has something to show.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world trap {
            export trap: func();
        }
    ",
});

struct Component;

impl Guest for Component {
    fn trap() {
        step_on_the_edge();
    }
}

#[inline(never)]
fn step_on_the_edge() {
    fall_over_the_edge();
}

#[inline(never)]
fn fall_over_the_edge() {
    panic!("over the edge");
}

export!(Component);
