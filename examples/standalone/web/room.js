// A room: the door, the people in it, and the field to write into. The conversation itself is in log.js.

import { newKey } from './chat-client.js';
import { $, bdi, copy, el, hue, initial, local, problem, session, toast } from './dom.js';
import { errorText, momentOf, say, t } from './i18n.js';
import { Log } from './log.js';

const HISTORY = 50;
const SHOWN_MEMBERS = 200;
const TYPING_EVERY_MS = 3000;
const TYPING_LASTS_MS = 6000;

const encoder = new TextEncoder();
const NICKNAME = 'chat:nickname';
const inRoom = (id) => `chat:in:${id}`;

export class RoomView {
  #client;
  #leave;
  #log;
  #id = null;
  #info = null;
  #entered = false;
  #own = false;
  #members = new Map();
  #typists = new Map();
  #typingAt = 0;
  #typingStop = 0;
  #quoting = null;
  #unread = 0;

  /** `leave` is called when the room is not to be shown any longer. */
  constructor(client, leave) {
    this.#client = client;
    this.#leave = leave;
    this.#log = new Log(client, {
      onReply: (message) => this.#quote(message),
      onUnread: (count) => { this.#unread = count; this.#titles(); },
    });
    this.#listen();
    this.#controls();
  }

  // Coming and going

  /** `own`: this visitor has just made the room and is not asked for its password. */
  async open(id, { own = false } = {}) {
    this.#id = id;
    this.#own = own;
    this.#info = { id, title: '', capacity: 0, count: 0, has_password: false };
    this.#entered = false;
    this.#log.clear();
    this.#members.clear();
    $('members').replaceChildren();
    $('members-more').hidden = true;
    this.#typists.clear();
    this.#showTyping();
    this.#quote(null);
    $('text').value = '';
    this.#grow();
    problem($('composer-problem'));
    this.#writable(false);
    this.#header();

    // Somebody who was here in this tab a moment ago is coming back from a reload, not arriving.
    const was = session.get(inRoom(id));
    if (was !== null) {
      try {
        await this.#join({ nickname: was || undefined });
        return;
      } catch (error) {
        if (this.#id !== id) return;
        session.set(inRoom(id), null);
        await this.#look(id);
        if (this.#id === id) this.#door(error.code === 'password_required' ? undefined : error);
        return;
      }
    }
    const missing = await this.#look(id);
    if (this.#id === id) this.#door(missing);
  }

  /** The view is going away. */
  shut({ leaving }) {
    const id = this.#id;
    if (id === null) return;
    this.#stopTyping();
    this.#id = null;
    this.#entered = false;
    if (leaving) session.set(inRoom(id), null);
    if (this.#client.room(id)) this.#client.leave(id).catch(() => {});
    this.#log.clear();
    this.#people(false);
    for (const dialog of ['entry', 'renaming', 'ended']) $(dialog).close();
  }

  /** What is known about the room from outside. Answers with an error only where entering is hopeless. */
  async #look(id) {
    try {
      const response = await fetch(`/api/rooms/${encodeURIComponent(id)}`);
      const body = await response.json();
      if (this.#id !== id) return undefined;
      if (response.ok) {
        this.#info = body;
        this.#header();
        return undefined;
      }
      // A room nobody has opened yet may come to be by the first one entering it.
      return ['room_expired', 'bad_room'].includes(body.code) ? { code: body.code } : undefined;
    } catch {
      return undefined;
    }
  }

  #door(error) {
    const welcome = this.#client.welcome;
    $('entry-heading').textContent = this.#info.title || this.#id;
    $('entry-seats').textContent = this.#seats(this.#info.count);
    const nickname = $('entry-nickname');
    nickname.value = local.get(NICKNAME) ?? welcome?.nickname ?? '';
    nickname.placeholder = welcome?.nickname ?? '';
    $('entry-password').value = '';
    $('entry-password-field').hidden = !this.#info.has_password || this.#own;
    this.#busy(false);
    if (!$('entry').open) $('entry').showModal();
    nickname.focus();
    nickname.select();
    problem($('entry-problem'));
    if (error) this.#refused(error);
  }

  #busy(busy) {
    $('entry-go').disabled = busy;
    $('entry-go').textContent = t(busy ? 'entering' : 'enter');
  }

  #refused(error) {
    let field;
    if (['password_required', 'wrong_password'].includes(error.code)) {
      $('entry-password-field').hidden = false;
      field = $('entry-password');
    } else if (['bad_nickname', 'nickname_taken'].includes(error.code)) {
      field = $('entry-nickname');
    }
    problem($('entry-problem'), errorText(error), field);
  }

  async #enter() {
    const id = this.#id;
    problem($('entry-problem'));
    this.#busy(true);
    const nickname = $('entry-nickname').value.trim() || undefined;
    try {
      await this.#join({ nickname, password: $('entry-password').value || undefined });
      $('entry').close();
      if (nickname) local.set(NICKNAME, nickname);
      this.#focus();
    } catch (error) {
      if (this.#id === id) this.#refused(error);
    } finally {
      this.#busy(false);
    }
  }

  async #join(fields) {
    const id = this.#id;
    if (this.#client.room(id)) await this.#client.leave(id); // it was left a moment ago, and the server has not said so yet
    const joined = await this.#client.join(id, { ...fields, history: HISTORY });
    if (this.#id !== id) throw Object.assign(new Error('gone'), { code: 'not_joined' });
    return joined;
  }

  #joined({ room, you, presence, epoch, messages, rejoined }) {
    this.#info = room;
    this.#info.count = presence.count;
    this.#entered = true;
    this.#log.you = you;
    session.set(inRoom(room.id), you.nickname);
    if (!rejoined) this.#log.begin(room.id, { you, epoch, messages });
    this.#writable(true);
    this.#header();
  }

  #removed({ reason, code, text, until }) {
    this.#stopTyping();
    this.#entered = false;
    this.#writable(false);
    session.set(inRoom(this.#id), null);
    if (reason === 'refused') {
      this.#log.clear();
      this.#look(this.#id).then(() => this.#id && this.#door({ code }));
      return;
    }
    $('ended-heading').textContent = reason === 'banned' && until
      ? t('removed_banned_until', { time: momentOf(until) })
      : t(`removed_${reason}`);
    $('ended-text').textContent = text ?? '';
    $('renaming').close();
    if (!$('ended').open) $('ended').showModal();
    $('ended-back').focus();
  }

  #listen() {
    const here = (type, handle) => this.#client.addEventListener(type, ({ detail }) => {
      const id = type === 'joined' ? detail.room.id : detail.room;
      if (id === this.#id) handle(detail);
    });
    here('joined', (event) => this.#joined(event));
    here('message', (event) => {
      this.#typists.delete(event.from.id);
      this.#showTyping();
      this.#log.add(event);
    });
    here('notice', (event) => this.#log.add(event));
    here('sent', ({ key, seq }) => this.#log.sent(key, seq));
    here('gap', (event) => this.#log.gap(event));
    here('presence', (event) => this.#presence(event));
    here('typing', (event) => this.#typed(event));
    here('removed', (event) => this.#removed(event));
    this.#client.addEventListener('identity', () => this.#entered && toast(t('renewed')));
    document.addEventListener('visibilitychange', () => !document.hidden && this.#log.seen());
    // Leaving the page is no leaving of the room, but nobody is typing any more.
    addEventListener('pagehide', () => this.#stopTyping());
  }

  // Header and people

  #seats(count) {
    const { capacity } = this.#info;
    if (!capacity) return t('people', { count });
    return t('seats_label', { count, capacity });
  }

  #header() {
    const { title, count, capacity } = this.#info;
    $('room-title').textContent = title || this.#id;
    $('room-seats').textContent = this.#entered ? this.#seats(count) : '';
    $('people-count').textContent = capacity ? t('seats', { count, capacity }) : t('seats_free', { count });
    $('people-toggle').setAttribute('aria-label', t('members_button', { count }));
    this.#titles();
  }

  #titles() {
    if (this.#id === null) return;
    const name = `${this.#info?.title || this.#id} · ${t('app')}`;
    document.title = this.#unread ? `(${this.#unread}) ${name}` : name;
  }

  #presence({ count, members, complete }) {
    const you = this.#client.room(this.#id)?.you;
    if (!you) return;
    this.#log.you = you;
    session.set(inRoom(this.#id), you.nickname);
    if (this.#info.count !== count) {
      this.#info.count = count;
      this.#header();
    }
    const mine = (member) => member.id === you.id;
    const sorted = [you, ...members.filter((member) => !mine(member)).sort((a, b) => a.nickname.localeCompare(b.nickname))];
    const shown = sorted.slice(0, SHOWN_MEMBERS);
    // Entries stay where they are unless they have to move: a list that is built anew would flicker.
    const list = $('members');
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, { node }] of this.#members) {
      if (ids.has(id)) continue;
      node.remove();
      this.#members.delete(id);
      this.#typists.delete(id);
    }
    shown.forEach((member, index) => {
      let entry = this.#members.get(member.id);
      if (!entry) {
        entry = { node: this.#member(member, mine(member)), nickname: member.nickname };
        this.#members.set(member.id, entry);
      } else if (entry.nickname !== member.nickname) {
        entry.nickname = member.nickname;
        entry.node.querySelector('.name').textContent = member.nickname;
        entry.node.querySelector('.face').textContent = initial(member.nickname);
      }
      if (list.children[index] !== entry.node) list.insertBefore(entry.node, list.children[index] ?? null);
    });
    const more = Math.max(complete ? sorted.length : Math.max(count, sorted.length), shown.length) - shown.length;
    $('members-more').hidden = more <= 0;
    $('members-more').textContent = t('more_members', { count: more });
    this.#showTyping();
  }

  #member({ id, nickname }, you) {
    return el('li', { class: `member ${hue(id)}`, 'data-id': id },
      el('span', { class: 'face', 'aria-hidden': 'true' }, initial(nickname)),
      bdi(nickname, { class: 'name' }),
      you ? el('span', { class: 'you' }, t('you')) : undefined);
  }

  #people(open) {
    $('room').classList.toggle('with-people', open);
    $('people-toggle').setAttribute('aria-expanded', String(open));
  }

  // Typing

  #typed({ member, active }) {
    if (member.id === this.#client.room(this.#id)?.you?.id) return;
    clearTimeout(this.#typists.get(member.id)?.timer);
    this.#typists.delete(member.id);
    if (active && this.#typists.size < 20) {
      const timer = setTimeout(() => {
        this.#typists.delete(member.id);
        this.#showTyping();
      }, TYPING_LASTS_MS);
      this.#typists.set(member.id, { nickname: member.nickname, timer });
    }
    this.#showTyping();
  }

  #showTyping() {
    const [a, b, c] = [...this.#typists].map(([id, { nickname }]) => bdi(this.#members.get(id)?.nickname ?? nickname));
    const words = !a ? [] : [c ? t('typing_many') : say(b ? 'typing_two' : 'typing_one', { a, b })];
    $('typing').replaceChildren(...words);
  }

  #startTyping() {
    if (!this.#entered) return;
    const now = Date.now();
    clearTimeout(this.#typingStop);
    this.#typingStop = setTimeout(() => this.#stopTyping(), TYPING_LASTS_MS - 1000);
    if (now - this.#typingAt < TYPING_EVERY_MS) return;
    this.#typingAt = now;
    this.#client.typing(this.#id, true);
  }

  #stopTyping() {
    clearTimeout(this.#typingStop);
    if (!this.#typingAt) return;
    this.#typingAt = 0;
    if (this.#entered) this.#client.typing(this.#id, false);
  }

  // Writing

  #writable(writable) {
    $('text').disabled = !writable;
    $('rename').disabled = !writable;
    this.#count();
  }

  #focus() {
    // A screen keyboard that opens by itself would hide the conversation.
    if (matchMedia('(hover: hover)').matches) $('text').focus();
    else $('scroll').focus({ preventScroll: true });
  }

  #text() {
    // Pasted text may carry controls that no message may have.
    return $('text').value.replace(/(?![\n\t])\p{Cc}/gu, '').replace(/\s+$/u, '');
  }

  #count() {
    const most = this.#client.limits.text_bytes ?? 4096;
    const text = this.#text();
    const left = most - encoder.encode(text).length;
    const counter = $('counter');
    counter.textContent = left < 0 ? t('over', { count: -left }) : left < most / 8 ? t('left', { count: left }) : '';
    counter.classList.toggle('bad', left < 0);
    $('text').setAttribute('aria-invalid', String(left < 0));
    $('send').disabled = !this.#entered || left < 0 || /^[\s\p{Cc}\p{Cf}\p{Cn}\p{Default_Ignorable_Code_Point}]*$/u.test(text);
    return !$('send').disabled;
  }

  #grow() {
    const field = $('text');
    field.rows = 1;
    const line = parseFloat(getComputedStyle(field).lineHeight) || 24;
    const style = getComputedStyle(field);
    const inner = field.scrollHeight - parseFloat(style.paddingTop || 0) - parseFloat(style.paddingBottom || 0);
    field.rows = Math.min(Math.max(Math.round(inner / line), 1), 7);
  }

  #quote(message) {
    this.#quoting = message;
    $('quoting').hidden = !message;
    if (!message) return;
    $('quoting-text').replaceChildren(
      el('strong', {}, say('replying', { name: bdi(message.nickname) })), ' ',
      el('span', { dir: 'auto' }, message.text.slice(0, 200)));
    $('text').focus();
  }

  #send() {
    if (!this.#count()) return;
    const message = { key: newKey(), text: this.#text(), replyTo: this.#quoting?.seq };
    const id = this.#id;
    const post = () => {
      this.#client.send(id, message.text, { key: message.key, replyTo: message.replyTo })
        .catch((error) => this.#id === id && this.#log.failed(message.key, error));
    };
    this.#log.pend(message, {
      retry: () => {
        this.#log.again(message.key);
        post();
        $('text').focus();
      },
      discard: () => $('text').focus(),
    });
    post();
    this.#quote(null);
    $('text').value = '';
    this.#stopTyping();
    this.#grow();
    this.#count();
  }

  #controls() {
    $('entry-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#enter();
    });
    $('entry-back').addEventListener('click', () => this.#leave());
    $('entry').addEventListener('cancel', (event) => {
      event.preventDefault();
      this.#leave();
    });
    $('ended').addEventListener('cancel', (event) => {
      event.preventDefault();
      this.#leave();
    });
    $('ended-back').addEventListener('click', () => this.#leave());
    $('leave').addEventListener('click', () => this.#leave());
    $('copy').addEventListener('click', async () => {
      const link = new URL(`/r/${this.#id}`, location.href).href;
      toast(t(await copy(link) ? 'copied' : 'copy_failed'));
    });

    $('people-toggle').addEventListener('click', () => {
      const open = !$('room').classList.contains('with-people');
      this.#people(open);
      if (open) $('people-close').focus();
    });
    const closePeople = () => {
      if (!$('room').classList.contains('with-people')) return;
      this.#people(false);
      $('people-toggle').focus();
    };
    $('people-close').addEventListener('click', closePeople);
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !event.isComposing && !document.querySelector('dialog[open]')) closePeople();
    });
    $('scroll').addEventListener('click', closePeople);

    $('rename').addEventListener('click', () => {
      const field = $('renaming-nickname');
      field.value = this.#client.room(this.#id)?.you?.nickname ?? '';
      problem($('renaming-problem'));
      $('renaming').showModal();
      field.focus();
      field.select();
    });
    $('renaming-cancel').addEventListener('click', () => $('renaming').close());
    $('renaming').addEventListener('close', () => this.#entered && $('rename').focus());
    $('renaming-form').addEventListener('submit', async (event) => {
      event.preventDefault();
      const field = $('renaming-nickname');
      const nickname = field.value.trim();
      if (!nickname) return problem($('renaming-problem'), t('error.bad_nickname'), field);
      $('renaming-go').disabled = true;
      try {
        const reply = await this.#client.nickname(nickname, this.#id);
        local.set(NICKNAME, reply.nickname);
        $('renaming').close();
      } catch (error) {
        problem($('renaming-problem'), errorText(error), field);
      } finally {
        $('renaming-go').disabled = false;
      }
      return undefined;
    });

    const field = $('text');
    field.addEventListener('input', () => {
      this.#grow();
      this.#count();
      if (field.value) this.#startTyping();
      else this.#stopTyping();
    });
    field.addEventListener('keydown', (event) => {
      // Enter that ends the composition of a syllable is not yet the end of the message.
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === 'Enter' && !event.shiftKey) {
        event.preventDefault();
        this.#send();
      } else if (event.key === 'Escape' && this.#quoting) {
        this.#quote(null);
      }
    });
    field.addEventListener('blur', () => this.#stopTyping());
    $('quoting-cancel').addEventListener('click', () => {
      this.#quote(null);
      field.focus();
    });
    $('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
      field.focus();
    });
    $('skip').addEventListener('click', (event) => {
      event.preventDefault();
      field.focus();
    });
  }
}
