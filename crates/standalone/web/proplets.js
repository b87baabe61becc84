// The fleet, and the page of one proplet.

import * as api from './api.js';
import { action, announce, badge, facts, h, heading, part, problem } from './dom.js';
import { when } from './format.js';
import { keyOf, proplets, tasks } from './store.js';
import { table } from './table.js';
import { taskTable } from './tasks.js';
import { absence, conditionTable, fullName, labelList, phaseOf } from './words.js';

const readiness = ({ status }) => status?.conditions?.find(({ type }) => type === 'Ready');

function tasksOn(proplet) {
  const { namespace, name } = proplet.metadata;
  return [...tasks.items.values()].filter(({ metadata, status }) => status?.proplet === name && metadata.namespace === namespace);
}

/** What was sent to it and hasn't ended. A task that waits for another attempt also names its last proplet, and isn't there any more. */
function running(proplet) {
  return tasksOn(proplet).filter((task) => ['Dispatched', 'Running'].includes(phaseOf(task))).length;
}

export function openProplets() {
  const trouble = problem();
  const loading = h('p', { class: 'quiet' });
  const rows = table({
    caption: 'Proplets',
    test: 'proplets',
    columns: [
      { label: 'Proplet', cell: (proplet) => fullName('proplets', proplet) },
      { label: 'State', cell: state },
      { label: 'Tasks', cell: load },
      { label: 'Memory', cell: ({ status }) => status?.capacity?.memory ?? '' },
      { label: 'Labels', cell: labelList },
      { label: 'Host', cell: host },
      { label: 'Scheduling', cell: (proplet) => cordon(proplet, trouble) },
    ],
    key: keyOf,
    version: (proplet) => `${proplet.metadata.uid} ${proplet.metadata.resourceVersion} ${running(proplet)}`,
    empty: 'No proplets.',
  });
  const update = () => {
    rows.update([...proplets.items.values()].sort((a, b) => keyOf(a).localeCompare(keyOf(b))));
    const waits = proplets.items.size === 0 && proplets.state !== 'live';
    rows.node.hidden = waits;
    loading.textContent = waits ? absence(proplets, '') : '';
  };
  const node = h('div', {}, heading('Proplets'), trouble.node, loading, rows.node);
  const closes = [proplets.subscribe(update), tasks.subscribe(update)];
  return { title: 'Proplets', node, close: () => closes.forEach((close) => close()) };
}

export function openProplet([namespace, name]) {
  const key = `${namespace}/${name}`;
  const trouble = problem();
  const parts = [
    part(h('p', { class: 'notice' }), (proplet) => (proplet ? undefined : absence(proplets, `proplet ${key}`)), (text) => text),
    part(h('div', { class: 'lead' }), (proplet) => proplet, lead),
    part(h('div', { class: 'actions' }), (proplet) => proplet, (proplet) => cordon(proplet, trouble)),
    part(h('section'), (proplet) => proplet && { proplet, running: running(proplet) }, about),
    part(h('section'), (proplet) => proplet?.status?.conditions, (list) => [h('h2', {}, 'Conditions'), conditionTable(list)]),
  ];
  const rows = taskTable(`Tasks whose newest attempt was on ${name}, the newest first`, 'tasks');
  const update = () => {
    const proplet = proplets.items.get(key);
    for (const { update } of parts) update(proplet);
    rows.update(proplet ? tasksOn(proplet) : []);
  };
  const node = h('div', {},
    heading(h('span', { class: 'namespace' }, `${namespace}/`), name), trouble.node, parts.map(({ node }) => node),
    h('section', {}, h('h2', {}, 'Tasks'), rows.node));
  const closes = [proplets.subscribe(update), tasks.subscribe(update)];
  return { title: `${name} – Proplet`, node, close: () => closes.forEach((close) => close()) };
}

function state(proplet) {
  const ready = readiness(proplet);
  const [tone, sign, text] = { True: ['good', '✓', 'Ready'], False: ['bad', '✕', 'Not ready'] }[ready?.status] ?? ['wait', '?', 'Unknown'];
  return h('div', { class: 'badges' },
    badge(tone, sign, text),
    proplet.spec?.unschedulable && badge('off', '–', 'Cordoned'),
    ready?.reason !== 'Cordoned' && h('span', {}, ready?.reason));
}

function lead(proplet) {
  return [state(proplet), h('p', {}, readiness(proplet)?.message)];
}

function load(proplet) {
  const most = proplet.status?.capacity?.tasks;
  return most === undefined ? String(running(proplet)) : `${running(proplet)} of ${most}`;
}

function host({ status }) {
  const { version, os, arch } = status?.host ?? {};
  return version && `${version}, ${os}/${arch}`;
}

function about({ proplet }) {
  const { capacity = {}, host: { cpus } = {} } = proplet.status ?? {};
  return [
    h('h2', {}, 'About'),
    facts([
      ['Runs now', `${load(proplet)} tasks`],
      ['Memory', capacity.memory],
      ['Memory of a task', capacity.taskMemory],
      ['Most memory of a task', capacity.maxTaskMemory],
      ['Host', host(proplet)],
      ['Processors', cpus && String(cpus)],
      ['Client id', h('code', {}, proplet.spec?.connectionConfig?.clientId)],
      ['Created', when(proplet.metadata.creationTimestamp)],
      ['Labels', labelList(proplet)],
    ]),
  ];
}

function cordon(proplet, trouble) {
  const { namespace, name } = proplet.metadata;
  const cordoned = Boolean(proplet.spec?.unschedulable);
  const props = { 'data-test': cordoned ? 'uncordon' : 'cordon', 'data-focus': `cordon ${namespace}/${name}` };
  const label = [cordoned ? 'Uncordon' : 'Cordon', h('span', { class: 'unseen' }, ` ${name}`)];
  return action(label, props, async () => {
    trouble.show('');
    try {
      await api.patch('proplets', { namespace, name }, { spec: { unschedulable: cordoned ? null : true } });
      announce(cordoned ? `${name} gets new tasks again` : `${name} gets no new tasks`);
    } catch (error) {
      trouble.show(error.message);
    }
  });
}
