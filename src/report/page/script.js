// What the pictures cannot do by themselves: say the values under the pointer, open what a link leads to, and point out one policy.
const tip = document.getElementById("tip");
const clock = (ms) => {
  const all = Math.floor(ms / 1000);
  const two = (value) => String(value).padStart(2, "0");
  return `${all >= 86400 ? `${Math.floor(all / 86400)} d ` : ""}${two(Math.floor(all / 3600) % 24)}:${two(Math.floor(all / 60) % 60)}`;
};

for (const chart of document.querySelectorAll("svg[data-course]")) {
  const { atMs, left, right, columns } = JSON.parse(chart.dataset.course);
  const cross = chart.querySelector(".cross");
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
    const at = Math.floor(((x - left) / (right - left)) * atMs.length);
    if (at < 0 || at >= atMs.length) return;
    cross.setAttribute("transform", `translate(${left + ((right - left) * (at + 0.5)) / atMs.length} 0)`);
    chart.classList.add("read");
    tip.textContent = `${clock(atMs[at])}  demand ${columns.demand[at]}  ready ${columns.ready[at]}  paid for ${columns.paid[at]}  waiting ${columns.queue[at]}`;
    tip.hidden = false;
    tip.style.left = `${Math.min(window.innerWidth - tip.offsetWidth - 8, event.clientX + 12)}px`;
    tip.style.top = `${event.clientY + 16}px`;
  });
  chart.addEventListener("pointerleave", () => {
    chart.classList.remove("read");
    tip.hidden = true;
  });
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target === null) return;
  const details = target.closest("details");
  if (details !== null) details.open = true;
  target.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", openTarget);
openTarget();

for (const one of document.querySelectorAll("[data-policy]")) {
  const point = (on) => {
    const section = one.closest("section");
    for (const other of section.querySelectorAll("[data-policy]"))
      other.classList.toggle("pointed", on && other.dataset.policy === one.dataset.policy);
  };
  one.addEventListener("pointerenter", () => point(true));
  one.addEventListener("pointerleave", () => point(false));
}
