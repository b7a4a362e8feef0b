// The conversation as it is shown: a window of at most MAX_ENTRIES entries over the log of the room. New entries are added
// while the window reaches the end of the log. Scrolling to either end loads the entries beyond it and drops entries at
// the other end.

import { $, bdi, el, hueClass, icon, initial, linkify } from './dom.js';
import { dayOf, errorText, momentOf, t, timeOf } from './i18n.js';

const MAX_ENTRIES = 1000;
const PAGE_SIZE = 50;
const NEAR_END_PX = 64;
const LOAD_AHEAD_PX = 320;
const GROUPING_MS = 5 * 60_000;
const REPLY_ICON = 'M10 8L5 12.5l5 4.5M5.5 12.5H14a5 5 0 0 1 5 5V18';

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
  #hasOlder = false; // there are entries before the first one
  #reachesEnd = true; // the last entry is the newest of the room
  #loading = false;
  #stickToEnd = true; // the end is kept in view
  #scrollTop = 0;
  #unread = 0;
  #generation = 0;
  #focusable = null;
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
    this.#scroll.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    this.#jump.addEventListener('click', () => {
      this.toBottom();
      $('text').focus({ preventScroll: true });
    });
    this.#list.addEventListener('keydown', (event) => this.#moveFocus(event));
    new ResizeObserver(() => this.#stickToEnd && this.#scrollToEnd()).observe(this.#scroll);
  }

  clear() {
    this.#generation += 1;
    this.#room = null;
    this.#reset();
    this.#pending.clear();
    this.#unsent.replaceChildren();
    this.#top.textContent = '';
    this.#markRead();
  }

  #reset() {
    this.#items = [];
    this.#bySeq.clear();
    this.#focusable = null;
    this.#list.replaceChildren();
    this.#reachesEnd = true;
    this.#hasOlder = false;
    this.#loading = false;
    this.#stickToEnd = true;
  }

  begin(room, { you, epoch, messages }) {
    this.#room = room;
    this.#you = you;
    this.#start(epoch, messages, messages.length > 0 && messages[0].seq > 1);
  }

  #start(epoch, messages, older) {
    this.#reset();
    this.#hasOlder = older;
    this.#withoutAnnouncing(() => {
      for (const event of messages) this.#insert(this.#items.length, this.#item(event, epoch));
    });
    this.#updateNote();
    this.#markRead();
    this.#scrollToEnd();
  }

  set you(you) { this.#you = you; }

  /** Adds the newest event of the room. */
  add(event) {
    const mine = event.from?.id === this.#you?.id;
    if (event.key !== undefined) this.#removePending(event.key);
    if (!this.#reachesEnd) {
      if (!mine) this.#countUnread();
      return;
    }
    this.#insert(this.#items.length, this.#item(event, this.#client.room(this.#room)?.epoch));
    if (this.#items.length === 1) this.#updateNote();
    this.#trimTop();
    if (this.#stickToEnd) this.#scrollToEnd();
    else if (!mine) this.#countUnread();
    if (document.hidden && !mine && this.#stickToEnd) this.#countUnread();
  }

  gap({ epoch, from, newEpoch }) {
    if (newEpoch && !this.#reachesEnd) this.#reset();
    if (!this.#reachesEnd) return;
    if (this.#items.at(-1)?.kind === 'gap') return;
    const node = el('li', { class: 'gap' }, el('span', {}, t('gap')));
    this.#insert(this.#items.length, { kind: 'gap', seq: newEpoch ? 0 : from, epoch, node });
    if (this.#stickToEnd) this.#scrollToEnd();
  }

  // The user's own messages until they are in the log

  addPending({ key, text, replyTo }, { retry, discard }) {
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
    if (seq <= (this.#client.room(this.#room)?.seq ?? 0)) this.#removePending(key);
    else pending.status.textContent = '';
  }

  retrying(key) {
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
      el('button', { type: 'button', class: 'link', onclick: () => { this.#removePending(key); discard(); } }, t('discard')),
    );
    if (this.#stickToEnd) this.#scrollToEnd();
  }

  #removePending(key) {
    const pending = this.#pending.get(key);
    this.#pending.delete(key);
    pending?.node.remove();
  }

  // Entries

  #item(event, epoch) {
    const { type, seq, at } = event;
    const node = type === 'notice' ? this.#noticeNode(event) : this.#messageNode(event);
    if (seq) node.dataset.seq = seq;
    return { kind: type, seq, epoch, at, from: event.from?.id, name: event.from?.nickname, text: event.text, node };
  }

  #noticeNode({ text, at }) {
    return el('li', { class: 'notice' },
      el('p', { class: 'head' }, el('span', { class: 'label' }, t('notice')), ' ', this.#timeNode(at)),
      el('p', { class: 'text', dir: 'auto' }, linkify(text)));
  }

  #messageNode({ seq, from, text, at, reply_to: replyTo }) {
    const mine = from.id === this.#you?.id;
    const reply = el('button', {
      type: 'button', class: 'reply', tabindex: '-1', title: t('reply'),
      'aria-label': t('reply_to', { name: from.nickname }),
      onclick: () => this.#onReply({ seq, nickname: from.nickname, text }),
    }, icon(REPLY_ICON));
    const name = mine ? el('span', { class: 'name own' }, t('you')) : bdi(from.nickname, { class: 'name' });
    return el('li', { class: `msg ${hueClass(from.id)}${mine ? ' mine' : ''}` },
      mine ? undefined : el('span', { class: 'face', 'aria-hidden': 'true' }, initial(from.nickname)),
      el('div', { class: 'body' },
        el('p', { class: 'head' }, name, ' ', this.#timeNode(at)),
        el('div', { class: 'line' },
          el('div', { class: 'bubble', title: momentOf(at) },
            replyTo === undefined ? undefined : this.#quoteNode(replyTo),
            el('p', { class: 'text', dir: 'auto' }, linkify(text))),
          reply)));
  }

  #quoteNode(seq) {
    const item = this.#bySeq.get(seq);
    const content = item
      ? [item.kind === 'notice' ? el('span', { class: 'quote-name' }, t('reply_notice')) : bdi(item.name, { class: 'quote-name' }),
        el('span', { class: 'quote-text', dir: 'auto' }, item.text.slice(0, 200))]
      : [el('span', { class: 'quote-text' }, t('reply_unknown'))];
    return el('button', { type: 'button', class: 'quote', onclick: () => this.#scrollTo(seq) }, ...content);
  }

  #timeNode(at) {
    return el('time', { datetime: new Date(at).toISOString(), title: momentOf(at) }, timeOf(at));
  }

  #scrollTo(seq) {
    const node = this.#bySeq.get(seq)?.node;
    if (!node) return;
    node.scrollIntoView({ block: 'center' });
    node.classList.remove('shown');
    requestAnimationFrame(() => node.classList.add('shown'));
  }

  #insert(index, item) {
    const next = this.#items[index];
    this.#items.splice(index, 0, item);
    if (item.seq && item.kind !== 'gap' && item.epoch === this.#client.room(this.#room)?.epoch) this.#bySeq.set(item.seq, item);
    this.#list.insertBefore(item.node, next?.node ?? null);
    this.#updateGrouping(index);
    if (next) this.#updateGrouping(index + 1);
    else this.#setFocusable(item.node.querySelector('.reply'), false);
  }

  /** Updates the parts of an entry that depend on the one before it: a new day, another sender. */
  #updateGrouping(index) {
    const item = this.#items[index];
    if (!item || item.kind === 'gap') return;
    const before = this.#items[index - 1];
    const day = !before || (before.kind !== 'gap' && !sameDay(before.at, item.at));
    const shown = item.node.querySelector(':scope > .day');
    if (day && !shown) item.node.prepend(el('p', { class: 'day' }, el('span', {}, dayOf(item.at))));
    else if (!day) shown?.remove();
    const grouped = before?.kind === 'message' && item.kind === 'message' && !day && before.from === item.from
      && before.name === item.name && item.at - before.at < GROUPING_MS;
    item.node.classList.toggle('cont', grouped);
  }

  #remove(from, count) {
    for (const item of this.#items.splice(from, count)) {
      if (this.#bySeq.get(item.seq) === item) this.#bySeq.delete(item.seq);
      item.node.remove();
    }
  }

  #trimTop() {
    const excess = this.#items.length - MAX_ENTRIES;
    if (excess <= 0) return;
    this.#keepPosition(() => {
      this.#remove(0, excess);
      this.#updateGrouping(0);
      this.#hasOlder = true;
      this.#updateNote();
    });
  }

  #trimBottom() {
    const excess = this.#items.length - MAX_ENTRIES;
    if (excess <= 0) return;
    this.#remove(MAX_ENTRIES, excess);
    this.#reachesEnd = false;
    this.#stickToEnd = false;
    this.#updateJump();
  }

  // Scrolling

  #scrollToEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#scrollTop = this.#scroll.scrollTop;
    this.#stickToEnd = this.#reachesEnd;
    if (!document.hidden) this.#markRead();
  }

  async toBottom() {
    if (!this.#reachesEnd) {
      const generation = this.#generation;
      const room = this.#room;
      let page;
      try { page = await this.#client.history(room, { limit: PAGE_SIZE }); } catch { return; }
      if (generation !== this.#generation) return;
      // There may already be events that are newer than the page.
      const { seq, epoch } = this.#client.room(room);
      const messages = page.messages.filter((event) => event.seq <= seq);
      this.#start(epoch, messages, page.more);
      return;
    }
    this.#scrollToEnd();
  }

  /** Runs a change of the height above the visible entries and keeps them where they are on the screen. */
  #keepPosition(change) {
    const bottom = this.#scroll.scrollHeight - this.#scroll.scrollTop;
    change();
    this.#scroll.scrollTop = this.#scroll.scrollHeight - bottom;
    this.#scrollTop = this.#scroll.scrollTop;
  }

  #withoutAnnouncing(change) {
    this.#log.setAttribute('aria-live', 'off');
    change();
    setTimeout(() => this.#log.setAttribute('aria-live', 'polite'), 300);
  }

  #onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    const below = scrollHeight - scrollTop - clientHeight;
    // Only scrolling up releases the end. A large distance alone may come from a new message or a growing field.
    if (below < NEAR_END_PX) this.#stickToEnd = this.#reachesEnd;
    else if (scrollTop < this.#scrollTop) this.#stickToEnd = false;
    this.#scrollTop = scrollTop;
    if (this.#stickToEnd && !document.hidden) this.#markRead();
    this.#updateJump();
    if (scrollTop < LOAD_AHEAD_PX) this.#loadOlder();
    if (!this.#reachesEnd && below < LOAD_AHEAD_PX) this.#loadNewer();
  }

  async #loadOlder() {
    const [first] = this.#items;
    const room = this.#client.room(this.#room);
    if (!this.#hasOlder || this.#loading || !first || !room?.joined) return;
    if (first.epoch !== room.epoch || first.seq <= 1) {
      this.#hasOlder = false;
      this.#updateNote();
      return;
    }
    await this.#load(async () => {
      this.#top.textContent = t('loading');
      const page = await this.#client.history(this.#room, { before: first.seq, limit: PAGE_SIZE });
      return () => this.#keepPosition(() => {
        this.#withoutAnnouncing(() => page.messages.forEach((event, i) => this.#insert(i, this.#item(event, room.epoch))));
        this.#hasOlder = page.more;
        this.#updateNote();
      });
    });
    this.#trimBottom();
  }

  async #loadNewer() {
    const last = this.#items.at(-1);
    const room = this.#client.room(this.#room);
    if (this.#loading || !last || !room?.joined) return;
    await this.#load(async () => {
      const page = await this.#client.history(this.#room, { before: last.seq + PAGE_SIZE + 1, limit: PAGE_SIZE });
      return () => {
        this.#withoutAnnouncing(() => {
          for (const event of page.messages) {
            if (event.seq > last.seq) this.#insert(this.#items.length, this.#item(event, room.epoch));
          }
        });
        this.#reachesEnd = (this.#items.at(-1)?.seq ?? 0) >= (this.#client.room(this.#room)?.seq ?? 0);
        this.#trimTop();
      };
    });
  }

  async #load(fetch) {
    const generation = this.#generation;
    const before = this.#items[0];
    this.#loading = true;
    let apply;
    try {
      apply = await fetch();
    } catch {
      if (generation === this.#generation) this.#top.textContent = t('load_failed');
    }
    if (generation !== this.#generation) return;
    this.#loading = false;
    // Do not apply the page if the window was restarted in the meantime.
    if (this.#items[0] === before) apply?.();
  }

  #updateNote() {
    if (this.#items.length === 0) this.#top.textContent = t('empty');
    else if (this.#hasOlder) this.#top.textContent = '';
    else this.#top.textContent = t(this.#items[0].seq <= 1 ? 'start' : 'start_known');
  }

  // Unread

  #countUnread() {
    this.#unread += 1;
    this.#updateJump();
    this.#onUnread(this.#unread);
  }

  #markRead() {
    this.#unread = 0;
    this.#updateJump();
    this.#onUnread(0);
  }

  /** Marks the messages as read when the page is visible again. */
  seen() {
    if (this.#stickToEnd) this.#markRead();
  }

  #updateJump() {
    this.#jump.hidden = this.#stickToEnd || this.#items.length === 0;
    $('jump-text').replaceChildren(this.#unread ? t('unread', { count: this.#unread }) : el('span', { class: 'sr' }, t('to_bottom')));
  }

  // Replying by keyboard: the list is one tab stop, and the arrow keys move along it.

  #setFocusable(button, focus = true) {
    if (!button) return;
    if (!focus && this.#focusable && document.activeElement === this.#focusable) return;
    if (this.#focusable) this.#focusable.tabIndex = -1;
    this.#focusable = button;
    button.tabIndex = 0;
    if (focus) button.focus();
  }

  #moveFocus(event) {
    if (!event.target.classList.contains('reply') || !['ArrowUp', 'ArrowDown'].includes(event.key)) return;
    event.preventDefault();
    const all = [...this.#list.querySelectorAll('.reply')];
    this.#setFocusable(all[all.indexOf(event.target) + (event.key === 'ArrowUp' ? -1 : 1)]);
  }
}

