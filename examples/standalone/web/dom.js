// Small helpers for the DOM. Text of users reaches the page only through these: as text nodes, never as markup.

export const $ = (id) => document.getElementById(id);

/** Makes an element: el('p', {class: 'quiet', dir: 'auto'}, 'text', node, …). */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
}

/** Isolates text, so that a name written from right to left cannot change the direction of the text beside it. */
export const bdi = (text, attributes = {}) => el('bdi', attributes, text);

export function icon(path) {
  const namespace = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(namespace, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(namespace, 'path');
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

// Controls of direction end a link, because they could make its address look like another one.
const LINK = /\bhttps?:\/\/[^\s<>"\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]+/giu;
const CLOSERS = { ')': '(', ']': '[', '}': '{' };

function trimLink(link) {
  for (;;) {
    const last = link.at(-1);
    const opener = CLOSERS[last];
    const unbalanced = opener && link.split(opener).length < link.split(last).length;
    if (!unbalanced && !/[.,;:!?'*_~…。、，！？]/u.test(last)) return link;
    link = link.slice(0, -1);
  }
}

/** Makes nodes of text in which http and https addresses are links. */
export function linkify(text) {
  const nodes = document.createDocumentFragment();
  let end = 0;
  for (const { 0: match, index } of text.matchAll(LINK)) {
    const link = trimLink(match);
    let url;
    try { url = new URL(link); } catch { continue; }
    if (url.protocol !== 'http:' && url.protocol !== 'https:') continue;
    nodes.append(text.slice(end, index), el('a', { href: url.href, rel: 'noopener noreferrer nofollow', target: '_blank' }, link));
    end = index + link.length;
  }
  nodes.append(text.slice(end));
  return nodes;
}

const segmenter = globalThis.Intl?.Segmenter && new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** The first character of a name, in upper case. */
export function initial(name) {
  if (!segmenter) return [...name][0] ?? '';
  for (const { segment } of segmenter.segment(name)) return segment.toLocaleUpperCase();
  return '';
}

/** One of eight colour classes, always the same one for a member. */
export function hueClass(id) {
  let hash = 2166136261;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  return `hue-${(hash ^ (hash >>> 15)) & 7}`;
}

let toastTimer;

export function toast(text) {
  const node = $('toast');
  clearTimeout(toastTimer);
  node.textContent = text;
  node.classList.add('shown');
  toastTimer = setTimeout(() => {
    node.classList.remove('shown');
    node.textContent = '';
  }, 3500);
}

/** Copies text to the clipboard. The clipboard API is missing on plain HTTP, but `execCommand` is there. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el('textarea', { readonly: true, class: 'away' });
    field.value = text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    let done = false;
    try { done = document.execCommand('copy'); } catch { /* the text is not copied */ }
    field.remove();
    focused?.focus();
    return done;
  }
}

/** Shows what is wrong with a form and marks the field, or clears the problem if there is no text. */
export function showProblem(node, text, field) {
  for (const input of node.form ?? node.closest('form')?.elements ?? []) input.removeAttribute('aria-invalid');
  node.textContent = text ?? '';
  node.hidden = !text;
  if (text && field) {
    field.setAttribute('aria-invalid', 'true');
    field.focus();
    field.select?.();
  }
}

/** Wraps storage that may be full, forbidden or missing: items that cannot be stored are dropped. */
function safeStorage(area) {
  const open = () => globalThis[area];
  return {
    get(key) { try { return open().getItem(key); } catch { return null; } },
    set(key, value) {
      try {
        if (value === undefined || value === null) open().removeItem(key);
        else open().setItem(key, value);
        return true;
      } catch { return false; }
    },
  };
}

export const local = safeStorage('localStorage');
export const session = safeStorage('sessionStorage');
