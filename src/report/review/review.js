'use strict';
(() => {
  const SCHEMA = 1;
  /** Sides of a box that differ by no more pixels are those of the same object. */
  const SAME = 1.5;
  const $ = (id) => document.getElementById(id);

  // ---- What the page holds -------------------------------------------------------------------------------------------

  /** Takes the data out of the page: each element of the kind, parsed. */
  const take = (kind) => [...document.querySelectorAll(`script.${kind}`)].map((element) => {
    element.remove();
    return JSON.parse(element.textContent);
  });
  const [head] = take('head');
  const classes = head.classes;
  /** Objects with their picture, label and key: what they are known by in decisions. */
  const objects = take('picture').flatMap((picture) => picture.objects.map((object) => {
    const label = classes[object.class];
    return { ...object, in: picture, label, key: JSON.stringify([picture.file, label, object.box]) };
  }));

  /** The first to be looked at: what is doubted, then by score, then what has none. */
  const urgency = (o) => (o.score ?? 2) - (o.doubt ? 10 : 0);
  const groups = classes.map((label, number) => ({ label, number, objects: objects.filter((o) => o.class === number) }))
    .filter((group) => group.objects.length > 0);
  for (const group of groups) {
    group.objects.sort((a, b) => urgency(a) - urgency(b));
    for (const object of group.objects) object.group = group;
  }
  const order = groups.flatMap((group) => group.objects);
  order.forEach((object, number) => { object.number = number; });

  // ---- Decisions -----------------------------------------------------------------------------------------------------

  /** Each is `{ decision, to }`, by the object's key. */
  const decisions = new Map();
  /** From a file, about objects that are not on this page: saved again as they came. */
  let foreign = [];
  /** What was before each step: lists of [object, decision]. */
  const past = [];
  const decisionOf = (object) => decisions.get(object.key);

  const store = {
    prefix: `ocellus-review:${head.dataset}:`,
    run(action) {
      try {
        return action(window.localStorage);
      } catch {
        warn('This browser does not keep decisions between visits: save before you close the page.');
        window.onbeforeunload = () => (decisions.size > 0 ? '' : undefined);
        return null;
      }
    },
    read: (key) => {
      try {
        return JSON.parse(store.run((s) => s.getItem(store.prefix + key)));
      } catch {
        return null;
      }
    },
    write: (key, value) => store.run((s) => {
      if (value) s.setItem(store.prefix + key, JSON.stringify(value));
      else s.removeItem(store.prefix + key);
    }),
  };

  const valid = (d) => d && (['accept', 'reject'].includes(d.decision) || (d.decision === 'relabel' && classes.includes(d.to)));

  /** Sets decisions, given as pairs of object and decision (none: undecided), as one step. */
  const decide = (pairs) => {
    past.push(pairs.map(([object]) => [object, decisionOf(object)]));
    put(pairs);
  };
  const put = (pairs) => {
    for (const [object, decision] of pairs) {
      if (decision) decisions.set(object.key, decision);
      else decisions.delete(object.key);
      store.write(object.key, decision);
      paint(object);
    }
    count();
    showDetail();
  };

  /** The decision to give an object the class `label`: its own is accepted. */
  const relabelling = (object, label) => (label === object.label ? { decision: 'accept' } : { decision: 'relabel', to: label });

  const act = (decision) => {
    if (!selected) return;
    decide([[selected, decision]]);
    say(`${selected.label}: ${wording(decision)}`);
    step(1);
  };

  const undo = () => {
    const pairs = past.pop();
    if (!pairs) return say('Nothing to undo');
    put(pairs);
    select(pairs[0][0]);
    say(pairs.length > 1 ? `Undone: ${pairs.length} objects` : 'Undone');
  };

  const wording = (d) => ({ accept: 'accepted', reject: 'rejected', relabel: `→ ${d?.to}` })[d?.decision] ?? 'undecided';

  // ---- Drawing -------------------------------------------------------------------------------------------------------

  /** An element with attributes and children; texts are never taken for markup. */
  const make = (name, attributes = {}, ...children) => {
    const [space, tag] = name.startsWith('svg:') ? ['http://www.w3.org/2000/svg', name.slice(4)] : [null, name];
    const element = space ? document.createElementNS(space, tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };

  const outline = (object, kind) => (object.polygon
    ? make('svg:polygon', { class: kind, points: object.polygon.map((p) => p.join(',')).join(' ') })
    : rectangle(object.box, kind));
  const rectangle = ([x1, y1, x2, y2], kind) =>
    make('svg:rect', { class: kind, x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0) });

  /** A part of a picture in its own pixels, with shapes on it. */
  const view = ([x1, y1, x2, y2], source, ...shapes) => {
    const [width, height] = [x2 - x1, y2 - y1];
    const image = make('svg:image', { href: source, x: x1, y: y1, width, height, preserveAspectRatio: 'none' });
    return make('svg:svg', { viewBox: `${x1} ${y1} ${width} ${height}`, 'aria-hidden': 'true' }, image, ...shapes);
  };
  const closeUp = (object) => (object.picture
    ? view(object.crop, object.picture, outline(object, 'halo'), outline(object, 'mark'))
    : make('p', { class: 'empty' }, object.in.error ?? 'no picture'));
  const whole = (object) => {
    const picture = object.in;
    const others = picture.objects.filter((_, i) => picture.objects[i].box !== object.box).map((o) => rectangle(o.box, 'other'));
    return view([0, 0, ...picture.size], picture.whole, ...others, ...picture.others.map((box) => rectangle(box, 'other')),
      outline(object, 'halo'), outline(object, 'mark'));
  };

  const score = (object) => (object.score === undefined ? '' : object.score.toFixed(2));

  /** Fills a card that comes near the window; an empty one costs next to nothing. */
  const fill = (object) => {
    if (object.filled) return;
    object.filled = true;
    const tool = (text, title, action) => make('button', {
      type: 'button', title, tabindex: -1, 'aria-label': title,
      onclick: (event) => {
        event.stopPropagation();
        select(object);
        action();
      },
    }, text);
    object.card.append(
      make('div', { class: 'view' }, closeUp(object)),
      make('div', { class: 'tools' }, tool('✓', 'Accept', () => act({ decision: 'accept' })),
        tool('✗', 'Reject', () => act({ decision: 'reject' })), tool('✎', 'Relabel', openPalette)),
      make('div', { class: 'caption' }),
    );
    paint(object);
  };

  const paint = (object) => {
    const decision = decisionOf(object);
    const { card } = object;
    card.className = `card ${decision?.decision ?? ''}`;
    card.setAttribute('aria-label', `${object.label}, ${wording(decision)}`);
    if (!object.filled) return;
    const sign = { accept: '✓ ', reject: '✗ ' }[decision?.decision] ?? '';
    const flag = object.doubt ? [make('span', { class: 'flag', title: object.doubt }, '?')] : [];
    card.querySelector('.caption').replaceChildren(
      ...flag,
      make('span', { class: 'what' }, decision ? sign + wording(decision) : ''),
      make('span', { class: 'score' }, score(object) || object.origin),
    );
  };

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        near.unobserve(entry.target);
        fill(entry.target.object);
      }
    }
  }, { root: $('list'), rootMargin: '800px 0px' });

  const bar = () => make('div', { class: 'bar' }, make('i'), make('i'), make('i'));
  const setBar = (element, tally, all) => ['accept', 'relabel', 'reject'].forEach((kind, i) => {
    element.children[i].style.width = `${(100 * tally[kind]) / all}%`;
  });

  const build = () => {
    document.title = `Review: ${head.name}`;
    document.querySelector('h1').textContent = head.name;
    for (const group of groups) {
      const button = (text, kind) => make('button', { type: 'button', onclick: () => openBulk(group, kind) }, text);
      group.tally = make('span');
      group.buttons = [button('Accept the rest…', 'accept'), button('Reject the rest…', 'reject')];
      group.section = make('section', { class: 'group', role: 'group', 'aria-label': group.label },
        make('header', {}, make('h2', {}, group.label), group.tally, make('span', { class: 'gap' }),
          ...group.buttons));
      group.grid = make('div', { class: 'grid' });
      for (const object of group.objects) {
        object.card = make('div', { class: 'card', role: 'option', id: `o${object.number}` });
        object.card.object = object;
        group.grid.append(object.card);
        near.observe(object.card);
      }
      group.section.append(group.grid);
      $('list').append(group.section);
      const doubts = group.objects.filter((o) => o.doubt).length;
      group.bar = bar();
      group.done = make('span', { class: 'done' });
      group.entry = make('button', { type: 'button', onclick: () => select(group.objects.find(visible) ?? null) },
        make('span', {}, group.number < 9 ? make('kbd', {}, String(group.number + 1)) : ''),
        make('span', { class: 'name' }, group.label),
        doubts ? make('span', { class: 'flag', title: `${doubts} doubted` }, `?${doubts}`) : make('span'), group.done, group.bar);
      $('classes').append(group.entry);
    }
    if (order.length === 0) $('list').append(make('p', { class: 'empty' }, 'No objects were chosen for this page.'));
  };

  const count = () => {
    const total = { accept: 0, relabel: 0, reject: 0 };
    for (const group of groups) {
      const tally = { accept: 0, relabel: 0, reject: 0 };
      for (const object of group.objects) {
        const kind = decisionOf(object)?.decision;
        if (kind) {
          tally[kind] += 1;
          total[kind] += 1;
        }
      }
      const done = tally.accept + tally.relabel + tally.reject;
      const all = group.objects.length;
      group.done.textContent = done === all ? `✓ ${all}` : `${done}/${all}`;
      group.tally.textContent = done === all ? `all ${all} decided` : `${all - done} of ${all} undecided`;
      group.buttons.forEach((button) => { button.disabled = done === all; });
      setBar(group.bar, tally, all);
    }
    const done = total.accept + total.relabel + total.reject;
    setBar($('total'), total, Math.max(order.length, 1));
    const text = `${done} of ${order.length} decided: ${total.accept} accepted, ${total.relabel} relabelled, ${total.reject} rejected`;
    $('total').setAttribute('aria-label', text);
    $('total').title = text;
    $('count').textContent = `${done} / ${order.length}`;
    $('undo').disabled = past.length === 0;
  };

  // ---- Selection -----------------------------------------------------------------------------------------------------

  let selected = null;

  const visible = (object) => {
    const kind = $('filter').value;
    const decision = decisionOf(object)?.decision;
    // Objects do not vanish under the hand: the filter is applied when it is chosen.
    if (kind === 'all') return true;
    if (object.shown !== undefined) return object.shown;
    return kind === 'doubt' ? Boolean(object.doubt) : kind === 'open' ? !decision : decision === kind;
  };
  const applyFilter = () => {
    for (const object of order) object.shown = undefined;
    for (const object of order) object.shown = visible(object);
    for (const group of groups) {
      for (const object of group.objects) object.card.hidden = !object.shown;
      group.section.hidden = !group.objects.some(visible);
    }
    if (!selected || !visible(selected)) select(order.find(visible) ?? null);
  };

  const select = (object) => {
    selected?.card.setAttribute('aria-selected', 'false');
    selected = object;
    for (const group of groups) group.entry.classList.toggle('here', group === object?.group);
    if (object) {
      fill(object);
      object.card.setAttribute('aria-selected', 'true');
      object.card.scrollIntoView({ block: 'nearest' });
      object.group.entry.scrollIntoView({ block: 'nearest' });
      $('list').setAttribute('aria-activedescendant', object.card.id);
    }
    showDetail();
  };

  /** Goes `by` visible objects on, if there are so many, and as far as possible otherwise. */
  const step = (by, wanted = visible) => {
    if (!selected) return select(order.find(wanted) ?? null);
    const list = order.filter((o) => wanted(o) || o === selected);
    const at = list.indexOf(selected) + by;
    const next = list[Math.min(Math.max(at, 0), list.length - 1)];
    if (next !== selected) select(next);
    return next;
  };
  const stepOpen = (by) => {
    const before = selected;
    const open = (o) => visible(o) && !decisionOf(o);
    step(by, open);
    if (selected !== before) return;
    // Round the end.
    const rest = order.filter(open);
    if (rest.length > 0 && !(rest.length === 1 && rest[0] === selected)) select(by > 0 ? rest[0] : rest[rest.length - 1]);
    else say(rest.length > 0 ? 'This is the last undecided object' : 'All are decided: save with s');
  };
  const stepRow = (by) => {
    if (!selected) return step(1);
    const list = selected.group.objects.filter(visible);
    const columns = getComputedStyle(selected.group.grid).gridTemplateColumns.split(' ').length;
    const at = list.indexOf(selected);
    const to = at + by * columns;
    if (list[to]) return select(list[to]);
    const lastRow = Math.floor(at / columns) === Math.floor((list.length - 1) / columns);
    if (by > 0 && !lastRow) return select(list[list.length - 1]);
    // Into the next class, in the same column.
    const shown = groups.filter((g) => g.objects.some(visible));
    const group = shown[shown.indexOf(selected.group) + by];
    if (!group) return null;
    const next = group.objects.filter(visible);
    const column = at % columns;
    const row = by > 0 ? 0 : Math.floor((next.length - 1) / columns) * columns;
    return select(next[Math.min(row + column, next.length - 1)]);
  };
  const stepClass = (by) => {
    const shown = groups.filter((g) => g.objects.some(visible));
    const group = shown[shown.indexOf(selected?.group) + by];
    if (group) select(group.objects.find(visible));
  };

  const showDetail = () => {
    const object = selected;
    if (!object) return $('detail').replaceChildren(make('p', { class: 'empty' }, 'No object is selected.'));
    const decision = decisionOf(object);
    const [x1, y1, x2, y2] = object.box;
    const facts = [
      ['Class', object.label], ['Decision', wording(decision), decision?.decision], ['Score', score(object) || '–'],
      ['Origin', object.origin], ['Picture', object.in.file],
      ['Size', `${(x2 - x1).toFixed(0)} × ${(y2 - y1).toFixed(0)} px at ${x1.toFixed(0)}, ${y1.toFixed(0)}`],
    ];
    const button = (text, key, action) => make('button', { type: 'button', onclick: action }, text, ' ', make('kbd', {}, key));
    const place = make('button', { class: 'whole', type: 'button', title: 'The whole picture (c)', onclick: openContext });
    if (object.in.whole) place.append(whole(object));
    $('detail').replaceChildren(
      make('div', { class: 'view' }, closeUp(object)),
      ...(object.doubt ? [make('p', { class: 'doubt' }, `? ${object.doubt}`)] : []),
      make('dl', {}, ...facts.flatMap(([name, text, kind]) => [make('dt', {}, name), make('dd', { class: kind ?? '' }, text)])),
      make('div', { class: 'buttons' }, button('Accept', 'a', () => act({ decision: 'accept' })),
        button('Reject', 'r', () => act({ decision: 'reject' })), button('Relabel…', 'l', openPalette)),
      ...(object.in.whole ? [place] : []),
    );
    return undefined;
  };

  // ---- Dialogs -------------------------------------------------------------------------------------------------------

  let sayTimer = 0;
  const say = (text) => {
    $('status').textContent = text;
    clearTimeout(sayTimer);
    sayTimer = setTimeout(() => { $('status').textContent = ''; }, 2500);
  };
  const warn = (text) => {
    $('warning').textContent = text;
    $('warning').hidden = false;
  };

  const openContext = () => {
    if (!selected?.in.whole) return;
    const words = make('p', {}, `${selected.in.file} · ${selected.label} `, make('kbd', {}, 'Esc'));
    $('context').replaceChildren(whole(selected), words);
    $('context').showModal();
  };

  // The palette: classes whose name holds all words that are typed, those that begin with them first.
  let matches = [];
  let chosen = 0;
  const openPalette = () => {
    if (!selected) return;
    $('query').value = '';
    listMatches();
    $('palette').showModal();
    $('query').focus();
  };
  const listMatches = () => {
    const typed = $('query').value.trim().toLowerCase();
    const words = typed.split(/\s+/);
    const fits = (name) => words.every((word) => name.toLowerCase().includes(word));
    const rank = (name) => (name.toLowerCase() === typed ? 0 : name.toLowerCase().startsWith(typed) ? 1 : 2);
    matches = classes.filter(fits);
    if (typed) matches.sort((a, b) => rank(a) - rank(b));
    chosen = 0;
    $('matches').replaceChildren(...matches.map((name) => {
      const number = classes.indexOf(name);
      return make('li', { role: 'option', onclick: () => finishPalette(name) },
        make('span', { class: 'number' }, number < 9 ? String(number + 1) : ''), make('span', {}, name));
    }));
    markMatch();
  };
  const markMatch = () => [...$('matches').children].forEach((item, i) => {
    item.setAttribute('aria-selected', String(i === chosen));
    if (i === chosen) item.scrollIntoView({ block: 'nearest' });
  });
  const finishPalette = (name) => {
    $('palette').close();
    if (name !== undefined) act(relabelling(selected, name));
  };
  $('query').addEventListener('input', listMatches);
  $('palette').addEventListener('keydown', (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) {
      chosen = Math.min(Math.max(chosen + by, 0), matches.length - 1);
      markMatch();
    } else if (event.key === 'Enter') {
      finishPalette(matches[chosen]);
    } else {
      return;
    }
    event.preventDefault();
  });

  // All undecided objects of a class.
  let bulk = null;
  const bulkObjects = () => {
    const bound = $('bulk-score').valueAsNumber;
    const fits = (o) => Number.isNaN(bound)
      || (o.score !== undefined && ($('bulk-side').value === 'least' ? o.score >= bound : o.score < bound));
    return bulk.group.objects.filter((o) =>
      visible(o) && !decisionOf(o) && fits(o) && ($('bulk-doubt').checked || !o.doubt));
  };
  const countBulk = () => {
    const n = bulkObjects().length;
    $('bulk-count').textContent = n === 1 ? '1 undecided object' : `${n} undecided objects`;
    $('bulk-go').textContent = `${bulk.kind === 'accept' ? 'Accept' : 'Reject'} ${n}`;
    $('bulk-go').disabled = n === 0;
  };
  const openBulk = (group, kind) => {
    if (!group) return;
    bulk = { group, kind };
    $('bulk-title').textContent = `${kind === 'accept' ? 'Accept' : 'Reject'} the rest of “${group.label}”`;
    $('bulk-side').value = kind === 'accept' ? 'least' : 'below';
    $('bulk-score').value = '';
    $('bulk-doubt').checked = false;
    $('bulk').returnValue = '';
    countBulk();
    $('bulk').showModal();
    $('bulk-score').focus();
  };
  for (const id of ['bulk-score', 'bulk-side', 'bulk-doubt']) $(id).addEventListener('input', countBulk);
  // The first button of a form is the one that Enter presses: it would cancel.
  $('bulk-score').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    if (!$('bulk-go').disabled) $('bulk').close('go');
  });
  $('bulk').addEventListener('close', () => {
    if ($('bulk').returnValue !== 'go') return;
    const found = bulkObjects();
    if (found.length === 0) return;
    decide(found.map((object) => [object, { decision: bulk.kind }]));
    say(`${found.length} objects ${bulk.kind}ed`);
    if (selected && decisionOf(selected)) stepOpen(1);
  });

  // ---- Files ---------------------------------------------------------------------------------------------------------

  const asText = () => {
    const made = order.filter(decisionOf).map((object) =>
      ({ file: object.in.file, object: { label: object.label, box: object.box }, ...decisionOf(object) }));
    const lines = [...made, ...foreign].map((d) => `  ${JSON.stringify(d)}`).join(',\n');
    return `{"schema":${SCHEMA},"type":"decisions","dataset":${JSON.stringify(head.dataset)},"decisions":[\n${lines}\n]}\n`;
  };

  const save = () => {
    const text = asText();
    const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
    make('a', { href: url, download: 'decisions.json' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    const open = order.length - decisions.size;
    $('saved-title').textContent = `${decisions.size + foreign.length} decisions; ${open} objects are undecided`;
    $('text').value = text;
    $('text').scrollTop = 0;
    $('command').textContent = `ocellus label apply ${shellWord(head.folder)} decisions.json`;
    $('saved').showModal();
    $('saved').querySelector('.primary').focus();
  };
  const shellWord = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  const load = async (file) => {
    try {
      const content = JSON.parse(await file.text());
      if (content.type !== 'decisions' || content.schema !== SCHEMA || !Array.isArray(content.decisions)) {
        throw new Error('it holds no decisions of this kind');
      }
      const known = new Map();
      for (const object of order) {
        const place = JSON.stringify([object.in.file, object.label]);
        known.set(place, [...(known.get(place) ?? []), object]);
      }
      const distance = (a, b) => Math.max(...a.map((v, i) => Math.abs(v - b[i])));
      const pairs = [];
      const rest = [];
      for (const d of content.decisions) {
        const there = (known.get(JSON.stringify([d.file, d.object.label])) ?? [])
          .map((object) => [distance(object.box, d.object.box), object]).filter(([far]) => far <= SAME);
        there.sort((a, b) => a[0] - b[0]);
        if (there.length > 0 && valid(d)) {
          pairs.push([there[0][1], d.decision === 'relabel' ? { decision: 'relabel', to: d.to } : { decision: d.decision }]);
        } else {
          rest.push(d);
        }
      }
      foreign = rest;
      if (pairs.length > 0) decide(pairs);
      const other = content.dataset === head.dataset ? '' : ' They were made when the data set had other pictures.';
      const kept = rest.length > 0 ? ` ${rest.length} are about objects that are not on this page; they are saved again as they are.` : '';
      say(`${pairs.length} decisions loaded`);
      if (other || kept) warn(`${pairs.length} decisions loaded.${kept}${other}`);
    } catch (error) {
      warn(`${file.name} could not be loaded: ${error.message}`);
    }
  };

  // ---- Keys and mouse ------------------------------------------------------------------------------------------------

  const root = document.documentElement;
  const setTheme = (dark) => root.classList.toggle('dark', dark);
  const system = window.matchMedia('(prefers-color-scheme: dark)');
  let theme = null;
  const toggleTheme = () => {
    theme = !root.classList.contains('dark');
    setTheme(theme);
    try {
      localStorage.setItem('ocellus-review-dark', theme ? '1' : '0');
    } catch { /* The choice holds for this visit. */ }
  };
  let cardSize = 11;
  const zoom = (factor) => {
    cardSize = Math.min(Math.max(cardSize * factor, 6), 30);
    root.style.setProperty('--card', `${cardSize}rem`);
    selected?.card.scrollIntoView({ block: 'nearest' });
  };

  const accept = () => act({ decision: 'accept' });
  const reject = () => act({ decision: 'reject' });
  const clear = () => {
    if (!selected || !decisionOf(selected)) return;
    decide([[selected, undefined]]);
    say('Undecided again');
  };
  const commands = {
    j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1),
    ArrowDown: () => stepRow(1), ArrowUp: () => stepRow(-1), ']': () => stepClass(1), '[': () => stepClass(-1),
    Home: () => select(order.find(visible) ?? null), End: () => step(order.length),
    n: () => stepOpen(1), p: () => stepOpen(-1), a: accept, r: reject, x: reject, u: undo,
    l: openPalette, '/': openPalette, Backspace: clear, Delete: clear, c: openContext,
    A: () => openBulk(selected?.group, 'accept'), R: () => openBulk(selected?.group, 'reject'),
    X: () => openBulk(selected?.group, 'reject'),
    s: save, o: () => $('file').click(), t: toggleTheme, '?': () => $('keys').showModal(),
    '+': () => zoom(1.25), '=': () => zoom(1.25), '-': () => zoom(0.8),
  };
  for (let i = 1; i <= 9; i += 1) {
    commands[i] = () => {
      if (selected && i <= classes.length) act(relabelling(selected, classes[i - 1]));
      else say(`There is no class ${i}`);
    };
  }
  document.addEventListener('keydown', (event) => {
    const open = document.querySelector('dialog[open]');
    if (open?.id === 'context' && event.key === 'c') open.close();
    if (open || event.target.matches('select, input, textarea')) return;
    const ctrl = event.ctrlKey || event.metaKey;
    let command = commands[event.key];
    if (ctrl) command = { z: undo, s: save }[event.key];
    if (!command || event.altKey) return;
    event.preventDefault();
    command();
  });

  $('list').addEventListener('click', (event) => {
    const card = event.target.closest('.card');
    if (card) select(card.object);
  });
  $('list').addEventListener('dblclick', (event) => {
    if (event.target.closest('.card') && !event.target.closest('button')) openContext();
  });
  for (const dialog of document.querySelectorAll('dialog')) {
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener('close', () => $('list').focus({ preventScroll: true }));
  }
  $('filter').addEventListener('change', () => {
    applyFilter();
    $('list').focus({ preventScroll: true });
  });
  $('undo').addEventListener('click', undo);
  $('save').addEventListener('click', save);
  $('load').addEventListener('click', () => $('file').click());
  $('theme').addEventListener('click', toggleTheme);
  $('help').addEventListener('click', () => $('keys').showModal());
  $('copy').addEventListener('click', async () => {
    $('text').select();
    try {
      await navigator.clipboard.writeText($('text').value);
    } catch {
      document.execCommand('copy');
    }
    $('copy').textContent = 'Copied';
  });
  $('file').addEventListener('change', () => {
    const [file] = $('file').files;
    if (file) load(file);
    $('file').value = '';
  });
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) load(file);
  });

  // ---- Start ---------------------------------------------------------------------------------------------------------

  try {
    const kept = localStorage.getItem('ocellus-review-dark');
    theme = kept === null ? null : kept === '1';
  } catch { /* As the system has it. */ }
  setTheme(theme ?? system.matches);
  system.addEventListener('change', () => { if (theme === null) setTheme(system.matches); });
  build();
  for (const object of order) {
    const kept = store.read(object.key);
    if (valid(kept)) decisions.set(object.key, kept);
  }
  order.forEach(paint);
  count();
  applyFilter();
  select(order.find((o) => !decisionOf(o)) ?? order[0] ?? null);
  $('list').focus({ preventScroll: true });
  if (decisions.size > 0) say(`${decisions.size} earlier decisions are kept in this browser`);
})();
