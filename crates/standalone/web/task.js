// The page of one task.

import * as api from './api.js';
import { action, announce, confirm, facts, fill, h, heading, part, problem, verbatim } from './dom.js';
import { bytes, duration, pretty, when } from './format.js';
import { openLog } from './log.js';
import { tasks } from './store.js';
import { fixed } from './table.js';
import { absence, conditionTable, hasEnded, labelList, linkTo, message, newest, phaseBadge, phaseOf } from './words.js';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

export function openTask([namespace, name]) {
  const key = `${namespace}/${name}`;
  // The task stays on the page when it's deleted: somebody may be reading it.
  const state = { key, task: undefined, gone: false };
  const trouble = problem();
  const above = [
    part(h('p', { class: 'notice', 'data-test': 'notice' }), notice, (text) => text),
    part(h('div', { class: 'lead', 'data-test': 'lead' }), essence, lead),
    part(h('div', { class: 'actions' }), choices, (input) => buttons(input, trouble)),
    part(h('section', { 'data-test': 'outcome' }), wholeTask, outcome),
  ];
  const below = [
    part(h('section', { 'data-test': 'about' }), wholeTask, about),
    part(h('section', { 'data-test': 'conditions' }), ({ task }) => task?.status?.conditions, conditions),
    part(h('section', { 'data-test': 'attempts' }), wholeTask, attempts),
    part(h('section', { 'data-test': 'refusals' }), ({ task }) => task?.status?.refusals, refusals),
    part(h('details', {}), wholeTask, source),
  ];
  const logPlace = h('div');
  let log;
  let logOf;

  const update = () => {
    const task = tasks.items.get(key);
    sayPhase(state.task, task);
    state.task = task ?? state.task;
    state.gone = !task && tasks.state === 'live';
    for (const { update } of [...above, ...below]) update(state);
    // Another task under the same name has another log.
    if (state.task && logOf !== state.task.metadata.uid) {
      log?.close();
      logOf = state.task.metadata.uid;
      // Asked when the log ends, which may be before this page is told of the task's end.
      log = openLog({ namespace, name }, () => state.gone || hasEnded(tasks.items.get(key) ?? state.task));
      fill(logPlace, log.node);
    }
  };

  const node = h('div', {},
    heading(h('span', { class: 'namespace' }, `${namespace}/`), name),
    trouble.node, above.map(({ node }) => node), logPlace, below.map(({ node }) => node));
  const close = tasks.subscribe(update);
  return { title: `${name} – Task`, node, close: () => (close(), log?.close()) };
}

// ---- What the parts show

const wholeTask = ({ task }) => task;
const essence = ({ task }) => task && { status: { phase: phaseOf(task), conditions: [newest(task)] } };
const choices = ({ task, gone }) => task && { task: { metadata: task.metadata, spec: task.spec }, ended: hasEnded(task), gone };

function notice({ key, task, gone }) {
  if (!task) return absence(tasks, `task ${key}`);
  return gone ? 'This task was deleted. Below is what was last known of it.' : undefined;
}

/** The phase is what people wait for. */
function sayPhase(before, task) {
  if (before && task && phaseOf(before) !== phaseOf(task)) announce(`${task.metadata.name}: ${phaseOf(task)}`);
}

function lead(task) {
  const condition = newest(task);
  return [phaseBadge(task), condition && h('p', {}, h('strong', {}, condition.reason), ' ', message(condition).first)];
}

// ---- What can be done

function buttons({ task, ended, gone }, trouble) {
  const guarded = (run) => async () => {
    trouble.show('');
    await run().catch((error) => trouble.show(error.message));
  };
  return [
    !gone && !ended && action('Cancel', { 'data-test': 'cancel', 'data-focus': 'cancel' }, guarded(() => cancel(task))),
    action('Run again', { 'data-test': 'again', 'data-focus': 'again' }, guarded(() => runAgain(task))),
    !gone && action('Delete', { class: 'danger', 'data-test': 'delete', 'data-focus': 'delete' }, guarded(() => remove(task, ended))),
  ];
}

async function cancel({ metadata }) {
  await api.patch('tasks', metadata, { spec: { cancel: true } });
}

async function remove({ metadata }, ended) {
  const text = ended ? 'Its result and its log are deleted with it.' : 'What runs of it is stopped, and its log is deleted with it.';
  if (!(await confirm({ title: `Delete the task ${metadata.name}?`, text, yes: 'Delete' }))) return;
  await api.remove('tasks', metadata);
  announce(`Task ${metadata.name} is deleted`);
  location.hash = '#/tasks';
}

/** As `propeller rerun` does: the same spec and labels, but for what ended or held up the old one. */
async function runAgain({ metadata, spec }) {
  const { cancel, suspend, ...again } = spec;
  const { [LAST_APPLIED]: _, ...annotations } = metadata.annotations ?? {};
  await start({ generateName: `${metadata.name}-`, namespace: metadata.namespace, labels: metadata.labels, annotations }, again);
}

/** Makes a task and goes to its page, where it is seen running. */
export async function start(metadata, spec) {
  const made = await api.create({ apiVersion: api.API_VERSION, kind: 'Task', metadata, spec });
  tasks.add(made);
  location.hash = `#/tasks/${encodeURIComponent(made.metadata.namespace)}/${encodeURIComponent(made.metadata.name)}`;
}

