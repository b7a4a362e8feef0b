// The texts of the page. User text passes through here only as nodes, which `tNodes` puts between the words.

const en = {
  app: 'Chat',
  title: 'Chat rooms without an account',
  headline: 'A room, a link, a conversation.',
  lead: 'Nobody needs an account here. Open a room, share its link, and start talking.',
  noscript: 'This page needs JavaScript.',
  skip: 'Skip to the message field',

  create: 'Open a room',
  room_title: 'Title',
  room_title_hint: 'What is it about?',
  capacity: 'Seats',
  capacity_hint: 'No limit',
  password: 'Password',
  optional: 'optional',
  ends_after: 'Ends after',
  one_hour: '1 hour',
  one_day: '24 hours',
  one_week: '7 days',
  never: 'never',
  listed: 'Show it in the list of open rooms',
  create_button: 'Open the room',

  join: 'Join a room',
  link_or_id: 'Link or room id',
  join_button: 'Go to the room',
  bad_link: 'That is neither a link to a room here nor a room id.',

  open_rooms: 'Open rooms',
  refresh: 'Refresh',
  more_rooms: 'Show more',
  no_rooms: 'No listed rooms yet. Yours could be the first.',
  rooms_failed: 'The list could not be loaded.',
  untitled: 'Untitled room',
  seats: '{count} of {capacity}',
  seats_free: '{count}',
  seats_label: '{count} of {capacity} seats taken',
  people: { one: '{count} person', other: '{count} people' },
  locked: 'Password',

  enter_title: 'Enter the room',
  nickname: 'Nickname',
  nickname_hint: 'How the others will see you. You can change it later.',
  enter_password_hint: 'This room asks for one.',
  enter: 'Enter',
  cancel: 'Cancel',
  back: 'Back to the start',
  save: 'Save',
  rename: 'Change nickname',
  entering: 'Entering…',

  copy_link: 'Copy link',
  copied: 'The link is copied.',
  copy_failed: 'Copy it from the address bar.',
  leave: 'Leave',
  members: 'In the room',
  members_button: 'People: {count}',
  you: 'you',
  more_members: 'and {count} more',
  close: 'Close',

  messages: 'Messages',
  write: 'Write a message',
  write_hint: 'Enter sends, Shift and Enter begin a new line.',
  send: 'Send',
  over: { one: '{count} byte too long', other: '{count} bytes too long' },
  left: { one: '{count} byte left', other: '{count} bytes left' },
  pending: 'Sending…',
  failed: 'Not sent.',
  retry: 'Try again',
  discard: 'Discard',
  reply: 'Reply',
  reply_to: 'Reply to {name}',
  replying: 'Replying to {name}',
  reply_cancel: 'Do not reply',
  reply_unknown: 'An earlier message',
  reply_notice: 'Notice',
  notice: 'Notice',
  gap: 'Some messages could not be recovered.',
  start: 'This is the beginning of the conversation.',
  start_known: 'Older messages are not kept.',
  empty: 'Nobody has said anything yet.',
  loading: 'Loading older messages…',
  load_failed: 'Older messages could not be loaded.',
  to_bottom: 'To the newest message',
  unread: { one: '{count} new message', other: '{count} new messages' },
  typing_one: '{a} is typing…',
  typing_two: '{a} and {b} are typing…',
  typing_many: 'Several people are typing…',
  renewed: 'Your earlier identity is no longer valid: you are here as somebody new.',

  connecting: 'Connecting…',
  reconnecting: 'The connection is lost. Reconnecting…',
  reconnect_now: 'Try now',
  closed: 'The connection has ended.',
  closed_banned: 'The server does not accept you any more.',
  closed_replaced: 'This conversation goes on in a newer window.',
  reload: 'Connect again',

  removed_kicked: 'You were removed from the room.',
  removed_banned: 'You are banned from this room.',
  removed_banned_until: 'You are banned from this room until {time}.',
  removed_expired: 'This room has ended.',
  removed_closed: 'This room was closed.',

  'error.bad_json': 'Something went wrong. Reload the page and try again.',
  'error.bad_command': 'The server does not accept that.',
  'error.too_large': 'That is too long.',
  'error.already_identified': 'Something went wrong. Reload the page and try again.',
  'error.bad_token': 'Your identity is no longer valid. Reload the page.',
  'error.room_not_found': 'There is no such room.',
  'error.room_exists': 'There is a room with that id already.',
  'error.bad_room': 'That is not a room id. An id has 1 to 64 letters, digits, _ or -.',
  'error.room_full': 'The room is full. Try again when somebody has left.',
  'error.room_expired': 'This room has ended.',
  'error.password_required': 'This room needs a password.',
  'error.wrong_password': 'The password is wrong.',
  'error.not_joined': 'You are not in the room any more.',
  'error.already_joined': 'You are in this room already.',
  'error.too_many_rooms': 'You are in too many rooms at once.',
  'error.bad_nickname': 'That nickname does not work. It may be too long, or have characters that are not allowed.',
  'error.nickname_taken': 'Somebody in the room has that nickname, or one that looks like it.',
  'error.empty_text': 'There is nothing to send.',
  'error.rate_limited': 'That was too fast. Try again shortly.',
  'error.rate_limited_for': { one: 'That was too fast. Try again in {count} second.', other: 'That was too fast. Try again in {count} seconds.' },
  'error.forbidden': 'That is not allowed here.',
  'error.banned': 'You are banned from here.',
  'error.muted': 'You may not write here at present.',
  'error.unavailable': 'The server is busy. Try again shortly.',
  'error.internal': 'Something went wrong on the server. Try again.',
  'error.disconnected': 'The connection was lost. Try again.',
  'error.closed': 'There is no connection to the server.',
  'error.queue_full': 'Too many messages are waiting to be sent.',
  'error.outcome_unknown': 'It is not known whether this arrived.',
};

