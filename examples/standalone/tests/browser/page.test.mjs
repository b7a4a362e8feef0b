// The page, in a browser, against the real server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Person, Plain, freshRoom, launch, serve, wire } from './stage.mjs';

let server;
let browser;

before(async () => {
  server = await serve();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A test with people who go home afterwards, and who may not have complained unless they were to. */
function scene(name, run) {
  test(name, async () => {
    const here = [];
    const arrive = async (options) => {
      const person = await Person.arrive(browser, options);
      here.push(person);
      return person;
    };
    try {
      await run(arrive);
      for (const { complaints } of here) assert.deepEqual(complaints, []);
    } finally {
      await Promise.all(here.map((person) => person.leave()));
    }
  });
}

const at = (room, base = server.url) => `${base}/r/${room}`;

scene('two pages and a plain client see the same, in the same order', async (arrive) => {
  const room = freshRoom();
  const [mina, joon] = [await arrive(), await arrive()];
  await mina.enter(at(room), 'Mina');
  await joon.enter(at(room), 'Joon');
  const plain = await Plain.enter(server.url, room, 'Plain');
  await mina.seesNames('Mina', 'Joon', 'Plain');
  await joon.seesNames('Mina', 'Joon', 'Plain');
  assert.equal(await mina.page.locator('.member', { hasText: 'Mina' }).locator('.you').count(), 1);
  assert.equal(await mina.page.locator('.member .you').count(), 1);
  await Promise.all([mina, joon, plain].map(async (one, who) => {
    for (let i = 0; i < 6; i++) await one.say(`word ${i} of ${who}`);
  }));
  for (const one of [mina, joon, plain]) for (const who of [0, 1, 2]) await one.sees(`word 5 of ${who}`);
  const all = plain.texts();
  assert.equal(all.length, 18);
  assert.deepEqual(await mina.texts(), all);
  assert.deepEqual(await joon.texts(), all);
  assert.equal(await mina.page.locator('#unsent > *').count(), 0);
  plain.leave();
});

scene('markup in texts, names and titles is text', async (arrive) => {
  const evil = '<img src=x onerror="window.__pwned=1"><script>window.__pwned=1</script>';
  const [mina, joon] = [await arrive(), await arrive()];
  await mina.page.goto(server.url);
  await mina.page.locator('#create [name=title]').fill('<b onclick=1>T</b>');
  await mina.page.locator('#create [name=listed]').check();
  await mina.page.locator('#create button').click();
  await mina.knock('<i>Mina</i>');
  await mina.page.locator('#text:enabled').waitFor();
  await joon.page.goto(server.url);
  await joon.page.locator('#rooms a', { hasText: '<b onclick=1>T</b>' }).click();
  await joon.knock('Joon');
  await joon.page.locator('#text:enabled').waitFor();
  await mina.say(evil);
  await mina.say('javascript:alert(1) https://example.org/?a=<b>&c=1 data:text/html,x');
  await joon.sees('javascript:');
  await joon.page.locator('#typing').waitFor({ state: 'attached' });
  for (const { page } of [mina, joon]) {
    assert.equal((await page.locator('#list .text').first().textContent()), evil);
    assert.equal(await page.locator('#room-title').textContent(), '<b onclick=1>T</b>');
    assert.equal(await page.evaluate(() => window.__pwned), undefined);
    assert.equal(await page.locator('#room img, #room script, #room b, #room i').count(), 0);
    assert.deepEqual(await page.locator('#list a').evaluateAll((links) => links.map((a) => [a.href, a.rel])),
      [['https://example.org/?a=', 'noopener noreferrer nofollow']]);
  }
  await joon.seesNames('<i>Mina</i>', 'Joon');
});

scene('a reload is not a leave', async (arrive) => {
  const room = freshRoom();
  const [mina, joon] = [await arrive(), await arrive()];
  await mina.enter(at(room), 'Mina');
  await joon.enter(at(room), 'Joon');
  await mina.seesNames('Mina', 'Joon');
  await joon.say('before');
  await mina.sees('before');
  await mina.page.evaluate(() => {
    window.changes = [];
    new MutationObserver((records) => {
      for (const { removedNodes, addedNodes } of records) window.changes.push(...[...removedNodes, ...addedNodes].map((node) => node.textContent));
    }).observe(document.getElementById('members'), { childList: true });
  });
  await joon.page.reload();
  await joon.page.locator('#text:enabled').waitFor();
  assert.equal(await joon.page.locator('#entry').isVisible(), false);
  await joon.seesNames('Mina', 'Joon');
  await joon.sees('before');
  await joon.say('after');
  await mina.sees('after');
  assert.equal(await mina.page.locator('#list .msg .name').last().textContent(), 'Joon');
  assert.deepEqual(await mina.page.evaluate(() => window.changes), []);
});

test('a cut wire loses nothing and doubles nothing', async () => {
  const room = freshRoom();
  const line = await wire(server.url);
  const mina = await Person.arrive(browser);
  const plain = await Plain.enter(server.url, room, 'Plain');
  try {
    await mina.enter(at(room, line.url), 'Mina');
    for (let round = 0; round < 3; round++) {
      // Some of these are on the wire when it is cut.
      await mina.say(`mina ${round} before`);
      await plain.say(`plain ${round} before`);
      line.cut();
      await mina.page.locator('#banner').waitFor();
      for (let i = 0; i < 3; i++) {
        await plain.say(`plain ${round} ${i}`);
        await mina.say(`mina ${round} ${i}`);
      }
      assert.ok(await mina.page.locator('#unsent .pending').count() >= 3);
      line.mend();
      await mina.page.locator('#banner-action').click({ timeout: 2000 }).catch(() => {}); // it may be back by itself
      await mina.sees(`mina ${round} 2`);
      await mina.page.locator('#banner').waitFor({ state: 'hidden' });
    }
    await plain.sees('mina 2 2');
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
    line.stop();
  }
});

test('after a restart that forgot everything the talk goes on, and the break is shown', async () => {
  const room = freshRoom();
  const old = await serve();
  const line = await wire(old.url);
  const mina = await Person.arrive(browser);
  let anew;
  try {
    await mina.enter(at(room, line.url), 'Mina');
    await mina.say('before');
    await mina.sees('before');
    line.cut();
    await old.stop();
    await mina.page.locator('#banner').waitFor();
    await mina.say('meanwhile');
    anew = await serve();
    line.mend(anew.url);
    await mina.sees('meanwhile');
    assert.deepEqual(await mina.page.locator('#list > *').evaluateAll((nodes) => nodes.map((node) => node.querySelector('.text')?.textContent ?? node.textContent)),
      ['before', 'Some messages could not be recovered.', 'meanwhile']);
    await mina.seesNames('Mina');
    assert.equal(await mina.page.locator('#unsent > *').count(), 0);
  } finally {
    await mina.leave();
    line.stop();
    await old.stop();
    await anew?.stop();
  }
});

scene('a password is asked for, refused, and taken', async (arrive) => {
  const [mina, joon] = [await arrive(), await arrive()];
  await mina.page.goto(server.url);
  await mina.page.locator('#create [name=title]').fill('Behind a door');
  await mina.page.locator('#create [name=password]').fill('open sesame');
  await mina.page.locator('#create button').click();
  await mina.page.locator('#entry').waitFor();
  assert.equal(await mina.page.locator('#entry-password').isVisible(), false);
  await mina.knock('Mina');
  await mina.page.locator('#text:enabled').waitFor();

  await joon.page.goto(mina.page.url());
  await joon.page.locator('#entry-password').waitFor();
  await joon.knock('Joon', 'let me in');
  const problem = joon.page.locator('#entry-problem');
  await problem.getByText('The password is wrong.').waitFor();
  assert.equal(await joon.page.evaluate(() => document.activeElement.id), 'entry-password');
  await joon.knock(undefined, 'open sesame');
  await joon.page.locator('#text:enabled').waitFor();
  await mina.seesNames('Mina', 'Joon');
});

scene('a full room and a taken name are said clearly', async (arrive) => {
  const [mina, joon, sora] = [await arrive(), await arrive(), await arrive()];
  await mina.page.goto(server.url);
  await mina.page.locator('#create [name=capacity]').fill('2');
  await mina.page.locator('#create button').click();
  await mina.knock('Mina');
  await mina.page.locator('#text:enabled').waitFor();
  await joon.page.goto(mina.page.url());
  await joon.knock('mina');
  await joon.page.locator('#entry-problem', { hasText: 'has that nickname' }).waitFor();
  await joon.knock('Joon');
  await joon.page.locator('#text:enabled').waitFor();
  assert.equal(await joon.page.locator('#room-seats').textContent(), '2 of 2 seats taken');
  await sora.page.goto(mina.page.url());
  await sora.knock('Sora');
  await sora.page.locator('#entry-problem', { hasText: 'The room is full.' }).waitFor();
  await joon.page.locator('#leave').click();
  await joon.page.locator('#landing').waitFor();
  await mina.seesNames('Mina');
  await sora.knock('Sora');
  await mina.seesNames('Mina', 'Sora');
});

scene('older messages come on scrolling up, down to the first', async (arrive) => {
  const room = freshRoom();
  const plain = await Plain.enter(server.url, room, 'Plain');
  for (let i = 1; i <= 130; i++) await plain.say(`line ${i}`);
  const mina = await arrive();
  await mina.enter(at(room), 'Mina');
  await mina.sees('line 130');
  const scroll = mina.page.locator('#scroll');
  assert.equal((await mina.texts()).length, 50);
  assert.ok(await scroll.evaluate((node) => node.scrollHeight - node.scrollTop - node.clientHeight < 2));

  const top = mina.page.locator('#list .msg').first();
  await scroll.evaluate((node) => { node.scrollTop = 0; });
  const marked = await top.evaluate((node) => ({ seq: node.dataset.seq, y: node.getBoundingClientRect().top }));
  await mina.page.waitForFunction(() => document.querySelectorAll('#list .msg').length === 100);
  const y = await mina.page.locator(`#list [data-seq="${marked.seq}"] .bubble`).evaluate((node) => node.getBoundingClientRect().top);
  assert.ok(Math.abs(y - marked.y) < 120, `what was looked at moved from ${marked.y} to ${y}`);

  await scroll.evaluate((node) => { node.scrollTop = 0; });
  await mina.page.locator('#top', { hasText: 'beginning' }).waitFor({ state: 'attached' });
  assert.deepEqual(await mina.texts(), Array.from({ length: 130 }, (_, i) => `line ${i + 1}`));

  // Nothing pulls a reader down; a button says what is new and goes there.
  await scroll.evaluate((node) => { node.scrollTop = 0; });
  await plain.say('news');
  const jump = mina.page.locator('#jump', { hasText: '1 new message' });
  await jump.waitFor();
  assert.ok(await scroll.evaluate((node) => node.scrollTop < 200));
  await jump.click();
  await jump.waitFor({ state: 'hidden' });
  assert.ok(await scroll.evaluate((node) => node.scrollHeight - node.scrollTop - node.clientHeight < 2));
  plain.leave();
});

scene('the page stays bounded, and everything can still be reached', async (arrive) => {
  const room = freshRoom();
  const [plain, other] = [await Plain.enter(server.url, room, 'Plain'), await Plain.enter(server.url, room, 'Other')];
  // Two speakers and no haste: the server has limits.
  const send = async (i) => {
    for (;;) {
      try { return await (i % 2 ? plain : other).say(`line ${i}`); } catch (error) {
        if (error.message !== 'rate_limited') throw error;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  };
  const mina = await arrive();
  await mina.enter(at(room), 'Mina');
  for (let i = 1; i <= 1010; i++) await send(i);
  await mina.sees('line 1010');
  assert.equal(await mina.page.locator('#list > *').count(), 1000);
  assert.equal((await mina.texts())[0], 'line 11');
  await mina.page.locator('#scroll').evaluate((node) => { node.scrollTop = 0; });
  await mina.page.locator('#list .text').getByText('line 1', { exact: true }).waitFor();
  assert.equal(await mina.page.locator('#list > *').count(), 1000);
  assert.equal((await mina.texts()).at(-1), 'line 1000');
  await mina.page.locator('#scroll').evaluate((node) => { node.scrollTop = node.scrollHeight; });
  await mina.sees('line 1010');
  assert.equal((await mina.texts()).at(-1), 'line 1010');
  plain.leave();
  other.leave();
});

scene('a new nickname is seen by the other', async (arrive) => {
  const room = freshRoom();
  const [mina, joon] = [await arrive(), await arrive()];
  await mina.enter(at(room), 'Mina');
  await joon.enter(at(room), 'Joon');
  await joon.page.locator('#rename').click();
  await joon.page.locator('#renaming-nickname').fill('Mina');
  await joon.page.locator('#renaming-go').click();
  await joon.page.locator('#renaming-problem', { hasText: 'has that nickname' }).waitFor();
  await joon.page.locator('#renaming-nickname').fill('Juna');
  await joon.page.locator('#renaming-nickname').press('Enter');
  await joon.page.locator('#renaming').waitFor({ state: 'hidden' });
  assert.equal(await joon.page.evaluate(() => document.activeElement.id), 'rename');
  await mina.seesNames('Mina', 'Juna');
  await joon.seesNames('Mina', 'Juna');
  await joon.say('it is me');
  await mina.sees('it is me');
  assert.equal(await mina.page.locator('#list .msg .name').last().textContent(), 'Juna');
});

scene('typing is seen, and ends with the message', async (arrive) => {
  const room = freshRoom();
  const [mina, joon] = [await arrive(), await arrive()];
  await mina.enter(at(room), 'Mina');
  await joon.enter(at(room), 'Joon');
  await joon.page.locator('#text').pressSequentially('so');
  await mina.page.locator('#typing', { hasText: 'Joon is typing' }).waitFor();
  await joon.page.locator('#text').press('Enter');
  await mina.sees('so');
  await mina.page.waitForFunction(() => document.getElementById('typing').textContent === '');
});

scene('a reply shows what it answers', async (arrive) => {
  const room = freshRoom();
  const [mina, joon] = [await arrive(), await arrive()];
  await mina.enter(at(room), 'Mina');
  await joon.enter(at(room), 'Joon');
  await mina.say('Which way?');
  await joon.sees('Which way?');
  // By keyboard alone: the one stop of the list, then back in the field.
  await joon.page.locator('#list .reply').first().focus();
  await joon.page.keyboard.press('Enter');
  await joon.page.keyboard.type('To the left.');
  await joon.page.keyboard.press('Enter');
  await mina.page.locator('#list .msg', { hasText: 'To the left.' }).locator('.quote', { hasText: 'Which way?' }).waitFor();
});

scene('Enter sends, Shift and Enter do not, too long is not sent', async (arrive) => {
  const mina = await arrive();
  await mina.enter(at(freshRoom()), 'Mina');
  const field = mina.page.locator('#text');
  await field.pressSequentially('one');
  await field.press('Shift+Enter');
  await field.pressSequentially('two');
  await field.press('Enter');
  await mina.sees('one');
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

scene('a Korean browser gets a Korean page', async (arrive) => {
  const mina = await arrive({ locale: 'ko-KR' });
  await mina.page.goto(server.url);
  await mina.page.getByRole('heading', { level: 1, name: /방.하나/ }).waitFor();
  assert.equal(await mina.page.locator('html').getAttribute('lang'), 'ko');
  const room = freshRoom();
  await mina.page.locator('#find [name=room]').fill(room);
  await mina.page.getByRole('button', { name: '방으로 가기' }).click();
  await mina.knock('미나');
  await mina.page.getByRole('button', { name: '닉네임 바꾸기' }).waitFor();
  const words = await mina.page.locator('body').innerText();
  assert.doesNotMatch(words, /undefined|\{\w+\}|NaN/);
});

scene('a small screen needs no scrolling sideways', async (arrive) => {
  const room = freshRoom();
  const mina = await arrive({ viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true });
  const fits = async (what) => {
    const over = await mina.page.evaluate(() => [...document.querySelectorAll('body *')]
      .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.closest('svg, .sr, .skip, .cont .head'))
      .filter((node) => { const { left, right, width } = node.getBoundingClientRect(); return width && (right > innerWidth + 0.5 || left < -0.5); })
      .map((node) => `${node.tagName}#${node.id}.${node.className}`));
    assert.deepEqual(over, [], what);
    assert.equal(await mina.page.evaluate(() => document.documentElement.scrollWidth), 360, what);
  };
  await mina.page.goto(server.url);
  await mina.page.locator('#rooms-note, #rooms a').first().waitFor({ state: 'attached' });
  await fits('landing');
  await mina.page.goto(at(room));
  await mina.page.locator('#entry').waitFor();
  await fits('entry');
  await mina.knock('Mina');
  await mina.page.locator('#text:enabled').waitFor();
  await mina.say(`https://example.org/${'long'.repeat(60)}`);
  await mina.sees('example.org');
  await fits('room');
  await mina.page.locator('#people-toggle').click();
  await mina.page.locator('#rename').waitFor();
  await mina.page.locator('#people').evaluate((node) => Promise.all(node.getAnimations().map(({ finished }) => finished)));
  await fits('people');
  await mina.page.keyboard.press('Escape');
  await mina.page.locator('#rename').waitFor({ state: 'hidden' });
  assert.equal(await mina.page.evaluate(() => document.activeElement.id), 'people-toggle');
});

scene('the policy is strict, and nothing here goes against it', async (arrive) => {
  const mina = await arrive();
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
  await mina.knock('Mina');
  await mina.page.locator('#text:enabled').waitFor();
  await mina.say('hello');
  await mina.sees('hello');
  assert.deepEqual(await mina.page.evaluate(() => window.violations), []);
});

scene('leaving and coming back by the buttons of the browser', async (arrive) => {
  const room = freshRoom();
  const [mina, joon] = [await arrive(), await arrive()];
  await joon.enter(at(room), 'Joon');
  await mina.page.goto(server.url);
  await mina.page.locator('#find [name=room]').fill(at(room));
  await mina.page.locator('#find button').click();
  await mina.knock('Mina');
  await joon.seesNames('Mina', 'Joon');
  await mina.page.goBack();
  await mina.page.locator('#landing').waitFor();
  await joon.seesNames('Joon');
  await mina.page.goForward();
  await mina.knock('Mina');
  await joon.seesNames('Mina', 'Joon');
});
