// The client alone, against a scripted server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatClient, newKey } from '../../web/chat-client.js';
import { ScriptedServer, inRoom, message } from './scripted-server.mjs';

const me = { id: 'me', nickname: 'Me' };

test('the client sends hello, and joins after welcome', async () => {
  const { client, join, socket } = await inRoom({ nickname: 'Me', locale: 'ko-KR' });
  assert.deepEqual(socket.protocols, ['chat.v1']);
  assert.equal(join.history, 10);
  assert.equal(join.since, undefined);
  assert.equal(client.state, 'open');
  client.close();
  assert.equal(client.state, 'closed');
  assert.ok(socket.closed);
});

test('the position and unacknowledged messages survive a lost connection, in order and before new ones', async () => {
  const { client, server, socket, texts, event } = await inRoom({}, { epoch: 'e1', seq: 3 });
  const first = client.send('r', 'one', { key: 'k1' });
  const second = client.send('r', 'two', { key: 'k2' });
  assert.equal((await socket.receive('send')).key, 'k1');
  socket.deliver(message(4));
  socket.drop();
  await event('state');
  const third = client.send('r', 'three', { key: 'k3' });

  const again = await server.accept();
  assert.equal((await again.welcome()).token, 'token-1');
  const join = await again.admit({ epoch: 'e1', seq: 6, recovered: true });
  assert.deepEqual(join.since, { epoch: 'e1', seq: 4 });
  assert.equal(join.history, undefined);
  // The first message had arrived: it is delivered as an event, and its resend is answered with its existing `seq`.
  again.deliver(message(5, 'one', me));
  again.deliver(message(6, 'from the other'));
  assert.equal((await again.acknowledge(5)).key, 'k1');
  assert.equal((await again.acknowledge(7)).key, 'k2');
  again.deliver(message(7, 'two', me));
  assert.equal((await again.acknowledge(8)).key, 'k3');
  again.deliver(message(8, 'three', me));
  assert.deepEqual((await Promise.all([first, second, third])).map(({ seq }) => seq), [5, 7, 8]);
  assert.deepEqual(texts(), ['m4', 'one', 'from the other', 'two', 'three']);
  client.close();
});

test('events that were already received are dropped', async () => {
  const { client, socket, texts } = await inRoom({}, { seq: 2 });
  for (const seq of [1, 2, 3, 3, 2, 4, 4]) socket.deliver(message(seq));
  assert.deepEqual(texts(), ['m3', 'm4']);
  client.close();
});

test('the event of the client\'s own message carries its key', async () => {
  const { client, socket, event } = await inRoom();
  client.send('r', 'mine', { key: 'k' });
  await socket.acknowledge(1);
  socket.deliver(message(1, 'mine', me));
  assert.equal((await event('message')).key, 'k');
  client.close();
});

