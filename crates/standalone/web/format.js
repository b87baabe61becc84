// Numbers and times as people read them.

import { h } from './dom.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The largest unit that is at least one of its kind, as in `kubectl get`: `5 min`. */
function span(millis) {
  if (millis < MINUTE) return `${Math.floor(millis / SECOND)} s`;
  if (millis < 2 * HOUR) return `${Math.floor(millis / MINUTE)} min`;
  if (millis < 2 * DAY) return `${Math.floor(millis / HOUR)} h`;
  return `${Math.floor(millis / DAY)} d`;
}

/** `5 min ago`, `in 8 s`. */
function relative(then) {
  const passed = Date.now() - then;
  if (Math.abs(passed) < SECOND) return 'now';
  return passed > 0 ? `${span(passed)} ago` : `in ${span(-passed)}`;
}

/** A time that stays right while it is looked at; the exact one is its tooltip. */
export function when(time) {
  if (!time) return undefined;
  const then = Date.parse(time);
  if (Number.isNaN(then)) return String(time);
  return h('time', { datetime: time, title: new Date(then).toLocaleString(), 'data-relative': true }, relative(then));
}

/** Brings every relative time up to date. Not announced: nothing has happened but time. */
export function tick() {
  for (const node of document.querySelectorAll('time[data-relative]')) {
    const text = relative(Date.parse(node.dateTime));
    if (node.textContent !== text) node.textContent = text;
  }
}

/** How long something took: `42 ms`, `1.3 s`, `2 min 3 s`. */
export function duration(millis) {
  if (millis < SECOND) return `${millis} ms`;
  if (millis < MINUTE) return `${(millis / SECOND).toFixed(1)} s`;
  if (millis < HOUR) return `${Math.floor(millis / MINUTE)} min ${Math.floor((millis % MINUTE) / SECOND)} s`;
  return `${Math.floor(millis / HOUR)} h ${Math.floor((millis % HOUR) / MINUTE)} min`;
}

/** `106235` as `103.7 KiB`. */
export function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = count < 1024 ? 0 : Math.min(Math.floor(Math.log2(count) / 10), units.length - 1);
  return `${power === 0 ? count : (count / 1024 ** power).toFixed(1)} ${units[power]}`;
}

/** At most `length` characters. */
export function clip(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

export function pretty(value) {
  return JSON.stringify(value, null, 2);
}

/** `1 task`, `2 tasks`. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
