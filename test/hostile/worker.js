// Fetches what it is asked for, with a worker's own policy.
onmessage = async event => {
  try {
    const answer = await fetch(event.data, {credentials: 'include'});
    postMessage(answer.status + ' ' + await answer.text());
  } catch (err) {
    postMessage('blocked: ' + err);
  }
};
