// The kiosk: pictures go to the server in a queue, its records come back by polling, and everything on the page is drawn from
// those records. What the server or a person wrote is only ever set as text.

const POLL_MS = 700;
const OFFLINE_POLL_MS = 2000;
/** How often the station, its recipes and the counters are asked for when nothing seems to happen. */
const SLOW_POLL_MS = 10000;
/** Tries of a request that finds the server busy (503), a second apart, before it is told. */
const BUSY_TRIES = 5;
/** Parts that the history strip holds; the server keeps them all. */
const HISTORY = 200;
/** Own pictures held as they were sent, for the case that the server does not keep any. */
const OWN_PICTURES = 5;
/** Nobody is there any more: an old verdict must not be taken for the one of now. */
const IDLE_MS = 120000;
const GOOD_PICTURES_NEEDED = 3;

const WORD = { pass: 'PASS', fail: 'FAIL', misplaced: 'MISPLACED', error: 'ERROR', checking: 'CHECKING', ready: 'READY' };
const REASONS = {
  good: ['glare', 'dirt on the lens', 'loose dust', 'allowed variation', 'put down wrongly', 'other'],
  bad: ['scratch', 'dirt', 'part missing', 'wrong place', 'wrong part', 'other'],
  rollback: ['new version passes bad parts', 'new version fails good parts', 'wrong picture was added', 'other'],
};
const METHODS = { patch: 'any defect (patch)', classical: 'any defect, fast (classical)', cosine: 'wrong or missing part (cosine)', text: 'printed text (text)' };

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });
const number = (value) => (typeof value === 'number' ? value.toFixed(2) : '?');
const percent = (value) => (typeof value === 'number' ? `${(value * 100).toFixed(1)} %` : '–');
const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
const path = (...parts) => `/v1/${parts.map(encodeURIComponent).join('/')}`;

function timeOf(iso) {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return '';
  const clock = time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
  return time.toDateString() === new Date().toDateString() ? clock : `${time.toLocaleDateString()} ${clock}`;
}

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const shape = (kind) => svg('svg', { 'aria-hidden': 'true', class: `${kind}-ink` }, svg('use', { href: `#shape-${kind}` }));

/** Shows a line of text, or hides its element where there is none. */
function line(target, text) {
  if (target.textContent !== text) target.textContent = text;
  target.hidden = text === '';
}

/** Puts a picture into an `<img>` and gives the memory of the one before back. */
function setPicture(image, blob) {
  const before = image.src;
  if (blob) image.src = URL.createObjectURL(blob); else image.removeAttribute('src');
  image.hidden = !blob;
  if (before.startsWith('blob:')) URL.revokeObjectURL(before);
}

/** What this browser remembers between visits; some browsers forbid it, and the page works without. */
const remembered = {
  get(key) { try { return localStorage.getItem(`ocellus.${key}`); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(`ocellus.${key}`, value); } catch { /* then not */ } },
  remove(key) { try { localStorage.removeItem(`ocellus.${key}`); } catch { /* then not */ } },
};

let noticeTimer = 0;
function notice(text) {
  line($('notice'), text);
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => line($('notice'), ''), 8000);
}

// ---- The server ------------------------------------------------------------------------------------------------------------

/** `status` is the answer's; 0 where there was none. */
class Failure extends Error {
  constructor(message, status, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }

  /** The same request may well succeed later. */
  get passing() { return this.status === 0 || this.status === 503; }
}

let token = null;
try { token = sessionStorage.getItem('ocellus.token'); } catch { /* asked for again on each visit, then */ }
let tokenAsked = null;

/** One dialog for however many requests were refused at once. */
function askToken(refused) {
  tokenAsked ??= new Promise((done) => {
    if (refused) $('token-text').textContent = 'The server did not accept this token.';
    $('token').value = '';
    $('token-box').addEventListener('close', () => {
      const given = $('token').value.trim();
      if (given) {
        token = given;
        try { sessionStorage.setItem('ocellus.token', token); } catch { /* kept in this page only */ }
      }
      tokenAsked = null;
      done();
    }, { once: true });
    $('token-box').showModal();
  });
  return tokenAsked;
}
// Without a token nothing works here: closing the dialog would only bring it back.
$('token-box').addEventListener('cancel', (event) => event.preventDefault());

let offlineSince = null;
function setConnected(connected) {
  offlineSince = connected ? null : offlineSince ?? new Date();
  line($('offline'), connected ? '' : `No connection to the server since ${timeOf(offlineSince)}. Trying again by itself.`);
}

const busyCalls = new Set();
function setBusy(call, busy) {
  if (busy) busyCalls.add(call); else busyCalls.delete(call);
  line($('busy'), busyCalls.size > 0 ? 'The server is busy. Trying again.' : '');
}

/** Asks the server and reads its answer: `as` is json or blob. Throws a Failure. */
async function ask(method, address, { body, json, as = 'json', seconds = 60 } = {}) {
  const call = {};
  try {
    for (let tries = 0; ;) {
      const used = token;
      const headers = used ? { Authorization: `Bearer ${used}` } : {};
      if (json !== undefined) headers['Content-Type'] = 'application/json';
      let answer;
      let content;
      try {
        answer = await fetch(address, {
          method, headers, body: json === undefined ? body : JSON.stringify(json), cache: 'no-store', signal: AbortSignal.timeout(seconds * 1000),
        });
        if (answer.ok && as === 'blob') content = await answer.blob();
        else content = await answer.text();
      } catch {
        setConnected(false);
        throw new Failure('There is no connection to the server.', 0);
      }
      setConnected(true);
      if (answer.ok && as === 'blob') return content;
      let read = null;
      try { read = JSON.parse(content); } catch { /* some answers have no body */ }
      if (answer.ok) return read;
      if (answer.status === 401) {
        // Another request may have brought a new token meanwhile.
        if (used === token) await askToken(used !== null);
        continue;
      }
      if (answer.status === 503 && tries < BUSY_TRIES) {
        tries += 1;
        await sleep(1000);
        continue;
      }
      if (answer.status === 503) setBusy(call, true);
      throw new Failure(read?.error ?? `The server answered ${answer.status}.`, answer.status, read);
    }
  } finally {
    // The line stays long enough to be read.
    if (busyCalls.has(call)) setTimeout(() => setBusy(call, false), 4000);
  }
}

// ---- What is known ---------------------------------------------------------------------------------------------------------

let station = { state: true, operator: null, watch: null, storage: null };
let recipes = [];
/** The parts of the history strip, by their number. */
const parts = new Map();
/** Up to where the server's records are known. */
let last = 0;
/** The newest record; one that was not kept (an error, a server without records) has no `seq`. */
let live = null;
/** The number of the older part that somebody looks at; null: the live one. */
let looking = null;
/** The newest part when somebody began to look back. */
let lookingSince = 0;
/** The picture that is with the server now. */
let checking = null;
let plain = false;

const newest = () => Math.max(0, ...parts.keys());
const order = () => [...parts.keys()].sort((a, b) => b - a);
const kindOf = (record) => (record.status === 'error' ? 'error' : record.verdict);
const recipeOf = (name) => recipes.find((recipe) => recipe.name === name);
const chosen = () => $('recipe').value;
const operator = () => $('operator').value.trim();

/** The record on the page; null while there is none, or while a picture is being inspected. */
function shown() {
  if (looking !== null) return parts.get(looking) ?? null;
  return checking ? null : live;
}

/** Adds records of the server, and says whether any part is new. */
function takeIn(records) {
  const before = newest();
  for (const record of records) {
    const known = parts.get(record.seq);
    if (!known) {
      parts.set(record.seq, record);
    } else {
      Object.assign(known, record);
      if (known.missing && record.stored) {
        known.missing = false;
        pictureKey = null;
      }
    }
  }
  const after = newest();
  if (after > (live?.seq ?? live?.after ?? 0)) live = parts.get(after);
  for (const seq of order().slice(HISTORY)) {
    if (seq !== looking) forget(seq);
  }
  return after > before;
}

// ---- The queue of pictures -------------------------------------------------------------------------------------------------

const queue = [];
let working = false;
let jobs = 0;
const ownPictures = [];

/** Pictures are sent one after the other, in order, and stay here until the server has answered about them. */
function inspect(files) {
  const recipe = chosen();
  if (!recipe) {
    notice('Choose a recipe first.');
    return;
  }
  const serial = $('serial').value.trim();
  for (const file of files) {
    jobs += 1;
    queue.push({ number: jobs, request: randomId(), file, name: file.name || `camera-${stamp()}.jpg`, recipe, serial, operator: operator() });
  }
  $('serial').value = '';
  backToLive();
  work();
}

