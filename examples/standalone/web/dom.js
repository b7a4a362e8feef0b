// Small helpers around the DOM. Text of people reaches the page by these alone: as text nodes, never as markup.

export const $ = (id) => document.getElementById(id);

/** el('p', {class: 'quiet', dir: 'auto'}, 'words', node, …) */
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

/** Isolated, so that a name written right to left cannot turn around what stands beside it. */
export const bdi = (text, attributes = {}) => el('bdi', attributes, text);

export function icon(path) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(ns, 'path');
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

// Controls of direction end a link: they could make its address read as another one.
const LINK = /\bhttps?:\/\/[^\s<>"\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]+/giu;
const CLOSERS = { ')': '(', ']': '[', '}': '{' };

function trimmed(link) {
  for (;;) {
    const last = link.at(-1);
    const opener = CLOSERS[last];
    const unbalanced = opener && link.split(opener).length < link.split(last).length;
    if (!unbalanced && !/[.,;:!?'*_~…。、，！？]/u.test(last)) return link;
    link = link.slice(0, -1);
  }
}

/** Text with its http and https addresses as links, all of it as nodes. */
export function linked(text) {
  const nodes = document.createDocumentFragment();
  let end = 0;
  for (const { 0: match, index } of text.matchAll(LINK)) {
    const link = trimmed(match);
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

export function initial(name) {
  if (!segmenter) return [...name][0] ?? '';
  for (const { segment } of segmenter.segment(name)) return segment.toLocaleUpperCase();
  return '';
}

/** One of eight colours, the same one for the same member. */
export function hue(id) {
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

/** The clipboard API is missing on plain HTTP; the old way is not. */
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
    try { done = document.execCommand('copy'); } catch { /* then not */ }
    field.remove();
    focused?.focus();
    return done;
  }
}

/** Says what is wrong with a form, and with which of its fields. */
export function problem(node, text, field) {
  for (const input of node.form ?? node.closest('form')?.elements ?? []) input.removeAttribute('aria-invalid');
  node.textContent = text ?? '';
  node.hidden = !text;
  if (text && field) {
    field.setAttribute('aria-invalid', 'true');
    field.focus();
    field.select?.();
  }
}

/** Storage that may be full, forbidden or away: what it cannot keep, it forgets. */
export function kept(area) {
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

export const local = kept('localStorage');
export const session = kept('sessionStorage');
