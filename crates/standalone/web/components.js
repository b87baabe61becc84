// The inspector: what a component in a registry offers, and forms to run it.

import * as api from './api.js';
import { WORD, announce, facts, fill, h, heading, problem, verbatim } from './dom.js';
import { bytes, count, pretty } from './format.js';
import { fields, mark, parameters } from './form.js';
import { proplets } from './store.js';
import { start } from './task.js';

export function openComponents(_names, query) {
  const image = query.get('image') ?? '';
  const trouble = problem();
  const result = h('div', { 'data-test': 'component' });
  const node = h('div', {}, heading('Components'), search(image), trouble.node, result);
  const aborted = new AbortController();
  if (image) show(image, result, trouble, aborted.signal);
  // Forms offer the fleet to choose from.
  const close = proplets.subscribe(() => result.dispatchEvent(new Event('fleet')));
  return { title: 'Components', node, close: () => (aborted.abort(), close()) };
}

function search(image) {
  const example = { placeholder: 'localhost:5000/examples/addition:1.0.0', 'aria-describedby': 'image-hint' };
  const input = h('input', { ...WORD, ...example, id: 'image', value: image });
  const go = (event) => {
    event.preventDefault();
    const hash = `#/components?${new URLSearchParams({ image: input.value.trim() })}`;
    // The same reference again may be another component by now.
    if (hash === location.hash) window.dispatchEvent(new Event('hashchange'));
    else location.hash = hash;
  };
  return h('form', { class: 'controls', role: 'search', 'aria-label': 'Components', onsubmit: go },
    h('div', { class: 'field wide' },
      h('label', { for: 'image' }, 'Reference'), input,
      h('p', { class: 'hint', id: 'image-hint' }, 'Of a component in a registry: its repository with a tag or a digest.')),
    h('button', { type: 'submit', class: 'primary', 'data-test': 'inspect' }, 'Inspect'));
}

async function show(image, result, trouble, signal) {
  result.append(h('p', { class: 'quiet' }, 'Reading the component…'));
  try {
    const component = await api.inspect(image, signal);
    fill(result, inspected(component, image, result));
    announce(`${image} was read`);
  } catch (error) {
    if (signal.aborted) return;
    fill(result);
    trouble.show(error.message);
  }
}

// ---- What it is

function inspected(component, image, fleet) {
  const { program, service } = roles(component);
  const sample = component.task;
  const run = (title, spec, form) => h('section', {}, h('h2', {}, title), runForm({ image, sample, spec, form, fleet }));
  return [
    h('section', {}, h('h2', {}, 'About'), facts([
      ['Reference', h('code', {}, component.reference ?? image)],
      ['Pinned', component.pinned && h('code', {}, component.pinned)],
      ['Component', h('code', {}, component.component)],
      ['Size', bytes(component.size)],
      ['Runs as', [program && 'a program', service && 'a service'].filter(Boolean).join(' and ')],
    ])),
    program && run('Run the program', (form) => ({ command: { args: form.args } }), argumentLines()),
    service && run('Run the service', () => ({ service: {} })),
    exported(component, image, fleet),
    imported(component.imports),
  ];
}

function roles({ program, service, exports }) {
  const exported = (...starts) => exports.some(({ name }) => starts.some((start) => name.startsWith(start)));
  return {
    program: program ?? exported('wasi:cli/run@'),
    service: service ?? exported('wasi:http/incoming-handler@', 'wasi:http/handler@'),
  };
}

function imported(imports) {
  const names = imports.map(({ name }) => h('li', {}, h('code', {}, name)));
  return h('section', {}, h('h2', {}, 'Imports'),
    names.length === 0
      ? h('p', {}, 'None: it needs nothing from its host.')
      : h('details', {}, h('summary', {}, count(names.length, 'import')), h('ul', { class: 'plain' }, names)));
}

/** Interfaces of WASI are the host's to call, and what a toolchain added is nobody's. */
function exported(component, image, fleet) {
  const own = component.exports.filter(({ origin }) => origin === 'author');
  const only = own.flatMap(({ functions }) => functions).length === 1;
  const bare = own.some(({ kind }) => kind === 'function') && component.types?.length > 0 && definitions(component.types);
  return h('section', {}, h('h2', {}, 'Functions'), bare,
    own.length === 0 && h('p', {}, 'It exports no functions of its own.'),
    own.map(({ name, kind, types = [], functions = [] }) => [
      kind === 'interface' && h('h3', {}, h('code', {}, name)),
      types.length > 0 && definitions(types),
      functions.map((fn) => callable(fn, { image, sample: component.task, fleet, open: only })),
    ]));
}

function definitions(types) {
  return h('details', {}, h('summary', {}, count(types.length, 'type')), verbatim('Types', 'types', types.join('\n')));
}