/** A picture that is sent again after a lost answer is known by this, and counted once. */
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const stamp = () => new Date().toISOString().replace(/[:.]/g, '-');

async function work() {
  if (working) return;
  working = true;
  while (queue.length > 0) {
    checking = queue[0];
    let trouble = '';
    render();
    for (;;) {
      renderWaiting(trouble);
      try {
        const record = await send(checking);
        queue.shift();
        accept(record, checking);
        break;
      } catch (problem) {
        if (!(problem instanceof Failure)) console.error(problem);
        if (problem.passing) {
          // Nothing is lost: the picture stays at the head of the queue.
          trouble = problem.status === 503 ? 'The server is busy.' : problem.message;
          renderWaiting(trouble);
          await sleep(2000);
          continue;
        }
        queue.shift();
        // The record of a picture that could not be read says why; any other refusal gets one made here.
        const record = problem.body?.type === 'inspect' ? problem.body : {};
        accept({ recipe: checking.recipe, path: checking.name, serial: checking.serial || null, time: new Date().toISOString(), ...record, status: 'error', error: problem.message }, checking);
        break;
      }
    }
    checking = null;
    render();
  }
  working = false;
  renderWaiting();
}

async function send(job) {
  if (!station.state) {
    const address = `${path('inspect', job.recipe)}?${new URLSearchParams({ name: job.name })}`;
    const record = await ask('POST', address, { body: job.file, seconds: 120 });
    return { time: new Date().toISOString(), recipe: job.recipe, findings: () => ask('POST', `${address}&annotate=true`, { body: job.file, as: 'blob', seconds: 120 }), ...record };
  }
  const about = { name: job.name, request: job.request };
  if (job.operator) about.operator = job.operator;
  if (job.serial) about.serial = job.serial;
  return ask('POST', `${path('parts', job.recipe)}?${new URLSearchParams(about)}`, { body: job.file, seconds: 120 });
}

/** Takes the server's word about an own picture. */
function accept(record, job) {
  let kept = record;
  if (typeof record.seq === 'number') {
    takeIn([record]);
    kept = parts.get(record.seq);
  } else {
    record.after = newest();
    live = record;
  }
  kept.own = job.file;
  kept.ownNumber = job.number;
  ownPictures.push(kept);
  if (ownPictures.length > OWN_PICTURES) delete ownPictures.shift().own;
  refreshCounters();
}

function renderWaiting(trouble = '') {
  const text = [];
  if (trouble) text.push(trouble, 'The picture is kept and sent again.');
  if (queue.length > 1) text.push(`${plural(queue.length - 1, 'more picture waits', 'more pictures wait')}.`);
  line($('waiting'), text.join(' '));
}

// ---- Polling ---------------------------------------------------------------------------------------------------------------

let slowPollAt = 0;
let lastInput = Date.now();

async function follow() {
  for (;;) {
    try {
      await poll();
    } catch (problem) {
      if (!(problem instanceof Failure)) console.error(problem);
    }
    await sleep(offlineSince ? OFFLINE_POLL_MS : POLL_MS);
  }
}

async function poll() {
  if (Date.now() >= slowPollAt || offlineSince) {
    await refreshStation();
    await refreshRecipes();
    slowPollAt = Date.now() + SLOW_POLL_MS;
    refreshCounters();
  }
  if (station.state) {
    const answer = await ask('GET', `/v1/parts?after=${last}&limit=${last === 0 ? HISTORY : 50}`, { seconds: 15 });
    if (answer.last < last) {
      // Another state folder, or an emptied one: its numbers begin anew.
      for (const seq of order()) forget(seq);
      live = null;
      looking = null;
      last = 0;
      return;
    }
    last = answer.last;
    if (takeIn(answer.parts)) refreshCounters();
    if (answer.parts.length > 0) render();
  }
  if (looking !== null && Date.now() - lastInput > IDLE_MS && !document.querySelector('dialog[open]')) backToLive();
  renderPicture();
}

async function refreshStation() {
  station = await ask('GET', '/v1/station', { seconds: 15 });
  document.body.classList.toggle('stateless', !station.state);
  $('stateless').hidden = station.state;
  const storage = station.storage;
  line($('full'), storage?.full ? `The storage is full (${megabytes(storage.used_bytes)} of ${megabytes(storage.quota_bytes)}): pictures of parts are not kept any more. Tell whoever looks after this station.` : '');
  if (!operator() && station.operator && remembered.get('operator') === null) $('operator').value = station.operator;
  const watch = $('source').querySelector('[value=watch]');
  watch.hidden = watch.disabled = !station.watch;
  if (station.watch) line($('watching'), `Pictures come by themselves from the folder ${station.watch.folder} (recipe ${station.watch.recipe}).`);
  if (!sourceChosen) chooseFirstSource();
  else if (source() === 'watch' && !station.watch) setSource('upload');
}

const megabytes = (bytes) => (typeof bytes === 'number' ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : '?');

async function refreshRecipes() {
  recipes = await ask('GET', '/v1/recipes', { seconds: 15 });
  recipesKnown = true;
  renderRecipes();
}

async function refreshCounters() {
  const recipe = chosen();
  if (!station.state || !recipe) return;
  try {
    const counters = await ask('GET', `/v1/counters?${new URLSearchParams({ recipe })}`, { seconds: 15 });
    if (recipe === chosen()) renderCounters(counters);
  } catch (problem) {
    if (!(problem instanceof Failure)) throw problem;
  }
}

// ---- Drawing the page ------------------------------------------------------------------------------------------------------

function render() {
  renderVerdict();
  renderPicture();
  renderPart();
  renderHistory();
}

const limited = ({ score, threshold }) => `${number(score)} (limit\u00a0${number(threshold)})`;
const regionName = (region) => (region.name === 'all' ? 'whole picture' : region.name);

function regionWords(region) {
  const words = [];
  if (typeof region.text === 'string') words.push(`reads “${region.text}”`);
  if (region.defects?.length > 0) words.push(plural(region.defects.length, 'spot'));
  words.push(limited(region));
  return words.join(', ');
}

function reasonOf(record) {
  if (record.status === 'error') return record.error ?? 'This picture cannot be inspected.';
  const failed = (record.regions ?? []).filter((region) => region.verdict === 'fail').map((region) => `${regionName(region)}: ${regionWords(region)}`);
  const words = [record.reason, ...failed].filter(Boolean);
  if (words.length === 0 && record.verdict === 'misplaced') words.push('The part does not lie where it should: put it down again.');
  return words.join(' · ');
}

function factsOf(record) {
  const facts = [];
  if (typeof record.seq === 'number') facts.push(`Part ${record.seq}`);
  facts.push(timeOf(record.time));
  if (record.serial) facts.push(`Serial ${record.serial}`);
  if (record.recipe && record.recipe !== chosen()) facts.push(`Recipe ${record.recipe}`);
  if (record.operator) facts.push(record.operator);
  if (record.status === 'error' && record.path) facts.push(record.path);
  return facts.filter(Boolean).join(' · ');
}

/** The verdict stays as it was given; what a person said about it stands beside. */
function amendedOf(record) {
  const judged = record?.judged;
  if (!judged) return '';
  const agrees = (judged.judged === 'good') === (record.verdict === 'pass');
  return `${agrees ? 'Confirmed' : 'Amended'}: judged ${judged.judged.toUpperCase()} by ${judged.operator} (${judged.reason}), ${timeOf(judged.time)}`;
}

let verdictKey = '';
let verdictOf = '';
function renderVerdict() {
  const record = shown();
  const kind = record ? kindOf(record) : checking ? 'checking' : 'ready';
  const reason = record ? reasonOf(record) : checking ? checking.file.name ?? '' : 'Nothing was inspected yet.';
  const facts = record ? factsOf(record) : '';
  const amended = amendedOf(record);
  const which = `${record?.seq ?? record?.ownNumber ?? ''} ${kind}`;
  const key = JSON.stringify([which, reason, facts, amended]);
  if (key !== verdictKey) {
    // Only what changed is written, for screen readers say it again each time.
    verdictKey = key;
    const box = $('verdict');
    box.dataset.verdict = kind;
    $('symbol').firstElementChild.setAttribute('href', `#shape-${kind}`);
    $('word').textContent = WORD[kind];
    $('reason').textContent = reason;
    $('facts').textContent = facts;
    line($('amended'), amended);
    document.title = `${WORD[kind]} - ocellus`;
    if (which !== verdictOf) {
      // Two passes in a row look alike: the movement says that this is another part.
      verdictOf = which;
      box.classList.remove('new');
      void box.offsetWidth;
      box.classList.add('new');
    }
  }
  $('older').hidden = looking === null;
  if (looking !== null) {
    const later = order().filter((seq) => seq > lookingSince);
    const since = later.length > 0 ? ` ${plural(later.length, 'new part')} since, the last one: ${WORD[kindOf(parts.get(later[0]))]}.` : '';
    line($('older-text'), `This is an older part.${since}`);
  }
}

