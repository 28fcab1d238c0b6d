# SPDX-License-Identifier: Apache-2.0
"""One table, for people in a terminal and for docs/benchmarks.md."""
import dataclasses


@dataclasses.dataclass
class Row:
    what: str
    ours: str = 'not measured'
    peer: str = ''
    theirs: str = ''
    ratio: float | None = None
    goal: str = ''
    met: bool | None = None
    note: str = ''
    unit: str = ''  # "times": the ratio says how many times cheaper we are
    wrong: bool = False  # not slow but wrong: the run fails

    def cells(self):
        peer = f'{self.theirs} {self.peer}'.strip() if self.theirs else self.peer
        ratio = ''
        if self.ratio is not None:
            digits = 3 if 0.9 < self.ratio < 1.1 else 2 if self.ratio < 10 else 0
            ratio = f'{self.ratio:,.{digits}f}'
        if ratio and self.unit == 'times':
            ratio += 'x cheaper'
        goal = self.goal
        if goal and self.met is not None:
            goal += ', met' if self.met else ', missed'
        return [self.what, self.ours, peer, ratio, goal, self.note]


HEAD = ['measured', 'coatcheck', 'beside it', 'ratio', 'goal', 'notes']


def ns(value):
    return f'{value:,.0f} ns' if value < 10000 else us(value / 1000)


def us(value):
    return f'{value:,.2f} us' if value < 100 else f'{value:,.0f} us'


def plain(rows):
    cells = [HEAD] + [r.cells() for r in rows]
    widths = [max(len(c[i]) for c in cells) for i in range(len(HEAD) - 1)]
    lines = []
    for n, c in enumerate(cells):
        lines.append('  '.join(x.ljust(w) for x, w in zip(c, widths + [0])).rstrip())
        if n == 0:
            lines.append('  '.join('-' * w for w in widths + [len(HEAD[-1])]))
    return '\n'.join(lines)


def markdown(rows):
    lines = ['| ' + ' | '.join(HEAD) + ' |', '|' + ' --- |' * len(HEAD)]
    lines += ['| ' + ' | '.join(c.replace('|', '\\|') for c in r.cells()) + ' |' for r in rows]
    return '\n'.join(lines)
