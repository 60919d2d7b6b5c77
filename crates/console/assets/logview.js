"use strict";
// Moves the page along while its job runs. Without this script the page loads itself again every few seconds.
(function () {
  var main = document.getElementById("main");
  var address = main && main.getAttribute("data-events");
  if (!address || !window.EventSource) {
    return;
  }
  var shown = {};

  // Puts fresh HTML of our own server into a part of the page; what was unfolded and focused stays so.
  function put(id, html) {
    var part = document.getElementById(id);
    if (!part || shown[id] === html) {
      return;
    }
    shown[id] = html;
    var open = Array.prototype.map.call(part.querySelectorAll("details[open]"), function (d) { return d.id; });
    var focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.innerHTML = html;
    open.forEach(function (name) {
      var details = name && document.getElementById(name);
      if (details) {
        details.open = true;
      }
    });
    var again = focused && document.getElementById(focused);
    if (again) {
      again.focus({ preventScroll: true });
    }
    var titled = part.querySelector("[data-title]");
    if (titled) {
      document.title = titled.getAttribute("data-title");
    }
  }

  var source = new EventSource(address);
  source.addEventListener("part", function (event) {
    var end = event.data.indexOf("\n");
    put(event.data.slice(0, end), event.data.slice(end + 1));
  });
  // A refusal closes it for good; a page loaded again says why.
  source.addEventListener("error", function () {
    if (source.readyState === 2) { setTimeout(function () { window.location.reload(); }, 15000); }
  });
  source.addEventListener("end", function () {
    source.close();
    main.setAttribute("data-ended", "yes");
  });
})();