let pictureKey = null;
async function renderPicture() {
  const record = shown();
  const job = record ? null : checking;
  const key = record ? `${record.seq ?? `own ${record.ownNumber}`} ${plain}` : job ? `job ${job.number}` : '';
  if (key === pictureKey) return;
  pictureKey = key;
  const box = $('picture-box');
  $('picture-caption').textContent = job ? 'Being inspected' : looking === null ? 'Last part' : 'Older part';
  $('plain').hidden = !record || record.status === 'error' || (record.stored === false && !record.own);
  $('plain').firstChild.data = plain ? 'Show findings ' : 'Plain picture ';
  $('plain').setAttribute('aria-pressed', String(plain));
  // Never the picture of another part under a verdict: the own one stands in until the server's has come.
  setPicture($('picture'), job?.file ?? record?.own ?? null);
  line($('no-picture'), record || job ? '' : 'No picture yet');
  $('picture').alt = record ? `Part ${record.seq ?? ''}${plain ? '' : ' with findings'}` : '';
  if (!record) return;
  box.setAttribute('aria-busy', 'true');
  let blob = null;
  try {
    blob = await pictureOf(record);
  } catch (problem) {
    if (!(problem instanceof Failure)) console.error(problem);
    if (problem.passing && key === pictureKey) pictureKey = null;
    record.missing = problem.status === 404;
  }
  if (key !== pictureKey && pictureKey !== null) return;
  box.removeAttribute('aria-busy');
  if (blob) {
    setPicture($('picture'), blob);
    line($('no-picture'), '');
  } else if (!record.own) {
    line($('no-picture'), pictureKey === null ? 'The picture comes when the server answers again.' : 'The picture of this part was not kept.');
  }
}

async function pictureOf(record) {
  if (typeof record.seq === 'number') {
    // A file that cannot be read has no findings, but a browser may still be able to show it.
    if (record.stored === false || (record.status === 'error' && record.stored !== true)) return null;
    return ask('GET', `${path('parts', record.seq)}/${plain || record.status === 'error' ? 'picture' : 'findings'}`, { as: 'blob' });
  }
  if (plain || !record.findings || !record.own) return null;
  record.found ??= await record.findings();
  return record.found;
}
// A file that the browser cannot show, a TIFF for instance.
$('picture').addEventListener('error', () => {
  $('picture').hidden = true;
  line($('no-picture'), 'This browser cannot show the picture.');
});

/** What can be done with the part that is shown, and its regions. */
function renderPart() {
  const record = shown();
  const kept = station.state && record && typeof record.seq === 'number' && record.status !== 'error';
  $('judge').hidden = !kept;
  if (kept) {
    const recipe = recipeOf(record.recipe);
    const good = record.judged?.judged === 'good';
    let why = '';
    if (!recipe || recipe.status !== 'ok') why = `The recipe ${record.recipe} is not there any more.`;
    else if (!recipe.goods_kept) why = 'Nothing can be added to this recipe: the good pictures that it was learned from were not kept with it.';
    else if (record.stored === false) why = 'The picture of this part was not kept, so it cannot be added.';
    $('learn').hidden = !good;
    $('learn').disabled = why !== '';
    line($('learn-why'), good ? why : '');
  }
  const regions = record?.regions ?? [];
  $('regions-box').hidden = regions.length === 0;
  $('regions').replaceChildren(...regions.map((region) => element('li', {},
    shape(region.verdict), element('span', { className: 'name', textContent: regionName(region) }),
    element('span', { className: 'number', textContent: `${number(region.score)} / ${number(region.threshold)}` }),
    ...(typeof region.text === 'string' ? [element('span', { className: 'text', textContent: `“${region.text}”` })] : []))));
}

function renderCounters(counters) {
  $('counters-title').textContent = `Counters of ${counters.recipe}`;
  $('counts-since').textContent = 'Last 24 h';
  const { all, last_hour: hour } = counters;
  const row = (id, kind, name, value) => element('tr', { id: `count-${id}` },
    element('th', { scope: 'row' }, ...(kind ? [shape(kind)] : []), name), element('td', { textContent: value(all) }), element('td', { textContent: value(hour) }));
  const rows = [
    row('parts', null, 'Parts', (c) => String(c.parts)),
    row('yield', null, 'Yield', (c) => percent(c.yield)),
    row('pass', 'pass', 'Passes', (c) => String(c.pass)),
    row('fail', 'fail', 'Fails', (c) => String(c.fail)),
    row('misplaced', 'misplaced', 'Misplaced', (c) => String(c.misplaced)),
  ];
  if (all.error > 0) rows.push(row('error', 'error', 'Errors', (c) => String(c.error)));
  $('counts').tBodies[0].replaceChildren(...rows);

  const fails = Object.entries(counters.regions ?? {}).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
  const most = fails[0]?.[1] ?? 1;
  $('fails-title').hidden = fails.length === 0;
  $('fails').replaceChildren(...fails.map(([name, count]) => {
    const bar = element('i');
    bar.style.width = `${(100 * count) / most}%`;
    return element('li', {},
      element('span', { className: 'name', textContent: regionName({ name }), title: name }), element('span', { className: 'bar' }, bar),
      element('span', { className: 'number', textContent: String(count) }));
  }));
}

function shortTime(iso) {
  const time = new Date(iso);
  return time.toDateString() === new Date().toDateString()
    ? time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false })
    : time.toLocaleDateString();
}

// ---- History ---------------------------------------------------------------------------------------------------------------

/** The strip's elements, by the part's number. */
const thumbnails = new Map();
const nearby = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) loadThumbnail(Number(entry.target.dataset.seq));
  }
}, { root: $('history'), rootMargin: '0px 300px' });

async function loadThumbnail(seq) {
  const item = thumbnails.get(seq);
  const record = parts.get(seq);
  if (!item || item.asked || !record || record.stored === false || record.status === 'error') return;
  item.asked = true;
  try {
    const blob = await ask('GET', `${path('parts', seq)}/thumbnail`, { as: 'blob' });
    if (thumbnails.get(seq) === item) setPicture(item.image, blob);
  } catch (problem) {
    if (!(problem instanceof Failure)) throw problem;
    item.asked = !problem.passing;
  }
}

function makeThumbnail(seq) {
  const image = element('img', { alt: '', hidden: true });
  const mark = element('span', { className: 'caption' });
  const judged = element('span', { className: 'judged', hidden: true });
  const button = element('button', { tabIndex: -1 }, image, mark, judged);
  button.addEventListener('click', () => look(seq));
  const item = { image, mark, judged, button, row: element('li', {}, button), label: '', asked: false };
  item.row.dataset.seq = seq;
  nearby.observe(item.row);
  return item;
}

function renderHistory() {
  if (!station.state) return;
  const strip = $('history');
  const current = looking ?? live?.seq ?? null;
  let place = strip.firstElementChild;
  for (const seq of order()) {
    const record = parts.get(seq);
    let item = thumbnails.get(seq);
    if (!item) {
      item = makeThumbnail(seq);
      thumbnails.set(seq, item);
    }
    if (item.row === place) place = place.nextElementSibling; else strip.insertBefore(item.row, place);
    const kind = kindOf(record);
    const label = [`Part ${seq}`, WORD[kind], timeOf(record.time), amendedOf(record)].filter(Boolean).join(', ');
    if (label !== item.label) {
      item.label = label;
      item.button.className = kind;
      item.button.setAttribute('aria-label', label);
      item.button.title = label;
      item.mark.replaceChildren(shape(kind), shortTime(record.time));
      line(item.judged, record.judged ? `judged ${record.judged.judged}` : '');
    }
    // One stop for Tab; the arrow keys go from part to part.
    item.button.tabIndex = seq === current ? 0 : -1;
    if (seq === current) item.button.setAttribute('aria-current', 'true'); else item.button.removeAttribute('aria-current');
    if (!item.asked && isInSight(item.row, strip)) loadThumbnail(seq);
  }
  if (looking === null) strip.scrollLeft = 0;
}

