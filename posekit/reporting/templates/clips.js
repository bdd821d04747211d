"use strict";
// Clips with controls: play and pause, a step back or forth, a slider. The keyboard works them too.
for (const figure of document.querySelectorAll(".clip")) {
  const film = figure.querySelector(".film"), frames = [...film.children];
  const control = (tag, label, attributes) =>
    Object.assign(document.createElement(tag), { ariaLabel: label, title: label, ...attributes });
  const play = control("button", "Play or pause");
  const slider = control("input", "Frame", { type: "range", min: 1, max: frames.length, value: 1 });
  const told = document.createElement("output"), bar = document.createElement("div");
  let timer = null;

  function show(number) {
    slider.value = number;
    frames.forEach((frame, index) => { frame.hidden = index + 1 !== number; });
    told.textContent = `${number} / ${frames.length}`;
  }
  function step(by) {
    show((+slider.value - 1 + by + frames.length) % frames.length + 1);
  }
  function run(running) {
    clearInterval(timer);
    timer = running ? setInterval(step, +film.dataset.pause, 1) : null;
    play.textContent = running ? "❚❚" : "▶";
  }

  play.onclick = () => run(timer === null);
  slider.oninput = () => { run(false); show(+slider.value); };
  const steps = [["‹", "A frame back", -1], ["›", "A frame on", 1]].map(([textContent, label, by]) =>
    control("button", label, { textContent, onclick: () => { run(false); step(by); } }));
  bar.className = "controls";
  bar.append(play, steps[0], slider, steps[1], told);
  figure.classList.add("player");
  film.after(bar);
  show(1);
  run(!matchMedia("(prefers-reduced-motion: reduce)").matches);
}
