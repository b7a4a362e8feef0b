// A room: the entry form, the list of members and the message field. The conversation itself is in log.js.

import { newKey } from './chat-client.js';
import { $, bdi, copy, el, hueClass, initial, local, session, showProblem, toast } from './dom.js';
import { errorText, momentOf, t, tNodes } from './i18n.js';
import { Log } from './log.js';

const HISTORY = 50;
const SHOWN_MEMBERS = 200;
const TYPING_EVERY_MS = 3000;
const TYPING_LASTS_MS = 6000;

const encoder = new TextEncoder();
const NICKNAME = 'chat:nickname';
const nicknameInRoom = (id) => `chat:in:${id}`;

export class RoomView {
  #client;
  #leave;
  #log;
  #id = null;
  #info = null;
  #isJoined = false;
  #isCreator = false;
  #members = new Map();
  #typing = new Map();
  #typingAt = 0;
  #typingStop = 0;
  #quoted = null;
  #unread = 0;

  /** `leave` is called when the room must no longer be shown. */
  constructor(client, leave) {
    this.#client = client;
    this.#leave = leave;
    this.#log = new Log(client, {
      onReply: (message) => this.#setQuote(message),
      onUnread: (count) => { this.#unread = count; this.#updateTitle(); },
    });
    this.#bindClient();
    this.#bindControls();
  }

  // Opening and leaving the room

  /** `isCreator`: the user has just created the room and is not asked for its password. */
  async open(id, { isCreator = false } = {}) {
    this.#id = id;
    this.#isCreator = isCreator;
    this.#info = { id, title: '', capacity: 0, count: 0, has_password: false };
    this.#isJoined = false;
    this.#log.clear();
    this.#members.clear();
    $('members').replaceChildren();
    $('members-more').hidden = true;
    this.#typing.clear();
    this.#showTyping();
    this.#setQuote(null);
    $('text').value = '';
    this.#resizeField();
    showProblem($('composer-problem'));
    this.#setWritable(false);
    this.#updateHeader();

    // A user who was in the room in this tab a moment ago has reloaded the page and is not asked again.
    const earlier = session.get(nicknameInRoom(id));
    if (earlier !== null) {
      try {
        await this.#join({ nickname: earlier || undefined });
        return;
      } catch (error) {
        if (this.#id !== id) return;
        session.set(nicknameInRoom(id), null);
        await this.#fetchInfo(id);
        if (this.#id === id) this.#showEntry(error.code === 'password_required' ? undefined : error);
        return;
      }
    }
    const error = await this.#fetchInfo(id);
    if (this.#id === id) this.#showEntry(error);
  }

  /** Ends the view. */
  close({ leaving }) {
    const id = this.#id;
    if (id === null) return;
    this.#stopTyping();
    this.#id = null;
    this.#isJoined = false;
    if (leaving) session.set(nicknameInRoom(id), null);
    if (this.#client.room(id)) this.#client.leave(id).catch(() => {});
    this.#log.clear();
    this.#showMembers(false);
    for (const dialog of ['entry', 'renaming', 'ended']) $(dialog).close();
  }

  /** Fetches the public information about the room. Returns an error only if joining cannot succeed. */
  async #fetchInfo(id) {
    try {
      const response = await fetch(`/api/rooms/${encodeURIComponent(id)}`);
      const body = await response.json();
      if (this.#id !== id) return undefined;
      if (response.ok) {
        this.#info = body;
        this.#updateHeader();
        return undefined;
      }
      // A room that does not exist yet may be created by the first join.
      return ['room_expired', 'bad_room'].includes(body.code) ? { code: body.code } : undefined;
    } catch {
      return undefined;
    }
  }

  #showEntry(error) {
    const welcome = this.#client.welcome;
    $('entry-heading').textContent = this.#info.title || this.#id;
    $('entry-seats').textContent = this.#seatsText(this.#info.count);
    const nickname = $('entry-nickname');
    nickname.value = local.get(NICKNAME) ?? welcome?.nickname ?? '';
    nickname.placeholder = welcome?.nickname ?? '';
    $('entry-password').value = '';
    $('entry-password-field').hidden = !this.#info.has_password || this.#isCreator;
    this.#setEntryBusy(false);
    if (!$('entry').open) $('entry').showModal();
    nickname.focus();
    nickname.select();
    showProblem($('entry-problem'));
    if (error) this.#showEntryProblem(error);
  }

  #setEntryBusy(isBusy) {
    $('entry-go').disabled = isBusy;
    $('entry-go').textContent = t(isBusy ? 'entering' : 'enter');
  }

  #showEntryProblem(error) {
    let field;
    if (['password_required', 'wrong_password'].includes(error.code)) {
      $('entry-password-field').hidden = false;
      field = $('entry-password');
    } else if (['bad_nickname', 'nickname_taken'].includes(error.code)) {
      field = $('entry-nickname');
    }
    showProblem($('entry-problem'), errorText(error), field);
  }

  async #submitEntry() {
    const id = this.#id;
    showProblem($('entry-problem'));
    this.#setEntryBusy(true);
    const nickname = $('entry-nickname').value.trim() || undefined;
    try {
      await this.#join({ nickname, password: $('entry-password').value || undefined });
      $('entry').close();
      if (nickname) local.set(NICKNAME, nickname);
      this.#focusField();
    } catch (error) {
      if (this.#id === id) this.#showEntryProblem(error);
    } finally {
      this.#setEntryBusy(false);
    }
  }

  async #join(fields) {
    const id = this.#id;
    if (this.#client.room(id)) await this.#client.leave(id); // it was left a moment ago, and the server has not confirmed it yet
    const joined = await this.#client.join(id, { ...fields, history: HISTORY });
    if (this.#id !== id) throw Object.assign(new Error('the room is no longer shown'), { code: 'not_joined' });
    return joined;
  }

  #onJoined({ room, you, presence, epoch, messages, rejoined }) {
    this.#info = room;
    this.#info.count = presence.count;
    this.#isJoined = true;
    this.#log.you = you;
    session.set(nicknameInRoom(room.id), you.nickname);
    if (!rejoined) this.#log.begin(room.id, { you, epoch, messages });
    this.#setWritable(true);
    this.#updateHeader();
  }

  #onRemoved({ reason, code, text, until }) {
    this.#stopTyping();
    this.#isJoined = false;
    this.#setWritable(false);
    session.set(nicknameInRoom(this.#id), null);
    if (reason === 'refused') {
      this.#log.clear();
      this.#fetchInfo(this.#id).then(() => this.#id && this.#showEntry({ code }));
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

  #bindClient() {
    const listen = (type, handle) => this.#client.addEventListener(type, ({ detail }) => {
      const id = type === 'joined' ? detail.room.id : detail.room;
      if (id === this.#id) handle(detail);
    });
    listen('joined', (event) => this.#onJoined(event));
    listen('message', (event) => {
      this.#typing.delete(event.from.id);
      this.#showTyping();
      this.#log.add(event);
    });
    listen('notice', (event) => this.#log.add(event));
    listen('sent', ({ key, seq }) => this.#log.sent(key, seq));
    listen('gap', (event) => this.#log.gap(event));
    listen('presence', (event) => this.#onPresence(event));
    listen('typing', (event) => this.#onTyping(event));
    listen('removed', (event) => this.#onRemoved(event));
    this.#client.addEventListener('identity', () => this.#isJoined && toast(t('renewed')));
    document.addEventListener('visibilitychange', () => !document.hidden && this.#log.seen());
    // Leaving the page does not leave the room, but the user is no longer typing.
    addEventListener('pagehide', () => this.#stopTyping());
  }

  // Header and members

  #seatsText(count) {
    const { capacity } = this.#info;
    if (!capacity) return t('people', { count });
    return t('seats_label', { count, capacity });
  }

  #updateHeader() {
    const { title, count, capacity } = this.#info;
    $('room-title').textContent = title || this.#id;
    $('room-seats').textContent = this.#isJoined ? this.#seatsText(count) : '';
    $('people-count').textContent = capacity ? t('seats', { count, capacity }) : t('seats_free', { count });
    $('people-toggle').setAttribute('aria-label', t('members_button', { count }));
    this.#updateTitle();
  }

  #updateTitle() {
    if (this.#id === null) return;
    const name = `${this.#info?.title || this.#id} · ${t('app')}`;
    document.title = this.#unread ? `(${this.#unread}) ${name}` : name;
  }

  #onPresence({ count, members, complete }) {
    const you = this.#client.room(this.#id)?.you;
    if (!you) return;
    this.#log.you = you;
    session.set(nicknameInRoom(this.#id), you.nickname);
    if (this.#info.count !== count) {
      this.#info.count = count;
      this.#updateHeader();
    }
    const isYou = (member) => member.id === you.id;
    const sorted = [you, ...members.filter((member) => !isYou(member)).sort((a, b) => a.nickname.localeCompare(b.nickname))];
    const shown = sorted.slice(0, SHOWN_MEMBERS);
    // Entries stay in place unless they have to move, because a list that is rebuilt would flicker.
    const list = $('members');
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, { node }] of this.#members) {
      if (ids.has(id)) continue;
      node.remove();
      this.#members.delete(id);
      this.#typing.delete(id);
    }
    shown.forEach((member, index) => {
      let entry = this.#members.get(member.id);
      if (!entry) {
        entry = { node: this.#member(member, isYou(member)), nickname: member.nickname };
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
    return el('li', { class: `member ${hueClass(id)}`, 'data-id': id },
      el('span', { class: 'face', 'aria-hidden': 'true' }, initial(nickname)),
      bdi(nickname, { class: 'name' }),
      you ? el('span', { class: 'you' }, t('you')) : undefined);
  }

  #showMembers(open) {
    $('room').classList.toggle('with-people', open);
    $('people-toggle').setAttribute('aria-expanded', String(open));
  }

  // Typing

  #onTyping({ member, active }) {
    if (member.id === this.#client.room(this.#id)?.you?.id) return;
    clearTimeout(this.#typing.get(member.id)?.timer);
    this.#typing.delete(member.id);
    if (active && this.#typing.size < 20) {
      const timer = setTimeout(() => {
        this.#typing.delete(member.id);
        this.#showTyping();
      }, TYPING_LASTS_MS);
      this.#typing.set(member.id, { nickname: member.nickname, timer });
    }
    this.#showTyping();
  }

  #showTyping() {
    const [a, b, c] = [...this.#typing].map(([id, { nickname }]) => bdi(this.#members.get(id)?.nickname ?? nickname));
    const content = !a ? [] : [c ? t('typing_many') : tNodes(b ? 'typing_two' : 'typing_one', { a, b })];
    $('typing').replaceChildren(...content);
  }

  #startTyping() {
    if (!this.#isJoined) return;
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
    if (this.#isJoined) this.#client.typing(this.#id, false);
  }

  // Writing

  #setWritable(writable) {
    $('text').disabled = !writable;
    $('rename').disabled = !writable;
    this.#updateCounter();
  }

  #focusField() {
    // An on-screen keyboard that opens by itself would hide the conversation.
    if (matchMedia('(hover: hover)').matches) $('text').focus();
    else $('scroll').focus({ preventScroll: true });
  }

  #messageText() {
    // Pasted text may contain control characters, which are not allowed in messages.
    return $('text').value.replace(/(?![\n\t])\p{Cc}/gu, '').replace(/\s+$/u, '');
  }

  #updateCounter() {
    const max = this.#client.limits.text_bytes ?? 4096;
    const text = this.#messageText();
    const left = max - encoder.encode(text).length;
    const counter = $('counter');
    counter.textContent = left < 0 ? t('over', { count: -left }) : left < max / 8 ? t('left', { count: left }) : '';
    counter.classList.toggle('bad', left < 0);
    $('text').setAttribute('aria-invalid', String(left < 0));
    $('send').disabled = !this.#isJoined || left < 0 || /^[\s\p{Cc}\p{Cf}\p{Cn}\p{Default_Ignorable_Code_Point}]*$/u.test(text);
    return !$('send').disabled;
  }

  #resizeField() {
    const field = $('text');
    field.rows = 1;
    const line = parseFloat(getComputedStyle(field).lineHeight) || 24;
    const style = getComputedStyle(field);
    const inner = field.scrollHeight - parseFloat(style.paddingTop || 0) - parseFloat(style.paddingBottom || 0);
    field.rows = Math.min(Math.max(Math.round(inner / line), 1), 7);
  }

  #setQuote(message) {
    this.#quoted = message;
    $('quoting').hidden = !message;
    if (!message) return;
    $('quoting-text').replaceChildren(
      el('strong', {}, tNodes('replying', { name: bdi(message.nickname) })), ' ',
      el('span', { dir: 'auto' }, message.text.slice(0, 200)));
    $('text').focus();
  }

  #send() {
    if (!this.#updateCounter()) return;
    const message = { key: newKey(), text: this.#messageText(), replyTo: this.#quoted?.seq };
    const id = this.#id;
    const post = () => {
      this.#client.send(id, message.text, { key: message.key, replyTo: message.replyTo })
        .catch((error) => this.#id === id && this.#log.failed(message.key, error));
    };
    this.#log.addPending(message, {
      retry: () => {
        this.#log.retrying(message.key);
        post();
        $('text').focus();
      },
      discard: () => $('text').focus(),
    });
    post();
    this.#setQuote(null);
    $('text').value = '';
    this.#stopTyping();
    this.#resizeField();
    this.#updateCounter();
  }

  #bindControls() {
    $('entry-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submitEntry();
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
      this.#showMembers(open);
      if (open) $('people-close').focus();
    });
    const closeMembers = () => {
      if (!$('room').classList.contains('with-people')) return;
      this.#showMembers(false);
      $('people-toggle').focus();
    };
    $('people-close').addEventListener('click', closeMembers);
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !event.isComposing && !document.querySelector('dialog[open]')) closeMembers();
    });
    $('scroll').addEventListener('click', closeMembers);

    $('rename').addEventListener('click', () => {
      const field = $('renaming-nickname');
      field.value = this.#client.room(this.#id)?.you?.nickname ?? '';
      showProblem($('renaming-problem'));
      $('renaming').showModal();
      field.focus();
      field.select();
    });
    $('renaming-cancel').addEventListener('click', () => $('renaming').close());
    $('renaming').addEventListener('close', () => this.#isJoined && $('rename').focus());
    $('renaming-form').addEventListener('submit', async (event) => {
      event.preventDefault();
      const field = $('renaming-nickname');
      const nickname = field.value.trim();
      if (!nickname) return showProblem($('renaming-problem'), t('error.bad_nickname'), field);
      $('renaming-go').disabled = true;
      try {
        const reply = await this.#client.nickname(nickname, this.#id);
        local.set(NICKNAME, reply.nickname);
        $('renaming').close();
      } catch (error) {
        showProblem($('renaming-problem'), errorText(error), field);
      } finally {
        $('renaming-go').disabled = false;
      }
      return undefined;
    });

    const field = $('text');
    field.addEventListener('input', () => {
      this.#resizeField();
      this.#updateCounter();
      if (field.value) this.#startTyping();
      else this.#stopTyping();
    });
    field.addEventListener('keydown', (event) => {
      // An Enter that ends the composition of a syllable does not send the message yet.
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === 'Enter' && !event.shiftKey) {
        event.preventDefault();
        this.#send();
      } else if (event.key === 'Escape' && this.#quoted) {
        this.#setQuote(null);
      }
    });
    field.addEventListener('blur', () => this.#stopTyping());
    $('quoting-cancel').addEventListener('click', () => {
      this.#setQuote(null);
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