const isInSight = (row, strip) => row.offsetLeft < strip.scrollLeft + strip.clientWidth && row.offsetLeft + row.offsetWidth > strip.scrollLeft;

function forget(seq) {
  parts.delete(seq);
  const item = thumbnails.get(seq);
  if (!item) return;
  nearby.unobserve(item.row);
  setPicture(item.image, null);
  item.row.remove();
  thumbnails.delete(seq);
}

function look(seq) {
  if (looking === null) lookingSince = newest();
  looking = seq === live?.seq ? null : seq;
  render();
  thumbnails.get(seq)?.button.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

function backToLive() {
  looking = null;
  render();
}

/** Steps through the strip: +1 is older. */
function step(by) {
  const seqs = order();
  if (seqs.length === 0) return;
  const current = looking ?? live?.seq;
  // An error that was not kept stands before the newest part.
  const at = current === undefined ? -1 : seqs.indexOf(current);
  const next = Math.min(at + by, seqs.length - 1);
  if (next < 0) backToLive(); else look(seqs[next]);
}

// ---- Dialogs ---------------------------------------------------------------------------------------------------------------

/**
 * Asks for a name and a reason and does `act` with them; what it returns, or null if the person went back. Stays open while the
 * server works and where it refuses.
 */
function sign({ title, text = '', reasons = [], reason = '', go, busy = 'Sending', act }) {
  const dialog = $('sign');
  $('sign-title').textContent = title;
  line($('sign-text'), text);
  line($('sign-problem'), '');
  line($('sign-busy'), '');
  $('sign-go').textContent = go;
  $('sign-go').disabled = false;
  $('sign-reason').value = reason;
  $('sign-name').value = operator();
  const buttons = reasons.map((choice) => element('button', { type: 'button', textContent: choice }));
  const mark = () => {
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.textContent === $('sign-reason').value));
  };
  for (const button of buttons) {
    button.addEventListener('click', () => {
      const other = button.textContent === 'other';
      $('sign-reason').value = other ? '' : button.textContent;
      mark();
      // In gloves the next thing to press is what is missing.
      if (other) $('sign-reason').focus();
      else if (!$('sign-name').value) $('sign-name').focus();
    });
  }
  $('sign-reasons').replaceChildren(...buttons);
  $('sign-reasons').hidden = buttons.length === 0;
  $('sign-reason').oninput = mark;
  mark();
  return new Promise((done) => {
    let working = false;
    $('sign-cancel').onclick = () => dialog.close();
    dialog.onclose = () => { if (!working) done(null); };
    dialog.querySelector('form').onsubmit = async (event) => {
      event.preventDefault();
      const given = { operator: $('sign-name').value.trim(), reason: $('sign-reason').value.trim() };
      if (working) return;
      if (!given.operator || !given.reason) {
        line($('sign-problem'), 'A name and a reason are needed.');
        return;
      }
      working = true;
      $('sign-go').disabled = true;
      line($('sign-problem'), '');
      line($('sign-busy'), busy);
      try {
        const result = await act(given);
        if (!operator()) setOperator(given.operator);
        done(result);
        dialog.close();
      } catch (problem) {
        if (!(problem instanceof Failure)) console.error(problem);
        line($('sign-problem'), problem.message);
        if (!dialog.open) {
          notice(problem.message);
          done(null);
        }
      } finally {
        working = false;
        $('sign-go').disabled = false;
        line($('sign-busy'), '');
      }
    };
    dialog.showModal();
    if (buttons.length > 0) buttons[0].focus(); else $('sign-reason').focus();
  });
}

function say(title, text) {
  $('say-title').textContent = title;
  $('say-text').textContent = text;
  $('say').showModal();
}

function confirmed(title, text, yes) {
  $('confirm-title').textContent = title;
  $('confirm-text').textContent = text;
  $('confirm-go').textContent = yes;
  $('confirm').returnValue = '';
  $('confirm').showModal();
  return new Promise((done) => {
    $('confirm').onclose = () => done($('confirm').returnValue === 'yes');
  });
}

// ---- Judging, learning, going back -----------------------------------------------------------------------------------------

async function judge(judged) {
  const record = shown();
  if ($('judge').hidden || !record) return;
  const answer = await sign({
    title: `Part ${record.seq}: it is ${judged}`,
    text: `The verdict ${WORD[kindOf(record)]} stays in the records; your judgement is put beside it.`,
    reasons: REASONS[judged],
    go: `It is ${judged}`,
    act: async (given) => ({ ...given, ...await ask('POST', `${path('parts', record.seq)}/judgement`, { json: { judged, ...given } }) }),
  });
  if (!answer) return;
  record.judged = { judged, operator: answer.operator, reason: answer.reason, time: answer.time ?? new Date().toISOString(), seq: answer.seq };
  render();
}

async function learn() {
  const record = shown();
  const recipe = record && recipeOf(record.recipe);
  if (!recipe || $('learn').disabled) return;
  const answer = await sign({
    title: `Add part ${record.seq} to the memory of ${recipe.name}?`,
    text: `A new version of the recipe is made, from ${recipe.good_images + 1} good pictures instead of ${recipe.good_images}. It is used for every part from then on; one can go back to the version of now.`,
    reason: record.judged?.reason ?? '',
    go: 'Make a new version',
    busy: 'Learning: seconds to a minute',
    act: (given) => ask('POST', `${path('parts', record.seq)}/learn`, { json: given, seconds: 900 }),
  });
  if (!answer) return;
  const better = answer.verdict === 'pass' ? '' : '\nIt still does not pass: add more pictures like it, or go back one version.';
  say(`New version of ${recipe.name}`, `It was learned from ${answer.good_images} good pictures.\nOf this picture it says ${WORD[answer.verdict] ?? answer.verdict}: ${limited(answer)}.${better}`);
  await quietly(refreshRecipes());
  render();
}

async function rollback() {
  const recipe = recipeOf(chosen());
  if (!recipe) return;
  const answer = await sign({
    title: `Go back one version of ${recipe.name}?`,
    text: 'The version before the one of now is used for every part from then on. What was inspected meanwhile keeps its verdict.',
    reasons: REASONS.rollback,
    go: 'Go back one version',
    act: (given) => ask('POST', `${path('recipes', recipe.name)}/rollback`, { json: given }),
  });
  if (!answer) return;
  await quietly(refreshRecipes());
  $('recipe-box').close();
  notice(`${recipe.name} is back at its version before.`);
}

/** For refreshing after something succeeded: polling repeats it anyway. */
async function quietly(promise) {
  try {
    await promise;
  } catch (problem) {
    if (!(problem instanceof Failure)) throw problem;
  }
}

// ---- Recipes ---------------------------------------------------------------------------------------------------------------

let recipesKey = '';
let recipesKnown = false;
function renderRecipes() {
  if (!recipesKnown) return;
  const select = $('recipe');
  const good = recipes.filter((recipe) => recipe.status === 'ok');
  const key = JSON.stringify(recipes.map((recipe) => [recipe.name, recipe.status]));
  if (key !== recipesKey) {
    recipesKey = key;
    const before = select.value || remembered.get('recipe');
    select.replaceChildren(...recipes.map((recipe) => element('option', {
      value: recipe.name, textContent: recipe.status === 'ok' ? recipe.name : `${recipe.name} (cannot be used)`, disabled: recipe.status !== 'ok',
    })));
    select.value = good.some((recipe) => recipe.name === before) ? before : good[0]?.name ?? '';
  }
  if (source() === 'watch' && station.watch && recipeOf(station.watch.recipe)) select.value = station.watch.recipe;
  select.disabled = source() === 'watch' || good.length === 0;
  $('recipe-menu').disabled = recipes.length === 0;
  document.body.classList.toggle('no-recipe', good.length === 0);
  $('empty').hidden = good.length > 0;
  $('take').disabled = $('upload').disabled = good.length === 0;
  line($('empty-title'), recipes.length === 0 ? 'No recipe yet' : 'No recipe that can be used');
  line($('empty-text'), station.state
    ? 'A recipe says what a good part looks like. Make one here from a few pictures of good parts, or start the server with --recipes FOLDER.'
    : 'A recipe says what a good part looks like. Start the server with --recipes FOLDER, or with --state DIR to make recipes on this page.');
  line($('empty-errors'), recipes.filter((recipe) => recipe.status !== 'ok').map((recipe) => `${recipe.name}: ${recipe.error ?? 'cannot be used'}`).join('\n'));
  $('empty-new').hidden = !station.state;
  renderPart();
}

