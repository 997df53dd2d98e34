// What a hostile page tries in the browser of whoever looks at it. Each attack returns a text: what it could read, or
// "blocked: …". Whether it changed anything is for the test to ask of the hub.
const attacks = {
  // get reads a URL of this origin as a script does.
  async get(url, options = {}) {
    try {
      const answer = await fetch(url, {credentials: 'include', ...options});
      return answer.status + ' ' + await answer.text();
    } catch (err) {
      return 'blocked: ' + err;
    }
  },

  // forged is get with a Referer of another page of this origin.
  async forged(url, referrer) {
    history.pushState(null, '', referrer);
    return attacks.get(url, {referrer, referrerPolicy: 'unsafe-url'});
  },

  // post sends a form as a script does.
  post(url, fields) { return attacks.get(url, {method: 'POST', body: new URLSearchParams(fields)}); },

  // json calls the API as a script does.
  json(method, url, body) {
    return attacks.get(url, {method, body: JSON.stringify(body), headers: {'Content-Type': 'application/json'}});
  },

  // form sends a form by navigation, into a frame or a new window.
  form(url, fields, target) {
    const form = document.createElement('form');
    Object.assign(form, {method: 'post', action: url, target});
    for (const [name, value] of Object.entries(fields)) {
      const input = document.createElement('input');
      Object.assign(input, {type: 'hidden', name, value});
      form.append(input);
    }
    document.body.append(form);
    try {
      form.submit();
      return 'sent';
    } catch (err) {
      return 'blocked: ' + err;
    }
  },

  // popup opens a URL and returns what it can read of it.
  async popup(url) {
    const opened = open(url, '_blank', 'width=400,height=400');
    if (!opened) return 'blocked: no window';
    return attacks.read(() => opened.document, () => opened.closed);
  },

  // frame shows a URL in a frame and returns what it can read of it.
  async frame(url) {
    const frame = document.createElement('iframe');
    frame.src = url;
    document.body.append(frame);
    await new Promise(done => { frame.onload = frame.onerror = done; setTimeout(done, 5000); });
    return attacks.read(() => frame.contentDocument, () => false);
  },

  // borrowed fetches with the fetch of an empty frame, whose policy could be another.
  async borrowed(url, source) {
    const frame = document.createElement('iframe');
    if (source) frame.srcdoc = source;
    document.body.append(frame);
    if (source) await new Promise(done => { frame.onload = done; });
    try {
      const answer = await frame.contentWindow.fetch(url, {credentials: 'include'});
      return answer.status + ' ' + await answer.text();
    } catch (err) {
      return 'blocked: ' + err;
    }
  },

  // lent fetches with the fetch of a frame that shows a refusal of the hub's, which is no page and could have no policy.
  // More in the path makes the address that long.
  async lent(at, more, url) {
    const frame = document.createElement('iframe');
    const loaded = new Promise(done => { frame.onload = done; });
    frame.src = at + 'a'.repeat(more);
    document.body.append(frame);
    await loaded;
    try {
      const answer = await frame.contentWindow.fetch(url, {credentials: 'include', referrerPolicy: 'no-referrer'});
      return answer.status + ' ' + await answer.text();
    } catch (err) {
      return 'blocked: ' + err;
    }
  },

  // read polls a document until it has loaded from this origin, and returns its text and HTML.
  async read(of, gone) {
    for (let i = 0; i < 50; i++) {
      await new Promise(done => setTimeout(done, 100));
      try {
        if (gone()) return 'blocked: the window is severed';
        const found = of();
        if (found && found.URL !== 'about:blank' && found.readyState === 'complete') {
          return found.URL + ' ' + found.documentElement.outerHTML;
        }
      } catch (err) {
        return 'blocked: ' + err;
      }
    }
    return 'blocked: nothing to read';
  },

  // worker fetches in a worker: of a script, or of a blob.
  worker(url, blob) {
    return new Promise(done => {
      let worker;
      try {
        const code = `onmessage = async e => { try { const a = await fetch(e.data, {credentials: 'include'});
          postMessage(a.status + ' ' + await a.text()); } catch (err) { postMessage('blocked: ' + err); } }`;
        worker = new Worker(blob ? URL.createObjectURL(new Blob([code])) : 'worker.js');
      } catch (err) {
        return done('blocked: ' + err);
      }
      worker.onmessage = event => done(event.data);
      worker.onerror = event => done('blocked: ' + event.message);
      worker.postMessage(new URL(url, location.href).href);
    });
  },

  // serviceWorker takes over a scope.
  async serviceWorker(script, scope) {
    try {
      const registration = await navigator.serviceWorker.register(script, {scope});
      return 'registered for ' + registration.scope;
    } catch (err) {
      return 'blocked: ' + err;
    }
  },

  // socket opens a WebSocket and returns its first message or its end.
  socket(path) {
    return new Promise(done => {
      let socket;
      try {
        socket = new WebSocket(location.origin.replace('http', 'ws') + path);
      } catch (err) {
        return done('blocked: ' + err);
      }
      socket.onopen = () => { done('open'); socket.close(); };
      socket.onerror = () => done('blocked: no connection');
    });
  },

  // events opens a stream of events.
  events(url) {
    return new Promise(done => {
      const source = new EventSource(url);
      source.onmessage = event => { source.close(); done(event.data); };
      source.onerror = () => { source.close(); done('blocked: no stream'); };
    });
  },

  // beacon sends a body that needs no answer.
  beacon(url, fields) {
    return navigator.sendBeacon(url, new URLSearchParams(fields)) ? 'sent' : 'blocked: not sent';
  },

  // cookie sets cookies by script and returns which of them the script can see.
  cookie(...cookies) {
    for (const cookie of cookies) document.cookie = cookie;
    return document.cookie;
  },

  // overflow fills a path's cookies.
  overflow(path, count, size) {
    for (let i = 0; i < count; i++) document.cookie = `flood${i}=${'x'.repeat(size)}; path=${path}`;
    return 'set';
  },

  // domain widens the document's origin.
  domain() {
    try {
      document.domain = location.hostname;
      return document.domain;
    } catch (err) {
      return 'blocked: ' + err;
    }
  },
};
