//! Plans rounds of a cart through a warehouse: every kind of WIT type in one component.

wit_bindgen::generate!({ path: "../../../wit/examples", world: "typed" });

mod floor;

use std::collections::BTreeSet;

use exports::propeller::examples::rounds::{
    Area, Cart, Guest, Leg, Overload, Point, Refusal, Request, Round, Rules, Stop, Summary,
};
use floor::{bounds, distance, position_of_nearest};

struct Component;

impl Guest for Component {
    fn plan(request: Request) -> Result<Round, Refusal> {
        check(&request)?;
        let Request {
            cart,
            rules,
            start,
            stops,
            departs,
        } = request;
        let legs = lay(start, stops, rules);
        let metres = legs.iter().map(|leg| leg.metres).sum();
        let duration = (metres / speed(cart) * 1000.0) as u64;
        Ok(Round {
            legs,
            metres,
            duration,
            done: departs.map(|departs| departs.saturating_add(duration)),
        })
    }

    fn summarise(stops: Vec<Stop>, within: Option<Area>) -> Summary {
        let area = within.unwrap_or(Area::Everywhere);
        let stops: Vec<_> = stops
            .into_iter()
            .filter(|stop| floor::contains(&area, stop.at))
            .collect();
        let aisles: BTreeSet<char> = stops.iter().filter_map(|stop| stop.shelf.chars().next()).collect();
        Summary {
            stops: stops.len() as u32,
            boxes: boxes(&stops),
            aisles: aisles.into_iter().collect(),
            bounds: bounds(stops.iter().map(|stop| stop.at)),
        }
    }

    fn nearest(place: Point, stops: Vec<Stop>) -> Option<(String, f64)> {
        let nearest = stops.get(position_of_nearest(place, &stops)?)?;
        Some((nearest.shelf.clone(), distance(place, nearest.at)))
    }

    fn parse_point(text: String) -> Result<Point, String> {
        let (x, y) = text.split_once(',').ok_or_else(|| format!("`{text}` has no comma"))?;
        let number = |part: &str| part.trim().parse().map_err(|_| format!("`{part}` is not a number"));
        Ok(Point {
            x: number(x)?,
            y: number(y)?,
        })
    }

    fn odometer(reading: u64, metres: i64) -> u64 {
        reading.saturating_add_signed(metres)
    }

    fn beacon(boxes: u16, urgent: bool) -> Vec<u8> {
        let urgency = if urgent { 0x8000 } else { 0 };
        (boxes & 0x7fff | urgency).to_be_bytes().to_vec()
    }
}

export!(Component);

fn check(request: &Request) -> Result<(), Refusal> {
    if request.stops.is_empty() {
        return Err(Refusal::NoStops);
    }
    if let Some(stop) = request.stops.iter().find(|stop| !floor::is_on_the_map(stop.at)) {
        return Err(Refusal::OffTheMap(stop.shelf.clone()));
    }
    let (boxes, capacity) = (boxes(&request.stops), capacity(request.cart));
    if boxes > u64::from(capacity) {
        return Err(Refusal::Overloaded(Overload { boxes, capacity }));
    }
    Ok(())
}

/// The legs of a round that begins at `start` and visits every stop once.
fn lay(start: Point, mut left: Vec<Stop>, rules: Rules) -> Vec<Leg> {
    let mut here = start;
    let mut legs = Vec::new();
    while !left.is_empty() {
        let nearest = position_of_nearest(here, &left).filter(|_| !rules.contains(Rules::KEEP_ORDER));
        let stop = left.remove(nearest.unwrap_or(0));
        legs.push(Leg {
            to: stop.shelf,
            metres: distance(here, stop.at),
        });
        here = stop.at;
    }
    if rules.contains(Rules::COME_BACK) {
        legs.push(Leg {
            to: "start".to_owned(),
            metres: distance(here, start),
        });
    }
    legs
}

fn boxes(stops: &[Stop]) -> u64 {
    stops.iter().map(|stop| u64::from(stop.boxes)).sum()
}

fn capacity(cart: Cart) -> u32 {
    match cart {
        Cart::Trolley => 10,
        Cart::Tug => 100,
    }
}

/// In metres per second.
fn speed(cart: Cart) -> f64 {
    match cart {
        Cart::Trolley => 1.0,
        Cart::Tug => 2.0,
    }
}