function chooseRecipe(name) {
  $('recipe').value = name;
  remembered.set('recipe', name);
  renderVerdict();
  refreshCounters();
}

async function showRecipe() {
  const recipe = recipeOf(chosen()) ?? recipes[0];
  if (!recipe) return;
  $('recipe-title').textContent = `Recipe ${recipe.name}`;
  const facts = [['Good pictures', recipe.good_images], ['Size', recipe.golden && `${recipe.golden.width} × ${recipe.golden.height}`], ['Version', recipe.sha256?.slice(0, 12)]];
  $('recipe-facts').replaceChildren(...facts.filter(([, value]) => value !== undefined && value !== null)
    .flatMap(([name, value]) => [element('dt', { textContent: name }), element('dd', { textContent: String(value) })]));
  $('recipe-regions').replaceChildren(...(recipe.regions ?? []).map((region) => element('li', { textContent: `${regionName(region)}: ${METHODS[region.method] ?? region.method}, limit ${number(region.threshold)}` })));
  const broken = recipes.filter((other) => other.status !== 'ok').map((other) => `${other.name}: ${other.error ?? 'cannot be used'}`);
  line($('recipe-problem'), broken.join('\n'));
  $('rollback').disabled = !recipe.previous;
  line($('rollback-why'), recipe.previous ? '' : 'There is no version before this one to go back to.');
  setPicture($('golden'), null);
  $('recipe-box').showModal();
  $('recipe-close').focus();
  try {
    setPicture($('golden'), await ask('GET', `${path('recipes', recipe.name)}/golden`, { as: 'blob' }));
  } catch (problem) {
    if (!(problem instanceof Failure)) throw problem;
  }
}

// ---- Where pictures come from ----------------------------------------------------------------------------------------------

let sourceChosen = false;
const source = () => $('source').value;

function chooseFirstSource() {
  const before = remembered.get('source');
  if (before && (before !== 'watch' || station.watch)) setSource(before);
  else if (station.watch) setSource('watch');
  else setSource(navigator.mediaDevices?.getUserMedia ? 'camera' : 'upload');
}

function setSource(name) {
  sourceChosen = true;
  $('source').value = name;
  document.body.dataset.source = name;
  line($('camera-trouble'), '');
  if (name !== 'camera') camera.stop();
  // One that runs goes on: started anew, it would give no picture for a moment.
  if (name === 'camera' && !camera.stream) startCamera();
  $('camera-box').hidden = name !== 'camera';
  renderRecipes();
  refreshCounters();
}

const camera = {
  stream: null,
  /** Counts the starts, so that a slow one does not win over a later one. */
  starts: 0,

  async start() {
    this.starts += 1;
    const mine = this.starts;
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error('The browser lends its camera only to pages of https:// or of this very computer (http://localhost).');
    }
    // As much as the camera gives: defects are small.
    const wish = { width: { ideal: 8192 }, height: { ideal: 8192 } };
    const device = remembered.get('camera');
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: device ? { ...wish, deviceId: { exact: device } } : wish });
    } catch (problem) {
      if (!device || problem.name === 'NotAllowedError') throw problem;
      // The camera of last time is gone: any other.
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: wish });
    }
    if (mine !== this.starts) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    this.release();
    this.stream = stream;
    const [track] = stream.getVideoTracks();
    track.addEventListener('ended', () => {
      if (this.stream !== stream) return;
      this.stop();
      if (source() === 'camera') startCamera();
    });
    for (const view of [$('camera-view'), $('wizard-view')]) {
      view.srcObject = stream;
      view.play().catch(() => { /* it plays as soon as it is seen */ });
    }
    await this.list(track.getSettings().deviceId);
  },

  async list(current) {
    const devices = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === 'videoinput');
    $('camera').replaceChildren(...devices.map((device, index) => element('option', { value: device.deviceId, textContent: device.label || `Camera ${index + 1}` })));
    if (current) $('camera').value = current;
    $('camera-field').hidden = source() !== 'camera' || devices.length < 2;
  },

  stop() {
    this.starts += 1;
    this.release();
    $('camera-field').hidden = true;
  },

  release() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    $('camera-view').srcObject = $('wizard-view').srcObject = null;
  },

  /** The frame of now, at the camera's full size. */
  frame(view) {
    if (!this.stream || view.readyState < 2 || view.videoWidth === 0) throw new Error('The camera gives no picture yet.');
    const canvas = element('canvas', { width: view.videoWidth, height: view.videoHeight });
    canvas.getContext('2d').drawImage(view, 0, 0);
    return new Promise((done, failed) => {
      canvas.toBlob((blob) => { if (blob) done(blob); else failed(new Error('The camera\'s picture could not be read.')); }, 'image/jpeg', 0.95);
    });
  },
};

function cameraWords(problem) {
  if (problem.name === 'NotAllowedError') return 'This page may not use the camera: allow it in the browser, then choose the camera again.';
  if (problem.name === 'NotFoundError') return 'No camera was found. It is used as soon as it is plugged in.';
  if (problem.name === 'NotReadableError') return 'The camera is in use by another program, or does not answer.';
  return problem.message;
}

async function startCamera() {
  try {
    await camera.start();
    line($('camera-trouble'), '');
  } catch (problem) {
    if (source() === 'camera') line($('camera-trouble'), cameraWords(problem));
  }
}

navigator.mediaDevices?.addEventListener('devicechange', () => {
  if (source() !== 'camera') return;
  if (camera.stream) camera.list($('camera').value); else startCamera();
});

async function take() {
  if (document.body.classList.contains('no-recipe')) return;
  if (source() === 'upload') $('upload').click();
  if (source() !== 'camera') return;
  try {
    inspect([await camera.frame($('camera-view'))]);
  } catch (problem) {
    notice(problem.message);
  }
}

/** Files that may be pictures; which of them are is for the server to say. */
function pictures(files) {
  const [yes, no] = [[], []];
  for (const file of files) (file.type === '' || file.type.startsWith('image/') ? yes : no).push(file);
  if (no.length > 0) notice(`Not a picture: ${no.map((file) => file.name).join(', ')}`);
  return yes;
}

// ---- The wizard ------------------------------------------------------------------------------------------------------------

const wizard = $('wizard');
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;
/** The draft: its good pictures as { url, width, height }, its regions, and what learning answered. */
let draft = null;
let wizardStep = 1;
let drafts = [];
/** Pictures for the draft are sent one after the other. */
let draftWork = Promise.resolve();
let draftWaiting = 0;

const newDraft = (name) => ({ name, goods: [], regions: [], learned: false, result: null, golden: null });
const draftPath = (...more) => path('drafts', draft.name, ...more);

async function openWizard() {
  $('recipe-box').close();
  draft = newDraft('');
  $('draft-name').value = '';
  $('align').value = 'auto';
  $('publish-name').value = operator();
  $('publish-reason').value = 'first version';
  showTry(null);
  wizard.showModal();
  showStep(1);
  $('draft-name').focus();
  await loadDrafts();
}

function closeWizard() {
  for (const good of draft?.goods ?? []) URL.revokeObjectURL(good.url);
  if (draft?.golden) URL.revokeObjectURL(draft.golden.url);
  draft = null;
  setPicture($('try-picture'), null);
  if (source() !== 'camera') camera.stop();
}
wizard.addEventListener('close', closeWizard);

/** Does something of the wizard and tells what went wrong where the person looks. */
async function attempt(act) {
  line($('wizard-problem'), '');
  try {
    return await act();
  } catch (problem) {
    if (!(problem instanceof Failure)) console.error(problem);
    line($('wizard-problem'), problem.message);
    return null;
  }
}

async function loadDrafts() {
  await attempt(async () => { drafts = await ask('GET', '/v1/drafts'); });
  $('drafts-box').hidden = drafts.length === 0;
  $('drafts').replaceChildren(...drafts.map((one) => {
    const go = element('button', { textContent: 'Go on', 'aria-label': `Go on with ${one.name}` });
    go.addEventListener('click', () => resume(one));
    const remove = element('button', { textContent: 'Delete', 'aria-label': `Delete ${one.name}` });
    remove.addEventListener('click', async () => {
      if (!await confirmed(`Delete the draft ${one.name}?`, `Its ${plural(one.goods, 'picture')} are deleted too.`, 'Delete')) return;
      await attempt(() => ask('DELETE', path('drafts', one.name)));
      remembered.remove(`draft.${one.name}`);
      loadDrafts();
    });
    return element('li', {}, element('span', { className: 'name', textContent: `${one.name}: ${plural(one.goods, 'good picture')}${one.learned ? ', learned' : ''}` }), go, remove);
  }));
}

