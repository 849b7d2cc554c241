"""The colours and the style sheet of the page."""

from __future__ import annotations

LIGHT = {
    "paper": "#ffffff",
    "raised": "#f3f5f7",
    "ink": "#1b1e22",
    "quiet": "#555c64",
    "line": "#d3d8dd",
    "link": "#0b5cad",
    "good": "#0a6b3d",
    "bad": "#b3261e",
    "faint": "#747b83",
    "series-1": "#0072b2",
    "series-2": "#c75300",
    "series-3": "#008562",
    "series-4": "#b3558c",
    "series-5": "#a06a00",
    "series-6": "#2a86bd",
    "box-1": "#e8e8e8",
    "box-2": "#cfe4f2",
    "box-3": "#fbe3cc",
}
DARK = {
    "paper": "#15181c",
    "raised": "#1f242a",
    "ink": "#e8eaed",
    "quiet": "#aab2bb",
    "line": "#3a424b",
    "link": "#7db8f5",
    "good": "#6fd3a0",
    "bad": "#ff9088",
    "faint": "#8b939c",
    "series-1": "#4aa8e0",
    "series-2": "#f2813b",
    "series-3": "#2cc59b",
    "series-4": "#dd9cc0",
    "series-5": "#e6a93a",
    "series-6": "#8ccbf0",
    "box-1": "#2b3036",
    "box-2": "#1d3a4d",
    "box-3": "#4a3420",
}
TEXTS = ("ink", "quiet", "link", "good", "bad")
"""Colours of texts, which stand on `paper` and on `raised`."""
SERIES = tuple(name for name in LIGHT if name.startswith("series"))
BOXES = ("box-1", "box-2", "box-3")
"""What texts of the picture of the model stand on."""


def style_sheet() -> str:
    """Returns the style sheet."""
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in colours.items()) for colours in (LIGHT, DARK)
    )
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"@media print{{:root{{{light}}}}}" + _RULES
    )


_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",Arial,"Noto Sans",sans-serif;overflow-wrap:anywhere}
main,header,footer{max-width:62rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.5rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .3rem}
h2{font-size:1.25rem;line-height:1.3;margin:2.4rem 0 .6rem;padding-top:.8rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.4rem 0 .4rem}
p{margin:.5rem 0;max-width:46rem}
a{color:var(--link)}
.quiet,figcaption,caption,footer{color:var(--quiet)}
.good{color:var(--good)}.bad{color:var(--bad)}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0;margin:.8rem 0;font-size:.92rem}
nav a{display:inline-block;padding:.25rem 0}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--raised);padding:.6rem .8rem;overflow-x:auto;border-radius:6px}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr));gap:1.2rem;
align-items:start;margin:.8rem 0}
figure{margin:0;min-width:0}
figure.wide{grid-column:1/-1}
figcaption{font-size:.88rem;margin:.2rem 0 .3rem}
.scroll{overflow-x:auto;max-width:100%}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
svg{display:block;max-width:100%;height:auto}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
caption{text-align:left;padding:.2rem 0}
th,td{padding:.28rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;
white-space:nowrap}
th.n,td.n{text-align:right}
td.text{white-space:normal;min-width:11rem}
thead th{border-bottom:2px solid var(--line)}
details{margin:.4rem 0}
summary{cursor:pointer;color:var(--link);padding:.25rem 0;font-size:.92rem}
details.run{border:1px solid var(--line);border-radius:8px;padding:0 .9rem;margin:1rem 0}
details.run>summary{font-size:1.05rem;padding:.7rem 0}
ul.verdict{padding-left:1.2rem}
ul.verdict li{margin:.3rem 0}
.card{background:var(--raised);border-radius:8px;padding:.6rem .9rem;margin:.6rem 0}
.card p{margin:.25rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.8rem}
.cards img{width:100%;image-rendering:pixelated;border-radius:4px;display:block}
.tokens{display:flex;flex-wrap:wrap;gap:.3rem .45rem;padding:0;margin:.4rem 0;list-style:none}
.tokens li{border:1px solid var(--line);border-radius:4px;padding:0 .35rem;background:var(--paper)}
.tokens li.wrong{border-color:var(--bad)}
.tokens small{display:block;font-size:.8rem}
footer{padding-top:2rem;padding-bottom:2rem;font-size:.88rem}
"""
