"""How the report looks: by day and by night, narrow and wide, on a screen and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #16181d; --quiet: #565b66; --paper: #fff; --line: #d9dce2; --strong: #8b919c;
--panel: #f4f5f7; --chosen: #1757a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9ebf0; --quiet: #a6acb8; --paper: #14161a; --line: #343841;
--strong: #6d7480; --panel: #1d2026; --chosen: #7db3f5; } }
@media print { :root { color-scheme: light; --ink: #000; --quiet: #333; --paper: #fff; --line: #bbb; --strong: #666;
--panel: #fff; --chosen: #123f7a; } figure, table, .tiles { break-inside: avoid; } body { margin: 0; font-size: 10.5pt; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; color: var(--ink);
background: var(--paper); max-width: 72rem; margin: 0 auto; padding: 2rem 1.1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 0 0 .4rem; } header p { color: var(--quiet); margin: 0; }
.lead { font-size: 1.15rem; max-width: 46rem; margin: 1.4rem 0 1rem; }
.reason { max-width: 46rem; color: var(--quiet); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.4rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.tiles div { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem; padding: .8rem .9rem; }
.tiles dt { font-size: .8rem; color: var(--quiet); } dl { margin: 0; }
.tiles dd { margin: .1rem 0 0; font-size: 1.2rem; line-height: 1.3; font-weight: 650; font-variant-numeric: tabular-nums;
overflow-wrap: anywhere; } .tiles dd.more { font-size: .88rem; font-weight: 400; color: var(--quiet); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(25rem, 100%), 1fr)); gap: 2.4rem 2.8rem;
margin: 2.4rem 0; } figure { margin: 0; min-width: 0; break-inside: avoid; } figure.across { grid-column: 1 / -1; }
.tight { display: none; }
@media screen and (max-width: 44rem) { .roomy { display: none; } .tight { display: block; } }
figcaption { color: var(--quiet); font-size: .88rem; margin-top: .5rem; }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .88rem; margin: .2rem 0 .4rem; }
.key span { display: inline-flex; align-items: center; gap: .4rem; } .key svg { width: 36px; height: 14px; }
figure svg[role] { display: block; width: 100%; height: auto; } figure.square svg { max-width: 27rem; }
svg text { font: 12.5px system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; fill: var(--ink); }
svg text.quiet, svg text.count { fill: var(--quiet); } svg text.count { font-size: 11px; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .axis { stroke: var(--strong); stroke-width: 1.2; }
svg .ink { fill: none; stroke: var(--ink); stroke-linejoin: round; }
svg .full { fill: var(--ink); stroke: var(--paper); stroke-width: 1; }
svg .open { fill: var(--paper); stroke: var(--ink); stroke-width: 1.6; }
svg .chosen .ink, svg .chosen .open { stroke: var(--chosen); } svg .chosen .full { fill: var(--chosen); }
svg .band { fill: var(--chosen); opacity: .13; } svg .box { fill: var(--panel); stroke: var(--ink); stroke-width: 1.4; }
section { margin: 2.6rem 0; } .wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { text-align: right; padding: .32rem .55rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { border-bottom: 1.5px solid var(--strong); font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child, .words { text-align: left; } tr.chosen td { font-weight: 700; }
tr.own td { color: var(--quiet); } tr.own td:first-child { padding-left: 1.6rem; }
.small { color: var(--quiet); font-size: .88rem; max-width: 52rem; }
code { font-size: .9em; overflow-wrap: anywhere; }
"""