async function resume(one) {
  draft = newDraft(one.name);
  draft.learned = one.learned;
  try {
    const before = JSON.parse(remembered.get(`draft.${one.name}`));
    draft.regions = before.regions;
    $('align').value = before.align;
  } catch { /* begun in another browser: to be drawn anew */ }
  $('draft-name').value = one.name;
  const mine = draft;
  showStep(2);
  for (let n = 1; n <= one.goods && draft === mine; n += 1) {
    const blob = await attempt(() => ask('GET', draftPath('goods', n), { as: 'blob' }));
    if (!blob || draft !== mine) return;
    mine.goods.push(await small(blob));
    renderGoods();
  }
  if (draft === mine && mine.learned && wizardStep === 2) showStep(5);
}

/** A small copy for the list: twenty pictures of a large camera would fill a tablet's memory. */
async function small(blob) {
  try {
    const bitmap = await createImageBitmap(blob);
    const { width, height } = bitmap;
    const canvas = element('canvas', { width: 240, height: Math.max(1, Math.round((240 * height) / width)) });
    canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const copy = await new Promise((done) => { canvas.toBlob(done, 'image/jpeg', 0.8); });
    return { url: URL.createObjectURL(copy), width, height };
  } catch {
    return { url: '', width: 0, height: 0 };
  }
}

function showStep(n) {
  wizardStep = n;
  line($('wizard-problem'), '');
  $('wizard-title').textContent = draft.name ? `New recipe: ${draft.name}` : 'New recipe';
  for (const section of $('wizard-body').children) section.hidden = Number(section.dataset.step) !== n;
  [...$('wizard-steps').children].forEach((item, index) => {
    item.classList.toggle('done', index + 1 < n);
    if (index + 1 === n) item.setAttribute('aria-current', 'step'); else item.removeAttribute('aria-current');
  });
  if (n === 2 || n === 5) {
    $(n === 2 ? 'goods-slot' : 'try-slot').append($('capture'));
    $('capture').hidden = false;
    renderCapture();
  }
  if (n === 2) renderGoods();
  if (n === 3) showRegions();
  if (n === 4) renderLearn();
  if (n === 6) $('publish-text').textContent = `${draft.name} becomes a recipe and is used from now on. It was learned from ${plural(draft.goods.length, 'good picture')}.`;
  renderFoot();
}

function renderFoot() {
  const ready = {
    1: true, 2: draft.goods.length >= GOOD_PICTURES_NEEDED && oddOnes().length === 0 && draftWaiting === 0, 3: true, 4: draft.learned, 5: true, 6: false,
  };
  $('wizard-next').disabled = !ready[wizardStep];
  $('wizard-next').hidden = wizardStep === 6;
  $('wizard-back').hidden = wizardStep === 1;
  line($('wizard-busy'), draftWaiting > 0 ? `Sending ${plural(draftWaiting, 'picture')}` : '');
}

async function nextStep() {
  if (wizardStep === 1) {
    const name = $('draft-name').value.trim();
    const begun = drafts.find((one) => one.name === name);
    if (!NAME.test(name)) line($('wizard-problem'), 'A name has letters, digits, - _ and . , at most 64, and does not start with a dot.');
    else if (recipeOf(name)) line($('wizard-problem'), `There is a recipe ${name} already.`);
    else if (name === draft.name) showStep(2);
    else if (begun) resume(begun);
    else {
      draft = newDraft(name);
      showStep(2);
    }
    return;
  }
  if (wizardStep === 3) {
    const problem = regionProblem();
    if (problem) {
      line($('wizard-problem'), problem);
      return;
    }
  }
  showStep(wizardStep + 1);
}

function backStep() {
  if (wizardStep === 2) loadDrafts();
  showStep(wizardStep - 1);
}

function renderCapture() {
  const on = camera.stream !== null;
  $('wizard-view').hidden = $('wizard-take').hidden = !on;
  $('wizard-camera').hidden = on;
  if (on) $('wizard-view').play().catch(() => { /* it plays as soon as it is seen */ });
}

async function wizardTake() {
  if (wizardStep !== 2 && wizardStep !== 5) return;
  const frame = await attempt(() => camera.frame($('wizard-view')));
  if (frame) wizardPictures([frame]);
}

/** Pictures of step 2 are good ones of the draft, those of step 5 are tried. */
function wizardPictures(files) {
  const mine = draft;
  const send = wizardStep === 2 ? addGood : tryPicture;
  if (wizardStep !== 2 && wizardStep !== 5) return;
  line($('wizard-problem'), '');
  for (const file of files) {
    draftWaiting += 1;
    draftWork = draftWork.then(async () => {
      if (draft === mine) await send(file).catch((problem) => line($('wizard-problem'), `${file.name ?? 'Picture'}: ${problem.message}`));
      draftWaiting -= 1;
      if (draft) renderFoot();
    });
  }
  renderFoot();
}

async function addGood(file) {
  const mine = draft;
  const answer = await ask('POST', draftPath('goods'), { body: file, seconds: 120 });
  const good = await small(file);
  mine.goods.push({ ...good, width: answer.width ?? good.width, height: answer.height ?? good.height });
  mine.learned = false;
  if (draft !== mine) return;
  renderGoods();
  $('goods').lastElementChild?.scrollIntoView({ block: 'nearest' });
}

async function removeGood(n) {
  await attempt(async () => {
    await ask('DELETE', draftPath('goods', n));
    const [gone] = draft.goods.splice(n - 1, 1);
    URL.revokeObjectURL(gone.url);
    draft.learned = false;
    if (n === 1 && draft.golden) {
      URL.revokeObjectURL(draft.golden.url);
      draft.golden = null;
    }
  });
  renderGoods();
}

const sizeOf = (good) => `${good.width} × ${good.height}`;
/** Numbers of the pictures that are not of the first one's size. */
const oddOnes = () => draft.goods.flatMap((good, index) => (good.width > 0 && draft.goods[0].width > 0 && sizeOf(good) !== sizeOf(draft.goods[0]) ? [index + 1] : []));

function renderGoods() {
  const count = draft.goods.length;
  const odd = oddOnes();
  const missing = GOOD_PICTURES_NEEDED - count;
  $('goods-count').textContent = `${plural(count, 'good picture')}${missing > 0 ? `, ${missing} more needed` : count < 10 ? ', 10 to 20 are better' : ''}`;
  $('goods').replaceChildren(...draft.goods.map((good, index) => {
    const remove = element('button', { textContent: '✕', 'aria-label': `Delete picture ${index + 1}` });
    remove.addEventListener('click', () => removeGood(index + 1));
    const item = element('li', { className: odd.includes(index + 1) ? 'wrong' : '' }, element('span', { textContent: String(index + 1) }), remove);
    if (good.url) item.prepend(element('img', { src: good.url, alt: `Good picture ${index + 1}` }));
    return item;
  }));
  if (odd.length > 0) line($('wizard-problem'), `All pictures must be of one size (${sizeOf(draft.goods[0])}); not so: ${odd.join(', ')}. Delete them.`);
  renderFoot();
}

// ---- The wizard: regions ---------------------------------------------------------------------------------------------------

const canvas = $('region-canvas');
const SMALLEST = 8;
/** Which region is chosen, and what the finger does to it. */
let chosenRegion = -1;
let drag = null;

async function showRegions() {
  if (!draft.golden) {
    const mine = draft;
    await attempt(async () => {
      const blob = await ask('GET', draftPath('goods', 1), { as: 'blob' });
      const image = element('img', { src: URL.createObjectURL(blob) });
      await image.decode();
      mine.golden = { url: image.src, width: image.naturalWidth, height: image.naturalHeight };
    });
    if (draft !== mine || wizardStep !== 3 || !mine.golden) return;
  }
  const { url, width, height } = draft.golden;
  canvas.setAttribute('viewBox', `0 0 ${width} ${height}`);
  canvas.replaceChildren(svg('image', { href: url, width, height }), svg('g'));
  chosenRegion = -1;
  renderRegionList();
  renderCanvas();
}

function regionsChanged() {
  draft.learned = false;
  draft.result = null;
  remembered.set(`draft.${draft.name}`, JSON.stringify({ regions: draft.regions, align: $('align').value }));
}

/** How many pixels of the picture one on the screen is: grips are for fingers, whatever the picture's size. */
const pixel = () => 1 / (canvas.getScreenCTM()?.a || 1);
const corners = ([x, y, w, h]) => [[x, y], [x + w, y], [x, y + h], [x + w, y + h]];

