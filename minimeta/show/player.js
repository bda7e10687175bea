// Plays what `recording.py` has kept of a widget, and draws figures, on a page without a kernel.
// A control chooses among recorded states; nothing is computed here.
(() => {
const ICONS = {refresh: "↻", play: "▶", pause: "❚❚", stop: "■",
    "step-backward": "◂", "step-forward": "▸"};
const KERNEL = "Needs a kernel: open the notebook to use this.";

const make = (tag, attributes = {}, ...inside) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inside);
    return element;
};

// The figure is drawn by plot.js, which talks to a kernel through a wire; here the page is the other end of it.
const wire = (value, hear) => {
    const heard = {};
    return {
        get: () => value,
        on: (name, act) => { heard[name] = act; },
        off: () => {},
        send: hear,
        show: shown => { value = shown; heard["change:value"]?.(); },
    };
};
const plot = (element, line) => {
    globalThis.minimetaPlotly ??= Promise.resolve(globalThis.Plotly);
    const model = {get: () => "", widget_manager: {get_model: async () => line}};
    return minimetaPlot.render({model, el: element});
};

const drawFigure = (place, figure) => plot(place, wire(JSON.stringify(figure), () => {}));

const playWidget = (place, recording) => {
    const {pool, dials, states, first} = recording;
    const shown = states.map(([at, changes]) => ({at, values: {...first, ...changes}}));
    const controls = {};  // by number: {update}
    let now = 0, untouched = true;

    const value = (state, number, key) => pool[shown[state].values[`${number}.${key}`]];
    const dialOf = number => dials.findIndex(dial => dial.control === number);
    const keyOf = number => `${number}.${first[`${number}.index`] === undefined ? "value" : "index"}`;

    // The state in which this dial is as chosen, and the others as they are, or as nearly as there is one.
    const find = (dial, chosen) => {
        let best = -1, most = -1;
        shown.forEach((state, i) => {
            if (!chosen(state)) return;
            const same = state.at.filter((place, j) => j !== dial && place === shown[now].at[j]).length;
            if (same > most) [best, most] = [i, same];
        });
        return best;
    };
    const go = state => { if (state >= 0) { now = state; for (const {update} of Object.values(controls)) update(); } };
    const choose = (dial, chosen) => {  // the value of a control
        const key = keyOf(dials[dial].control);
        go(find(dial, state => pool[state.values[key]] === chosen));
    };
    const press = dial => {
        const count = 1 + Math.max(...shown.map(({at}) => at[dial]));
        const next = (shown[now].at[dial] + 1) % count;
        go(find(dial, ({at}) => at[dial] === next));
    };
    const choices = dial => {  // the values that were recorded while the other dials are as they are now
        const key = keyOf(dials[dial].control);
        const others = shown.filter(({at}) => at.every((place, j) => j === dial || place === shown[now].at[j]));
        return [...new Set(others.map(state => pool[state.values[key]]))].sort((a, b) => a - b);
    };

    const title = (element, dead, disabled) => {
        element.disabled = dead || disabled;
        if (dead) element.title = KERNEL;
    };
    const labelled = (number, element) => {
        const name = make("span", {class: "minimeta-name"}), said = make("output");
        const whole = make("label", {class: "minimeta-control"}, name, element, said);
        const call = () => {  // the words in a menu are no part of its name
            name.textContent = value(now, number, "description");
            element.setAttribute("aria-label", name.textContent);
        };
        return [whole, call, said];
    };

    const kinds = {
        menu(number) {
            const menu = make("select"), dial = dialOf(number), [whole, call] = labelled(number, menu);
            menu.addEventListener("change", () => choose(dial, +menu.value));
            const update = () => {
                call();
                const there = dial < 0 ? null : choices(dial), index = value(now, number, "index");
                menu.replaceChildren(...value(now, number, "_options_labels").map((words, i) => {
                    const option = make("option", {value: i}, words);
                    option.disabled = !!there && !there.includes(i);
                    option.selected = i === index;
                    return option;
                }));
                title(menu, dial < 0, value(now, number, "disabled"));
            };
            return [whole, update];
        },
        buttons(number) {
            const group = make("div", {role: "group"}), dial = dialOf(number), [whole, call] = labelled(number, group);
            const made = value(0, number, "_options_labels").map((words, i) => {
                const button = make("button", {type: "button"}, words);
                button.addEventListener("click", () => choose(dial, i));
                return button;
            });
            group.append(...made);
            const update = () => {
                call();
                made.forEach((button, i) => {
                    button.setAttribute("aria-pressed", i === value(now, number, "index"));
                    title(button, dial < 0, value(now, number, "disabled"));
                });
            };
            return [make("div", {class: "minimeta-control"}, ...whole.childNodes), update];
        },
        slider(number) {
            const slider = make("input", {type: "range", min: 0, step: 1}), dial = dialOf(number);
            const [whole, call, said] = labelled(number, slider);
            slider.addEventListener("input", () => { untouched = false; choose(dial, choices(dial)[+slider.value]); });
            const update = () => {
                const one = value(now, number, keyOf(number).split(".")[1]), labels = value(now, number, "_options_labels");
                const there = dial < 0 ? [one] : choices(dial);
                call();
                slider.max = Math.max(there.length - 1, 0);
                slider.value = there.indexOf(one);
                said.textContent = labels ? labels[one] : `${+Number(one).toPrecision(4)}`;
                slider.setAttribute("aria-valuetext", said.textContent);
                title(slider, there.length < 2, value(now, number, "disabled"));
            };
            return [whole, update];
        },
        tick(number) {
            const box = make("input", {type: "checkbox"}), dial = dialOf(number), [whole, call] = labelled(number, box);
            box.addEventListener("change", () => choose(dial, box.checked));
            const update = () => {
                call();
                box.checked = value(now, number, "value");
                title(box, dial < 0, value(now, number, "disabled"));
            };
            return [whole, update];
        },
        button(number) {
            const button = make("button", {type: "button"}), dial = dialOf(number), move = recording.moves[number];
            const next = () => choices(move[0])[choices(move[0]).indexOf(value(now, dials[move[0]].control, "value")) + move[1]];
            button.addEventListener("click", () => {
                untouched = false;
                move ? next() !== undefined && choose(move[0], next()) : press(dial);
            });
            const count = dial < 0 ? 0 : 1 + Math.max(...shown.map(({at}) => at[dial]));
            const update = () => {
                const words = value(now, number, "description"), icon = ICONS[value(now, number, "icon")] ?? "";
                button.textContent = `${icon} ${words}` + (count ? ` (${shown[now].at[dial] + 1} of ${count})` : "");
                button.setAttribute("aria-label", `${words || value(now, number, "tooltip")}`);
                title(button, dial < 0 && !move, value(now, number, "disabled"));
            };
            return [button, update];
        },
        play(number) {
            const button = make("button", {type: "button"}), dial = recording.plays[number];
            let timer = 0;
            const stop = () => { clearInterval(timer); timer = 0; say(); };
            const say = () => {
                button.textContent = timer ? `${ICONS.pause} pause` : `${ICONS.play} play`;
                title(button, dial === null, false);
            };
            const step = () => {
                const there = choices(dial), at = there.indexOf(value(now, number, "value"));
                at + 1 < there.length ? choose(dial, there[at + 1]) : stop();
            };
            const start = () => {
                const there = choices(dial);
                if (value(now, number, "value") === there.at(-1)) choose(dial, there[0]);
                timer = setInterval(step, value(now, number, "interval"));
                say();
            };
            button.addEventListener("click", () => { untouched = false; timer ? stop() : start(); });
            player = () => timer || start();
            return [button, say];
        },
        words(number) {
            const words = make("div", {class: "minimeta-words"});
            let last = -1;
            return [words, () => {
                const here = shown[now].values[`${number}.value`];
                if (here !== last) words.innerHTML = pool[last = here];
            }];
        },
        plot(number) {
            const frame = make("div", {class: "minimeta-plot", role: "group"});
            const figure = () => {
                const [data, layout, template] = value(now, number, "figure");
                const fixed = {...pool[layout], template: pool[template]};
                if (fixed.shapes) fixed.shapes = fixed.shapes.map(shape => ({...shape, editable: false}));
                return JSON.stringify({data: data.map(i => pool[i]), layout: fixed});
            };
            const hear = ({node, seen}) => {
                if (seen && recording.play && untouched) player();
                if (node === undefined || node === null) return;
                const to = recording.clicks[number] ?? dialOf(number);
                if (to < 0) return;
                untouched = false;
                dials[to].kind === "click" ? go(find(to, ({at}) => recording.met[to][at[to]] === node)) : choose(to, node);
            };
            const line = wire(figure(), hear);
            let last = JSON.stringify(shown[now].values[`${number}.figure`]);
            plot(frame, line);
            return [frame, () => {
                const here = JSON.stringify(shown[now].values[`${number}.figure`]);
                if (here !== last) { last = here; line.show(figure()); }
            }];
        },
    };
    const ROLES = {Dropdown: "menu", ToggleButtons: "buttons", IntSlider: "slider", FloatSlider: "slider",
        FloatLogSlider: "slider", SelectionSlider: "slider", Checkbox: "tick", Button: "button", Play: "play",
        HTML: "words", Plot: "plot"};
    let player = () => {};

    const build = ({kind, number, placed, children}) => {
        const [element, update] = children
            ? [make("div", {class: `minimeta-${kind}`}, ...children.map(build)), () => {}]
            : kinds[ROLES[kind]](number);
        for (const name of ["flex", "min_height"]) if (placed[name]) element.style[name.replace("_h", "H")] = placed[name];
        if (children && placed.width) element.style.flex = `1 1 ${placed.width}`;
        controls[number] = {update: () => { element.hidden = value(now, number, "hidden"); update(); }};
        return element;
    };
    place.append(build(recording.tree));
    for (const {update} of Object.values(controls)) update();
    const needs = [];
    if (place.querySelector(`[title="${KERNEL}"]`)) needs.push("what is greyed out");
    if (pool.some(part => part?.shapes?.some?.(shape => shape.editable))) needs.push("dragging");
    const words = `Recorded: ${needs.join(" and ")} ${needs.length > 1 ? "need" : "needs"} the notebook.`;
    if (needs.length) place.append(make("p", {class: "minimeta-note"}, words));
};

const unpack = async text => {
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
};
const begin = async place => {
    const {figure, widget} = await unpack(place.querySelector("script").textContent);
    figure ? drawFigure(place, figure) : playWidget(place, widget);
};
// What is far below is drawn when the reader comes near it; what is folded, when it is opened.
const near = new IntersectionObserver(entries => entries.forEach(({isIntersecting, target}) => {
    if (!isIntersecting) return;
    near.unobserve(target);
    begin(target);
}), {rootMargin: "600px"});
addEventListener("DOMContentLoaded", () => document.querySelectorAll(".minimeta").forEach(place => near.observe(place)));
// A page that has a theme of its own says so as JupyterLab does, and figures follow it.
new MutationObserver(() => { document.body.dataset.jpThemeName = document.body.dataset.theme ?? ""; })
    .observe(document.documentElement, {subtree: true, attributeFilter: ["data-theme"]});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ({matches}) => {
    document.body.dataset.jpThemeName = matches ? "dark" : "light";
});
})();
