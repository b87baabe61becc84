// The list of tasks.

import { announce, h, heading } from './dom.js';
import { clip, count, when } from './format.js';
import { keyOf, tasks } from './store.js';
import { table } from './table.js';
import { PHASES, absence, fullName, labelsOf, linkTo, newest, phaseBadge, phaseOf } from './words.js';

// Browsers lay out a table of thousands of rows slowly, and nobody reads it.
const MOST_ROWS = 500;
const RESULT_LENGTH = 48;
const TYPING_PAUSE = 700;

/** Kept while the page is open, so that coming back from a task shows the same tasks. */
const filter = { text: '', phase: '' };

export function taskTable(caption, test) {
  const made = table({
    caption,
    test,
    columns: [
      { label: 'Task', cell: (task) => fullName('tasks', task) },
      { label: 'Phase', cell: phaseBadge },
      { label: 'Reason', cell: (task) => newest(task)?.reason ?? '' },
      { label: 'Proplet', cell: (task) => task.status?.proplet && linkTo('proplets', task.metadata.namespace, task.status.proplet) },
      { label: 'Result', cell: shortResult },
      { label: 'Created', cell: (task) => when(task.metadata.creationTimestamp) },
    ],
    key: keyOf,
    version: ({ metadata }) => `${metadata.uid} ${metadata.resourceVersion}`,
    empty: 'No tasks.',
  });
  return { node: made.node, update: (items) => made.update([...items].sort(newestFirst)) };
}

function shortResult({ status }) {
  if (status?.results !== undefined) return h('code', {}, clip(JSON.stringify(status.results), RESULT_LENGTH));
  if (status?.error !== undefined) return ['error ', h('code', {}, clip(JSON.stringify(status.error), RESULT_LENGTH))];
  return undefined;
}

function newestFirst(a, b) {
  const [one, other] = [a, b].map(({ metadata }) => metadata.creationTimestamp ?? '');
  return one < other ? 1 : one > other ? -1 : keyOf(a).localeCompare(keyOf(b));
}

function matches(task) {
  if (filter.phase && phaseOf(task) !== filter.phase) return false;
  const text = [keyOf(task), phaseOf(task), ...labelsOf(task)].join('\n').toLowerCase();
  return filter.text.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

export function openTasks() {
  const rows = taskTable('Tasks, the newest first', 'tasks');
  const summary = h('p', { class: 'quiet', 'data-test': 'summary' });
  const loading = h('p', { class: 'quiet' });

  const update = () => {
    const all = [...tasks.items.values()];
    const found = all.filter(matches).sort(newestFirst);
    rows.update(found.slice(0, MOST_ROWS));
    summary.textContent = summarise(found.length, all.length);
    const waits = all.length === 0 && tasks.state !== 'live';
    rows.node.hidden = summary.hidden = waits;
    loading.textContent = waits ? absence(tasks, '') : '';
  };

  let typing;
  const narrow = () => {
    update();
    // Once the typing is done: a reader would be interrupted by every letter.
    clearTimeout(typing);
    typing = setTimeout(() => announce(summary.textContent), TYPING_PAUSE);
  };
  const node = h('div', {}, heading('Tasks'), controls(narrow), summary, loading, rows.node);
  const close = tasks.subscribe(update);
  return { title: 'Tasks', node, close: () => (clearTimeout(typing), close()) };
}

function controls(narrow) {
  const set = (field) => ({ target }) => {
    filter[field] = target.value;
    narrow();
  };
  const phases = PHASES.map((phase) => h('option', { value: phase }, phase));
  return h('form', { class: 'controls', role: 'search', 'aria-label': 'Tasks', onsubmit: (event) => event.preventDefault() },
    h('div', { class: 'field' },
      h('label', { for: 'filter' }, 'Filter by name, phase or label'),
      h('input', { id: 'filter', type: 'search', autocomplete: 'off', spellcheck: 'false', value: filter.text, oninput: set('text') })),
    h('div', { class: 'field' },
      h('label', { for: 'phase' }, 'Phase'),
      h('select', { id: 'phase', value: filter.phase, onchange: set('phase') }, h('option', { value: '' }, 'Any'), phases)));
}

function summarise(found, all) {
  const which = found === all ? count(all, 'task') : `${found} of ${count(all, 'task')}`;
  return found > MOST_ROWS ? `${which}; the newest ${MOST_ROWS} are shown. Filter to see others.` : which;
}
