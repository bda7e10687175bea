const load = wire => globalThis.minimetaPlotly ??= new Promise(done => {
    wire.on("msg:custom", (_, [source]) => {
        const module = {exports: {}};
        new Function("module", new TextDecoder().decode(source))(module);
        done(module.exports);
    });
    wire.on("comm_live_update", () => delete globalThis.minimetaPlotly);  // its kernel is gone: ask the next one
    wire.send({want: "plotly.js"});
});
async function render({model, el}) {
    const wire = await model.widget_manager.get_model(model.get("wire").replace("IPY_MODEL_", ""));
    const plotly = await load(wire), plot = el.appendChild(document.createElement("div"));
    plot.style.color = "var(--jp-ui-font-color1, inherit)";
    const draw = () => {
        const {data, layout, frames} = JSON.parse(wire.get("value"));
        layout.font = {...layout.font, color: getComputedStyle(plot).color};
        const shapePosition = !!layout.shapes?.some(shape => shape.editable);
        const config = {displaylogo: false, edits: {shapePosition}};
        return plotly.react(plot, {data, layout, config, ...frames && {frames}});
    };
    await draw();
    wire.on("change:value", draw);
    const theme = new MutationObserver(draw);
    theme.observe(document.body, {attributeFilter: ["data-jp-theme-name"]});
    const view = new IntersectionObserver(([{isIntersecting}]) => {
        if (isIntersecting) { wire.send({seen: true}); view.disconnect(); }
    }, {threshold: 0.6});
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) view.observe(plot);
    plot.on("plotly_click", ({points}) => wire.send({node: points[0].customdata}));
    plot.on("plotly_relayout", change => {  // a shape that can be dragged has a new place
        const [x0, x1, y0, y1] = ["x0", "x1", "y0", "y1"].map(end => change[`shapes[0].${end}`]);
        if (x0 !== undefined) wire.send({place: [(x0 + x1) / 2, (y0 + y1) / 2]});
    });
    return () => { theme.disconnect(); view.disconnect(); wire.off("change:value", draw); };
}
export default {render};