test('a hole is filled from history, and later messages wait for that', async () => {
  const { client, socket, texts, log, event } = await inRoom();
  socket.deliver(message(1));
  socket.deliver(message(4));
  const history = await socket.receive('history');
  assert.equal(history.before, 4);
  socket.deliver(message(5));
  assert.deepEqual(texts(), ['m1']);
  socket.deliver({ type: 'history', id: history.id, room: 'r', messages: [message(2), message(3)], more: true });
  while ((await event('message')).seq < 5);
  socket.deliver(message(6));
  assert.deepEqual(texts(), ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']);
  assert.ok(!log.some(({ type }) => type === 'gap'));
  client.close();
});

test('a long hole is filled page by page', async () => {
  const { client, socket, texts, event } = await inRoom();
  socket.deliver(message(251));
  for (const [before, from] of [[251, 151], [151, 51], [51, 1]]) {
    const history = await socket.receive('history');
    assert.equal(history.before, before);
    const messages = Array.from({ length: history.limit }, (_, i) => message(before - history.limit + i));
    assert.equal(messages[0].seq, from);
    socket.deliver({ type: 'history', id: history.id, room: 'r', messages, more: from > 1 });
  }
  while ((await event('message')).seq < 251);
  assert.deepEqual(texts(), Array.from({ length: 251 }, (_, i) => `m${i + 1}`));
  client.close();
});

test('skipped messages are fetched, and a gap stands for those that the server no longer has', async () => {
  const { client, socket, log, event } = await inRoom();
  socket.deliver(message(1));
  socket.deliver({ type: 'gap', room: 'r', epoch: 'e1', from: 2, to: 6 });
  const history = await socket.receive('history');
  assert.equal(history.before, 7);
  socket.deliver({ type: 'history', id: history.id, room: 'r', messages: [message(5), message(6)], more: false });
  while ((await event('message')).seq < 6);
  socket.deliver(message(7));
  const shown = log.filter(({ type }) => ['message', 'gap'].includes(type)).map(({ type, text, from, to }) => (type === 'gap' ? `${from}-${to}` : text));
  assert.deepEqual(shown, ['m1', '2-4', 'm5', 'm6', 'm7']);
  client.close();
});

test('a new epoch is a gap, followed by all messages that the server has in order', async () => {
  const { client, server, socket, log, event } = await inRoom({}, { seq: 90 });
  socket.deliver(message(91));
  socket.drop();
  const again = await server.accept();
  await again.welcome();
  await again.admit({ epoch: 'e2', seq: 3, recovered: false, messages: [message(2, 'b'), message(3, 'c')] });
  const history = await again.receive('history');
  assert.equal(history.before, 2);
  again.deliver({ type: 'history', id: history.id, room: 'r', messages: [message(1, 'a')], more: false });
  while ((await event('message')).text !== 'c');
  const shown = log.filter(({ type }) => ['message', 'gap'].includes(type)).map(({ type, text }) => text ?? type);
  assert.deepEqual(shown, ['m91', 'gap', 'a', 'b', 'c']);
  again.drop();
  const third = await server.accept();
  await third.welcome();
  assert.deepEqual((await third.admit({ epoch: 'e2', seq: 3 })).since, { epoch: 'e2', seq: 3 });
  client.close();
});

test('an unrecovered position in the same epoch shows each message once and a gap for the lost ones', async () => {
  const { client, server, socket, log, event } = await inRoom({}, { seq: 5 });
  socket.drop();
  const again = await server.accept();
  await again.welcome();
  await again.admit({ seq: 9, recovered: false, messages: [message(8), message(9)] });
  const history = await again.receive('history');
  again.deliver({ type: 'history', id: history.id, room: 'r', messages: [message(7)], more: false });
  while ((await event('message')).seq < 9);
  const shown = log.filter(({ type }) => ['message', 'gap'].includes(type)).map(({ text, from, to }) => text ?? `${from}-${to}`);
  assert.deepEqual(shown, ['6-6', 'm7', 'm8', 'm9']);
  client.close();
});

test('a refused token is forgotten, and a new identity is requested', async () => {
  const stored = [];
  const server = new ScriptedServer();
  const storage = { get: async () => 'old', set: (token) => stored.push(token) };
  const client = new ChatClient('ws://test/ws', { WebSocket: server.WebSocket, storage });
  let renewed = 0;
  client.addEventListener('identity', () => { renewed += 1; });
  client.connect();
  const socket = await server.accept();
  const hello = await socket.receive('hello');
  assert.equal(hello.token, 'old');
  socket.deliver({ type: 'error', id: hello.id, code: 'bad_token', message: '' });
  assert.equal((await socket.welcome({ token: 'new' })).token, undefined);
  assert.deepEqual(stored, [undefined, 'new']);
  assert.equal(renewed, 1);
  assert.equal(client.state, 'open');
  client.close();
});

test('a new identity does not resend a message that may already be in the log', async () => {
  const { client, server, socket } = await inRoom();
  const attempted = client.send('r', 'attempted', { key: 'k1' });
  const queued = client.send('r', 'queued', { key: 'k2' });
  await socket.receive('send');
  socket.drop();
  const again = await server.accept();
  const hello = await again.receive('hello');
  again.deliver({ type: 'error', id: hello.id, code: 'bad_token', message: '' });
  await again.welcome({ token: 'new' });
  await again.admit({ seq: 0, recovered: true });
  await assert.rejects(attempted, { code: 'outcome_unknown' });
  assert.equal((await again.acknowledge(1)).key, 'k2');
  await queued;
  client.close();
});

test('a rate-limited message is sent again, and the one after it stays after it', async () => {
  const { client, socket } = await inRoom();
  const both = [client.send('r', 'one', { key: 'k1' }), client.send('r', 'two', { key: 'k2' })];
  const first = await socket.receive('send');
  const start = Date.now();
  socket.deliver({ type: 'error', id: first.id, code: 'rate_limited', message: '', retry_after_ms: 60 });
  assert.equal((await socket.acknowledge(1)).key, 'k1');
  assert.ok(Date.now() - start >= 55);
  assert.equal((await socket.acknowledge(2)).key, 'k2');
  await Promise.all(both);
  client.close();
});

test('a refused message rejects, and the next one is sent', async () => {
  const { client, socket } = await inRoom();
  const muted = client.send('r', 'one');
  const fine = client.send('r', 'two');
  const first = await socket.receive('send');
  socket.deliver({ type: 'error', id: first.id, code: 'muted', message: 'quiet' });
  await assert.rejects(muted, { code: 'muted', message: 'quiet' });
  await socket.acknowledge(1);
  assert.equal((await fine).seq, 1);
  client.close();
});

test('errors have codes, unknown codes are internal, and a lost connection rejects requests other than messages', async () => {
  const { client, socket } = await inRoom();
  const limited = client.history('r');
  const odd = client.rooms();
  const lost = client.members('r');
  const [a, b] = [await socket.receive('history'), await socket.receive('rooms'), await socket.receive('members')];
  socket.deliver({ type: 'error', id: a.id, code: 'rate_limited', message: '', retry_after_ms: 1500 });
  socket.deliver({ type: 'error', id: b.id, code: 'of_a_later_version', message: '' });
  await assert.rejects(limited, { code: 'rate_limited', retryAfterMs: 1500 });
  await assert.rejects(odd, { code: 'internal' });
  socket.drop();
  await assert.rejects(lost, { code: 'disconnected' });
  client.close();
  await assert.rejects(client.rooms(), { code: 'closed' });
});

test('events of a later version are skipped', async () => {
  const { client, socket, texts } = await inRoom();
  socket.deliver({ type: 'of_a_later_version', room: 'r' });
  socket.onmessage({ data: 'no json' });
  socket.onmessage({ data: 'null' });
  socket.onmessage({ data: new ArrayBuffer(4) });
  socket.deliver(message(1));
  assert.deepEqual(texts(), ['m1']);
  client.close();
});

for (const [code, reconnects] of [
  [1001, true], [1006, true], [1011, true], [1012, true], [1013, true], [4000, true], [4002, true], [4004, true], [4499, true],
  [1002, false], [1003, false], [1007, false], [1008, false], [1009, false], [4500, false], [4501, false], [4502, false], [4999, false],
]) {
  test(`close code ${code}: the client ${reconnects ? 'reconnects' : 'does not reconnect'}`, async () => {
    const { client, socket } = await inRoom({ random: () => 0.5 });
    const sending = client.send('r', 'one');
    await socket.receive('send');
    socket.drop(code);
    assert.equal(client.state, reconnects ? 'waiting' : 'closed');
    client.close();
    await assert.rejects(sending, { code: reconnects ? /closed/ : /outcome_unknown|closed/ });
  });
}

test('reconnect delays are random within doubling bounds, and a stable connection resets them', async () => {
  const { client, server, socket, log } = await inRoom({ random: () => 0.999, backoffMs: 4, backoffMaxMs: 20, stableMs: 30 });
  let last = socket;
  for (let i = 0; i < 4; i++) {
    last.drop();
    last = await server.accept();
  }
  await last.welcome();
  await new Promise((resolve) => setTimeout(resolve, 40));
  last.drop();
  const delays = log.filter(({ state }) => state === 'waiting').map(({ delayMs }) => Math.round(delayMs));
  assert.deepEqual(delays, [4, 8, 16, 20, 4]);
  client.close();
});

test('the delay that a draining server asks for is kept despite hints to retry', async () => {
  const { client, server, socket, log } = await inRoom();
  socket.deliver({ type: 'closing', reason: 'drain', reconnect_after_ms: 80 });
  const start = Date.now();
  socket.drop(1001);
  client.retry();
  assert.equal(client.state, 'waiting');
  assert.equal(log.findLast(({ state }) => state === 'waiting').delayMs, 80);
  await server.accept();
  assert.ok(Date.now() - start >= 75);
  client.close();
});

test('a silent server is pinged, and without an answer the connection is dropped', async () => {
  const { client, server, socket } = await inRoom({ answerMs: 30, welcome: { heartbeat_ms: 30 } });
  const ping = await socket.receive('ping');
  socket.deliver({ type: 'pong', id: ping.id });
  await socket.receive('ping');
  const again = await server.accept();
  assert.ok(socket.closed);
  await again.receive('hello');
  client.close();
});

test('presence is applied in order: old versions are ignored, and a hole requests the list', async () => {
  const { client, socket, event } = await inRoom({ membersEveryMs: 0 });
  const names = () => client.room('r').members.map(({ nickname }) => nickname).sort();
  const diff = (version, count, lists) => socket.deliver({ type: 'presence', room: 'r', version, count, ...lists });
  diff(1, 9, { left: [me] });
  assert.deepEqual(names(), ['Me']);
  diff(2, 2, { joined: [{ id: 'a', nickname: 'A' }] });
  diff(2, 1, { left: [{ id: 'a', nickname: 'A' }] });
  assert.deepEqual(names(), ['A', 'Me']);
  diff(3, 2, { renamed: [{ id: 'a', nickname: 'AA' }] });
  assert.deepEqual(names(), ['AA', 'Me']);

  diff(5, 3, { joined: [{ id: 'c', nickname: 'C' }] });
  const first = await socket.receive('members');
  const page = (id, members, cursor) => socket.deliver({ type: 'members', id, room: 'r', version: 5, count: 4, members, cursor });
  page(first.id, [me, { id: 'b', nickname: 'B' }], 'more');
  const second = await socket.receive('members');
  assert.equal(second.cursor, 'more');
  diff(6, 3, { left: [{ id: 'b', nickname: 'B' }] });
  page(second.id, [{ id: 'c', nickname: 'C' }, { id: 'd', nickname: 'D' }]);
  while (!(await event('presence')).complete || names().length !== 3);
  assert.deepEqual(names(), ['C', 'D', 'Me']);

  // Counts alone request nothing until there are lists again.
  diff(7, 400);
  assert.equal(client.room('r').count, 400);
  assert.equal(socket.sent.size, 0);
  diff(8, 3, { left: [{ id: 'x', nickname: 'X' }] });
  await socket.receive('members');
  client.close();
});

test('the client\'s own new nickname also arrives with presence', async () => {
  const { client, socket } = await inRoom();
  socket.deliver({ type: 'presence', room: 'r', version: 2, count: 1, renamed: [{ id: 'me', nickname: 'Elsewhere' }] });
  assert.equal(client.room('r').you.nickname, 'Elsewhere');
  const renaming = client.nickname('Here', 'r');
  const command = await socket.receive('nickname');
  socket.deliver({ type: 'renamed', id: command.id, nickname: 'Here' });
  await renaming;
  assert.equal(client.room('r').you.nickname, 'Here');
  client.close();
});

test('the queue of unsent messages is bounded', async () => {
  const { client, socket } = await inRoom({ maxUnsent: 3 });
  socket.drop();
  const queued = [1, 2, 3].map((n) => client.send('r', `${n}`).catch(({ code }) => code));
  await assert.rejects(client.send('r', '4'), { code: 'queue_full' });
  client.close();
  assert.deepEqual(await Promise.all(queued), ['closed', 'closed', 'closed']);
});

test('a removal ends that room alone', async () => {
  const { client, socket, event } = await inRoom();
  const joining = client.join('s');
  await socket.admit({});
  await joining;
  socket.deliver({ type: 'removed', room: 'r', reason: 'of_a_later_version', text: 'bye' });
  assert.equal((await event('removed')).reason, 'closed');
  assert.equal(client.room('r'), undefined);
  assert.equal(client.room('s').joined, true);
  await assert.rejects(client.send('r', 'x'), { code: 'not_joined' });
  assert.equal(client.state, 'open');
  client.close();
});

test('a join refused after a reconnect ends the room with its code', async () => {
  const { client, server, socket, event } = await inRoom();
  const sending = client.send('r', 'one');
  await socket.receive('send');
  socket.drop();
  const again = await server.accept();
  await again.welcome();
  const join = await again.receive('join');
  again.deliver({ type: 'error', id: join.id, code: 'room_full', message: '' });
  const { reason, code } = await event('removed');
  assert.deepEqual([reason, code], ['refused', 'room_full']);
  await assert.rejects(sending, { code: 'room_full' });
  client.close();
});

test('only a room that had a password must exist when the client comes back', async () => {
  for (const [hasPassword, create] of [[true, false], [false, undefined]]) {
    const room = { id: 'r', title: '', capacity: 0, count: 1, has_password: hasPassword, created_at: 1 };
    const { client, server, socket, join } = await inRoom({}, { room });
    assert.equal(join.create, undefined);
    socket.drop();
    const again = await server.accept();
    await again.welcome();
    assert.equal((await again.receive('join')).create, create);
    client.close();
  }
});

test('a refused first join rejects and can be repeated', async () => {
  const { client, socket } = await inRoom();
  const refused = client.join('s', { password: 'x' });
  const join = await socket.receive('join');
  socket.deliver({ type: 'error', id: join.id, code: 'wrong_password', message: '' });
  await assert.rejects(refused, { code: 'wrong_password' });
  const joining = client.join('s', { password: 'y' });
  await socket.admit({});
  await joining;
  await assert.rejects(client.join('s'), { code: 'already_joined' });
  client.close();
});

test('leave waits for the messages sent before it', async () => {
  const { client, socket } = await inRoom();
  const sending = client.send('r', 'one');
  const leaving = client.leave('r');
  await assert.rejects(client.send('r', 'late'), { code: 'not_joined' });
  await socket.acknowledge(1);
  const leave = await socket.receive('leave');
  socket.deliver({ type: 'left', id: leave.id, room: 'r' });
  await Promise.all([sending, leaving]);
  assert.equal(client.room('r'), undefined);
  client.close();
});

test('the client never sends a malformed or oversized frame', async () => {
  const { client, socket } = await inRoom();
  await assert.rejects(client.send('r', 'x'.repeat(70_000)), { code: 'too_large' });
  client.send('r', 'half \ud83d').catch(() => {});
  const { raw } = await socket.receive('send');
  assert.equal(JSON.parse(raw).text, 'half \ufffd');
  client.close();
});

test('an identity given by the host is accepted as it is', async () => {
  const server = new ScriptedServer();
  const client = new ChatClient('ws://test/ws', { WebSocket: server.WebSocket });
  client.connect();
  const socket = await server.accept();
  const hello = await socket.receive('hello');
  socket.deliver({ type: 'welcome', protocol: 1, nickname: 'Host', token: 't', limits: {}, heartbeat_ms: 25000 });
  socket.deliver({ type: 'error', id: hello.id, code: 'already_identified', message: '' });
  assert.equal(client.state, 'open');
  assert.equal(client.welcome.nickname, 'Host');
  client.close();
});

test('keys differ', () => {
  assert.match(newKey(), /^[0-9a-f]{32}$/);
  assert.notEqual(newKey(), newKey());
});
