// Shows the progress of a pull. Without this script the page reloads itself.
"use strict";

(() => {
  const card = document.getElementById("pull");
  const step = document.getElementById("step");
  const layers = document.getElementById("layers");
  const rows = new Map();

  // Returns the row of a layer, made at its first report.
  function row(id) {
    if (!rows.has(id)) {
      const tr = layers.tBodies[0].insertRow();
      const name = document.createElement("th");
      name.scope = "row";
      name.append(document.createElement("code"));
      name.firstChild.textContent = id;
      const bar = document.createElement("progress");
      bar.max = 100;
      tr.append(name);
      tr.insertCell().append(bar);
      const size = tr.insertCell();
      size.className = "number";
      rows.set(id, { bar, size });
    }
    return rows.get(id);
  }

  layers.tBodies[0].replaceChildren(); // the stream sends everything from the beginning
  const stream = new EventSource(card.dataset.progress);

  stream.onmessage = (message) => {
    const pull = JSON.parse(message.data);
    if (step.textContent !== pull.message) { // announced once, not at each report of a layer
      step.textContent = pull.message;
    }
    for (const layer of pull.layers || []) {
      const { bar, size } = row(layer.id);
      if (layer.known) {
        bar.value = layer.percent;
      } else {
        bar.removeAttribute("value");
      }
      bar.setAttribute("aria-label", layer.message);
      size.textContent = layer.size;
    }
    layers.hidden = rows.size === 0;
    if (pull.over) { // the server shows the end, as it does without JavaScript
      stream.close();
      location.reload();
    }
  };

  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) { // refused; the browser retries all else
      setTimeout(() => location.reload(), 2000);
    }
  };
})();
