//! Panics, two functions below `main`.

#[inline(never)]
fn step_on_the_edge(height: usize) -> usize {
    fall_over_the_edge(height) + 1
}

#[inline(never)]
fn fall_over_the_edge(height: usize) -> usize {
    [1, 2, 3][height]
}

fn main() {
    let height = std::env::args().count() + 10;
    println!("{}", step_on_the_edge(height));
}
