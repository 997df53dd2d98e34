// Shows the steps of a start. Without this script the page reloads itself.
"use strict";

(() => {
  const card = document.getElementById("starting");
  const step = document.getElementById("step");
  const bar = document.getElementById("bar");
  const log = document.getElementById("log");
  const steps = document.getElementById("steps");
  const maxLines = 500;
  let shown = "";
  let queued = 0;

  // Colours and other control characters of terminals, and those that change the direction
  // of writing.
  const noise = /\x1b(?:\[[0-?]*[ -\/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

  function add(line) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(line + "\n");
    while (log.childNodes.length > maxLines) {
      log.firstChild.remove();
    }
    if (atEnd) {
      log.scrollTop = log.scrollHeight;
    }
    steps.hidden = false;
  }

  // The server decides what follows, so that this page and the one without
  // JavaScript agree.
  function again(delay) {
    setTimeout(() => location.reload(), delay);
  }

  const stream = new EventSource(card.dataset.progress);

  stream.onopen = () => { // a stream sends everything from the beginning
    log.textContent = "";
  };

  stream.onmessage = (message) => {
    const event = JSON.parse(message.data);
    const text = String(event.message).replace(noise, "");
    bar.value = Math.max(bar.value, event.progress); // log lines may arrive late
    add(text);
    clearTimeout(queued); // a later step: its turn has come
    if (event.queued) {
      queued = setTimeout(() => location.reload(), 500); // the page of the queue says more
    } else if (event.ready) {
      stream.close();
      step.textContent = "Ready. Opening it …";
      location.replace(card.dataset.next);
    } else if (event.failed) {
      stream.close();
      step.textContent = "It did not start.";
      again(1000);
    } else if (event.progress >= 50 && shown !== "waiting") {
      shown = "waiting"; // announced once, not for each line of the log
      step.textContent = "It runs. Waiting for Jupyter to answer …";
    }
  };

  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) { // refused; the browser retries all else
      again(2000);
    }
  };
})();
