"use strict";
(() => {
  const SAY = {
    en: {
      skip: "Skip to the files", lead: "Is it machine-made? How sure is that, and why?",
      key: "API key", useKey: "Use it", drop: "Drop files here, or choose them",
      dropNote: "Pictures, recordings, texts. They are judged on the machine that runs Candor and not kept.",
      paste: "Or paste a text", judge: "Judge this text", queue: "Files", empty: "Nothing yet.",
      keys: "Keys: j and k go through the files, a agree, d disagree, u unsure, n note.",
      export: "Export reviews as CSV", view: "What was found", review: "Is the label right?", note: "Note",
      agree: "Agree (a)", disagree: "Disagree (d)", unsure: "Unsure (u)", saved: "Saved.", pasted: "pasted text",
      working: "{n} to do", done: "{n} judged", waits: "waiting", scans: "being judged", busy: "The service is busy; trying again.",
      failed: "Not judged: {n}", needKey: "This service asks for an API key.", wrongKey: "That key is not valid.",
      labels: { "ai-generated": "AI-generated", suspected: "suspected", inconclusive: "inconclusive", "no-sign": "no sign", error: "error" },
    },
    zh: {
      skip: "跳到文件列表", lead: "是机器生成的吗？有多大把握，为什么？",
      key: "API 密钥", useKey: "使用", drop: "将文件拖到此处，或选择文件",
      dropNote: "图像、录音、文本。在运行 Candor 的机器上判断，不予保存。",
      paste: "或粘贴文本", judge: "判断此文本", queue: "文件", empty: "还没有文件。",
      keys: "按键：j、k 浏览文件，a 同意，d 不同意，u 不确定，n 备注。",
      export: "导出复核结果（CSV）", view: "发现", review: "结论正确吗？", note: "备注",
      agree: "同意 (a)", disagree: "不同意 (d)", unsure: "不确定 (u)", saved: "已保存。", pasted: "粘贴的文本",
      working: "还有 {n} 个", done: "已判断 {n} 个", waits: "等待中", scans: "判断中", busy: "服务繁忙，稍后重试。",
      failed: "未能判断：{n}", needKey: "此服务需要 API 密钥。", wrongKey: "密钥无效。",
      labels: { "ai-generated": "AI 生成", suspected: "疑似", inconclusive: "无法判断", "no-sign": "未见迹象", error: "错误" },
    },
  };
  const CLASS = { "ai-generated": "l-ai", suspected: "l-suspected", inconclusive: "l-inconclusive", "no-sign": "l-none", error: "l-error" };
  const AT_ONCE = 2;
  const $ = (id) => document.getElementById(id);
  const items = [];
  let current = -1, running = 0, apiKey = sessionStorage.getItem("candor-key") || "";
  let lang = localStorage.getItem("candor-lang") || (navigator.language.startsWith("zh") ? "zh" : "en");
  const say = (key, n) => String(SAY[lang][key] || "").replace("{n}", n);

  const speak = () => {
    document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
    document.querySelectorAll("[data-say]").forEach((e) => (e.textContent = say(e.dataset.say)));
    document.querySelectorAll("[data-opinion]").forEach((e) => (e.textContent = say(e.dataset.opinion)));
    $("lang").value = lang;
    items.forEach(draw);
    progress();
  };
  const progress = (text) => {
    const left = items.filter((i) => i.state === "waits" || i.state === "scans").length;
    const done = items.filter((i) => i.verdict).length;
    const parts = [];
    if (done) parts.push(say("done", done));
    if (left) parts.push(say("working", left));
    if (text) parts.push(text);
    $("progress").textContent = parts.join(" · ");
    $("empty").hidden = items.length > 0;
  };
  const percent = (p) => (p === null ? "" : p > 0.9999 ? "> 99.99 %" : p < 0.0001 ? "< 0.01 %" : (100 * p).toFixed(1) + " %");

  // A file's entry in the list.
  const draw = (item) => {
    const button = item.button;
    button.replaceChildren();
    const badge = document.createElement("span");
    const label = item.verdict && item.verdict.label;
    badge.className = "badge " + (label ? CLASS[label] : "");
    badge.textContent = label ? SAY[lang].labels[label] : item.state === "failed" ? "!" : "…";
    const name = document.createElement("bdi");
    name.className = "name";
    name.textContent = item.name;
    const more = document.createElement("span");
    more.className = "more";
    const opinion = item.review ? say(item.review.opinion) : "";
    more.textContent = item.verdict
      ? [percent(item.verdict.confidence), opinion].filter(Boolean).join(" · ") || "–"
      : item.state === "failed" ? say("failed", item.problem) : say(item.state);
    button.append(badge, name, more);
  };
  const add = (name, blob) => {
    const item = { name, blob, state: "waits", verdict: null, html: "", review: null };
    const entry = document.createElement("li");
    item.button = document.createElement("button");
    item.button.type = "button";
    const at = items.push(item) - 1;
    item.button.addEventListener("click", () => select(at));
    entry.append(item.button);
    $("queue").append(entry);
    draw(item);
    if (current < 0) select(at);
    next();
  };
  const headers = (more) => Object.assign(apiKey ? { Authorization: "Bearer " + apiKey } : {}, more);
  const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

  const next = () => {
    progress();
    while (running < AT_ONCE) {
      const item = items.find((i) => i.state === "waits");
      if (!item) return;
      running += 1;
      item.state = "scans";
      draw(item);
      judge(item).finally(() => {
        running -= 1;
        draw(item);
        if (items[current] === item) select(current);
        next();
      });
    }
  };
  const judge = async (item) => {
    const query = new URLSearchParams({ name: item.name, view: "html", lang });
    try {
      for (;;) {
        const answer = await fetch("/v1/scan?" + query, {
          method: "POST", body: item.blob, headers: headers({ "Content-Type": "application/octet-stream" }),
        });
        if (answer.status === 503 || answer.status === 429) {
          progress(say("busy"));
          await pause(Number(answer.headers.get("Retry-After")) || 2);
          continue;
        }
        if (answer.status === 401) {
          $("key-form").hidden = false;
          progress(say(apiKey ? "wrongKey" : "needKey"));
          item.state = "held";
          return;
        }
        const body = await answer.json();
        if (!answer.ok) throw new Error(body.detail || body.title);
        item.verdict = body.verdict;
        item.html = body.html;
        item.state = "done";
        item.blob = null;
        return;
      }
    } catch (error) {
      item.state = "failed";
      item.problem = error.message;
    }
  };
  const select = (at) => {
    const item = items[at];
    if (!item) return;
    current = at;
    items.forEach((other, i) => other.button.setAttribute("aria-current", String(i === at)));
    // The view is made and escaped by the service.
    $("item").innerHTML = item.html;
    $("view").classList.toggle("filled", Boolean(item.html));
    $("review").hidden = !item.verdict || !item.verdict.sha256;
    $("note").value = item.review ? item.review.note : "";
    $("saved").textContent = "";
    opinions(item);
  };
  const opinions = (item) =>
    document.querySelectorAll("[data-opinion]").forEach((b) =>
      b.setAttribute("aria-pressed", String(Boolean(item.review) && item.review.opinion === b.dataset.opinion))
    );
  const review = async (opinion) => {
    const item = items[current];
    if (!item || !item.verdict || !item.verdict.sha256) return;
    const made = { sha256: item.verdict.sha256, name: item.name, label: item.verdict.label, opinion, note: $("note").value };
    const answer = await fetch("/v1/reviews", {
      method: "POST", body: JSON.stringify(made), headers: headers({ "Content-Type": "application/json" }),
    });
    if (!answer.ok) {
      $("saved").textContent = (await answer.json()).detail || answer.statusText;
      return;
    }
    item.review = made;
    opinions(item);
    draw(item);
    $("saved").textContent = say("saved");
  };

  const drop = $("drop");
  $("files").addEventListener("change", (event) => {
    Array.from(event.target.files).forEach((file) => add(file.name, file));
    event.target.value = "";
  });
  ["dragenter", "dragover"].forEach((kind) =>
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    })
  );
  document.addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    Array.from(event.dataTransfer.files).forEach((file) => add(file.name, file));
  });
  document.addEventListener("paste", (event) => {
    if (/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
    const files = Array.from(event.clipboardData.files);
    if (files.length) files.forEach((file) => add(file.name, file));
    else text(event.clipboardData.getData("text/plain"));
  });
  const text = (value) => value.trim() && add(say("pasted") + " " + (items.length + 1) + ".txt", new Blob([value]));
  $("judge").addEventListener("click", () => {
    text($("text").value);
    $("text").value = "";
  });
  document.querySelectorAll("[data-opinion]").forEach((b) => b.addEventListener("click", () => review(b.dataset.opinion)));
  $("review").addEventListener("submit", (event) => event.preventDefault());
  $("note").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const item = items[current];
    if (item) review(item.review ? item.review.opinion : "unsure");
    $("note").blur();
  });
  $("export").addEventListener("click", async () => {
    const answer = await fetch("/v1/reviews.csv", { headers: headers({}) });
    if (!answer.ok) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = "reviews.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  $("lang").addEventListener("change", () => {
    lang = $("lang").value;
    localStorage.setItem("candor-lang", lang);
    speak();
  });
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    apiKey = $("key").value.trim();
    sessionStorage.setItem("candor-key", apiKey);
    $("key-form").hidden = true;
    items.forEach((item) => item.state === "held" && (item.state = "waits"));
    next();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const opinion = { a: "agree", d: "disagree", u: "unsure" }[event.key];
    if (opinion) review(opinion);
    else if (event.key === "j" || event.key === "k") {
      select(Math.max(0, Math.min(items.length - 1, current + (event.key === "j" ? 1 : -1))));
      if (items[current]) items[current].button.scrollIntoView({ block: "nearest" });
    } else if (event.key === "n" && !$("review").hidden) {
      event.preventDefault();
      $("note").focus();
    }
  });
  speak();
})();
