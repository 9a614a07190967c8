"use strict";

// Tables, charts, and the look of both. Values of the page come as JSON, and are only ever set as text.
(() => {
  const PAGE_ROWS = 25, SEARCHED_FROM = 12, LONG_TEXT = 40;
  const given = (figure) => JSON.parse(figure.querySelector('script[type="application/json"]').textContent);

  function element(name, attributes = {}, text = "") {
    const made = Object.assign(document.createElement(name), attributes);
    if (text) made.textContent = text;
    return made;
  }

  function bytes(count) {
    if (count < 1e3) return `${count} B`;
    const [unit, name] = count < 1e6 ? [1e3, "kB"] : [1e6, "MB"];
    return `${(count / unit).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ${name}`;
  }

  const FORMATS = {
    text: (value) => value,
    integer: (value) => value.toLocaleString("en", { maximumFractionDigits: 0 }),
    number: (value, digits) => value.toFixed(digits),
    percent: (value, digits) => `${(100 * value).toFixed(digits)} %`,
    bytes,
  };

  class SortedTable {
    constructor(figure) {
      const { columns, rows, order } = given(figure);
      Object.assign(this, { columns, rows, order, first: 0, sought: "" });
      this.shown = rows;
      if (rows.length > SEARCHED_FROM) figure.append(this.tools());
      const table = element("table");
      this.heads = columns.map((column, index) => this.head(column, index));
      const line = element("tr");
      line.append(...this.heads);
      table.createTHead().append(line);
      this.body = table.createTBody();
      const scroll = element("div", { className: "scroll", tabIndex: 0 });
      scroll.append(table);
      figure.append(scroll);
      this.update();
    }

    tools() {
      const box = element("div", { className: "tools" });
      this.search = element("input", { type: "search", placeholder: "Search", ariaLabel: "Search this table" });
      this.search.addEventListener("input", () => {
        this.sought = this.search.value.toLowerCase();
        this.update();
      });
      const turn = (text, by) => {
        const button = element("button", { type: "button" }, text);
        button.addEventListener("click", () => this.draw(this.first + by));
        return button;
      };
      this.count = element("span", { ariaLive: "polite" });
      this.back = turn("Previous", -PAGE_ROWS);
      this.on = turn("Next", PAGE_ROWS);
      box.append(this.search, this.count, this.back, this.on);
      return box;
    }

    head(column, index) {
      const cell = element("th", { scope: "col", title: column.help });
      if (column.kind !== "text") cell.className = "right";
      const button = element("button", { type: "button" }, column.title);
      button.addEventListener("click", () => {
        const [by, way] = this.order ?? [];
        // Of numbers the greatest are looked for first.
        const begin = column.kind === "text" ? "ascending" : "descending";
        const other = way === "ascending" ? "descending" : "ascending";
        this.order = [index, by === index ? other : begin];
        this.update();
      });
      cell.append(button);
      return cell;
    }

    update() {
      const sought = this.sought;
      this.shown = this.rows.filter((row) =>
        row.some((value) => typeof value === "string" && value.toLowerCase().includes(sought)) || !sought);
      if (this.order) {
        const [by, way] = this.order, sign = way === "ascending" ? 1 : -1;
        const names = new Intl.Collator("en", { numeric: true });
        this.shown.sort((a, b) => {
          const [one, other] = [a[by], b[by]];
          if (one === null || other === null) return (one === null) - (other === null);
          return sign * (typeof one === "string" ? names.compare(one, other) : one - other);
        });
      }
      this.heads.forEach((head, index) => {
        if (this.order?.[0] === index) head.setAttribute("aria-sort", this.order[1]);
        else head.removeAttribute("aria-sort");
      });
      this.draw(0);
    }

    draw(first) {
      this.first = first;
      const paged = this.search ? this.shown.slice(first, first + PAGE_ROWS) : this.shown;
      this.body.replaceChildren(...paged.map((row) => this.line(row)));
      if (!this.search) return;
      const last = first + paged.length, all = this.shown.length;
      this.count.textContent = all ? `${first + 1} to ${last} of ${all.toLocaleString("en")}` : "none";
      this.back.disabled = first === 0;
      this.on.disabled = last >= all;
    }

    line(row) {
      const line = element("tr");
      row.forEach((value, index) => {
        const { kind, digits } = this.columns[index];
        const shown = value === null ? "–" : FORMATS[kind](value, digits);
        const wordy = kind === "text" && shown.length > LONG_TEXT ? "long" : "";
        line.append(element("td", { className: kind === "text" ? wordy : "right" }, shown));
      });
      return line;
    }
  }

  // The page's colors as they are now: Plotly knows none by the name of a style.
  function colored(value, key = "") {
    if (typeof value === "string" && /color/.test(key) && value.startsWith("var(--")) {
      const [name, opacity] = value.slice(4, -1).split(",");
      const color = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
      return opacity ? color + Math.round(255 * opacity).toString(16).padStart(2, "0") : color;
    }
    if (Array.isArray(value)) return value.map((own) => colored(own, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, colored(own, key + name)]));
    }
    return value;
  }

  function look() {
    const bar = { thickness: 12, outlinewidth: 0 };
    const scale = [[0, "var(--shade)"], [1, "var(--series-1)"]];
    const axis = {
      automargin: true, gridcolor: "var(--line)", linecolor: "var(--line)", zerolinecolor: "var(--line)",
      tickcolor: "var(--line)", title: { standoff: 8 },
    };
    const layout = {
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: "var(--ink)" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      colorway: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => `var(--series-${number})`),
      margin: { l: 48, r: 16, t: 10, b: 40 },
      hovermode: "closest", hoverlabel: { bgcolor: "var(--paper)", bordercolor: "var(--line)", font: { color: "var(--ink)" }, align: "left" },
      legend: { orientation: "h", yanchor: "bottom", y: 1, xanchor: "left", x: 0 },
      xaxis: axis, yaxis: axis,
    };
    return colored({ layout, data: { heatmap: [{ colorscale: scale, colorbar: bar }] } });
  }

  function drawChart(figure) {
    const { traces, layout } = given(figure);
    const drawn = traces.map((trace) => {
      const own = colored(trace);
      if (own.hovertemplate) own.hovertemplate = `${own.hovertemplate.replaceAll("\n", "<br>")}<extra></extra>`;
      return own;
    });
    const settings = { responsive: true, displayModeBar: false };
    return Plotly.react(figure.querySelector(".plot"), drawn, { ...colored(layout), template: look() }, settings);
  }

  async function unpack(packed) {
    const stored = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const opened = new Blob([stored]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(opened).text();
  }

  // A chart is drawn as it comes near: a page of many opens as fast as one of few.
  async function drawCharts() {
    const charts = [...document.querySelectorAll(".chart")];
    if (!charts.length) return;
    document.head.append(element("script", {}, await unpack(document.getElementById("library").textContent)));
    const drawn = new Set();
    const draw = async (figure) => {
      drawn.add(figure);
      await drawChart(figure);
    };
    await new Promise((resolve) => {
      const watch = new IntersectionObserver(async (seen) => {
        const near = seen.filter((entry) => entry.isIntersecting).map((entry) => entry.target);
        near.forEach((figure) => watch.unobserve(figure));
        await Promise.all(near.map(draw));
        resolve();
      }, { rootMargin: "50% 0px" });
      charts.forEach((figure) => watch.observe(figure));
    });
    const rest = () => charts.filter((figure) => !drawn.has(figure)).forEach(draw);
    addEventListener("beforeprint", rest);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(drawChart));
  }

  document.querySelectorAll(".table").forEach((figure) => new SortedTable(figure));
  drawCharts().then(() => { document.documentElement.dataset.drawn = "seen"; });
})();
