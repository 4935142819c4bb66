"""HTML pages that need no network to be read: their frame, figures within them, and tables."""

import base64
import html

_STYLE = """
:root { color-scheme: light }
body { font: 16px/1.55 system-ui, sans-serif; color: #222; max-width: 54rem; margin: auto; padding: 0 1rem 4rem }
h1, h2, h3, h4 { line-height: 1.25 } h2 { margin-top: 4rem; border-top: 1px solid #ccc; padding-top: 1rem }
nav ul { list-style: none; padding: 0 } a { color: #0b5cad } img { max-width: 100%; height: auto } .math { display: block; margin: 1rem auto }
pre { font-size: .8rem; line-height: 1.4; overflow-x: auto; background: #f6f6f6; padding: .6rem }
table { display: block; overflow-x: auto; border-collapse: collapse; font-size: .85rem }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem .25rem 0; text-align: left; vertical-align: top }
summary { color: #555; font-size: .85rem; cursor: pointer }
@media print { details { display: none } img, tr { break-inside: avoid } h2 { break-before: page }
  body { max-width: none; font-size: 10pt } table, pre { display: table; white-space: pre-wrap; font-size: 7.5pt } }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


def page(title, *parts):
    """A page of a title and parts, which are HTML."""
    return _PAGE.format(title=html.escape(title), style=_STYLE, body="\n".join(parts))


def image(content, kind, alt, **looks):
    """An image within a page, of bytes of a kind such as "png"; looks: further attributes."""
    told = "".join(f'{name.rstrip("_")}="{value}" ' for name, value in looks.items())
    packed = base64.b64encode(content).decode()
    return f'<img {told}alt="{html.escape(alt)}" src="data:image/{kind};base64,{packed}">'


def table(head, rows):
    """A table of cells that are text."""
    return f"<table>{_line('th', head)}{''.join(_line('td', row) for row in rows)}</table>"


def _line(kind, cells):
    return f"<tr>{''.join(f'<{kind}>{html.escape(cell)}</{kind}>' for cell in cells)}</tr>"
