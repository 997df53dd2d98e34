"use strict";
// Live progress of a start: JupyterHub's event stream into the bar and the log.
(() => {
  const box = document.getElementById("progress");
  const bar = box.querySelector("[role=progressbar]");
  const step = box.querySelector(".step");
  const log = box.querySelector("pre");
  if (box.dataset.stopping) {
    setTimeout(() => location.reload(), 1000);
    return;
  }
  const show = (percent, message) => {
    bar.setAttribute("aria-valuenow", String(percent));
    bar.dataset.percent = String(Math.round(percent / 10) * 10);
    step.textContent = message;
  };
  show(5, step.textContent);
  const source = new EventSource(box.dataset.events);
  let first = true;
  source.onopen = () => { log.textContent = ""; };
  source.onmessage = (event) => {
    const data = JSON.parse(event.data);
    if (data.ready) {
      source.close();
      show(100, "Ready");
      location.replace(box.dataset.next);
      return;
    }
    if (data.failed) {
      source.close();
      location.reload();
      return;
    }
    show(Math.max(5, data.progress), data.progress >= 50 && !first ? "Waiting for Jupyter to answer" : data.message);
    first = false;
    log.textContent += data.message + "\n";
    log.scrollTop = log.scrollHeight;
  };
  // The hub was reloaded or the start ended meanwhile: the page knows what to show.
  source.onerror = () => {
    source.close();
    setTimeout(() => location.reload(), 1000);
  };
})();