// ---- Parts

function outcome({ spec, status }) {
  const finished = status?.conditions?.find(({ type }) => type === 'Finished');
  const { backtrace } = message(finished);
  return [
    status?.results !== undefined && [h('h2', {}, 'Result'), verbatim('Result', 'result', pretty(status.results))],
    status?.error !== undefined && [h('h2', {}, 'Error'), verbatim('Error', 'error', pretty(status.error))],
    backtrace && [h('h2', {}, 'Backtrace'), verbatim('Backtrace', 'backtrace', backtrace)],
    status?.phase === 'Completed' && status.results === undefined && [
      h('h2', {}, 'Result'),
      h('p', {}, spec.command ? 'The program exited with 0.' : 'The function returned nothing.'),
    ],
  ];
}

function about({ metadata, spec, status = {} }) {
  return [
    h('h2', {}, 'About'),
    facts([
      ['Runs', work(spec)],
      ['Image', h('code', {}, spec.image)],
      ['Resolved to', status.image && h('code', {}, status.image)],
      ['Component', status.component && h('code', {}, status.component)],
      ['Proplet', status.proplet ? linkTo('proplets', metadata.namespace, status.proplet) : placement(spec)],
      ['Address', status.address && address(status.address)],
      ['Attempt', status.attempt && String(status.attempt)],
      ['Failures', status.failures && (spec.service ? String(status.failures) : `${status.failures}; backoffLimit is ${spec.backoffLimit ?? 6}`)],
      ['Next attempt', !hasEnded({ status }) && when(status.retryTime)],
      ['Created', when(metadata.creationTimestamp)],
      ['Started', when(status.startTime)],
      ['Ended', when(status.completionTime)],
      ['Labels', labelList({ metadata })],
    ]),
    status.usage && [h('h2', {}, 'Usage'), usage(status.usage)],
  ];
}

function work({ call, command, service }) {
  if (call) return h('code', {}, `${call.function}(${argumentsOf(call.args)})`);
  if (command) return ['the program', command.args?.length > 0 && [' with ', h('code', {}, argumentsOf(command.args))]];
  return service && 'a service, over HTTP';
}

function argumentsOf(args) {
  if (Array.isArray(args)) return args.map((arg) => JSON.stringify(arg)).join(', ');
  return Object.entries(args ?? {}).map(([name, arg]) => `${name}: ${JSON.stringify(arg)}`).join(', ');
}

function placement({ proplet, propletSelector }) {
  if (proplet) return `${proplet}, when it fits`;
  return propletSelector ? ['any with ', h('code', {}, JSON.stringify(propletSelector))] : 'any that fits';
}

/** Only what is an address of a service becomes a link: the text is not ours. */
function address(text) {
  return /^https?:\/\//.test(text) ? h('a', { href: text, rel: 'noreferrer', 'data-focus': 'address' }, text) : h('code', {}, text);
}

function usage({ wallMillis = 0, cpuMillis = 0, peakMemoryBytes = 0, bytesIn = 0, bytesOut = 0 }) {
  return facts([
    ['Wall time', duration(wallMillis)],
    ['Processor time', duration(cpuMillis)],
    ['Peak memory', bytes(peakMemoryBytes)],
    ['Bytes in', bytes(bytesIn)],
    ['Bytes out', bytes(bytesOut)],
  ], { class: 'facts figures', 'data-test': 'usage' });
}

function conditions(list) {
  return list.length > 0 && [h('h2', {}, 'Conditions'), conditionTable(list)];
}

function attempts({ metadata, status = {} }) {
  const { attempt, dispatch, lost = [], tried = [] } = status;
  if (!attempt) return [];
  const newest = { attempt, proplet: status.proplet, what: 'Newest', ...dispatch };
  const rows = [newest, ...lost.map((lost) => ({ ...lost, what: 'Lost, and may still run' }))];
  return [
    h('h2', {}, 'Attempts'),
    fixed('Attempts', [
      { label: 'Attempt', cell: ({ attempt }) => String(attempt) },
      { label: 'State', cell: ({ what }) => what },
      { label: 'Proplet', cell: ({ proplet }) => proplet && linkTo('proplets', metadata.namespace, proplet) },
      { label: 'Sent', cell: ({ time }) => when(time) },
      { label: 'Accepted', cell: ({ accepted }) => when(accepted) },
    ], rows),
    tried.length > 0 && h('p', {}, `Failed on: ${tried.join(', ')}`),
  ];
}

function refusals(list) {
  return list.length > 0 && [
    h('h2', {}, 'Refusals'),
    fixed('Proplets that refused the task', [
      { label: 'Proplet', cell: ({ proplet }) => proplet },
      { label: 'Reason', cell: ({ reason }) => reason },
      { label: 'Message', cell: ({ message }) => message },
      { label: 'Times', cell: ({ count }) => String(count) },
      { label: 'Asked again', cell: ({ until }) => when(until) },
    ], list),
  ];
}

function source(task) {
  return [h('summary', { 'data-focus': 'source' }, 'The whole resource, as JSON'), verbatim('The whole resource', 'source', pretty(task))];
}
