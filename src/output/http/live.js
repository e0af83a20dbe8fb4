// Keeps the page up to date: whenever serialshark has new figures, the page is fetched again and
// its parts are put in place. Where the reader is, and what has the focus, stays.
"use strict";
const state = document.createElement("p");
state.setAttribute("role", "status");
state.className = "files";
document.body.prepend(state);

// With a token in the address, links need it too.
function keepToken() {
  const token = new URLSearchParams(location.search).get("token");
  if (!token) return;
  for (const link of document.querySelectorAll("a[href]")) {
    if (link.getAttribute("href").startsWith("#")) continue;
    const target = new URL(link.href);
    target.searchParams.set("token", token);
    link.href = target.href;
  }
}

let isFetching = false;
async function refresh() {
  if (isFetching || document.hidden) return;
  isFetching = true;
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const focus = document.activeElement && document.activeElement.id;
    for (const part of ["header", "main"]) {
      const fresh = page.querySelector(part);
      if (fresh) document.querySelector(part).replaceWith(fresh);
    }
    keepToken();
    if (focus && document.getElementById(focus)) document.getElementById(focus).focus();
  } finally {
    isFetching = false;
  }
}

keepToken();
function listen() {
  const events = new EventSource("events" + location.search);
  events.onmessage = (event) => {
    state.textContent = "Live: " + new Date().toLocaleTimeString();
    document.title = event.data ? event.data + ": serialshark" : document.title;
    refresh();
  };
  events.onerror = () => {
    state.textContent = "serialshark does not answer; waiting for it.";
    // After an answer that is an error, such as a proxy's, the browser does not ask again.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
}
listen();
document.addEventListener("visibilitychange", refresh);
