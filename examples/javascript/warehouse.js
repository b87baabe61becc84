// Plans rounds of a cart through a warehouse: wit/examples/typed.wit in JavaScript.

const CARTS = {
  trolley: { capacity: 10, metresPerSecond: 1 },
  tug: { capacity: 100, metresPerSecond: 2 },
};

// An exported interface is an object of its name. The `ok` of a result is returned, the `err` is thrown.
export const rounds = {
  plan({ cart, rules, start, stops, departs }) {
    check(stops, CARTS[cart].capacity);
    const legs = lay(start, stops, rules);
    const metres = sum(legs.map((leg) => leg.metres));
    const duration = Math.trunc((metres / CARTS[cart].metresPerSecond) * 1000);
    // `none` is null, on the way in and on the way out.
    return { legs, metres, duration, done: departs === null ? null : departs + duration };
  },

  summarise(stops, within) {
    const inside = stops.filter((stop) => contains(within ?? { tag: "everywhere" }, stop.at));
    return {
      stops: inside.length,
      boxes: sum(inside.map((stop) => stop.boxes)),
      // Iterated, a string gives characters rather than halves of surrogate pairs.
      aisles: [...new Set(inside.flatMap((stop) => [...stop.shelf].slice(0, 1)))].sort(),
      bounds: bounds(inside.map((stop) => stop.at)),
    };
  },

  nearest(place, stops) {
    const stop = stops[positionOfNearest(place, stops)];
    return stop ? [stop.shelf, distance(place, stop.at)] : null;
  },

  parsePoint(text) {
    const [x, ...rest] = text.split(",");
    if (rest.length === 0) throw `\`${text}\` has no comma`;
    return { x: number(x), y: number(rest.join(",")) };
  },

  odometer(reading, metres) {
    return Math.max(0, reading + metres);
  },

  beacon(boxes, urgent) {
    const bits = (boxes & 0x7fff) | (urgent ? 0x8000 : 0);
    return Uint8Array.of(bits >> 8, bits & 0xff);
  },
};

function check(stops, capacity) {
  if (stops.length === 0) throw { tag: "no-stops" };
  const lost = stops.find(({ at }) => !Number.isFinite(at.x) || !Number.isFinite(at.y));
  if (lost) throw { tag: "off-the-map", val: lost.shelf };
  const boxes = sum(stops.map((stop) => stop.boxes));
  if (boxes > capacity) throw { tag: "overloaded", val: { boxes, capacity } };
}

// The legs of a round that begins at `start` and visits every stop once.
function lay(start, stops, rules) {
  const left = [...stops];
  const legs = [];
  let here = start;
  while (left.length > 0) {
    const [stop] = left.splice(rules.keepOrder ? 0 : positionOfNearest(here, left), 1);
    legs.push({ to: stop.shelf, metres: distance(here, stop.at) });
    here = stop.at;
  }
  if (rules.comeBack) legs.push({ to: "start", metres: distance(here, start) });
  return legs;
}

// The first of equals.
function positionOfNearest(from, stops) {
  const distances = stops.map((stop) => distance(from, stop.at));
  return distances.indexOf(Math.min(...distances));
}

// The way between two places along the aisles, in metres.
function distance(from, to) {
  return Math.abs(from.x - to.x) + Math.abs(from.y - to.y);
}

function contains(area, { x, y }) {
  switch (area.tag) {
    case "around": {
      const [centre, metres] = area.val;
      return distance(centre, { x, y }) <= metres;
    }
    case "between": {
      const [low, high] = bounds(area.val);
      return low.x <= x && x <= high.x && low.y <= y && y <= high.y;
    }
    default:
      return true;
  }
}

// The corners of the smallest rectangle that holds all points.
function bounds(points) {
  if (points.length === 0) return null;
  const corner = (pick) => ({ x: pick(...points.map(({ x }) => x)), y: pick(...points.map(({ y }) => y)) });
  return [corner(Math.min), corner(Math.max)];
}

function number(text) {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw `\`${text}\` is not a number`;
  return value;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
