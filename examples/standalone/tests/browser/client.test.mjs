// The client by itself, against a scripted other end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatClient, newKey } from '../../web/chat-client.js';
import { Server, inRoom, message } from './script.mjs';

const me = { id: 'me', nickname: 'Me' };

test('it says hello, and joins once welcome', async () => {
  const { client, join, socket } = await inRoom({ nickname: 'Me', locale: 'ko-KR' });
  assert.deepEqual(socket.protocols, ['chat.v1']);
  assert.equal(join.history, 10);
  assert.equal(join.since, undefined);
  assert.equal(client.state, 'open');
  client.close();
  assert.equal(client.state, 'closed');
  assert.ok(socket.closed);
});

test('the position and the unacknowledged survive a lost connection, in order, before anything new', async () => {
  const { client, server, socket, texts, event } = await inRoom({}, { epoch: 'e1', seq: 3 });
  const first = client.send('r', 'one', { key: 'k1' });
  const second = client.send('r', 'two', { key: 'k2' });
  assert.equal((await socket.hear('send')).key, 'k1');
  socket.say(message(4));
  socket.cut();
  await event('state');
  const third = client.send('r', 'three', { key: 'k3' });

  const again = await server.accept();
  assert.equal((await again.welcome()).token, 'token-1');
  const join = await again.admit({ epoch: 'e1', seq: 6, recovered: true });
  assert.deepEqual(join.since, { epoch: 'e1', seq: 4 });
  assert.equal(join.history, undefined);
  // The first had arrived: it comes back as an event, and its resend is answered with what it already has.
  again.say(message(5, 'one', me));
  again.say(message(6, 'from the other'));
  assert.equal((await again.take(5)).key, 'k1');
  assert.equal((await again.take(7)).key, 'k2');
  again.say(message(7, 'two', me));
  assert.equal((await again.take(8)).key, 'k3');
  again.say(message(8, 'three', me));
  assert.deepEqual((await Promise.all([first, second, third])).map(({ seq }) => seq), [5, 7, 8]);
  assert.deepEqual(texts(), ['m4', 'one', 'from the other', 'two', 'three']);
  client.close();
});

test('what was seen already is dropped', async () => {
  const { client, socket, texts } = await inRoom({}, { seq: 2 });
  for (const seq of [1, 2, 3, 3, 2, 4, 4]) socket.say(message(seq));
  assert.deepEqual(texts(), ['m3', 'm4']);
  client.close();
});

test('an own message carries its key', async () => {
  const { client, socket, event } = await inRoom();
  client.send('r', 'mine', { key: 'k' });
  await socket.take(1);
  socket.say(message(1, 'mine', me));
  assert.equal((await event('message')).key, 'k');
  client.close();
});