function signature({ name, params, result, async }) {
  const takes = params.map(({ name, type }) => `${name}: ${type}`).join(', ');
  return `${name}: ${async ? 'async ' : ''}func(${takes})${result ? ` -> ${result}` : ''}`;
}

const qualified = (fn) => (fn.interface ? `${fn.interface}#${fn.name}` : fn.name);

/** One function, and behind its signature the form that calls it, made when it is first wanted. */
function callable(fn, { image, sample, fleet, open }) {
  const details = h('details', { class: 'function', 'data-function': qualified(fn) }, h('summary', {}, h('code', {}, signature(fn))));
  const unfold = () => {
    if (!details.open || details.childElementCount > 1) return;
    const form = fields(parameters(fn.params), example(fn, sample));
    details.append(runForm({ image, sample, fleet, form, spec: (args) => ({ call: { function: qualified(fn), args } }), label: 'Call' }));
  };
  details.addEventListener('toggle', unfold);
  details.open = open;
  return details;
}

/** The sample has arguments for one of the functions, and may name it without its interface. */
function example(fn, sample) {
  const call = sample?.spec.call;
  return call && [fn.name, qualified(fn)].includes(call.function) ? call.args : {};
}

// ---- Running it

/** A program's arguments. */
function argumentLines() {
  const area = h('textarea', { id: 'arguments', rows: '3', spellcheck: 'false', autocomplete: 'off' });
  const read = () => ({ args: area.value === '' ? [] : area.value.replace(/\n$/, '').split('\n') });
  return { nodes: [h('div', { class: 'field' }, h('label', { for: 'arguments' }, 'Arguments, one per line'), area)], read };
}

const NOTHING = { nodes: [], read: () => ({}) };
let ids = 0;

/** A form that makes a task of what is typed. `spec` gives what the task runs, from what `form` reads. */
function runForm({ image, sample, fleet, form = NOTHING, spec, label = 'Run' }) {
  const where = placement(fleet);
  const trouble = problem();
  const task = (errors) => ({
    metadata: { generateName: `${sample?.metadata.name ?? 'task'}-`, namespace: where.namespace() },
    spec: { ...rest(sample?.spec, spec), image, ...spec(form.read(errors)), ...where.proplet() },
  });

  let busy = false;
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    trouble.show('');
    const errors = [];
    const { metadata, spec } = task(errors);
    mark(node, errors);
    if (errors.length > 0) return trouble.show(`${count(errors.length, 'value')} must be corrected.`);
    busy = true;
    await start(metadata, spec).catch((error) => trouble.show(error.message));
    busy = false;
  };
  const shown = preview(task);
  const node = h('form', { class: 'run', novalidate: true, onsubmit: submit },
    form.nodes, where.node, trouble.node,
    h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'primary', 'data-test': 'run' }, label)),
    shown.node);
  node.addEventListener('input', shown.update);
  return node;
}

/** What the sample says beside what to run: its bounds. A service has no deadline. */
function rest({ call, command, service, ...bounds } = {}, spec) {
  if ('service' in spec({})) delete bounds.activeDeadlineSeconds;
  return bounds;
}

function preview(task) {
  const text = verbatim('The task as JSON', 'preview');
  const details = h('details', {}, h('summary', {}, 'The task, as JSON'), text);
  const update = () => {
    if (!details.open) return;
    const errors = [];
    const made = task(errors);
    text.textContent = errors.length > 0 ? 'Not all values are given yet.' : pretty({ apiVersion: api.API_VERSION, kind: 'Task', ...made });
  };
  details.addEventListener('toggle', update);
  return { node: details, update };
}

/** Where it runs: a namespace, and any proplet in it unless one is named. */
function placement(fleet) {
  const id = `where-${++ids}`;
  const namespace = h('input', { ...WORD, id: `${id}-namespace`, value: 'default', 'data-test': 'namespace', oninput: () => offer() });
  const proplet = h('select', { id: `${id}-proplet`, 'data-test': 'proplet' });
  const chosen = () => namespace.value.trim() || 'default';
  const offer = () => {
    const here = [...proplets.items.values()].filter(({ metadata }) => metadata.namespace === chosen());
    const names = here.map(({ metadata }) => metadata.name).sort();
    const before = proplet.value;
    proplet.replaceChildren(h('option', { value: '' }, 'Any that fits'), ...names.map((name) => h('option', { value: name }, name)));
    proplet.value = names.includes(before) ? before : '';
  };
  fleet.addEventListener('fleet', offer);
  offer();
  const node = h('div', { class: 'controls' },
    h('div', { class: 'field' }, h('label', { for: namespace.id }, 'Namespace'), namespace),
    h('div', { class: 'field' }, h('label', { for: proplet.id }, 'Proplet'), proplet));
  return { node, namespace: chosen, proplet: () => (proplet.value ? { proplet: proplet.value } : {}) };
}
