"""Plans rounds of a cart through a warehouse: wit/examples/typed.wit in Python."""

import math
from typing import NamedTuple

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.rounds import (
    Area,
    Area_Around,
    Area_Between,
    Area_Everywhere,
    Cart,
    Leg,
    Overload,
    Point,
    Refusal_NoStops,
    Refusal_OffTheMap,
    Refusal_Overloaded,
    Request,
    Round,
    Rules,
    Stop,
    Summary,
)


class Model(NamedTuple):
    capacity: int
    metres_per_second: float


CARTS = {Cart.TROLLEY: Model(10, 1.0), Cart.TUG: Model(100, 2.0)}


class Rounds(exports.Rounds):
    """An exported interface is a class of its name. The `ok` of a result is returned, the `err` is raised."""

    def plan(self, request: Request) -> Round:
        cart = CARTS[request.cart]
        check(request.stops, cart.capacity)
        legs = lay(request)
        metres = sum(leg.metres for leg in legs)
        duration = int(metres / cart.metres_per_second * 1000)
        done = None if request.departs is None else request.departs + duration
        return Round(legs, metres, duration, done)

    def summarise(self, stops: list[Stop], within: Area | None) -> Summary:
        inside = [stop for stop in stops if contains(within or Area_Everywhere(), stop.at)]
        return Summary(
            stops=len(inside),
            boxes=sum(stop.boxes for stop in inside),
            aisles=sorted({stop.shelf[0] for stop in inside if stop.shelf}),
            bounds=bounds([stop.at for stop in inside]),
        )

    def nearest(self, place: Point, stops: list[Stop]) -> tuple[str, float] | None:
        if not stops:
            return None
        stop = nearest_to(place, stops)
        return stop.shelf, distance(place, stop.at)

    def parse_point(self, text: str) -> Point:
        x, comma, y = text.partition(",")
        if not comma:
            raise Err(f"`{text}` has no comma")
        return Point(number(x), number(y))

    def odometer(self, reading: int, metres: int) -> int:
        return min(max(0, reading + metres), 2**64 - 1)

    def beacon(self, boxes: int, urgent: bool) -> bytes:
        return (boxes & 0x7FFF | (0x8000 if urgent else 0)).to_bytes(2, "big")


def check(stops: list[Stop], capacity: int) -> None:
    if not stops:
        raise Err(Refusal_NoStops())
    for stop in stops:
        if not (math.isfinite(stop.at.x) and math.isfinite(stop.at.y)):
            raise Err(Refusal_OffTheMap(stop.shelf))
    boxes = sum(stop.boxes for stop in stops)
    if boxes > capacity:
        raise Err(Refusal_Overloaded(Overload(boxes, capacity)))


def lay(request: Request) -> list[Leg]:
    """The legs of a round that begins at its start and visits every stop once."""
    here, left, legs = request.start, list(request.stops), []
    while left:
        stop = left[0] if Rules.KEEP_ORDER in request.rules else nearest_to(here, left)
        left.remove(stop)
        legs.append(Leg(stop.shelf, distance(here, stop.at)))
        here = stop.at
    if Rules.COME_BACK in request.rules:
        legs.append(Leg("start", distance(here, request.start)))
    return legs


def nearest_to(place: Point, stops: list[Stop]) -> Stop:
    """The first of equals."""
    return min(stops, key=lambda stop: distance(place, stop.at))


def distance(a: Point, b: Point) -> float:
    """The way between two places along the aisles, in metres."""
    return abs(a.x - b.x) + abs(a.y - b.y)


def contains(area: Area, point: Point) -> bool:
    match area:
        case Area_Around((centre, metres)):
            return distance(centre, point) <= metres
        case Area_Between(corners):
            low, high = bounds(corners)
            return low.x <= point.x <= high.x and low.y <= point.y <= high.y
        case _:
            return True


def bounds(points) -> tuple[Point, Point] | None:
    """The corners of the smallest rectangle that holds all points."""
    if not points:
        return None
    xs, ys = [point.x for point in points], [point.y for point in points]
    return Point(min(xs), min(ys)), Point(max(xs), max(ys))


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Err(f"`{text}` is not a number") from None