function renderCanvas() {
  const layer = canvas.lastElementChild;
  if (!draft?.golden || !layer) return;
  const unit = pixel();
  // Large ones first, so that a small one within stays in reach; the chosen one last.
  const area = (index) => draft.regions[index].rect[2] * draft.regions[index].rect[3];
  const indices = draft.regions.map((_, index) => index).sort((a, b) => (a === chosenRegion) - (b === chosenRegion) || area(b) - area(a));
  layer.replaceChildren(...indices.map((index) => {
    const { name, rect } = draft.regions[index];
    const [x, y, width, height] = rect;
    const label = svg('text', { x: x + 8 * unit, y: y + 24 * unit, 'font-size': 20 * unit });
    label.textContent = name;
    const group = svg('g', { class: index === chosenRegion ? 'chosen' : '' },
      svg('rect', { class: 'halo', x, y, width, height }), svg('rect', { class: 'box', x, y, width, height, 'data-region': index }), label);
    if (index === chosenRegion) {
      corners(rect).forEach(([cx, cy], corner) => group.append(
        svg('circle', { class: 'grip', cx, cy, r: 9 * unit }),
        svg('circle', { class: 'reach', cx, cy, r: 24 * unit, 'data-region': index, 'data-corner': corner })));
    }
    return group;
  }));
}
new ResizeObserver(() => renderCanvas()).observe(canvas);

function pointOf(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(canvas.getScreenCTM().inverse());
  return [Math.min(Math.max(at.x, 0), draft.golden.width), Math.min(Math.max(at.y, 0), draft.golden.height)];
}

/** The rectangle between two points, in whole pixels. */
function between([ax, ay], [bx, by]) {
  const [x, y] = [Math.round(Math.min(ax, bx)), Math.round(Math.min(ay, by))];
  return [x, y, Math.round(Math.max(ax, bx)) - x, Math.round(Math.max(ay, by)) - y];
}

const freshRegion = (rect) => {
  let n = draft.regions.length + 1;
  while (draft.regions.some((region) => region.name === `region-${n}`)) n += 1;
  return { name: `region-${n}`, rect, method: 'patch', check: 'expected', wanted: '' };
};

canvas.addEventListener('pointerdown', (event) => {
  if (!draft?.golden || drag || event.button !== 0) return;
  const from = pointOf(event);
  const { region, corner } = event.target.dataset ?? {};
  if (corner !== undefined) {
    chosenRegion = Number(region);
    // The opposite corner stays where it is.
    drag = { kind: 'size', from: corners(draft.regions[chosenRegion].rect)[3 - Number(corner)] };
  } else if (region !== undefined) {
    chosenRegion = Number(region);
    drag = { kind: 'move', from, rect: draft.regions[chosenRegion].rect };
  } else {
    chosenRegion = -1;
    drag = { kind: 'draw', from };
  }
  drag.id = event.pointerId;
  canvas.setPointerCapture(event.pointerId);
  event.preventDefault();
  renderCanvas();
});

canvas.addEventListener('pointermove', (event) => {
  if (!drag || event.pointerId !== drag.id) return;
  const at = pointOf(event);
  const { golden, regions } = draft;
  if (drag.kind === 'move') {
    const [x, y, w, h] = drag.rect;
    const left = Math.min(Math.max(Math.round(x + at[0] - drag.from[0]), 0), golden.width - w);
    const top = Math.min(Math.max(Math.round(y + at[1] - drag.from[1]), 0), golden.height - h);
    drag.changed ||= left !== x || top !== y;
    regions[chosenRegion].rect = [left, top, w, h];
  } else {
    const rect = between(drag.from, at);
    if (Math.min(rect[2], rect[3]) < SMALLEST) return;
    drag.changed = true;
    if (chosenRegion < 0) chosenRegion = regions.push(freshRegion(rect)) - 1; else regions[chosenRegion].rect = rect;
  }
  renderCanvas();
});

function endDrag(event) {
  if (!drag || event.pointerId !== drag.id) return;
  if (drag.changed) regionsChanged();
  drag = null;
  renderRegionList();
  renderCanvas();
}
canvas.addEventListener('pointerup', endDrag);
canvas.addEventListener('pointercancel', endDrag);

function addRegion() {
  if (!draft.golden) return;
  const { width, height } = draft.golden;
  chosenRegion = draft.regions.push(freshRegion([width * 0.35, height * 0.35, width * 0.3, height * 0.3].map(Math.round))) - 1;
  regionsChanged();
  renderRegionList();
  renderCanvas();
}

function renderRegionList() {
  $('region-list').replaceChildren(...draft.regions.map((region, index) => {
    const changed = () => {
      chosenRegion = index;
      regionsChanged();
      renderCanvas();
    };
    const field = (label, input, small = false) => element('label', { className: small ? 'field small' : 'field' }, label, input);
    const name = element('input', { className: 'region-name', value: region.name, maxLength: 64, autocomplete: 'off' });
    name.addEventListener('input', () => { region.name = name.value.trim(); changed(); });
    const method = element('select', { className: 'region-method' }, ...Object.entries(METHODS).map(([value, textContent]) => element('option', { value, textContent })));
    method.value = region.method;
    method.addEventListener('change', () => { region.method = method.value; changed(); renderRegionList(); });
    const item = element('li', { className: index === chosenRegion ? 'chosen' : '' }, field('Name', name), field('Look for', method));
    if (region.method === 'text') {
      const check = element('select', { className: 'region-check' }, element('option', { value: 'expected', textContent: 'it must read' }), element('option', { value: 'pattern', textContent: 'it must match (regex)' }));
      check.value = region.check;
      check.addEventListener('change', () => { region.check = check.value; changed(); });
      const wanted = element('input', { className: 'region-wanted', value: region.wanted, autocomplete: 'off', spellcheck: false });
      wanted.addEventListener('input', () => { region.wanted = wanted.value; changed(); });
      item.append(field('Text', check), field('Which', wanted));
    }
    ['x', 'y', 'width', 'height'].forEach((side, at) => {
      const input = element('input', { type: 'number', min: at < 2 ? 0 : SMALLEST, value: region.rect[at], inputMode: 'numeric' });
      input.addEventListener('input', () => {
        if (input.value === '' || !input.validity.valid) return;
        region.rect = region.rect.map((value, place) => (place === at ? Math.round(input.valueAsNumber) : value));
        changed();
      });
      item.append(field(side, input, true));
    });
    const remove = element('button', { textContent: 'Delete this region', 'aria-label': `Delete ${region.name}` });
    remove.addEventListener('click', () => {
      draft.regions.splice(index, 1);
      chosenRegion = -1;
      regionsChanged();
      renderRegionList();
      renderCanvas();
    });
    item.append(remove);
    item.addEventListener('focusin', () => {
      chosenRegion = index;
      renderCanvas();
      [...$('region-list').children].forEach((other, place) => other.classList.toggle('chosen', place === index));
    });
    return item;
  }));
  $('region-list').children[chosenRegion]?.scrollIntoView({ block: 'nearest' });
}

/** What stands against learning with these regions; '' for nothing. */
function regionProblem() {
  const names = draft.regions.map((region) => region.name);
  const { width, height } = draft.golden ?? { width: Infinity, height: Infinity };
  for (const [index, { name, method, check, wanted, rect: [x, y, w, h] }] of draft.regions.entries()) {
    if (!name) return `Region ${index + 1} has no name.`;
    if (names.indexOf(name) !== index) return `Two regions are called ${name}.`;
    if (x + w > width || y + h > height) return `${name} is not within the picture.`;
    if (method === 'text' && !wanted) return `${name}: which text must be there?`;
    if (method === 'text' && check === 'pattern') {
      // The server's expressions are nearly those of the browser; it has the last word.
      try { new RegExp(wanted); } catch { return `${name}: this is not a regular expression.`; }
    }
  }
  return '';
}

// ---- The wizard: learn, try, publish ---------------------------------------------------------------------------------------

