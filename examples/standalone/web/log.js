// The conversation as it is shown: a window over the room's log, of at most MOST entries. New ones come at its end
// while it reaches there; scrolling to either end brings what lies beyond, and the far end is let go.

import { $, bdi, el, hue, icon, initial, linked } from './dom.js';
import { dayOf, errorText, momentOf, t, timeOf } from './i18n.js';

const MOST = 1000;
const PAGE = 50;
const NEAR = 64;
const FAR = 320;
const TOGETHER_MS = 5 * 60_000;
const REPLY = 'M10 8L5 12.5l5 4.5M5.5 12.5H14a5 5 0 0 1 5 5V18';

const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

export class Log {
  #client;
  #onReply;
  #onUnread;
  #room = null;
  #you = null;
  #items = [];
  #bySeq = new Map();
  #pending = new Map();
  #older = false; // there is something before the first
  #live = true; // the last is the newest
  #busy = false;
  #stick = true; // the end stays in sight
  #scrollTop = 0;
  #unread = 0;
  #life = 0;
  #roving = null;
  #scroll = $('scroll');
  #log = $('log');
  #list = $('list');
  #unsent = $('unsent');
  #top = $('top');
  #jump = $('jump');

  constructor(client, { onReply, onUnread }) {
    this.#client = client;
    this.#onReply = onReply;
    this.#onUnread = onUnread;
    this.#scroll.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#jump.addEventListener('click', () => {
      this.toBottom();
      $('text').focus({ preventScroll: true });
    });
    this.#list.addEventListener('keydown', (event) => this.#rove(event));
    new ResizeObserver(() => this.#stick && this.#down()).observe(this.#scroll);
  }

  clear() {
    this.#life += 1;
    this.#room = null;
    this.#empty();
    this.#pending.clear();
    this.#unsent.replaceChildren();
    this.#top.textContent = '';
    this.#read();
  }

  #empty() {
    this.#items = [];
    this.#bySeq.clear();
    this.#roving = null;
    this.#list.replaceChildren();
    this.#live = true;
    this.#older = false;
    this.#busy = false;
    this.#stick = true;
  }

  begin(room, { you, epoch, messages }) {
    this.#room = room;
    this.#you = you;
    this.#start(epoch, messages, messages.length > 0 && messages[0].seq > 1);
  }

  #start(epoch, messages, older) {
    this.#empty();
    this.#older = older;
    this.#quietly(() => {
      for (const event of messages) this.#put(this.#items.length, this.#item(event, epoch));
    });
    this.#note();
    this.#read();
    this.#down();
  }

  set you(you) { this.#you = you; }

  /** The newest event of the room. */
  add(event) {
    const mine = event.from?.id === this.#you?.id;
    if (event.key !== undefined) this.#drop(event.key);
    if (!this.#live) {
      if (!mine) this.#more();
      return;
    }
    this.#put(this.#items.length, this.#item(event, this.#client.room(this.#room)?.epoch));
    if (this.#items.length === 1) this.#note();
    this.#trimTop();
    if (this.#stick) this.#down();
    else if (!mine) this.#more();
    if (document.hidden && !mine && this.#stick) this.#more();
  }

  gap({ epoch, from, newEpoch }) {
    if (newEpoch && !this.#live) this.#empty();
    if (!this.#live) return;
    if (this.#items.at(-1)?.kind === 'gap') return;
    const node = el('li', { class: 'gap' }, el('span', {}, t('gap')));
    this.#put(this.#items.length, { kind: 'gap', seq: newEpoch ? 0 : from, epoch, node });
    if (this.#stick) this.#down();
  }

  // One's own messages until they are in the log

  pend({ key, text, replyTo }, { retry, discard }) {
    const item = this.#item({ type: 'message', seq: 0, from: this.#you, text, reply_to: replyTo, at: Date.now() }, undefined);
    const status = el('p', { class: 'status' }, t('pending'));
    item.node.classList.add('pending');
    item.node.querySelector('.reply')?.remove();
    item.node.querySelector('.body').append(status);
    this.#unsent.append(item.node);
    this.#pending.set(key, { node: item.node, status, retry, discard });
    this.toBottom();
  }

  sent(key, seq) {
    const pending = this.#pending.get(key);
    if (!pending) return;
    if (seq <= (this.#client.room(this.#room)?.seq ?? 0)) this.#drop(key);
    else pending.status.textContent = '';
  }

  again(key) {
    const { node, status } = this.#pending.get(key);
    node.classList.remove('failed');
    status.replaceChildren(t('pending'));
  }

  failed(key, error) {
    const pending = this.#pending.get(key);
    if (!pending) return;
    const { node, status, retry, discard } = pending;
    node.classList.add('failed');
    status.replaceChildren(
      el('span', { role: 'alert' }, `${t('failed')} ${errorText(error)}`),
      el('button', { type: 'button', class: 'link', onclick: retry }, t('retry')),
      el('button', { type: 'button', class: 'link', onclick: () => { this.#drop(key); discard(); } }, t('discard')),
    );
    if (this.#stick) this.#down();
  }

  #drop(key) {
    const pending = this.#pending.get(key);
    this.#pending.delete(key);
    pending?.node.remove();
  }

  // Entries

  #item(event, epoch) {
    const { type, seq, at } = event;
    const node = type === 'notice' ? this.#notice(event) : this.#message(event);
    if (seq) node.dataset.seq = seq;
    return { kind: type, seq, epoch, at, from: event.from?.id, name: event.from?.nickname, text: event.text, node };
  }

  #notice({ text, at }) {
    return el('li', { class: 'notice' },
      el('p', { class: 'head' }, el('span', { class: 'label' }, t('notice')), ' ', this.#time(at)),
      el('p', { class: 'text', dir: 'auto' }, linked(text)));
  }

  #message({ seq, from, text, at, reply_to: replyTo }) {
    const mine = from.id === this.#you?.id;
    const reply = el('button', {
      type: 'button', class: 'reply', tabindex: '-1', title: t('reply'),
      'aria-label': t('reply_to', { name: from.nickname }),
      onclick: () => this.#onReply({ seq, nickname: from.nickname, text }),
    }, icon(REPLY));
    const name = mine ? el('span', { class: 'name own' }, t('you')) : bdi(from.nickname, { class: 'name' });
    return el('li', { class: `msg ${hue(from.id)}${mine ? ' mine' : ''}` },
      mine ? undefined : el('span', { class: 'face', 'aria-hidden': 'true' }, initial(from.nickname)),
      el('div', { class: 'body' },
        el('p', { class: 'head' }, name, ' ', this.#time(at)),
        el('div', { class: 'line' },
          el('div', { class: 'bubble', title: momentOf(at) },
            replyTo === undefined ? undefined : this.#quote(replyTo),
            el('p', { class: 'text', dir: 'auto' }, linked(text))),
          reply)));
  }

  #quote(seq) {
    const item = this.#bySeq.get(seq);
    const words = item
      ? [item.kind === 'notice' ? el('span', { class: 'quote-name' }, t('reply_notice')) : bdi(item.name, { class: 'quote-name' }),
        el('span', { class: 'quote-text', dir: 'auto' }, item.text.slice(0, 200))]
      : [el('span', { class: 'quote-text' }, t('reply_unknown'))];
    return el('button', { type: 'button', class: 'quote', onclick: () => this.#show(seq) }, ...words);
  }

  #time(at) {
    return el('time', { datetime: new Date(at).toISOString(), title: momentOf(at) }, timeOf(at));
  }

  #show(seq) {
    const node = this.#bySeq.get(seq)?.node;
    if (!node) return;
    node.scrollIntoView({ block: 'center' });
    node.classList.remove('shown');
    requestAnimationFrame(() => node.classList.add('shown'));
  }

  #put(index, item) {
    const next = this.#items[index];
    this.#items.splice(index, 0, item);
    if (item.seq && item.kind !== 'gap' && item.epoch === this.#client.room(this.#room)?.epoch) this.#bySeq.set(item.seq, item);
    this.#list.insertBefore(item.node, next?.node ?? null);
    this.#dress(index);
    if (next) this.#dress(index + 1);
    else this.#roveTo(item.node.querySelector('.reply'), false);
  }

  /** What an entry shows depends on the one before it: a new day, a new speaker. */
  #dress(index) {
    const item = this.#items[index];
    if (!item || item.kind === 'gap') return;
    const before = this.#items[index - 1];
    const day = !before || (before.kind !== 'gap' && !sameDay(before.at, item.at));
    const shown = item.node.querySelector(':scope > .day');
    if (day && !shown) item.node.prepend(el('p', { class: 'day' }, el('span', {}, dayOf(item.at))));
    else if (!day) shown?.remove();
    const together = before?.kind === 'message' && item.kind === 'message' && !day && before.from === item.from
      && before.name === item.name && item.at - before.at < TOGETHER_MS;
    item.node.classList.toggle('cont', together);
  }

  #remove(from, count) {
    for (const item of this.#items.splice(from, count)) {
      if (this.#bySeq.get(item.seq) === item) this.#bySeq.delete(item.seq);
      item.node.remove();
    }
  }

  #trimTop() {
    const over = this.#items.length - MOST;
    if (over <= 0) return;
    this.#hold(() => {
      this.#remove(0, over);
      this.#dress(0);
      this.#older = true;
      this.#note();
    });
  }

  #trimBottom() {
    const over = this.#items.length - MOST;
    if (over <= 0) return;
    this.#remove(MOST, over);
    this.#live = false;
    this.#stick = false;
    this.#jumping();
  }

  // Moving about

  #down() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#scrollTop = this.#scroll.scrollTop;
    this.#stick = this.#live;
    if (!document.hidden) this.#read();
  }

  async toBottom() {
    if (!this.#live) {
      const life = this.#life;
      const room = this.#room;
      let page;
      try { page = await this.#client.history(room, { limit: PAGE }); } catch { return; }
      if (life !== this.#life) return;
      // Between the page and now there may be newer ones already.
      const { seq, epoch } = this.#client.room(room);
      const messages = page.messages.filter((event) => event.seq <= seq);
      this.#start(epoch, messages, page.more);
      return;
    }
    this.#down();
  }

  /** Runs what changes the height above, and leaves on the screen what is on it. */
  #hold(change) {
    const bottom = this.#scroll.scrollHeight - this.#scroll.scrollTop;
    change();
    this.#scroll.scrollTop = this.#scroll.scrollHeight - bottom;
    this.#scrollTop = this.#scroll.scrollTop;
  }

  #quietly(change) {
    this.#log.setAttribute('aria-live', 'off');
    change();
    setTimeout(() => this.#log.setAttribute('aria-live', 'polite'), 300);
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    const below = scrollHeight - scrollTop - clientHeight;
    // Only moving up lets go of the end: that it is far away may be for a new message or a growing field just as well.
    if (below < NEAR) this.#stick = this.#live;
    else if (scrollTop < this.#scrollTop) this.#stick = false;
    this.#scrollTop = scrollTop;
    if (this.#stick && !document.hidden) this.#read();
    this.#jumping();
    if (scrollTop < FAR) this.#loadOlder();
    if (!this.#live && below < FAR) this.#loadNewer();
  }

  async #loadOlder() {
    const [first] = this.#items;
    const room = this.#client.room(this.#room);
    if (!this.#older || this.#busy || !first || !room?.joined) return;
    if (first.epoch !== room.epoch || first.seq <= 1) {
      this.#older = false;
      this.#note();
      return;
    }
    await this.#load(async () => {
      this.#top.textContent = t('loading');
      const page = await this.#client.history(this.#room, { before: first.seq, limit: PAGE });
      return () => this.#hold(() => {
        this.#quietly(() => page.messages.forEach((event, i) => this.#put(i, this.#item(event, room.epoch))));
        this.#older = page.more;
        this.#note();
      });
    });
    this.#trimBottom();
  }

  async #loadNewer() {
    const last = this.#items.at(-1);
    const room = this.#client.room(this.#room);
    if (this.#busy || !last || !room?.joined) return;
    await this.#load(async () => {
      const page = await this.#client.history(this.#room, { before: last.seq + PAGE + 1, limit: PAGE });
      return () => {
        this.#quietly(() => {
          for (const event of page.messages) {
            if (event.seq > last.seq) this.#put(this.#items.length, this.#item(event, room.epoch));
          }
        });
        this.#live = (this.#items.at(-1)?.seq ?? 0) >= (this.#client.room(this.#room)?.seq ?? 0);
        this.#trimTop();
      };
    });
  }

  async #load(fetch) {
    const life = this.#life;
    const before = this.#items[0];
    this.#busy = true;
    let apply;
    try {
      apply = await fetch();
    } catch {
      if (life === this.#life) this.#top.textContent = t('load_failed');
    }
    if (life !== this.#life) return;
    this.#busy = false;
    // A jump in the meantime has begun the window anew.
    if (this.#items[0] === before) apply?.();
  }

  #note() {
    if (this.#items.length === 0) this.#top.textContent = t('empty');
    else if (this.#older) this.#top.textContent = '';
    else this.#top.textContent = t(this.#items[0].seq <= 1 ? 'start' : 'start_known');
  }

  // Unread

  #more() {
    this.#unread += 1;
    this.#jumping();
    this.#onUnread(this.#unread);
  }

  #read() {
    this.#unread = 0;
    this.#jumping();
    this.#onUnread(0);
  }

  /** The page is looked at again. */
  seen() {
    if (this.#stick) this.#read();
  }

  #jumping() {
    this.#jump.hidden = this.#stick || this.#items.length === 0;
    $('jump-text').replaceChildren(this.#unread ? t('unread', { count: this.#unread }) : el('span', { class: 'sr' }, t('to_bottom')));
  }

  // Replying by keyboard: one stop for the whole list, arrows move along it.

  #roveTo(button, focus = true) {
    if (!button) return;
    if (!focus && this.#roving && document.activeElement === this.#roving) return;
    if (this.#roving) this.#roving.tabIndex = -1;
    this.#roving = button;
    button.tabIndex = 0;
    if (focus) button.focus();
  }

  #rove(event) {
    if (!event.target.classList.contains('reply') || !['ArrowUp', 'ArrowDown'].includes(event.key)) return;
    event.preventDefault();
    const all = [...this.#list.querySelectorAll('.reply')];
    this.#roveTo(all[all.indexOf(event.target) + (event.key === 'ArrowUp' ? -1 : 1)]);
  }
}

