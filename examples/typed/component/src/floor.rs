//! Geometry on a grid of aisles.

use crate::exports::propeller::examples::rounds::{Area, Point, Stop};

/// The way between two places along the aisles, in metres.
pub(crate) fn distance(from: Point, to: Point) -> f64 {
    (from.x - to.x).abs() + (from.y - to.y).abs()
}

/// Which of the stops is nearest; the first of equals.
pub(crate) fn position_of_nearest(from: Point, stops: &[Stop]) -> Option<usize> {
    let distance_of = |index: &usize| stops.get(*index).map_or(f64::INFINITY, |stop| distance(from, stop.at));
    (0..stops.len()).min_by(|a, b| distance_of(a).total_cmp(&distance_of(b)))
}

pub(crate) fn is_on_the_map(point: Point) -> bool {
    point.x.is_finite() && point.y.is_finite()
}

pub(crate) fn contains(area: &Area, point: Point) -> bool {
    match area {
        Area::Everywhere => true,
        Area::Around((centre, metres)) => distance(*centre, point) <= *metres,
        Area::Between((a, b)) => {
            let (low, high) = (south_west(*a, *b), north_east(*a, *b));
            (low.x..=high.x).contains(&point.x) && (low.y..=high.y).contains(&point.y)
        }
    }
}

/// The corners of the smallest rectangle that holds all points.
pub(crate) fn bounds(mut points: impl Iterator<Item = Point>) -> Option<(Point, Point)> {
    let first = points.next()?;
    Some(points.fold((first, first), |(low, high), point| {
        (south_west(low, point), north_east(high, point))
    }))
}

fn south_west(a: Point, b: Point) -> Point {
    Point {
        x: a.x.min(b.x),
        y: a.y.min(b.y),
    }
}

fn north_east(a: Point, b: Point) -> Point {
    Point {
        x: a.x.max(b.x),
        y: a.y.max(b.y),
    }
}
