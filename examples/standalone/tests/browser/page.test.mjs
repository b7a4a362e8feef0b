// The page in a browser, against the real server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { User, PlainClient, freshRoom, launchBrowser, startServer, startProxy } from './harness.mjs';

let server;
let browser;

before(async () => {
  server = await startServer();
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A test whose users are closed afterwards. None of their pages may have reported a problem. */
function pageTest(name, run) {
  test(name, async () => {
    const users = [];
    const openUser = async (options) => {
      const user = await User.open(browser, options);
      users.push(user);
      return user;
    };
    try {
      await run(openUser);
      for (const { problems } of users) assert.deepEqual(problems, []);
    } finally {
      await Promise.all(users.map((user) => user.leave()));
    }
  });
}

const at = (room, base = server.url) => `${base}/r/${room}`;

pageTest('two pages and a plain client see the same, in the same order', async (openUser) => {
  const room = freshRoom();
  const [mina, joon] = [await openUser(), await openUser()];
  await mina.join(at(room), 'Mina');
  await joon.join(at(room), 'Joon');
  const plain = await PlainClient.join(server.url, room, 'Plain');
  await mina.waitForNames('Mina', 'Joon', 'Plain');
  await joon.waitForNames('Mina', 'Joon', 'Plain');
  assert.equal(await mina.page.locator('.member', { hasText: 'Mina' }).locator('.you').count(), 1);
  assert.equal(await mina.page.locator('.member .you').count(), 1);
  await Promise.all([mina, joon, plain].map(async (one, who) => {
    for (let i = 0; i < 6; i++) await one.send(`message ${i} of ${who}`);
  }));
  for (const one of [mina, joon, plain]) for (const who of [0, 1, 2]) await one.waitForText(`message 5 of ${who}`);
  const all = plain.texts();
  assert.equal(all.length, 18);
  assert.deepEqual(await mina.texts(), all);
  assert.deepEqual(await joon.texts(), all);
  assert.equal(await mina.page.locator('#unsent > *').count(), 0);
  plain.leave();
});

pageTest('markup in texts, names and titles is text', async (openUser) => {
  const evil = '<img src=x onerror="window.__pwned=1"><script>window.__pwned=1</script>';
  const [mina, joon] = [await openUser(), await openUser()];
  await mina.page.goto(server.url);
  await mina.page.locator('#create [name=title]').fill('<b onclick=1>T</b>');
  await mina.page.locator('#create [name=listed]').check();
  await mina.page.locator('#create button').click();
  await mina.submitEntry('<i>Mina</i>');
  await mina.page.locator('#text:enabled').waitFor();
  await joon.page.goto(server.url);
  await joon.page.locator('#rooms a', { hasText: '<b onclick=1>T</b>' }).click();
  await joon.submitEntry('Joon');
  await joon.page.locator('#text:enabled').waitFor();
  await mina.send(evil);
  await mina.send('javascript:alert(1) https://example.org/?a=<b>&c=1 data:text/html,x');
  await joon.waitForText('javascript:');
  await joon.page.locator('#typing').waitFor({ state: 'attached' });
  for (const { page } of [mina, joon]) {
    assert.equal((await page.locator('#list .text').first().textContent()), evil);
    assert.equal(await page.locator('#room-title').textContent(), '<b onclick=1>T</b>');
    assert.equal(await page.evaluate(() => window.__pwned), undefined);
    assert.equal(await page.locator('#room img, #room script, #room b, #room i').count(), 0);
    assert.deepEqual(await page.locator('#list a').evaluateAll((links) => links.map((a) => [a.href, a.rel])),
      [['https://example.org/?a=', 'noopener noreferrer nofollow']]);
  }
  await joon.waitForNames('<i>Mina</i>', 'Joon');
});

pageTest('a reload is not a leave', async (openUser) => {
  const room = freshRoom();
  const [mina, joon] = [await openUser(), await openUser()];
  await mina.join(at(room), 'Mina');
  await joon.join(at(room), 'Joon');
  await mina.waitForNames('Mina', 'Joon');
  await joon.send('before');
  await mina.waitForText('before');
  await mina.page.evaluate(() => {
    window.changes = [];
    new MutationObserver((records) => {
      for (const { removedNodes, addedNodes } of records) window.changes.push(...[...removedNodes, ...addedNodes].map((node) => node.textContent));
    }).observe(document.getElementById('members'), { childList: true });
  });
  await joon.page.reload();
  await joon.page.locator('#text:enabled').waitFor();
  assert.equal(await joon.page.locator('#entry').isVisible(), false);
  await joon.waitForNames('Mina', 'Joon');
  await joon.waitForText('before');
  await joon.send('after');
  await mina.waitForText('after');
  assert.equal(await mina.page.locator('#list .msg .name').last().textContent(), 'Joon');
  assert.deepEqual(await mina.page.evaluate(() => window.changes), []);
});

test('a cut connection loses nothing and duplicates nothing', async () => {
  const room = freshRoom();
  const proxy = await startProxy(server.url);
  const mina = await User.open(browser);
  const plain = await PlainClient.join(server.url, room, 'Plain');
  try {
    await mina.join(at(room, proxy.url), 'Mina');
    for (let round = 0; round < 3; round++) {
      // Some of these are under way when the connection is cut.
      await mina.send(`mina ${round} before`);
      await plain.send(`plain ${round} before`);
      proxy.cut();
      await mina.page.locator('#banner').waitFor();
      for (let i = 0; i < 3; i++) {
        await plain.send(`plain ${round} ${i}`);
        await mina.send(`mina ${round} ${i}`);
      }
      assert.ok(await mina.page.locator('#unsent .pending').count() >= 3);
      proxy.restore();
      await mina.page.locator('#banner-action').click({ timeout: 2000 }).catch(() => {}); // the page may have reconnected by itself
      await mina.waitForText(`mina ${round} 2`);
      await mina.page.locator('#banner').waitFor({ state: 'hidden' });
    }
    await plain.waitForText('mina 2 2');
    const all = plain.texts();
    assert.equal(all.length, 3 * 8);
    assert.equal(new Set(all).size, all.length);
    const own = all.filter((text) => text.startsWith('mina'));
    assert.deepEqual(own, [0, 1, 2].flatMap((round) => ['before', 0, 1, 2].map((i) => `mina ${round} ${i}`)));
    assert.deepEqual(await mina.texts(), all);
    assert.equal(await mina.page.locator('#unsent > *').count(), 0);
    assert.equal(await mina.page.locator('#list .gap').count(), 0);
  } finally {
    await mina.leave();
    plain.leave();
    proxy.stop();
  }
});

test('after a restart without memory the conversation continues, and the gap is shown', async () => {
  const room = freshRoom();
  const old = await startServer();
  const proxy = await startProxy(old.url);
  const mina = await User.open(browser);
  let restarted;
  try {
    await mina.join(at(room, proxy.url), 'Mina');
    await mina.send('before');
    await mina.waitForText('before');
    proxy.cut();
    await old.stop();
    await mina.page.locator('#banner').waitFor();
    await mina.send('meanwhile');
    restarted = await startServer();
    proxy.restore(restarted.url);
    await mina.waitForText('meanwhile');
    assert.deepEqual(await mina.page.locator('#list > *').evaluateAll((nodes) => nodes.map((node) => node.querySelector('.text')?.textContent ?? node.textContent)),
      ['before', 'Some messages could not be recovered.', 'meanwhile']);
    await mina.waitForNames('Mina');
    assert.equal(await mina.page.locator('#unsent > *').count(), 0);
  } finally {
    await mina.leave();
    proxy.stop();
    await old.stop();
    await restarted?.stop();
  }
});

pageTest('a password is asked for, refused when wrong, and accepted', async (openUser) => {
  const [mina, joon] = [await openUser(), await openUser()];
  await mina.page.goto(server.url);
  await mina.page.locator('#create [name=title]').fill('Behind a door');
  await mina.page.locator('#create [name=password]').fill('open sesame');
  await mina.page.locator('#create button').click();
  await mina.page.locator('#entry').waitFor();
  assert.equal(await mina.page.locator('#entry-password').isVisible(), false);
  await mina.submitEntry('Mina');
  await mina.page.locator('#text:enabled').waitFor();

  await joon.page.goto(mina.page.url());
  await joon.page.locator('#entry-password').waitFor();
  await joon.submitEntry('Joon', 'let me in');
  const problem = joon.page.locator('#entry-problem');
  await problem.getByText('The password is wrong.').waitFor();
  assert.equal(await joon.page.evaluate(() => document.activeElement.id), 'entry-password');
  await joon.submitEntry(undefined, 'open sesame');
  await joon.page.locator('#text:enabled').waitFor();
  await mina.waitForNames('Mina', 'Joon');
});

pageTest('a full room and a taken nickname are reported clearly', async (openUser) => {
  const [mina, joon, sora] = [await openUser(), await openUser(), await openUser()];
  await mina.page.goto(server.url);
  await mina.page.locator('#create [name=capacity]').fill('2');
  await mina.page.locator('#create button').click();
  await mina.submitEntry('Mina');
  await mina.page.locator('#text:enabled').waitFor();
  await joon.page.goto(mina.page.url());
  await joon.submitEntry('mina');
  await joon.page.locator('#entry-problem', { hasText: 'has that nickname' }).waitFor();
  await joon.submitEntry('Joon');
  await joon.page.locator('#text:enabled').waitFor();
  assert.equal(await joon.page.locator('#room-seats').textContent(), '2 of 2 seats taken');
  await sora.page.goto(mina.page.url());
  await sora.submitEntry('Sora');
  await sora.page.locator('#entry-problem', { hasText: 'The room is full.' }).waitFor();
  await joon.page.locator('#leave').click();
  await joon.page.locator('#landing').waitFor();
  await mina.waitForNames('Mina');
  await sora.submitEntry('Sora');
  await mina.waitForNames('Mina', 'Sora');
});

pageTest('scrolling up loads older messages back to the first', async (openUser) => {
  const room = freshRoom();
  const plain = await PlainClient.join(server.url, room, 'Plain');
  for (let i = 1; i <= 130; i++) await plain.send(`line ${i}`);
  const mina = await openUser();
  await mina.join(at(room), 'Mina');
  await mina.waitForText('line 130');
  const scroll = mina.page.locator('#scroll');
  assert.equal((await mina.texts()).length, 50);
  assert.ok(await scroll.evaluate((node) => node.scrollHeight - node.scrollTop - node.clientHeight < 2));

  const top = mina.page.locator('#list .msg').first();
  await scroll.evaluate((node) => { node.scrollTop = 0; });
  const marked = await top.evaluate((node) => ({ seq: node.dataset.seq, y: node.getBoundingClientRect().top }));
  await mina.page.waitForFunction(() => document.querySelectorAll('#list .msg').length === 100);
  const y = await mina.page.locator(`#list [data-seq="${marked.seq}"] .bubble`).evaluate((node) => node.getBoundingClientRect().top);
  assert.ok(Math.abs(y - marked.y) < 120, `the message in view moved from ${marked.y} to ${y}`);

  await scroll.evaluate((node) => { node.scrollTop = 0; });
  await mina.page.locator('#top', { hasText: 'beginning' }).waitFor({ state: 'attached' });
  assert.deepEqual(await mina.texts(), Array.from({ length: 130 }, (_, i) => `line ${i + 1}`));

  // A new message does not move the reader down. A button shows that there is one and scrolls to it.
  await scroll.evaluate((node) => { node.scrollTop = 0; });
  await plain.send('news');
  const jump = mina.page.locator('#jump', { hasText: '1 new message' });
  await jump.waitFor();
  assert.ok(await scroll.evaluate((node) => node.scrollTop < 200));
  await jump.click();
  await jump.waitFor({ state: 'hidden' });
  assert.ok(await scroll.evaluate((node) => node.scrollHeight - node.scrollTop - node.clientHeight < 2));
  plain.leave();
});

pageTest('the page keeps a bounded number of messages, and all can still be reached', async (openUser) => {
  const room = freshRoom();
  const [plain, other] = [await PlainClient.join(server.url, room, 'Plain'), await PlainClient.join(server.url, room, 'Other')];
  // Two senders, who slow down at the limits of the server.
  const send = async (i) => {
    for (;;) {
      try { return await (i % 2 ? plain : other).send(`line ${i}`); } catch (error) {
        if (error.message !== 'rate_limited') throw error;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  };
  const mina = await openUser();
  await mina.join(at(room), 'Mina');
  for (let i = 1; i <= 1010; i++) await send(i);
  await mina.waitForText('line 1010');
  assert.equal(await mina.page.locator('#list > *').count(), 1000);
  assert.equal((await mina.texts())[0], 'line 11');
  await mina.page.locator('#scroll').evaluate((node) => { node.scrollTop = 0; });
  await mina.page.locator('#list .text').getByText('line 1', { exact: true }).waitFor();
  assert.equal(await mina.page.locator('#list > *').count(), 1000);
  assert.equal((await mina.texts()).at(-1), 'line 1000');
  await mina.page.locator('#scroll').evaluate((node) => { node.scrollTop = node.scrollHeight; });
  await mina.waitForText('line 1010');
  assert.equal((await mina.texts()).at(-1), 'line 1010');
  plain.leave();
  other.leave();
});

pageTest('other members see a new nickname', async (openUser) => {
  const room = freshRoom();
  const [mina, joon] = [await openUser(), await openUser()];
  await mina.join(at(room), 'Mina');
  await joon.join(at(room), 'Joon');
  await joon.page.locator('#rename').click();
  await joon.page.locator('#renaming-nickname').fill('Mina');
  await joon.page.locator('#renaming-go').click();
  await joon.page.locator('#renaming-problem', { hasText: 'has that nickname' }).waitFor();
  await joon.page.locator('#renaming-nickname').fill('Juna');
  await joon.page.locator('#renaming-nickname').press('Enter');
  await joon.page.locator('#renaming').waitFor({ state: 'hidden' });
  assert.equal(await joon.page.evaluate(() => document.activeElement.id), 'rename');
  await mina.waitForNames('Mina', 'Juna');
  await joon.waitForNames('Mina', 'Juna');
  await joon.send('it is me');
  await mina.waitForText('it is me');
  assert.equal(await mina.page.locator('#list .msg .name').last().textContent(), 'Juna');
});

pageTest('typing is shown until the message is sent', async (openUser) => {
  const room = freshRoom();
  const [mina, joon] = [await openUser(), await openUser()];
  await mina.join(at(room), 'Mina');
  await joon.join(at(room), 'Joon');
  await joon.page.locator('#text').pressSequentially('so');
  await mina.page.locator('#typing', { hasText: 'Joon is typing' }).waitFor();
  await joon.page.locator('#text').press('Enter');
  await mina.waitForText('so');
  await mina.page.waitForFunction(() => document.getElementById('typing').textContent === '');
});

pageTest('a reply shows the message that it answers', async (openUser) => {
  const room = freshRoom();
  const [mina, joon] = [await openUser(), await openUser()];
  await mina.join(at(room), 'Mina');
  await joon.join(at(room), 'Joon');
  await mina.send('Which way?');
  await joon.waitForText('Which way?');
  // By keyboard alone: the list has one tab stop, and replying moves the focus to the field.
  await joon.page.locator('#list .reply').first().focus();
  await joon.page.keyboard.press('Enter');
  await joon.page.keyboard.type('To the left.');
  await joon.page.keyboard.press('Enter');
  await mina.page.locator('#list .msg', { hasText: 'To the left.' }).locator('.quote', { hasText: 'Which way?' }).waitFor();
});

pageTest('Enter sends, Shift+Enter does not, and text that is too long is not sent', async (openUser) => {
  const mina = await openUser();
  await mina.join(at(freshRoom()), 'Mina');
  const field = mina.page.locator('#text');
  await field.pressSequentially('one');
  await field.press('Shift+Enter');
  await field.pressSequentially('two');
  await field.press('Enter');
  await mina.waitForText('one');
  assert.deepEqual(await mina.texts(), ['one\ntwo']);
  await field.fill('가'.repeat(1366));
  await mina.page.locator('#counter', { hasText: '2 bytes too long' }).waitFor();
  await field.press('Enter');
  assert.equal(await mina.page.locator('#send').isDisabled(), true);
  await field.fill('가'.repeat(1365));
  await mina.page.locator('#counter', { hasText: '1 byte left' }).waitFor();
  await field.fill(' \u200b\n');
  assert.equal(await mina.page.locator('#send').isDisabled(), true);
  assert.equal((await mina.texts()).length, 1);
});

pageTest('a Korean browser gets a Korean page', async (openUser) => {
  const mina = await openUser({ locale: 'ko-KR' });
  await mina.page.goto(server.url);
  await mina.page.getByRole('heading', { level: 1, name: /방.하나/ }).waitFor();
  assert.equal(await mina.page.locator('html').getAttribute('lang'), 'ko');
  const room = freshRoom();
  await mina.page.locator('#find [name=room]').fill(room);
  await mina.page.getByRole('button', { name: '방으로 가기' }).click();
  await mina.submitEntry('미나');
  await mina.page.getByRole('button', { name: '닉네임 바꾸기' }).waitFor();
  const pageText = await mina.page.locator('body').innerText();
  assert.doesNotMatch(pageText, /undefined|\{\w+\}|NaN/);
});

pageTest('a small screen needs no horizontal scrolling', async (openUser) => {
  const room = freshRoom();
  const mina = await openUser({ viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true });
  const assertFits = async (what) => {
    const over = await mina.page.evaluate(() => [...document.querySelectorAll('body *')]
      .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.closest('svg, .sr, .skip, .cont .head'))
      .filter((node) => { const { left, right, width } = node.getBoundingClientRect(); return width && (right > innerWidth + 0.5 || left < -0.5); })
      .map((node) => `${node.tagName}#${node.id}.${node.className}`));
    assert.deepEqual(over, [], what);
    assert.equal(await mina.page.evaluate(() => document.documentElement.scrollWidth), 360, what);
  };
  await mina.page.goto(server.url);
  await mina.page.locator('#rooms-note, #rooms a').first().waitFor({ state: 'attached' });
  await assertFits('landing');
  await mina.page.goto(at(room));
  await mina.page.locator('#entry').waitFor();
  await assertFits('entry');
  await mina.submitEntry('Mina');
  await mina.page.locator('#text:enabled').waitFor();
  await mina.send(`https://example.org/${'long'.repeat(60)}`);
  await mina.waitForText('example.org');
  await assertFits('room');
  await mina.page.locator('#people-toggle').click();
  await mina.page.locator('#rename').waitFor();
  await mina.page.locator('#people').evaluate((node) => Promise.all(node.getAnimations().map(({ finished }) => finished)));
  await assertFits('people');
  await mina.page.keyboard.press('Escape');
  await mina.page.locator('#rename').waitFor({ state: 'hidden' });
  assert.equal(await mina.page.evaluate(() => document.activeElement.id), 'people-toggle');
});

pageTest('the content security policy is strict, and the page does not violate it', async (openUser) => {
  const mina = await openUser();
  await mina.page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
  });
  const response = await mina.page.goto(at(freshRoom()));
  const policy = response.headers()['content-security-policy'];
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) {
    assert.ok(policy.includes(part), part);
  }
  assert.doesNotMatch(policy, /unsafe/);
  await mina.submitEntry('Mina');
  await mina.page.locator('#text:enabled').waitFor();
  await mina.send('hello');
  await mina.waitForText('hello');
  assert.deepEqual(await mina.page.evaluate(() => window.violations), []);
});

pageTest('the back and forward buttons leave and join the room', async (openUser) => {
  const room = freshRoom();
  const [mina, joon] = [await openUser(), await openUser()];
  await joon.join(at(room), 'Joon');
  await mina.page.goto(server.url);
  await mina.page.locator('#find [name=room]').fill(at(room));
  await mina.page.locator('#find button').click();
  await mina.submitEntry('Mina');
  await joon.waitForNames('Mina', 'Joon');
  await mina.page.goBack();
  await mina.page.locator('#landing').waitFor();
  await joon.waitForNames('Joon');
  await mina.page.goForward();
  await mina.submitEntry('Mina');
  await joon.waitForNames('Mina', 'Joon');
});