const ko = {
  app: '채팅',
  title: '가입 없는 채팅방',
  headline: '방\u00a0하나, 링크\u00a0하나, 그리고\u00a0대화.',
  lead: '계정이 필요 없습니다. 방을 열고 링크를 나누면 바로 이야기할 수 있습니다.',
  noscript: '이 페이지는 자바스크립트가 필요합니다.',
  skip: '메시지 입력란으로 건너뛰기',

  create: '방 열기',
  room_title: '제목',
  room_title_hint: '어떤 이야기를 나눌까요?',
  capacity: '정원',
  capacity_hint: '제한 없음',
  password: '비밀번호',
  optional: '선택',
  ends_after: '유지 기간',
  one_hour: '1시간',
  one_day: '24시간',
  one_week: '7일',
  never: '제한 없음',
  listed: '열린 방 목록에 보이기',
  create_button: '방 열기',

  join: '방 들어가기',
  link_or_id: '링크 또는 방 아이디',
  join_button: '방으로 가기',
  bad_link: '이곳의 방 링크도, 방 아이디도 아닙니다.',

  open_rooms: '열린 방',
  refresh: '새로 고침',
  more_rooms: '더 보기',
  no_rooms: '아직 공개된 방이 없습니다. 첫 방을 열어 보세요.',
  rooms_failed: '목록을 불러오지 못했습니다.',
  untitled: '제목 없는 방',
  seats: '{count} / {capacity}',
  seats_free: '{count}',
  seats_label: '정원 {capacity}명 중 {count}명',
  people: { other: '{count}명' },
  locked: '비밀번호',

  enter_title: '방에 들어가기',
  nickname: '닉네임',
  nickname_hint: '다른 사람에게 보이는 이름입니다. 나중에 바꿀 수 있습니다.',
  enter_password_hint: '비밀번호가 있는 방입니다.',
  enter: '들어가기',
  cancel: '취소',
  back: '처음으로',
  save: '저장',
  rename: '닉네임 바꾸기',
  entering: '들어가는 중…',

  copy_link: '링크 복사',
  copied: '링크를 복사했습니다.',
  copy_failed: '주소창에서 복사해 주세요.',
  leave: '나가기',
  members: '참여자',
  members_button: '참여자 {count}명',
  you: '나',
  more_members: '외 {count}명',
  close: '닫기',

  messages: '메시지',
  write: '메시지를 입력하세요',
  write_hint: 'Enter로 보내고, Shift+Enter로 줄을 바꿉니다.',
  send: '보내기',
  over: { other: '{count}바이트 초과' },
  left: { other: '{count}바이트 남음' },
  pending: '보내는 중…',
  failed: '보내지 못했습니다.',
  retry: '다시 보내기',
  discard: '지우기',
  reply: '답장',
  reply_to: '{name}님에게 답장',
  replying: '{name}님에게 답장하는 중',
  reply_cancel: '답장 취소',
  reply_unknown: '이전 메시지',
  reply_notice: '공지',
  notice: '공지',
  gap: '일부 메시지를 되찾지 못했습니다.',
  start: '대화의 시작입니다.',
  start_known: '이전 메시지는 보관되지 않습니다.',
  empty: '아직 아무 말도 없습니다.',
  loading: '이전 메시지를 불러오는 중…',
  load_failed: '이전 메시지를 불러오지 못했습니다.',
  to_bottom: '최신 메시지로',
  unread: { other: '새 메시지 {count}개' },
  typing_one: '{a}님이 입력하고 있습니다…',
  typing_two: '{a}님과 {b}님이 입력하고 있습니다…',
  typing_many: '여러 사람이 입력하고 있습니다…',
  renewed: '이전 신원이 더는 유효하지 않아 새로운 사람으로 들어왔습니다.',

  connecting: '연결하는 중…',
  reconnecting: '연결이 끊겼습니다. 다시 연결하는 중…',
  reconnect_now: '지금 시도',
  closed: '연결이 끝났습니다.',
  closed_banned: '서버가 더는 접속을 받지 않습니다.',
  closed_replaced: '새로 연 창에서 대화가 이어집니다.',
  reload: '다시 연결',

  removed_kicked: '방에서 내보내졌습니다.',
  removed_banned: '이 방에서 차단되었습니다.',
  removed_banned_until: '{time}까지 이 방에서 차단되었습니다.',
  removed_expired: '끝난 방입니다.',
  removed_closed: '방이 닫혔습니다.',

  'error.bad_json': '문제가 생겼습니다. 페이지를 새로 고친 뒤 다시 시도해 주세요.',
  'error.bad_command': '서버가 받아들이지 않는 내용입니다.',
  'error.too_large': '너무 깁니다.',
  'error.already_identified': '문제가 생겼습니다. 페이지를 새로 고친 뒤 다시 시도해 주세요.',
  'error.bad_token': '신원이 더는 유효하지 않습니다. 페이지를 새로 고쳐 주세요.',
  'error.room_not_found': '그런 방이 없습니다.',
  'error.room_exists': '같은 아이디의 방이 이미 있습니다.',
  'error.bad_room': '방 아이디가 아닙니다. 영문자, 숫자, _, - 로 1~64자입니다.',
  'error.room_full': '방이 가득 찼습니다. 누군가 나간 뒤 다시 시도해 주세요.',
  'error.room_expired': '끝난 방입니다.',
  'error.password_required': '비밀번호가 필요한 방입니다.',
  'error.wrong_password': '비밀번호가 틀렸습니다.',
  'error.not_joined': '더는 방에 있지 않습니다.',
  'error.already_joined': '이미 들어와 있는 방입니다.',
  'error.too_many_rooms': '한 번에 너무 많은 방에 들어가 있습니다.',
  'error.bad_nickname': '쓸 수 없는 닉네임입니다. 너무 길거나 허용되지 않는 문자가 있습니다.',
  'error.nickname_taken': '같거나 비슷해 보이는 닉네임이 이미 방에 있습니다.',
  'error.empty_text': '보낼 내용이 없습니다.',
  'error.rate_limited': '너무 빠릅니다. 잠시 뒤 다시 시도해 주세요.',
  'error.rate_limited_for': { other: '너무 빠릅니다. {count}초 뒤에 다시 시도해 주세요.' },
  'error.forbidden': '여기서는 허용되지 않습니다.',
  'error.banned': '차단되었습니다.',
  'error.muted': '지금은 여기에 글을 쓸 수 없습니다.',
  'error.unavailable': '서버가 바쁩니다. 잠시 뒤 다시 시도해 주세요.',
  'error.internal': '서버에 문제가 생겼습니다. 다시 시도해 주세요.',
  'error.disconnected': '연결이 끊겼습니다. 다시 시도해 주세요.',
  'error.closed': '서버와 연결되어 있지 않습니다.',
  'error.queue_full': '보내기를 기다리는 메시지가 너무 많습니다.',
  'error.outcome_unknown': '도착했는지 알 수 없습니다.',
};

