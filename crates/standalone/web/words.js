// What both kinds of resource are called on the page: phases, conditions, links.

import { badge, h } from './dom.js';
import { when } from './format.js';
import { fixed } from './table.js';

export const PHASES = ['Pending', 'Dispatched', 'Running', 'Completed', 'Failed', 'Cancelled'];
const SIGNS = {
  Pending: ['wait', '○'],
  Dispatched: ['busy', '◔'],
  Running: ['busy', '◑'],
  Completed: ['good', '✓'],
  Failed: ['bad', '✕'],
  Cancelled: ['off', '–'],
};

export const phaseOf = (task) => task.status?.phase ?? 'Pending';
export const hasEnded = (task) => ['Completed', 'Failed', 'Cancelled'].includes(phaseOf(task));

export function phaseBadge(task) {
  const phase = phaseOf(task);
  const [tone, sign] = SIGNS[phase] ?? ['wait', '?'];
  return badge(tone, sign, phase);
}

/** Conditions are written in the order in which they come true. */
export function newest(object) {
  return object.status?.conditions?.at(-1);
}

/** The first line is the message; what follows, if anything, is the backtrace of a trap. */
export function message(condition) {
  const [first, ...backtrace] = (condition?.message ?? '').split('\n');
  return { first, backtrace: backtrace.join('\n') };
}

export function linkTo(plural, namespace, name) {
  const href = `#/${plural}/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  return h('a', { href, 'data-focus': href }, name);
}

/** The namespace is of little interest as long as there is one only, but names alone would be ambiguous. */
export function fullName(plural, { metadata }) {
  return [h('span', { class: 'namespace' }, `${metadata.namespace}/`), linkTo(plural, metadata.namespace, metadata.name)];
}

export function labelsOf({ metadata }) {
  return Object.entries(metadata.labels ?? {}).map(([key, value]) => (value ? `${key}=${value}` : key));
}

export function labelList(object) {
  const labels = labelsOf(object);
  return labels.length > 0 && h('ul', { class: 'labels' }, labels.map((label) => h('li', {}, label)));
}

export function conditionTable(conditions) {
  return fixed('Conditions', [
    { label: 'Condition', cell: ({ type }) => type },
    { label: 'Status', cell: ({ status }) => status },
    { label: 'Reason', cell: ({ reason }) => reason },
    { label: 'Message', cell: (condition) => message(condition).first },
    { label: 'Since', cell: ({ lastTransitionTime }) => when(lastTransitionTime) },
  ], conditions);
}

/** What a page says while it has nothing to show. */
export function absence(store, what) {
  if (store.state === 'live') return `There is no ${what}.`;
  return store.state === 'reconnecting' ? `${store.trouble}.` : 'Loading…';
}
