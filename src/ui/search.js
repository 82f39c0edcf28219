(() => {
  const form = document.getElementById("search"), input = document.getElementById("q"), status = document.getElementById("found");
  const icons = () => document.querySelectorAll(".icon img").forEach(image => {
    const drop = () => { const icon = image.parentElement; if (icon) icon.textContent = icon.dataset.letter; };
    if (image.complete && !image.naturalWidth) drop(); else image.addEventListener("error", drop);
  });
  icons();
  if (!form) return;
  const fold = text => text.normalize("NFKC").toLowerCase();
  const words = () => fold(input.value).split(/\s+/).filter(Boolean);
  const here = () => {
    const wanted = words();
    let shown = 0;
    document.querySelectorAll(".tier").forEach(tier => {
      let left = 0;
      tier.querySelectorAll(".app").forEach(app => {
        const text = fold(app.dataset.find + " " + app.textContent);
        app.hidden = !wanted.every(word => text.includes(word));
        if (!app.hidden) left++;
      });
      tier.hidden = !left;
      shown += left;
    });
    const none = document.getElementById("none");
    if (none) none.hidden = shown > 0;
    status.textContent = wanted.length ? form.dataset.found.replace("{count}", shown) : "";
  };
  let asked = 0, timer;
  const there = async () => {
    const own = ++asked, url = new URL(form.action);
    if (input.value.trim()) url.searchParams.set("q", input.value);
    const answer = await fetch(url, { credentials: "same-origin" }).catch(() => null);
    if (!answer || !answer.ok || own !== asked) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (own !== asked) return;
    const fresh = page.getElementById("apps");
    if (!fresh) return;
    document.getElementById("apps").replaceWith(document.adoptNode(fresh));
    status.textContent = page.getElementById("found").textContent;
    icons();
  };
  input.addEventListener("input", () => {
    if (!("whole" in form.dataset)) { clearTimeout(timer); timer = setTimeout(there, 180); } else here();
  });
  if ("whole" in form.dataset) form.addEventListener("submit", event => { event.preventDefault(); here(); });
})();