const tables = { en, ko };

export const locale = navigator.language || 'en';
export const language = /^ko\b/i.test(locale) ? 'ko' : 'en';

const table = tables[language];
const plurals = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(language);

function template(key, count) {
  const entry = table[key] ?? en[key] ?? key;
  return typeof entry === 'string' ? entry : entry[plurals.select(count)] ?? entry.other;
}

function format(value) {
  return typeof value === 'number' ? numbers.format(value) : value;
}

/** The text of a key as a string. */
export function t(key, values = {}) {
  return template(key, values.count).replace(/\{(\w+)\}/g, (_, name) => format(values[name]) ?? '');
}

/** The text of a key as nodes, for values that are nodes themselves, such as user text in its own direction. */
export function tNodes(key, values = {}) {
  const nodes = document.createDocumentFragment();
  for (const part of template(key, values.count).split(/(\{\w+\})/)) {
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    nodes.append(name ? format(values[name]) ?? '' : part);
  }
  return nodes;
}

export function errorText({ code, retryAfterMs }) {
  if (code === 'rate_limited' && retryAfterMs > 0) return t('error.rate_limited_for', { count: Math.ceil(retryAfterMs / 1000) });
  return `error.${code}` in en ? t(`error.${code}`) : t('error.internal');
}

/** Fills `data-t` with text and `data-t-ATTRIBUTE` with attributes. */
export function translate(root) {
  for (const node of root.querySelectorAll('*')) {
    for (const [name, key] of Object.entries(node.dataset)) {
      if (name === 't') node.textContent = t(key);
      else if (/^t[A-Z]/.test(name)) node.setAttribute(name.slice(1).replace(/[A-Z]/g, (c, i) => (i ? '-' : '') + c.toLowerCase()), t(key));
    }
  }
}

const clock = new Intl.DateTimeFormat(locale, { hour: 'numeric', minute: '2-digit' });
const days = new Intl.DateTimeFormat(locale, { weekday: 'long', month: 'long', day: 'numeric' });
const whole = new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short' });

export const timeOf = (at) => clock.format(at);
export const dayOf = (at) => days.format(at);
export const momentOf = (at) => whole.format(at);
