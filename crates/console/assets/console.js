"use strict";
// Makes the workbench and the page of a job move by themselves. Everything works without this script, by forms and links.
(function () {
  // What a server or a user wrote goes into the page as text only.
  function make(tag, text, attributes) {
    var element = document.createElement(tag);
    if (text !== undefined && text !== null) {
      element.textContent = text;
    }
    Object.keys(attributes || {}).forEach(function (name) { element.setAttribute(name, attributes[name]); });
    return element;
  }

  function fill(pattern, values) {
    return pattern.replace(/\{(\w+)\}/g, function (whole, name) { return name in values ? String(values[name]) : whole; });
  }

  // Characters that hide or turn others are shown by their numbers, as the server shows them.
  function seen(text) {
    return text.replace(
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g,
      function (c) { return "\\u{" + c.charCodeAt(0).toString(16) + "}"; });
  }

  function Refused(message, status) {
    this.message = message;
    this.status = status;
  }

  function ask(address, options) {
    var request = { headers: { Accept: "application/json" }, credentials: "same-origin", cache: "no-store" };
    Object.keys(options || {}).forEach(function (key) { request[key] = options[key]; });
    return fetch(address, request).then(function (answer) {
      return answer.json().then(
        function (value) {
          if (!answer.ok) {
            throw new Refused(value.Code + ": " + value.Message, answer.status);
          }
          return value;
        },
        function () { throw new Refused(String(answer.status), answer.status); });
    });
  }

  function isOver(job) {
    return job.state === "Success" || job.state === "Failed" || job.state === "Cancelled";
  }

  // Asks until the job has ended; `each` sees every answer. The server holds each question until the end of the job, so
  // that the first ones, and those of a job that waits for its start, have to be short.
  function follow(address, each) {
    var pause = 200;
    var hold = 300;
    function again() {
      return ask(address + "?wait_ms=" + hold).then(function (job) {
        hold = job.state === "Waiting" ? 1000 : Math.min(hold * 3, 10000);
        each(job);
        if (isOver(job)) {
          return job;
        }
        pause = Math.min(pause * 1.5, 2000);
        return new Promise(function (done) { setTimeout(done, pause); }).then(again);
      });
    }
    return again();
  }

  // The page of a job that runs: it is loaded again when the job has ended.
  var running = document.querySelector("[data-poll]");
  if (running && window.fetch) {
    follow(running.getAttribute("data-poll"), function () {}).then(
      function () { window.location.reload(); },
      function () { setTimeout(function () { window.location.reload(); }, 5000); });
  }

  var bench = document.getElementById("workbench");
  if (!bench || !window.fetch) {
    return;
  }
  var words = bench.dataset;
  var text = document.getElementById("text");
  var run = document.getElementById("run");
  var stop = document.getElementById("stop");
  var outcome = document.getElementById("outcome");
  var state = document.getElementById("outcome-state");
  var body = document.getElementById("outcome-body");
  var PAGE = 500;
  // Counts runs: what belongs to an earlier one is dropped.
  var current = 0;

  function say(sentence, kind) {
    state.textContent = "";
    var line = make("p", null, { "class": "state " + kind });
    line.appendChild(make("strong", seen(sentence)));
    state.appendChild(line);
  }

  function fail(error) {
    if (error instanceof Refused) {
      say(error.status === 401 ? words.signedOut : error.message, "bad");
    } else {
      say(fill(words.lost, { why: error.message || String(error) }), "bad");
    }
    stop.hidden = true;
    run.disabled = false;
  }

  // Numbers stand below each other by their ends.
  function isNumber(column) {
    return /^(tinyint|smallint|int|bigint|float|double|decimal)\b/.test(column.type);
  }

  function cell(value, column) {
    var td = make("td", null, { "class": isNumber(column) ? "cell number" : "cell" });
    td.appendChild(value === null ? make("span", "NULL", { "class": "null" }) : make("bdi", seen(value)));
    return td;
  }

  function grid(address, turn) {
    var box = make("div", null, { "class": "wide", tabindex: "0", role: "region", "aria-labelledby": "grid-caption" });
    var table = make("table", null, { "class": "grid" });
    var caption = make("caption", "", { id: "grid-caption" });
    var rows = make("tbody");
    var more = make("button", words.more, { type: "button" });
    var shown = 0;
    table.appendChild(caption);
    function next() {
      more.disabled = true;
      return ask(address + "/rows?start=" + shown + "&count=" + PAGE).then(function (answer) {
        if (turn !== current) {
          return;
        }
        if (shown === 0) {
          var head = make("tr");
          answer.columns.forEach(function (column) {
            var th = make("th", null, { scope: "col", "class": isNumber(column) ? "number" : "" });
            th.appendChild(make("bdi", seen(column.name)));
            th.appendChild(make("br"));
            th.appendChild(make("span", seen(column.type), { "class": "type" }));
            head.appendChild(th);
          });
          table.appendChild(make("thead")).appendChild(head);
          table.appendChild(rows);
        }
        answer.rows.forEach(function (row) {
          var tr = make("tr");
          row.forEach(function (value, i) { tr.appendChild(cell(value, answer.columns[i])); });
          rows.appendChild(tr);
        });
        shown += answer.rows.length;
        caption.textContent = answer.total === 0
          ? words.noRows
          : fill(words.rows, { from: 1, to: shown.toLocaleString("en"), total: answer.total.toLocaleString("en") });
        more.disabled = false;
        more.hidden = shown >= answer.total || answer.rows.length === 0;
      });
    }
    more.addEventListener("click", function () { next().catch(fail); });
    box.appendChild(table);
    body.appendChild(box);
    body.appendChild(more);
    return next();
  }

  // Selects the place that an error names, counted from where the text that was run begins in the editor.
  function point(error, from) {
    var place = /:\[(\d+),(\d+)\]/.exec(error);
    if (!place || place[1] === "0") {
      return;
    }
    var lines = text.value.slice(from).split("\n");
    var at = from;
    for (var i = 0; i < place[1] - 1 && i < lines.length; i += 1) {
      at += lines[i].length + 1;
    }
    at = Math.min(at + Number(place[2]) - 1, text.value.length);
    var word = /^[\w.]+/.exec(text.value.slice(at));
    text.focus();
    text.setSelectionRange(at, at + (word ? word[0].length : 1));
  }

  // The last statements, this one among them.
  function remember() {
    fetch(bench.action, { headers: { Accept: "text/html" }, credentials: "same-origin", cache: "no-store" }).then(function (answer) {
      return answer.ok ? answer.text() : "";
    }).then(function (page) {
      var fresh = new DOMParser().parseFromString(page, "text/html").getElementById("history-part");
      if (fresh) {
        document.getElementById("history-part").replaceWith(fresh);
      }
    }).catch(function () {});
  }

  function took(job) {
    var ms = Math.max(0, job.ended_ms - job.started_ms);
    return fill(words.inTime, {
      t: ms < 1000 ? fill(words.unitMs, { n: ms }) : fill(words.unitS, { n: (ms / 1000).toFixed(ms < 10000 ? 2 : 1) })
    });
  }

  function show(job, address, turn, from) {
    var kinds = { Success: "good", Failed: "bad", Cancelled: "bad", Waiting: "wait", Running: "busy" };
    var sentence = words[job.state.toLowerCase()] || job.state;
    say(isOver(job) && job.started_ms ? sentence + words.comma + took(job) : sentence, kinds[job.state] || "busy");
    stop.hidden = isOver(job);
    if (!isOver(job)) {
      return null;
    }
    run.disabled = false;
    remember();
    if (job.error) {
      body.appendChild(make("pre", "FAILED: " + seen(job.error), { "class": "error", tabindex: "0" }));
      var code = /ODPS-\d{7}/.exec(job.error);
      if (code) {
        var link = make("a", fill(words.means, { code: code[0] }), { href: words.codes + code[0] });
        body.appendChild(make("p")).appendChild(link);
      }
      point(job.error, from);
      return null;
    }
    if (job.is_select) {
      ["csv", "parquet"].forEach(function (kind) {
        var link = document.getElementById("to-" + kind);
        link.href = address + "/result." + kind;
        link.hidden = false;
      });
      return grid(address, turn);
    }
    body.appendChild(job.text
      ? make("pre", seen(job.text), { tabindex: "0" })
      : make("p", words.noOutput, { "class": "quiet" }));
    return null;
  }

  function submit() {
    var picked = text.value.slice(text.selectionStart, text.selectionEnd);
    var from = picked.trim() ? text.selectionStart : 0;
    var sql = picked.trim() ? picked : text.value;
    if (!sql.trim()) {
      text.focus();
      return;
    }
    current += 1;
    var turn = current;
    close();
    run.disabled = true;
    outcome.hidden = false;
    body.textContent = "";
    ["csv", "parquet"].forEach(function (kind) { document.getElementById("to-" + kind).hidden = true; });
    document.getElementById("outcome-links").hidden = true;
    say(words.sending, "busy");
    document.querySelector(".hints bdi").textContent =
      words.command + " '" + seen(sql.trim().slice(0, 2000)).replace(/'/g, "'\\''") + "'";
    var form = new URLSearchParams();
    form.set("text", sql);
    // Each click is a run of its own; a request that the browser sends twice is one.
    form.set("form", bench.elements.form.value + "x" + turn);
    ask(bench.action, { method: "POST", body: form }).then(function (job) {
      var address = words.jobs + "/" + encodeURIComponent(job.id);
      document.getElementById("to-job").href = address;
      var logview = document.getElementById("to-logview");
      logview.href = logview.getAttribute("data-base") + encodeURIComponent(job.id);
      document.getElementById("outcome-links").hidden = false;
      if (!isOver(job)) {
        show(job, address, turn, from);
      }
      stop.onclick = function () {
        stop.disabled = true;
        var order = new URLSearchParams();
        order.set("action", "stop");
        ask(address, { method: "POST", body: order }).catch(fail).then(function () { stop.disabled = false; });
      };
      return follow(address + "/state", function (now) {
        if (turn === current && !isOver(now)) {
          show(now, address, turn, from);
        }
      }).then(function (done) { return turn === current ? show(done, address, turn, from) : null; });
    }).catch(function (error) {
      if (turn === current) {
        fail(error);
      }
    });
  }

  bench.addEventListener("submit", function (event) {
    event.preventDefault();
    submit();
  });
  document.addEventListener("click", function (event) {
    var link = event.target.closest("a.again");
    var again = link && link.getAttribute("data-text");
    if (again) {
      event.preventDefault();
      text.value = again;
      text.dispatchEvent(new Event("change"));
      text.focus();
      text.setSelectionRange(0, 0);
      window.scrollTo(0, 0);
    }
  });

  // Completion: a list of proposals below the word at the cursor.
  var catalog = null;
  var columns = Object.create(null);
  var list = make("ul", null, { "class": "proposals", id: "proposals", role: "listbox", "aria-label": words.proposals });
  var proposals = [];
  var chosen = -1;
  // Counts questions: the answer to an earlier one comes too late.
  var question = 0;
  list.hidden = true;
  text.parentNode.appendChild(list);
  text.setAttribute("aria-autocomplete", "list");
  text.setAttribute("aria-haspopup", "listbox");
  text.setAttribute("aria-controls", "proposals");

  function close() {
    list.hidden = true;
    chosen = -1;
    question += 1;
    text.removeAttribute("aria-activedescendant");
  }

  function load() {
    if (catalog) {
      return Promise.resolve(catalog);
    }
    return ask(words.complete).then(function (answer) {
      var all = answer.tables.map(function (name) { return { text: name, what: "table" }; });
      answer.functions.forEach(function (call) {
        var name = /^\w+/.exec(call);
        if (name) {
          all.push({ text: name[0], what: call, opens: true });
        }
      });
      answer.keywords.forEach(function (word) { all.push({ text: word.toUpperCase(), what: "" }); });
      catalog = { all: all, tables: answer.tables };
      return catalog;
    });
  }

  function columnsOf(table) {
    if (!(table in columns)) {
      columns[table] = ask(words.complete + "?table=" + encodeURIComponent(table)).then(
        function (answer) {
          return answer.columns.map(function (c) { return { text: c.name, what: c.type }; });
        },
        function () { return []; });
    }
    return columns[table];
  }

  // Tables that the text names, with the names that stand for them: `from t a` makes both t and a.
  function named(tables) {
    var found = Object.create(null);
    var pattern = /([A-Za-z_][\w.]*)`?(?:\s+(?:as\s+)?([A-Za-z_]\w*))?/gi;
    var words = /\b(?:from|join|into|table|update|desc|describe|,)\s*`?/gi;
    var place;
    while ((place = words.exec(text.value)) !== null) {
      pattern.lastIndex = words.lastIndex;
      var match = pattern.exec(text.value);
      if (match && match.index === words.lastIndex && tables.indexOf(match[1].toLowerCase()) >= 0) {
        found[match[1].toLowerCase()] = match[1].toLowerCase();
        if (match[2]) {
          found[match[2].toLowerCase()] = match[1].toLowerCase();
        }
      }
    }
    return found;
  }

  function before() {
    return /(?:([A-Za-z_]\w*)\.)?([A-Za-z_]\w*)?$/.exec(text.value.slice(0, text.selectionStart)) || ["", "", ""];
  }

  function propose(asked) {
    var place = before();
    var start = (place[2] || "").toLowerCase();
    var owner = place[1] && place[1].toLowerCase();
    if (!asked && !owner && start.length < 2) {
      close();
      return;
    }
    var at = text.selectionStart;
    question += 1;
    var mine = question;
    load().then(function (known) {
      var names = named(known.tables);
      var wanted = owner ? [names[owner]].filter(Boolean) : Object.keys(names).map(function (n) { return names[n]; });
      var unique = wanted.filter(function (t, i) { return wanted.indexOf(t) === i; }).slice(0, 5);
      return Promise.all(unique.map(columnsOf)).then(function (lists) {
        var own = [].concat.apply([], lists);
        return owner ? own : own.concat(known.all);
      });
    }).then(function (all) {
      if (mine !== question || at !== text.selectionStart || document.activeElement !== text) {
        return;
      }
      var told = Object.create(null);
      proposals = all.filter(function (p) {
        var key = p.text.toLowerCase();
        var fits = key.slice(0, start.length) === start && !(key === start && p.what === "") && !told[key];
        told[key] = told[key] || fits;
        return fits;
      }).slice(0, 50);
      display();
    }).catch(function () { close(); });
  }

  function display() {
    list.textContent = "";
    if (proposals.length === 0) {
      close();
      return;
    }
    proposals.forEach(function (proposal, i) {
      var item = make("li", null, { role: "option", id: "proposal-" + i, "aria-selected": "false" });
      item.appendChild(make("bdi", seen(proposal.text)));
      if (proposal.what) {
        item.appendChild(make("span", seen(proposal.what), { "class": "what" }));
      }
      item.addEventListener("mousedown", function (event) {
        event.preventDefault();
        take(i);
      });
      list.appendChild(item);
    });
    list.hidden = false;
    put();
    choose(0);
  }

  // Below the cursor's line. The editor's characters have one width, so that their number is their place.
  function put() {
    var style = window.getComputedStyle(text);
    var lines = text.value.slice(0, text.selectionStart).split("\n");
    var line = parseFloat(style.lineHeight) || 21;
    var wide = parseFloat(style.fontSize) * 0.6;
    var top = parseFloat(style.paddingTop) + lines.length * line - text.scrollTop + 2;
    var left = parseFloat(style.paddingLeft) + lines[lines.length - 1].length * wide - text.scrollLeft;
    list.style.top = Math.min(top, text.clientHeight) + "px";
    list.style.left = Math.max(0, Math.min(left, text.clientWidth - 240)) + "px";
  }

  function choose(i) {
    var items = list.children;
    if (chosen >= 0 && items[chosen]) {
      items[chosen].setAttribute("aria-selected", "false");
    }
    chosen = (i + items.length) % items.length;
    items[chosen].setAttribute("aria-selected", "true");
    items[chosen].scrollIntoView({ block: "nearest" });
    text.setAttribute("aria-activedescendant", items[chosen].id);
  }

  function take(i) {
    var start = (before()[2] || "").length;
    var end = text.selectionStart;
    var put = proposals[i].text + (proposals[i].opens ? "(" : "");
    text.setRangeText(put, end - start, end, "end");
    text.dispatchEvent(new Event("change"));
    close();
    text.focus();
  }

  text.addEventListener("input", function () { propose(false); });
  text.addEventListener("blur", close);
  text.addEventListener("click", close);
  text.addEventListener("keydown", function (event) {
    if (event.isComposing) {
      return;
    }
    var open = !list.hidden;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      submit();
    } else if (event.key === " " && event.ctrlKey) {
      propose(true);
    } else if (open && event.key === "ArrowDown") {
      choose(chosen + 1);
    } else if (open && event.key === "ArrowUp") {
      choose(chosen - 1);
    } else if (open && event.key === "Tab" && !event.shiftKey) {
      take(chosen);
    } else if (open && event.key === "Escape") {
      close();
    } else {
      return;
    }
    event.preventDefault();
  });
  // A page that comes back out of the browser's memory is ready again.
  window.addEventListener("pageshow", function () { run.disabled = false; });
})();
