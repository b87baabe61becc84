//! Reads lines of `sensor,celsius`: the Rust half of the pair.

wit_bindgen::generate!({ path: "../../../wit/examples", world: "readings-parser" });

struct Component;

impl Guest for Component {
    fn parse(text: String) -> Result<Vec<Reading>, String> {
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(number, line)| reading(line).ok_or_else(|| format!("line {number} isn't `sensor,celsius`: {line}")))
            .collect()
    }
}

fn reading(line: &str) -> Option<Reading> {
    let (sensor, celsius) = line.split_once(',')?;
    let celsius: f64 = celsius.trim().parse().ok()?;
    celsius.is_finite().then(|| Reading {
        sensor: sensor.trim().to_owned(),
        celsius,
    })
}

export!(Component);
