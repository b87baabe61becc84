// Forms made from JSON Schema, for the arguments of a call. The schemas are those that the server makes of WIT types: docs/values.md says how each
// type is written in JSON. What isn't recognised here becomes a text area for JSON, so that any value can be given.
//
// An editor is `{node, read}`. `read(errors)` gives the JSON value; where a control holds none, it adds `{control, message}` to `errors`, and
// gives undefined. Nothing is marked by reading, so the value may be read for a preview at any time.

import { WORD, h } from './dom.js';
import { parse } from './api.js';

let ids = 0;
const fresh = () => `field-${++ids}`;

/** What a value is called, on its label, on its buttons and in its legend. Items of lists are numbered anew when one is removed. */
class Name {
  #text;
  #nodes = [];

  constructor(text) {
    this.#text = text;
  }

  node() {
    const node = document.createTextNode(this.#text);
    this.#nodes.push(node);
    return node;
  }

  set(text) {
    this.#text = text;
    for (const node of this.#nodes) node.data = text;
  }
}

/** The fields of a record, or the parameters of a function: `[{name, type, schema, required}]`. Read as an object by name. */
export function fields(entries, values) {
  const editors = entries.map((entry) => ({ ...entry, ...editor(entry.schema, new Name(entry.name), own(values, entry.name), entry.type) }));
  for (const { name, node } of editors) node.dataset.name = name;
  const read = (errors) => {
    const read = editors.map(({ name, required, read }) => [name, required, read(errors)]);
    // An option that isn't given is left out where it may be.
    return Object.fromEntries(read.filter(([, required, value]) => required || value !== null).map(([name, , value]) => [name, value]));
  };
  return { nodes: editors.map(({ node }) => node), read };
}

/** A field of an object, and nothing that every object has: types have fields called `constructor`, too. */
function own(value, name) {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Parameters as `fields` takes them: any option may be left out by name. */
export function parameters(params) {
  return params.map(({ name, type, schema }) => ({ name, type, schema, required: !schema || !isOption(schema) }));
}

/** Shows what is wrong beside each control, and takes people to the first. What was wrong before is forgotten. */
export function mark(form, errors) {
  for (const control of form.querySelectorAll('[aria-invalid]')) {
    control.removeAttribute('aria-invalid');
    document.getElementById(`${control.id}-error`).textContent = '';
  }
  for (const { control, message } of errors) {
    control.setAttribute('aria-invalid', 'true');
    document.getElementById(`${control.id}-error`).textContent = message;
  }
  errors[0]?.control.focus();
}

const types = (schema) => [schema.type].flat();
const choices = (schema) => schema.oneOf ?? schema.anyOf;
const isNull = (schema) => schema.type === 'null';
const isOption = (schema) => schema.anyOf?.length === 2 && schema.anyOf.some(isNull);
const hasBase64 = (schema) => Boolean(schema.properties?.base64);
const isByte = ({ title, minimum, maximum }) => title === 'u8' || (minimum === 0 && maximum === 255);
const isItem = (schema) => types(schema).includes('array') && schema.items;

// The first that fits wins.
const KINDS = [
  [(schema) => 'const' in schema || isNull(schema), constant],
  [(schema) => schema.enum, enumeration],
  [isOption, option],
  [(schema) => choices(schema)?.some(hasBase64) || (isItem(schema) && isByte(schema.items) && !schema.prefixItems), byteList],
  [choices, variant],
  [(schema) => types(schema).includes('boolean'), boolean],
  [(schema) => types(schema).includes('integer'), integer],
  [(schema) => types(schema).includes('number'), float],
  [(schema) => schema.type === 'string' && schema.title === 'char', char],
  [(schema) => schema.type === 'string', string],
  [(schema) => schema.prefixItems, tuple],
  [(schema) => schema.uniqueItems && schema.items?.enum, flags],
  [isItem, list],
  [(schema) => schema.type === 'object' && schema.properties && schema.additionalProperties === false, record],
];

function editor(schema, name, value, type) {
  const known = schema && KINDS.find(([fits]) => fits(schema));
  return known ? known[1](schema, name, value, type ?? schema.title) : anything(name, value, type);
}

// ---- Leaves

/** A control with its label, its type, and room for what is wrong with it. */
function labelled(control, name, type) {
  const id = fresh();
  const error = h('p', { class: 'error', id: `${id}-error` });
  control.id = id;
  control.setAttribute('aria-describedby', error.id);
  return h('div', { class: 'field' }, h('label', { for: id }, name.node(), typed(type)), control, error);
}

function typed(type) {
  return type && [' ', h('code', { class: 'type' }, type)];
}

/** A line of text that `understand` makes a value of, or throws. */
function line(name, type, initial, understand, props = {}) {
  const control = h('input', { ...WORD, ...props, value: initial });
  return { node: labelled(control, name, type), read: reading(control, understand) };
}

function area(name, type, initial, understand, props = {}) {
  const control = h('textarea', { rows: '1', autocomplete: 'off', value: initial, ...props });
  return { node: labelled(control, name, type), read: reading(control, understand) };
}

function reading(control, understand) {
  return (errors) => {
    try {
      return understand(control.value);
    } catch (error) {
      errors.push({ control, message: error.message });
      return undefined;
    }
  };
}

function constant(schema, name, _value, type) {
  const value = 'const' in schema ? schema.const : null;
  return { node: h('p', { class: 'field' }, name.node(), typed(type), ': ', h('code', {}, JSON.stringify(value))), read: () => value };
}

function boolean(_schema, name, value, type) {
  const control = h('input', { type: 'checkbox', checked: value === true });
  return { node: h('div', { class: 'field' }, h('label', { class: 'check' }, control, name.node(), typed(type))), read: () => control.checked };
}

function enumeration(schema, name, value, type) {
  const control = select(schema.enum.map((choice) => (typeof choice === 'string' ? choice : JSON.stringify(choice))));
  if (schema.enum.includes(value)) control.selectedIndex = schema.enum.indexOf(value);
  return { node: labelled(control, name, type), read: () => schema.enum[control.selectedIndex] };
}

function select(labels) {
  return h('select', {}, labels.map((label, place) => h('option', { value: String(place) }, label)));
}

const WIDE = { u64: [0n, 2n ** 64n - 1n], s64: [-(2n ** 63n), 2n ** 63n - 1n] };

function integer(schema, name, value, type) {
  const [least, most] = WIDE[schema.title] ?? [schema.minimum, schema.maximum];
  const understand = (text) => {
    if (!/^[+-]?\d+$/.test(text.trim())) throw new Error('Write a whole number, such as 42.');
    const whole = BigInt(text.trim().replace('+', ''));
    if (whole < least || whole > most) throw new Error(`Write a number from ${least} to ${most}.`);
    const number = Number(whole);
    // Beyond 2^53 a number would be rounded on its way; a decimal string isn't.
    return Number.isSafeInteger(number) ? number : String(whole);
  };
  return line(name, type, plain(value), understand, { inputmode: least >= 0 ? 'numeric' : undefined });
}

const SPECIAL = ['NaN', 'Infinity', '-Infinity'];

function float(schema, name, value, type) {
  const understand = (text) => {
    const word = text.trim();
    if (SPECIAL.includes(word)) return word;
    if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(word)) throw new Error('Write a number, such as 1.5, or NaN, Infinity, -Infinity.');
    const number = Number(word);
    const fits = schema.title === 'f32' ? Math.fround(number) : number;
    if (!Number.isFinite(fits)) throw new Error(`The number is too large for ${schema.title ?? 'f64'}.`);
    // JSON.stringify would drop the sign.
    return Object.is(number, -0) && JSON.rawJSON ? JSON.rawJSON('-0.0') : number;
  };
  return line(name, type, plain(value), understand);
}

function plain(value) {
  return value === undefined || value === null ? '' : String(value.rawJSON ?? value);
}

function char(_schema, name, value, type) {
  const understand = (text) => {
    if ([...text].length !== 1) throw new Error('Write exactly one character.');
    return text;
  };
  return line(name, type, plain(value), understand);
}

function string(_schema, name, value, type) {
  return area(name, type, plain(value), (text) => text);
}

function anything(name, value, type) {
  const understand = (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new Error(`This isn't JSON: ${error.message}`);
    }
  };
  return area(name, type ?? 'JSON', value === undefined ? '' : JSON.stringify(value), understand, { class: 'json', spellcheck: 'false', rows: '3' });
}

/** Bytes, as text or in base 64, which is shorter than an array of numbers. */
function byteList(_schema, name, value, type) {
  const ways = [['Text, as UTF-8', (text) => encode(new TextEncoder().encode(text))], ['Base 64', base64]];
  const way = h('select', {}, ways.map(([label], place) => h('option', { value: String(place) }, label)));
  way.id = fresh();
  const initial = Array.isArray(value) ? encode(value) : value?.base64;
  if (initial) way.selectedIndex = 1;
  const { node, read } = area(name, type ?? 'list<u8>', plain(initial), (text) => ({ base64: ways[way.selectedIndex][1](text) }));
  const label = h('label', { for: way.id, class: 'unseen' }, name.node(), ' is given as');
  node.querySelector('textarea').before(label, way);
  return { node, read };
}

function encode(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

function base64(text) {
  const word = text.replace(/\s/g, '');
  try {
    if (btoa(atob(word)) === word) return word;
  } catch {
    // Said below, as for what a lenient decoder takes and the server doesn't.
  }
  throw new Error('Write base 64 with its padding, such as aGk=.');
}

// ---- What holds others

function group(name, type, ...children) {
  return h('fieldset', { class: 'group' }, h('legend', {}, name.node(), typed(type)), children);
}

function record(schema, name, value, type) {
  const entries = Object.entries(schema.properties);
  const required = schema.required ?? [];
  const { nodes, read } = fields(entries.map(([name, schema]) => ({ name, schema, required: required.includes(name) })), value);
  return { node: group(name, type, nodes), read };
}

function tuple(schema, name, value, type) {
  const editors = schema.prefixItems.map((item, place) => editor(item, new Name(String(place + 1)), value?.[place]));
  return { node: group(name, type ?? 'tuple', editors.map(({ node }) => node)), read: (errors) => editors.map(({ read }) => read(errors)) };
}

function flags(schema, name, value, type) {
  const boxes = schema.items.enum.map((flag) => h('input', { type: 'checkbox', value: flag, checked: value?.includes?.(flag) }));
  const labels = boxes.map((box) => h('label', { class: 'check' }, box, box.value));
  return { node: group(name, type ?? 'flags', labels), read: () => boxes.filter((box) => box.checked).map((box) => box.value) };
}

/** The value's controls are made when it is first given: types may be large, and most options aren't. */
function option(schema, name, value, type) {
  const some = schema.anyOf.find((choice) => !isNull(choice)) ?? schema.anyOf[0];
  const given = h('input', { type: 'checkbox', checked: value !== undefined && value !== null });
  const room = h('div', { class: 'nested' });
  let inner;
  const adjust = () => {
    if (given.checked && !inner) room.append((inner = editor(some, name, value)).node);
    room.hidden = !given.checked;
  };
  given.addEventListener('input', adjust);
  adjust();
  const label = h('label', { class: 'check' }, given, name.node(), ' is given', typed(type ?? 'option'));
  return { node: h('div', { class: 'field option' }, label, room), read: (errors) => (given.checked ? inner.read(errors) : null) };
}

/** Variants, and results. A case is `{"name": payload}`, or its name alone. */
function variant(schema, name, value, type) {
  const cases = choices(schema).map((choice, place) => asCase(choice, place));
  const chosen = select(cases.map(({ label }) => label));
  chosen.selectedIndex = Math.max(0, cases.findIndex(({ label }) => label === value || own(value, label) !== undefined));
  const room = h('div', { class: 'nested' });
  let inner;
  const adjust = (_event, initial) => {
    const { payload, label } = cases[chosen.selectedIndex];
    inner = payload && editor(payload, new Name(label), initial);
    room.replaceChildren(...(inner ? [inner.node] : []));
  };
  chosen.addEventListener('input', adjust);
  adjust(undefined, own(value, cases[chosen.selectedIndex].label));
  const node = group(name, type ?? 'variant', labelled(chosen, new Name('case')), room);
  return { node, read: (errors) => cases[chosen.selectedIndex].wrap(inner?.read(errors)) };
}

function asCase(schema, place) {
  const [only, ...others] = Object.keys(schema.properties ?? {});
  const literal = schema.const ?? (schema.enum?.length === 1 ? schema.enum[0] : undefined);
  if (typeof literal === 'string') return { label: literal, wrap: () => literal };
  if (only === undefined || others.length > 0) return { label: schema.title ?? `form ${place + 1}`, payload: schema, wrap: (value) => value };
  const payload = schema.properties[only];
  if (isNull(payload)) return { label: only, wrap: () => ({ [only]: null }) };
  return { label: only, payload, wrap: (value) => ({ [only]: value }) };
}

function list(schema, name, value, type) {
  const items = [];
  const rows = h('ol', { class: 'items' });
  const add = (initial) => {
    const called = new Name('');
    const item = { called, ...editor(schema.items, called, initial) };
    item.drop = h('button', { type: 'button', class: 'small', onclick: () => remove(item) }, 'Remove ', called.node());
    item.row = h('li', {}, item.node, item.drop);
    items.push(item);
    rows.append(item.row);
    renumber();
    return item;
  };
  const remove = (item) => {
    const place = items.indexOf(item);
    items.splice(place, 1);
    item.row.remove();
    renumber();
    // The button that had the focus is gone.
    (items[place]?.drop ?? more).focus();
    changed(rows);
  };
  const renumber = () => items.forEach(({ called }, place) => called.set(`item ${place + 1}`));
  const more = h('button', { type: 'button', class: 'small', 'data-add': true, onclick: () => {
    add().node.querySelector('input, select, textarea, button')?.focus();
    changed(rows);
  } }, 'Add to ', name.node());
  if (Array.isArray(value)) value.forEach(add);
  return { node: group(name, type ?? 'list', rows, more), read: (errors) => items.map(({ read }) => read(errors)) };
}

/** Adding and removing is input as well, for those who show a preview. */
function changed(node) {
  node.dispatchEvent(new Event('input', { bubbles: true }));
}