function renderLearn() {
  const names = draft.regions.map((region) => region.name);
  $('learn-intro').textContent = `${plural(draft.goods.length, 'good picture')}; ${names.length > 0 ? `${plural(names.length, 'region')}: ${names.join(', ')}` : 'the whole picture is one region'}.`;
  $('learn-result').hidden = !draft.result;
  $('learn-scores').replaceChildren(...(draft.result?.regions ?? []).map(({ name, threshold, held_out: scores = [] }) => {
    const most = Math.max(...scores, 0);
    const over = scores.filter((score) => score > threshold).length;
    const end = Math.max(threshold * 1.25, most * 1.05) || 1;
    const at = (value) => `${(1 + (98 * Math.max(value, 0)) / end).toFixed(2)}%`;
    const words = scores.length === 0 ? 'nothing to compare' : over > 0 ? `${plural(over, 'good one')} of ${scores.length} would fail` : `all ${scores.length} pass`;
    return element('li', {},
      element('b', { textContent: regionName({ name }) }), element('span', { textContent: words }),
      svg('svg', { role: 'img', 'aria-label': `Highest good one ${number(most)}, limit ${number(threshold)}` },
        svg('line', { class: 'axis', x1: '0', x2: '100%', y1: '50%', y2: '50%' }),
        svg('line', { class: 'limit', x1: at(threshold), x2: at(threshold), y1: '5%', y2: '95%' }),
        ...scores.map((score) => svg('circle', { class: score > threshold ? 'over' : '', cx: at(score), cy: '50%', r: 8 }))),
      element('span', { className: 'hint', textContent: `highest good one ${number(most)}` }), element('span', { className: 'hint', textContent: `limit ${number(threshold)}` }));
  }));
}

async function learnDraft() {
  const mine = draft;
  const regions = draft.regions.map(({ name, rect, method, check, wanted }) => ({ name, rect, method, ...(method === 'text' ? { [check]: wanted } : {}) }));
  $('wizard-learn').disabled = $('wizard-back').disabled = true;
  $('learn-busy').hidden = false;
  $('learn-result').hidden = true;
  const result = await attempt(() => ask('POST', draftPath('learn'), { json: { regions, align: $('align').value }, seconds: 1800 }));
  $('wizard-learn').disabled = $('wizard-back').disabled = false;
  $('learn-busy').hidden = true;
  if (draft !== mine) return;
  draft.learned = result !== null;
  draft.result = result;
  showTry(null);
  renderLearn();
  renderFoot();
}

async function tryPicture(file) {
  const mine = draft;
  const name = `?${new URLSearchParams({ name: file.name || 'camera.jpg' })}`;
  let record;
  try {
    record = await ask('POST', `${draftPath('try')}${name}`, { body: file, seconds: 120 });
  } catch (problem) {
    if (problem.status !== 422) throw problem;
    record = { status: 'error', error: problem.message };
  }
  if (draft !== mine) return;
  showTry(record);
  setPicture($('try-picture'), file);
  if (record.status === 'error') return;
  const findings = await ask('POST', `${draftPath('try')}${name}&annotate=true`, { body: file, as: 'blob', seconds: 120 });
  if (draft === mine) setPicture($('try-picture'), findings);
}

function showTry(record) {
  const chip = $('try-verdict');
  chip.hidden = !record;
  if (!record) {
    setPicture($('try-picture'), null);
    return;
  }
  const kind = kindOf(record);
  chip.className = `chip ${kind}`;
  chip.querySelector('use').setAttribute('href', `#shape-${kind}`);
  chip.querySelector('b').textContent = WORD[kind];
  chip.querySelector('span').textContent = reasonOf(record) || limited(record);
}

async function publish() {
  const given = { operator: $('publish-name').value.trim(), reason: $('publish-reason').value.trim() };
  if (!given.operator || !given.reason) {
    line($('wizard-problem'), 'A name and a reason are needed.');
    return;
  }
  $('publish').disabled = true;
  const { name } = draft;
  const answer = await attempt(() => ask('POST', draftPath('publish'), { json: given, seconds: 120 }));
  $('publish').disabled = false;
  if (!answer) return;
  if (!operator()) setOperator(given.operator);
  remembered.remove(`draft.${name}`);
  wizard.close();
  await quietly(refreshRecipes());
  if (source() !== 'watch') chooseRecipe(name);
  notice(`${name} is a recipe now.`);
}

// ---- What people do --------------------------------------------------------------------------------------------------------

function setOperator(name) {
  $('operator').value = name;
  remembered.set('operator', name.trim());
}

$('recipe').addEventListener('change', () => chooseRecipe(chosen()));
$('recipe-menu').addEventListener('click', showRecipe);
$('recipe-box').addEventListener('close', () => setPicture($('golden'), null));
$('operator').addEventListener('input', () => remembered.set('operator', operator()));
$('source').addEventListener('change', () => {
  remembered.set('source', source());
  setSource(source());
});
$('camera').addEventListener('change', () => {
  remembered.set('camera', $('camera').value);
  startCamera();
});
$('keys').addEventListener('click', () => $('keys-box').showModal());
$('serial').addEventListener('keydown', (event) => {
  // Scanners end with Enter: the next key takes the picture, but the scan alone does not.
  if (event.key === 'Enter') (source() === 'upload' ? $('upload') : $('take')).focus();
});
$('take').addEventListener('click', take);
$('upload').addEventListener('change', () => {
  const files = pictures($('upload').files);
  // Emptied, so that the same file can be chosen again.
  $('upload').value = '';
  if (files.length > 0) inspect(files);
});
$('good').addEventListener('click', () => judge('good'));
$('bad').addEventListener('click', () => judge('bad'));
$('learn').addEventListener('click', learn);
$('live').addEventListener('click', backToLive);
$('plain').addEventListener('click', togglePlain);
$('rollback').addEventListener('click', rollback);
$('new-recipe').addEventListener('click', openWizard);
$('empty-new').addEventListener('click', openWizard);

$('wizard-close').addEventListener('click', () => wizard.close());
$('wizard-next').addEventListener('click', nextStep);
$('wizard-back').addEventListener('click', backStep);
$('draft-name').addEventListener('keydown', (event) => { if (event.key === 'Enter') nextStep(); });
$('wizard-camera').addEventListener('click', async () => {
  try {
    await camera.start();
    line($('wizard-problem'), '');
  } catch (problem) {
    line($('wizard-problem'), cameraWords(problem));
  }
  renderCapture();
});
$('wizard-take').addEventListener('click', wizardTake);
$('wizard-upload').addEventListener('change', () => {
  const files = pictures($('wizard-upload').files);
  $('wizard-upload').value = '';
  wizardPictures(files);
});
$('region-add').addEventListener('click', addRegion);
$('align').addEventListener('change', regionsChanged);
$('wizard-learn').addEventListener('click', learnDraft);
$('publish').addEventListener('click', publish);

function togglePlain() {
  if ($('plain').hidden) return;
  plain = !plain;
  renderPicture();
}

// A button that was pressed with a finger does not keep the keyboard: Space is for the next picture then.
let byPointer = false;
document.addEventListener('pointerdown', () => { byPointer = true; lastInput = Date.now(); }, true);
document.addEventListener('click', (event) => { if (event.detail > 0) event.target.closest?.('button')?.blur(); });
document.addEventListener('change', (event) => { if (byPointer && event.target.matches('select, input[type=file]')) event.target.blur(); });

document.addEventListener('keydown', (event) => {
  byPointer = false;
  lastInput = Date.now();
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target;
  // The file input takes no text; all other fields keep their keys.
  if (target.matches?.('input:not([type=file]), select, textarea')) return;
  const onButton = target.matches?.('button, input[type=file]');
  const open = document.querySelector('dialog[open]');
  if (open) {
    if (open === wizard && !document.querySelector('dialog[open]:not(#wizard)') && event.key === ' ' && !onButton && !event.repeat && camera.stream) {
      event.preventDefault();
      wizardTake();
    }
    return;
  }
  const acts = {
    ' ': () => take(), g: () => judge('good'), b: () => judge('bad'), p: togglePlain, '?': () => $('keys-box').showModal(),
    ArrowRight: () => step(1), ArrowLeft: () => step(-1), Escape: backToLive,
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!acts[key] || (key === ' ' && onButton)) return;
  const recorded = !['ArrowRight', 'ArrowLeft', 'g', 'b'].includes(key) || station.state;
  if (!recorded || (event.repeat && !key.startsWith('Arrow'))) return;
  event.preventDefault();
  acts[key]();
});

const carriesFiles = (event) => event.dataTransfer?.types.includes('Files');
document.addEventListener('dragover', (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  $('drop').hidden = Boolean(document.querySelector('dialog[open]'));
});
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) $('drop').hidden = true; });
document.addEventListener('drop', (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  $('drop').hidden = true;
  const files = pictures(event.dataTransfer.files);
  if (wizard.open) wizardPictures(files);
  else if (!document.querySelector('dialog[open]') && files.length > 0) inspect(files);
});

window.addEventListener('beforeunload', (event) => { if (queue.length > 0) event.preventDefault(); });

$('operator').value = remembered.get('operator') ?? '';
render();
follow();
