"use strict";
// Colours the SQL in the editor: the same text, coloured, lies below the text area, whose own letters are not drawn.
(function () {
  var text = document.getElementById("text");
  var bench = document.getElementById("workbench");
  if (!text || !bench || !window.Set || !CSS.supports("caret-color", "red")) {
    return;
  }
  // A longer text would make typing slow.
  var MOST = 40000;
  var keywords = new Set(bench.dataset.keywords.split(" "));
  var below = document.createElement("pre");
  var PIECES = /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:\\[\s\S]|[^'\\])*(?:'|$)|"(?:\\[\s\S]|[^"\\])*(?:"|$)|`[^`]*(?:`|$)|[A-Za-z_]\w*|\d[\w.]*/g;
  below.setAttribute("aria-hidden", "true");
  below.className = "below";
  text.parentNode.insertBefore(below, text);

  function kind(piece, after) {
    var first = piece.charAt(0);
    if (first === "-" || first === "/") {
      return "c";
    }
    if (first === "'" || first === "\"") {
      return "s";
    }
    if (first === "`") {
      return "q";
    }
    if (first >= "0" && first <= "9") {
      return "n";
    }
    if (keywords.has(piece.toLowerCase())) {
      return "k";
    }
    return /^\s*\(/.test(after) ? "f" : "";
  }

  function paint() {
    var value = text.value;
    var painted = value.length <= MOST;
    text.parentNode.classList.toggle("painted", painted);
    below.textContent = "";
    if (!painted) {
      return;
    }
    var at = 0;
    var match;
    PIECES.lastIndex = 0;
    while ((match = PIECES.exec(value)) !== null) {
      var name = kind(match[0], value.slice(PIECES.lastIndex, PIECES.lastIndex + 40));
      if (name) {
        below.appendChild(document.createTextNode(value.slice(at, match.index)));
        var piece = document.createElement("span");
        piece.className = name;
        piece.textContent = match[0];
        below.appendChild(piece);
        at = PIECES.lastIndex;
      }
    }
    // A last line that is empty needs something to have a height.
    below.appendChild(document.createTextNode(value.slice(at) + "\n "));
    follow();
  }

  function follow() {
    below.scrollTop = text.scrollTop;
    below.scrollLeft = text.scrollLeft;
  }

  ["input", "change"].forEach(function (name) { text.addEventListener(name, paint); });
  text.addEventListener("scroll", follow);
  // A browser may put back what was typed before the page was left.
  window.addEventListener("pageshow", paint);
  paint();
})();
