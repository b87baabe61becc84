//! Prints its arguments, its own name first, and then its environment; each on a line.

fn main() {
    std::env::args().for_each(|argument| println!("{argument}"));
    std::env::vars().for_each(|(name, value)| println!("{name}={value}"));
}