test('a hole is filled from history, and what is behind it waits', async () => {
  const { client, socket, texts, log, event } = await inRoom();
  socket.say(message(1));
  socket.say(message(4));
  const history = await socket.hear('history');
  assert.equal(history.before, 4);
  socket.say(message(5));
  assert.deepEqual(texts(), ['m1']);
  socket.say({ type: 'history', id: history.id, room: 'r', messages: [message(2), message(3)], more: true });
  while ((await event('message')).seq < 5);
  socket.say(message(6));
  assert.deepEqual(texts(), ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']);
  assert.ok(!log.some(({ type }) => type === 'gap'));
  client.close();
});

test('a long hole is filled page by page', async () => {
  const { client, socket, texts, event } = await inRoom();
  socket.say(message(251));
  for (const [before, from] of [[251, 151], [151, 51], [51, 1]]) {
    const history = await socket.hear('history');
    assert.equal(history.before, before);
    const messages = Array.from({ length: history.limit }, (_, i) => message(before - history.limit + i));
    assert.equal(messages[0].seq, from);
    socket.say({ type: 'history', id: history.id, room: 'r', messages, more: from > 1 });
  }
  while ((await event('message')).seq < 251);
  assert.deepEqual(texts(), Array.from({ length: 251 }, (_, i) => `m${i + 1}`));
  client.close();
});

test('what the server skipped is fetched; what it has no longer is a gap, in its place', async () => {
  const { client, socket, log, event } = await inRoom();
  socket.say(message(1));
  socket.say({ type: 'gap', room: 'r', epoch: 'e1', from: 2, to: 6 });
  const history = await socket.hear('history');
  assert.equal(history.before, 7);
  socket.say({ type: 'history', id: history.id, room: 'r', messages: [message(5), message(6)], more: false });
  while ((await event('message')).seq < 6);
  socket.say(message(7));
  const shown = log.filter(({ type }) => ['message', 'gap'].includes(type)).map(({ type, text, from, to }) => (type === 'gap' ? `${from}-${to}` : text));
  assert.deepEqual(shown, ['m1', '2-4', 'm5', 'm6', 'm7']);
  client.close();
});

test('a new epoch is a gap, then the recent messages, then what it had of the rest', async () => {
  const { client, server, socket, log, event } = await inRoom({}, { seq: 90 });
  socket.say(message(91));
  socket.cut();
  const again = await server.accept();
  await again.welcome();
  await again.admit({ epoch: 'e2', seq: 3, recovered: false, messages: [message(2, 'b'), message(3, 'c')] });
  const history = await again.hear('history');
  assert.equal(history.before, 2);
  again.say({ type: 'history', id: history.id, room: 'r', messages: [message(1, 'a')], more: false });
  while ((await event('message')).text !== 'c');
  const shown = log.filter(({ type }) => ['message', 'gap'].includes(type)).map(({ type, text }) => text ?? type);
  assert.deepEqual(shown, ['m91', 'gap', 'a', 'b', 'c']);
  again.cut();
  const third = await server.accept();
  await third.welcome();
  assert.deepEqual((await third.admit({ epoch: 'e2', seq: 3 })).since, { epoch: 'e2', seq: 3 });
  client.close();
});

test('an unrecovered position in the same epoch shows each message once and a gap for the lost ones', async () => {
  const { client, server, socket, log, event } = await inRoom({}, { seq: 5 });
  socket.cut();
  const again = await server.accept();
  await again.welcome();
  await again.admit({ seq: 9, recovered: false, messages: [message(8), message(9)] });
  const history = await again.hear('history');
  again.say({ type: 'history', id: history.id, room: 'r', messages: [message(7)], more: false });
  while ((await event('message')).seq < 9);
  const shown = log.filter(({ type }) => ['message', 'gap'].includes(type)).map(({ text, from, to }) => text ?? `${from}-${to}`);
  assert.deepEqual(shown, ['6-6', 'm7', 'm8', 'm9']);
  client.close();
});

test('a refused token is forgotten, and somebody new says hello', async () => {
  const kept = [];
  const server = new Server();
  const storage = { get: async () => 'old', set: (token) => kept.push(token) };
  const client = new ChatClient('ws://test/ws', { WebSocket: server.WebSocket, storage });
  let renewed = 0;
  client.addEventListener('identity', () => { renewed += 1; });
  client.connect();
  const socket = await server.accept();
  const hello = await socket.hear('hello');
  assert.equal(hello.token, 'old');
  socket.say({ type: 'error', id: hello.id, code: 'bad_token', message: '' });
  assert.equal((await socket.welcome({ token: 'new' })).token, undefined);
  assert.deepEqual(kept, [undefined, 'new']);
  assert.equal(renewed, 1);
  assert.equal(client.state, 'open');
  client.close();
});

test('somebody new does not say again what the same log may have already', async () => {
  const { client, server, socket } = await inRoom();
  const tried = client.send('r', 'tried', { key: 'k1' });
  const queued = client.send('r', 'queued', { key: 'k2' });
  await socket.hear('send');
  socket.cut();
  const again = await server.accept();
  const hello = await again.hear('hello');
  again.say({ type: 'error', id: hello.id, code: 'bad_token', message: '' });
  await again.welcome({ token: 'new' });
  await again.admit({ seq: 0, recovered: true });
  await assert.rejects(tried, { code: 'outcome_unknown' });
  assert.equal((await again.take(1)).key, 'k2');
  await queued;
  client.close();
});

test('a message sent too fast is sent again, and the one behind it stays behind', async () => {
  const { client, socket } = await inRoom();
  const both = [client.send('r', 'one', { key: 'k1' }), client.send('r', 'two', { key: 'k2' })];
  const first = await socket.hear('send');
  const asked = Date.now();
  socket.say({ type: 'error', id: first.id, code: 'rate_limited', message: '', retry_after_ms: 60 });
  assert.equal((await socket.take(1)).key, 'k1');
  assert.ok(Date.now() - asked >= 55);
  assert.equal((await socket.take(2)).key, 'k2');
  await Promise.all(both);
  client.close();
});

test('a refused message rejects, the next one goes', async () => {
  const { client, socket } = await inRoom();
  const muted = client.send('r', 'one');
  const fine = client.send('r', 'two');
  const first = await socket.hear('send');
  socket.say({ type: 'error', id: first.id, code: 'muted', message: 'quiet' });
  await assert.rejects(muted, { code: 'muted', message: 'quiet' });
  await socket.take(1);
  assert.equal((await fine).seq, 1);
  client.close();
});

test('errors have codes; unknown ones are internal; a lost connection answers what is not a message', async () => {
  const { client, socket } = await inRoom();
  const limited = client.history('r');
  const odd = client.rooms();
  const lost = client.members('r');
  const [a, b] = [await socket.hear('history'), await socket.hear('rooms'), await socket.hear('members')];
  socket.say({ type: 'error', id: a.id, code: 'rate_limited', message: '', retry_after_ms: 1500 });
  socket.say({ type: 'error', id: b.id, code: 'of_a_later_version', message: '' });
  await assert.rejects(limited, { code: 'rate_limited', retryAfterMs: 1500 });
  await assert.rejects(odd, { code: 'internal' });
  socket.cut();
  await assert.rejects(lost, { code: 'disconnected' });
  client.close();
  await assert.rejects(client.rooms(), { code: 'closed' });
});

test('events of a later version are skipped', async () => {
  const { client, socket, texts } = await inRoom();
  socket.say({ type: 'of_a_later_version', room: 'r' });
  socket.onmessage({ data: 'no json' });
  socket.onmessage({ data: 'null' });
  socket.onmessage({ data: new ArrayBuffer(4) });
  socket.say(message(1));
  assert.deepEqual(texts(), ['m1']);
  client.close();
});

for (const [code, back] of [
  [1001, true], [1006, true], [1011, true], [1012, true], [1013, true], [4000, true], [4002, true], [4004, true], [4499, true],
  [1002, false], [1003, false], [1007, false], [1008, false], [1009, false], [4500, false], [4501, false], [4502, false], [4999, false],
]) {
  test(`close code ${code}: ${back ? 'it comes back' : 'it stays away'}`, async () => {
    const { client, socket } = await inRoom({ random: () => 0.5 });
    const sending = client.send('r', 'one');
    await socket.hear('send');
    socket.cut(code);
    assert.equal(client.state, back ? 'waiting' : 'closed');
    client.close();
    await assert.rejects(sending, { code: back ? /closed/ : /outcome_unknown|closed/ });
  });
}

test('pauses are spread over doubling spans, and a stable connection starts anew', async () => {
  const { client, server, socket, log } = await inRoom({ random: () => 0.999, backoffMs: 4, backoffMaxMs: 20, stableMs: 30 });
  let last = socket;
  for (let i = 0; i < 4; i++) {
    last.cut();
    last = await server.accept();
  }
  await last.welcome();
  await new Promise((resolve) => setTimeout(resolve, 40));
  last.cut();
  const pauses = log.filter(({ state }) => state === 'waiting').map(({ delayMs }) => Math.round(delayMs));
  assert.deepEqual(pauses, [4, 8, 16, 20, 4]);
  client.close();
});

test('the pause a leaving server asks for is kept, whatever hints come', async () => {
  const { client, server, socket, log } = await inRoom();
  socket.say({ type: 'closing', reason: 'drain', reconnect_after_ms: 80 });
  const asked = Date.now();
  socket.cut(1001);
  client.retry();
  assert.equal(client.state, 'waiting');
  assert.equal(log.findLast(({ state }) => state === 'waiting').delayMs, 80);
  await server.accept();
  assert.ok(Date.now() - asked >= 75);
  client.close();
});

test('silence is asked for a sign of life, and none is the end of the connection', async () => {
  const { client, server, socket } = await inRoom({ answerMs: 30, welcome: { heartbeat_ms: 30 } });
  const ping = await socket.hear('ping');
  socket.say({ type: 'pong', id: ping.id });
  await socket.hear('ping');
  const again = await server.accept();
  assert.ok(socket.closed);
  await again.hear('hello');
  client.close();
});

test('presence folds: old versions say nothing, a hole asks for the list', async () => {
  const { client, socket, event } = await inRoom({ membersEveryMs: 0 });
  const names = () => client.room('r').members.map(({ nickname }) => nickname).sort();
  const diff = (version, count, lists) => socket.say({ type: 'presence', room: 'r', version, count, ...lists });
  diff(1, 9, { left: [me] });
  assert.deepEqual(names(), ['Me']);
  diff(2, 2, { joined: [{ id: 'a', nickname: 'A' }] });
  diff(2, 1, { left: [{ id: 'a', nickname: 'A' }] });
  assert.deepEqual(names(), ['A', 'Me']);
  diff(3, 2, { renamed: [{ id: 'a', nickname: 'AA' }] });
  assert.deepEqual(names(), ['AA', 'Me']);

  diff(5, 3, { joined: [{ id: 'c', nickname: 'C' }] });
  const first = await socket.hear('members');
  const page = (id, members, cursor) => socket.say({ type: 'members', id, room: 'r', version: 5, count: 4, members, cursor });
  page(first.id, [me, { id: 'b', nickname: 'B' }], 'more');
  const second = await socket.hear('members');
  assert.equal(second.cursor, 'more');
  diff(6, 3, { left: [{ id: 'b', nickname: 'B' }] });
  page(second.id, [{ id: 'c', nickname: 'C' }, { id: 'd', nickname: 'D' }]);
  while (!(await event('presence')).complete || names().length !== 3);
  assert.deepEqual(names(), ['C', 'D', 'Me']);

  // Counts alone ask for nothing until there are lists again.
  diff(7, 400);
  assert.equal(client.room('r').count, 400);
  assert.equal(socket.sent.size, 0);
  diff(8, 3, { left: [{ id: 'x', nickname: 'X' }] });
  await socket.hear('members');
  client.close();
});

test('an own new name comes from the list as well', async () => {
  const { client, socket } = await inRoom();
  socket.say({ type: 'presence', room: 'r', version: 2, count: 1, renamed: [{ id: 'me', nickname: 'Elsewhere' }] });
  assert.equal(client.room('r').you.nickname, 'Elsewhere');
  const renaming = client.nickname('Here', 'r');
  const command = await socket.hear('nickname');
  socket.say({ type: 'renamed', id: command.id, nickname: 'Here' });
  await renaming;
  assert.equal(client.room('r').you.nickname, 'Here');
  client.close();
});

test('the queue of the unsent has an end', async () => {
  const { client, socket } = await inRoom({ maxUnsent: 3 });
  socket.cut();
  const taken = [1, 2, 3].map((n) => client.send('r', `${n}`).catch(({ code }) => code));
  await assert.rejects(client.send('r', '4'), { code: 'queue_full' });
  client.close();
  assert.deepEqual(await Promise.all(taken), ['closed', 'closed', 'closed']);
});

test('a removal ends that room alone', async () => {
  const { client, socket, event } = await inRoom();
  const entering = client.join('s');
  await socket.admit({});
  await entering;
  socket.say({ type: 'removed', room: 'r', reason: 'of_a_later_version', text: 'bye' });
  assert.equal((await event('removed')).reason, 'closed');
  assert.equal(client.room('r'), undefined);
  assert.equal(client.room('s').joined, true);
  await assert.rejects(client.send('r', 'x'), { code: 'not_joined' });
  assert.equal(client.state, 'open');
  client.close();
});

test('a refusal on coming back ends the room with its code', async () => {
  const { client, server, socket, event } = await inRoom();
  const sending = client.send('r', 'one');
  await socket.hear('send');
  socket.cut();
  const again = await server.accept();
  await again.welcome();
  const join = await again.hear('join');
  again.say({ type: 'error', id: join.id, code: 'room_full', message: '' });
  const { reason, code } = await event('removed');
  assert.deepEqual([reason, code], ['refused', 'room_full']);
  await assert.rejects(sending, { code: 'room_full' });
  client.close();
});

test('a refused first join rejects and can be tried again', async () => {
  const { client, socket } = await inRoom();
  const refused = client.join('s', { password: 'x' });
  const join = await socket.hear('join');
  socket.say({ type: 'error', id: join.id, code: 'wrong_password', message: '' });
  await assert.rejects(refused, { code: 'wrong_password' });
  const entering = client.join('s', { password: 'y' });
  await socket.admit({});
  await entering;
  await assert.rejects(client.join('s'), { code: 'already_joined' });
  client.close();
});

test('leaving waits for the messages before it', async () => {
  const { client, socket } = await inRoom();
  const sending = client.send('r', 'one');
  const leaving = client.leave('r');
  await assert.rejects(client.send('r', 'late'), { code: 'not_joined' });
  await socket.take(1);
  const leave = await socket.hear('leave');
  socket.say({ type: 'left', id: leave.id, room: 'r' });
  await Promise.all([sending, leaving]);
  assert.equal(client.room('r'), undefined);
  client.close();
});

test('a frame is never malformed or too big', async () => {
  const { client, socket } = await inRoom();
  await assert.rejects(client.send('r', 'x'.repeat(70_000)), { code: 'too_large' });
  client.send('r', 'half \ud83d').catch(() => {});
  const { raw } = await socket.hear('send');
  assert.equal(JSON.parse(raw).text, 'half \ufffd');
  client.close();
});

test('an identity the host has given is taken as it is', async () => {
  const server = new Server();
  const client = new ChatClient('ws://test/ws', { WebSocket: server.WebSocket });
  client.connect();
  const socket = await server.accept();
  const hello = await socket.hear('hello');
  socket.say({ type: 'welcome', protocol: 1, nickname: 'Host', token: 't', limits: {}, heartbeat_ms: 25000 });
  socket.say({ type: 'error', id: hello.id, code: 'already_identified', message: '' });
  assert.equal(client.state, 'open');
  assert.equal(client.welcome.nickname, 'Host');
  client.close();
});

test('keys differ', () => {
  assert.match(newKey(), /^[0-9a-f]{32}$/);
  assert.notEqual(newKey(), newKey());
});
